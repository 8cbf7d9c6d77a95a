package prompt

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/fault"
)

func TestABatch(t *testing.T) {
	t.Parallel()
	body := []byte(`{"modelId":"org/m","webhookUrl":null,"requests":[
	 {"id":"a","prompt":"x","max_tokens":5},
	 { "prompt": "y" , "id" : null },
	 {"metadata":{"id":1},"id":"\u0062","prompt":"z"}, {"id":"0","prompt":"w"}]}`)
	got, err := DecodeBatch(body, 4)
	if err != nil {
		t.Fatal(err)
	}
	clear(body) // nothing of it is kept
	want := Batch{Model: "org/m", Items: []Item{
		{"a", []byte(`{"prompt":"x","max_tokens":5}`)},
		{"1", []byte(`{ "prompt": "y" }`)},
		{"b", []byte(`{"metadata":{"id":1},"prompt":"z"}`)},
		{"0", []byte(`{"prompt":"w"}`)},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("batch (-want +got):\n%s", diff)
	}
	r, err := New(Options{}).DecodeFor(got.Model, got.Items[0].Body, nil)
	if err != nil || r.Model != "org/m" || r.MaxOutput != 5 {
		t.Errorf("DecodeFor of an item = %+v, %v", r, err)
	}
}

func TestBatchFieldsAreChecked(t *testing.T) {
	t.Parallel()
	one := `"requests":[{"prompt":"x"}]`
	long := strings.Repeat("é", maxID)
	hook := "webhookUrl unsupported_parameter Webhooks are not supported"
	for _, c := range []struct {
		body string
		want []string
	}{
		{`{"modelId":"m",` + one + `}`, nil},
		{`{"model":"m",` + one + `}`, nil},
		{`{"model":"m","modelId":"m",` + one + `}`, nil},
		{`{"model":"m","modelId":"n",` + one + `}`, []string{"modelId " + inv + "Must not differ from model"}},
		{`{"modelId":null,"model":"m",` + one + `}`, nil},
		{`{}`, []string{"modelId " + req, "requests " + req}},
		{`{"modelId":"",` + one + `}`, []string{"modelId " + inv + "Must not be empty"}},
		{`{"modelId":7,` + one + `}`, []string{"modelId " + wro + "Must be a string"}},
		{`{"modelId":"` + strings.Repeat("m", 257) + `",` + one + `}`, []string{"modelId " + inv + "Must have at most 256 characters"}},
		{`{"modelId":"m","requests":null}`, []string{"requests " + req}},
		{`{"modelId":"m","requests":{}}`, []string{"requests " + wro + "Must be an array"}},
		{`{"modelId":"m","requests":[]}`, []string{"requests " + inv + "Must not be empty"}},
		{`{"modelId":"m","requests":[{"prompt":"x"},{"prompt":"x"},{"prompt":"x"}]}`, []string{"requests " + inv + "Must have at most 2 elements"}},
		{`{"modelId":"m","requests":[null,"x"]}`, []string{"requests.0 " + wro + "Must be an object", "requests.1 " + wro + "Must be an object"}},
		{`{"modelId":"m","requests":[{},{"id":"a"}]}`, []string{"requests.0.prompt " + req, "requests.1.prompt " + req}},
		{`{"modelId":"m","requests":[{"prompt":"x","id":""}]}`, []string{"requests.0.id " + inv + "Must not be empty"}},
		{`{"modelId":"m","requests":[{"prompt":"x","id":5}]}`, []string{"requests.0.id " + wro + "Must be a string"}},
		{`{"modelId":"m","requests":[{"prompt":"x","id":"` + long + `"}]}`, nil},
		{`{"modelId":"m","requests":[{"prompt":"x","id":"` + long + `e"}]}`, []string{"requests.0.id " + inv + "Must have at most 64 characters"}},
		{`{"modelId":"m","requests":[{"prompt":"x","id":"a"},{"prompt":"x","id":"\u0061"}]}`, []string{"requests.1.id " + inv + "Must not be the id of another request"}},
		{`{"modelId":"m","requests":[{"prompt":"x","id":"1"},{"prompt":"x"}]}`, []string{"requests.0.id " + inv + "Must not be the index of a request without an id"}},
		{`{"modelId":"m","requests":[{"prompt":"x"},{"prompt":"x","id":"1"}]}`, nil},
		{`{"modelId":"m","webhookUrl":"https://x/y",` + one + `}`, []string{hook}},
		{`{"modelId":"m","webhookUrl":"",` + one + `}`, []string{hook}},
		{`{"modelId":"m","priority":1,` + one + `}`, []string{"priority " + unk}},
		{`{"webhookUrl":{},"requests":[{"prompt":"","topK":0,"zzz":1},{"temperature":3}],"modelId":4,"q":1}`, []string{
			hook, "requests.0.prompt " + inv + "Must not be empty", "requests.0.topK " + inv + "Must be at least 1", "requests.0.zzz " + unk,
			"requests.1.prompt " + req, "requests.1.temperature " + inv + "Must be between 0 and 2", "modelId " + wro + "Must be a string", "q " + unk,
		}},
	} {
		_, err := DecodeBatch([]byte(c.body), 2)
		if diff := cmp.Diff(c.want, details(t, err)); diff != "" {
			t.Errorf("DecodeBatch(%s) (-want +got):\n%s", c.body, diff)
		}
	}
	for _, c := range members {
		_, err := DecodeBatch([]byte(`{"modelId":"m","requests":[{"id":"a","prompt":"x",`+c.member+`}]}`), 2)
		var want []string
		if c.want != "" {
			want = []string{"requests.0." + c.want}
		}
		if diff := cmp.Diff(want, details(t, err)); diff != "" {
			t.Errorf("DecodeBatch with %s (-want +got):\n%s", c.member, diff)
		}
	}
}

func TestBadBatchesComeWithTheirModel(t *testing.T) {
	t.Parallel()
	b, err := DecodeBatch([]byte(`{"requests":[{}],"modelId":"gpt5"}`), 2)
	if diff := cmp.Diff(Batch{Model: "gpt5"}, b); diff != "" || !fault.Is(err, fault.MissingParameter) {
		t.Errorf("DecodeBatch = %v, (-want +got):\n%s", err, diff)
	}
}

// checkBatch holds of every batch that is accepted.
func checkBatch(t interface{ Fatalf(string, ...any) }, b Batch, most int) {
	ids := make(map[string]bool)
	for _, item := range b.Items {
		if ids[item.ID] || item.ID == "" {
			t.Fatalf("id %q is empty or not unique", item.ID)
		}
		ids[item.ID] = true
		if _, err := New(Options{}).DecodeFor(b.Model, item.Body, nil); err != nil {
			t.Fatalf("DecodeFor(%q, %q) = %v", b.Model, item.Body, err)
		}
	}
	if n := len(b.Items); n < 1 || n > most {
		t.Fatalf("%d items, want 1 to %d", n, most)
	}
}

func TestItemsAreBodies(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "n")
		body := []byte(`{"modelId":"m","requests":[`)
		for i := range n {
			if i > 0 {
				body = append(body, ',')
			}
			m := rapid.Permutation([]string{
				`"prompt":"x"`, `"id":"` + rapid.StringMatching(`[a-z0-9]{1,2}`).Draw(t, "id") + `"`,
				rapid.SampledFrom([]string{`"topK":1`, `"metadata":{"id":"n"}`, `"id2":null`, `"temperature":0`}).Draw(t, "member"),
			}).Draw(t, "order")
			space := rapid.SampledFrom([]string{"", " ", "\n\t"}).Draw(t, "space")
			body = append(body, space+"{"+space+strings.Join(m[:rapid.IntRange(1, 3).Draw(t, "members")], space+","+space)+space+"}"...)
		}
		body = append(body, `]}`...)
		// What lacks its prompt, or repeats an id, is refused.
		if b, err := DecodeBatch(body, n); err == nil {
			checkBatch(t, b, n)
		} else if bytes.Count(body, []byte(`"prompt"`)) == n && !bytes.Contains(body, []byte(`"id":"`)) {
			t.Fatalf("DecodeBatch(%s) = %v", body, err)
		}
	})
}

func FuzzDecodeBatch(f *testing.F) {
	f.Add([]byte(`{"modelId":"m","requests":[{"id":"a","prompt":"x","max_tokens":5},{"prompt":"y","metadata":{"id":1}}]}`))
	f.Add([]byte(`{"model":"m","requests":[{"\u0069d":"\u0061","prompt":"x"},{"prompt":"y"}],"webhookUrl":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if b, err := DecodeBatch(body, 100); err == nil {
			checkBatch(t, b, 100)
		}
	})
}
