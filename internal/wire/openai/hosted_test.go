package openai

import (
	"testing"

	"github.com/pontage/pontage/internal/llm"
)

// Tools that may run at the provider are noted, with how often at most.
func TestToolsThatRunAtTheProviderAreNoted(t *testing.T) {
	t.Parallel()
	const function = `{"type":"function","function":{"name":"web_search"}}`
	for more, want := range map[string]llm.Hosted{
		`"tools":[` + function + `]`:                       {},
		`"web_search_options":{}`:                          {Calls: llm.Calls{WebSearch: 1}},
		`"web_search_options":null`:                        {},
		`"tools":[` + function + `,{"type":"web_search"}]`: {Calls: llm.Calls{WebSearch: llm.UsualCalls}},
		`"tools":[{"type":"code_interpreter"}]`:            {Calls: llm.Calls{CodeExecution: 1}},
		`"plugins":[{"id":"web"},{"id":"file-parser"}]`:    {Calls: llm.Calls{WebSearch: 1}},
		`"plugins":7`:                                                    {},
		`"tools":[{"type":"web\u005fsearch"}]`:                           {Calls: llm.Calls{WebSearch: llm.UsualCalls}},
		`"search_parameters":null`:                                       {},
		`"search_parameters":{"mode":"\u006ff"}`:                         {Calls: llm.Calls{WebSearch: llm.UsualCalls}},
		`"search_parameters":{"mode":"\u006fff"}`:                        {},
		`"search_parameters":{"mode":"on","max_search_results":7}`:       {Calls: llm.Calls{WebSearch: 7}},
		`"search_parameters":{"mode":"auto"}`:                            {Calls: llm.Calls{WebSearch: llm.UsualCalls}},
		`"search_parameters":{"mode":"off"}`:                             {},
		`"search_parameters":{"mode":"on","max_search_results":1000000}`: {Calls: llm.Calls{WebSearch: llm.MostCalls}},
	} {
		r, err := NewChat(Options{}).Decode([]byte(`{"model":"m","messages":[{"role":"user","content":"x"}],`+more+`}`), nil)
		if err != nil || r.Hosted != want {
			t.Errorf("%s: %+v, want %+v (%v)", more, r, want, err)
		}
	}
}
