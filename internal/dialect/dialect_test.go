package dialect

import (
	"testing"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

func TestArgumentsComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		``:                           `{}`,
		`  `:                         `{}`,
		`{"a": 1}`:                   `{"a": 1}`,
		` {"a":1,"a":2}`:             `{"a":1,"a":2}`,
		`{"n":12345678901234567890}`: `{"n":12345678901234567890}`,
		`{"a":`:                      `"{\"a\":"`,
		`hello`:                      `"hello"`,
		`"quoted"`:                   `"\"quoted\""`,
		`[1]`:                        `[1]`,
	} {
		if got := string(Arguments(text)); got != want {
			t.Errorf("arguments(%q) = %s, want %s", text, got, want)
		}
	}
}

func TestWhatHasNoFieldIsKept(t *testing.T) {
	t.Parallel()
	doc, err := jsonx.Parse([]byte(`{"a":{"own":1,"null":null,"none":[],"some":[1],"no":false}}`))
	if err != nil {
		t.Fatal(err)
	}
	d := Begin()
	d.Extras(doc.Root().Get("a"), "own")
	if x := d.Chat.Extra; len(x) != 2 || x[0].Path != "a.some" || string(x[0].Value) != "[1]" || x[1].Path != "a.no" {
		t.Errorf("%+v", d.Chat.Extra)
	}
}

func TestTheFirstPlaceOfANeedCounts(t *testing.T) {
	t.Parallel()
	doc, err := jsonx.Parse([]byte(`{"a":1,"b":2}`))
	if err != nil {
		t.Fatal(err)
	}
	var r llm.Request
	Need(&r, llm.NeedTools, doc.Root().Get("b"))
	Need(&r, llm.NeedTools, doc.Root().Get("a"))
	if r.Needs[llm.NeedTools] != "b" {
		t.Errorf("%v", r.Needs)
	}
}
