package responses

import (
	"testing"

	"github.com/pontage/pontage/internal/llm"
)

// Tools that may run at the provider are noted, with how often at most.
func TestToolsThatRunAtTheProviderAreNoted(t *testing.T) {
	t.Parallel()
	for more, want := range map[string]llm.Hosted{
		`"tools":[{"type":"function","name":"web_search","parameters":{"type":"object"},"strict":false}]`:   {},
		`"tools":[{"type":"custom","name":"file_search"}]`:                                                  {},
		`"tools":[{"type":"web_search_preview"}],"max_tool_calls":3`:                                        {Calls: llm.Calls{WebSearch: llm.UsualCalls}, Total: 3},
		`"tools":[{"type":"web\u005fsearch"},{"type":"\u0066ile_search","vector_store_ids":["v"]}]`:         {Calls: llm.Calls{WebSearch: llm.UsualCalls, FileSearch: llm.UsualCalls}},
		`"tools":[{"type":"x_search"},{"type":"web_search"}]`:                                               {Calls: llm.Calls{WebSearch: 2 * llm.UsualCalls}},
		`"tools":[{"type":"file_search","vector_store_ids":["v"]}]`:                                         {Calls: llm.Calls{FileSearch: llm.UsualCalls}},
		`"tools":[{"type":"code_interpreter","container":{"type":"auto"}},{"type":"image_generation"}]`:     {Calls: llm.Calls{CodeExecution: 1}},
		`"tools":[{"type":"mcp","server_label":"s","server_url":"https://x"}],"max_tool_calls":100000`:      {Total: llm.MostCalls},
		`"tools":[{"type":"code_interpreter","container":"a"},{"type":"code_interpreter","container":"b"}]`: {Calls: llm.Calls{CodeExecution: 2}},
	} {
		r, err := New(Options{}).Decode([]byte(`{"model":"m","input":"x",`+more+`}`), nil)
		if err != nil || r.Hosted != want {
			t.Errorf("%s: %+v, want %+v (%v)", more, r, want, err)
		}
	}
}
