package vector

import (
	"strings"
	"testing"
)

func TestBothFormsSayTheSame(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string // base64
		form Form
		list string // empty: an error
	}{
		{"AAAAPwAAgL8=", Float32, "[0.5,-1]"},
		{"AAAAPwAAgL8", Float32, "[0.5,-1]"}, // without padding
		{"", Float32, "[]"},
		{"AX+A/w==", Int8, "[1,127,-128,-1]"},
		{"AAAA", Float32, ""},     // three bytes
		{"AADAfw==", Float32, ""}, // no number
		{"AACAfw==", Float32, ""}, // infinite
		{"?", Float32, ""},
	} {
		got, err := AppendList([]byte("x"), c.text, c.form)
		if (err == nil) != (c.list != "") || err == nil && string(got) != "x"+c.list {
			t.Errorf("%q: %s, %v, want %s", c.text, got, err, c.list)
			continue
		}
		if err != nil || c.form == Int8 {
			continue
		}
		back, err := AppendBase64(nil, got[1:])
		if err != nil || strings.TrimRight(strings.Trim(string(back), `"`), "=") != strings.TrimRight(c.text, "=") {
			t.Errorf("%s: %s, %v, want %s", c.list, back, err, c.text)
		}
	}
	for _, list := range []string{"", "7", `"a"`, "[1,x]", "[1,,2]", "[1e400]", "[NaN]", "[1,Inf]", "[1,]", "[1"} {
		if got, err := AppendBase64(nil, []byte(list)); err == nil {
			t.Errorf("%s: %s", list, got)
		}
	}
}
