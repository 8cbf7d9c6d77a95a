package gemini

import (
	"testing"

	"github.com/pontage/pontage/internal/llm"
)

// Tools that may run at the provider are noted, in both spellings.
func TestToolsThatRunAtTheProviderAreNoted(t *testing.T) {
	t.Parallel()
	for tools, want := range map[string]llm.Hosted{
		`{"functionDeclarations":[{"name":"googleSearch"}]}`: {},
		`{"googleSearch":{}}`:                                {Calls: llm.Calls{WebSearch: llm.UsualCalls}},
		`{"google_search":{}},{"code_execution":{}}`:         {Calls: llm.Calls{WebSearch: llm.UsualCalls, CodeExecution: 1}},
		`{"googleSearch":null}`:                              {},
		`{"googleMaps":{}}`:                                  {Calls: llm.Calls{WebSearch: llm.UsualCalls}},
		`{"fileSearch":{}},{"urlContext":{}}`:                {Calls: llm.Calls{FileSearch: llm.UsualCalls}},
	} {
		r, _ := decode(t, `{"contents":[{"role":"user","parts":[{"text":"x"}]}],"tools":[`+tools+`]}`)
		if r.Hosted != want {
			t.Errorf("%s: %+v, want %+v", tools, r.Hosted, want)
		}
	}
}
