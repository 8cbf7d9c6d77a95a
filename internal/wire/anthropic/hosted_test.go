package anthropic

import (
	"testing"

	"github.com/pontage/pontage/internal/llm"
)

// Tools that may run at the provider are noted, with how often at most.
func TestToolsThatRunAtTheProviderAreNoted(t *testing.T) {
	t.Parallel()
	for tools, want := range map[string]llm.Hosted{
		`{"name":"web_search","input_schema":{"type":"object"}}`:                                                            {},
		`{"type":"custom","name":"web_search","input_schema":{"type":"object"}}`:                                            {},
		`{"type":"web_search_20250305","name":"web_search","max_uses":3}`:                                                   {Calls: llm.Calls{WebSearch: 3}},
		`{"type":"web_search_20250305","name":"web_search"}`:                                                                {Calls: llm.Calls{WebSearch: llm.UsualCalls}},
		`{"type":"web\u005fsearch_20250305","name":"web_search","max_uses":3}`:                                              {Calls: llm.Calls{WebSearch: 3}},
		`{"type":"web_search_20250305","name":"web_search","max_uses":-3}`:                                                  {Calls: llm.Calls{WebSearch: llm.UsualCalls}},
		`{"type":"web_search_20250305","name":"web_search","max_uses":9223372036854775807}`:                                 {Calls: llm.Calls{WebSearch: llm.MostCalls}},
		`{"type":"web_fetch_20250910","name":"web_fetch","max_uses":3},{"type":"bash_20250124","name":"bash"}`:              {},
		`{"type":"code_execution_20250825","name":"code_execution"},{"type":"tool_search_tool_regex_20251119","name":"t"}`:  {Calls: llm.Calls{CodeExecution: 1}},
		`{"type":"web_search_20250305","name":"a","max_uses":3},{"type":"web_search_20260209","name":"b","max_uses":9999}`:  {Calls: llm.Calls{WebSearch: llm.MostCalls}},
		`{"type":"web_search_20250305","name":"a","max_uses":3},{"type":"code_execution_20250825","name":"code_execution"}`: {Calls: llm.Calls{WebSearch: 3, CodeExecution: 1}},
	} {
		r, err := NewMessages().Decode([]byte(`{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}],"tools":[`+tools+`]}`), nil)
		if err != nil || r.Hosted != want {
			t.Errorf("%s: %+v, want %+v (%v)", tools, r, want, err)
		}
	}
}
