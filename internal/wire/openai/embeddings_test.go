package openai

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/llm"
)

func TestEmbeddingsFieldsAreChecked(t *testing.T) {
	t.Parallel()
	d := NewEmbeddings(Options{})
	for _, c := range []struct{ members, want string }{
		{`"input":"x"`, ""},
		{`"input":["x","y"]`, ""},
		{`"input":[1,2,3]`, ""},
		{`"input":[[1,2],[3]]`, ""},
		{`"input":null`, "input missing_parameter Required"},
		{`"input":5`, "input invalid_type Must be a string or an array"},
		{`"input":""`, "input invalid_parameter Must not be empty"},
		{`"input":[]`, "input invalid_parameter Must not be empty"},
		{`"input":["x",""]`, "input.1 invalid_parameter Must not be empty"},
		{`"input":["x",1]`, "input.1 invalid_type Must be of the same type as the first input"},
		{`"input":[1,"x"]`, "input.1 invalid_type Must be a whole number"},
		{`"input":[1,null]`, "input.1 invalid_type Must be a whole number"},
		{`"input":[[]]`, "input.0 invalid_parameter Must not be empty"},
		{`"input":{}`, "input invalid_type Must be a string or an array"},
		{`"input":true`, "input invalid_type Must be a string or an array"},
		{`"input":[""]`, "input.0 invalid_parameter Must not be empty"},
		{`"input":[null]`, "input.0 invalid_type Must be a string or an array of tokens"},
		{`"input":["x",["y"]]`, "input.1 invalid_type Must be of the same type as the first input"},
		{`"input":[["x"]]`, "input.0.0 invalid_type Must be a whole number"},
		{`"input":[1.5]`, "input.0 invalid_type Must be a whole number"},
		{`"input":[-1]`, "input.0 invalid_parameter Must be between 0 and 2147483648"},
		{`"input":[1e400]`, "input.0 invalid_parameter Must be between 0 and 2147483648"},
		{`"input":[` + strings.Repeat(`"x",`, 2047) + `"x"]`, ""},
		{`"input":[` + strings.Repeat(`1,`, 8191) + `1]`, ""}, // a text of the length that models take
		{`"input":[` + strings.Repeat(`[1],`, 2048) + `[1]]`, "input invalid_parameter Must have at most 2048 elements"},
		{`"input":[{}]`, "input.0 invalid_type Must be a string or an array of tokens"},
		{`"input":[` + strings.Repeat(`"x",`, 2048) + `"x"]`, "input invalid_parameter Must have at most 2048 elements"},
		{`"input":"x","encoding_format":"hex"`, "encoding_format invalid_parameter Must be one of float or base64"},
		{`"input":"x","dimensions":0`, "dimensions invalid_parameter Must be between 1 and 1048576"},
		{`"input":"x","user":1`, "user invalid_type Must be a string"},
		{`"input":"x","output_dtype":"int8"`, ""},
	} {
		var want []string
		if c.want != "" {
			want = []string{c.want}
		}
		if diff := cmp.Diff(want, details(t, d, `{"model":"m",`+c.members+`}`)); diff != "" {
			t.Errorf("Decode with %.60s (-want +got):\n%s", c.members, diff)
		}
	}
	r, err := d.Decode([]byte(`{"model":"m","input":["ab","cde"]}`), nil)
	if err != nil || r.Inputs != 2 || r.Size.ASCII != 5 || r.Task != llm.TaskEmbed {
		t.Errorf("Decode = %+v, %v", r, err)
	}
}
