package anthropic

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
	"github.com/pontage/pontage/internal/testkit"
)

// TestCallsOfServerToolsAreCounted has answers in one piece and in events: what usage
// tells counts, else results that were seen.
func TestCallsOfServerToolsAreCounted(t *testing.T) {
	t.Parallel()
	const (
		search = `{"type":"server_tool_use","id":"s","name":"web_search","input":{"query":"x"}}`
		found  = `{"type":"web_search_tool_result","tool_use_id":"s","content":[{"type":"web_search_result","url":"https://x"}]}`
		failed = `{"type":"web_search_tool_result","tool_use_id":"s","content":{"type":"web_search_tool_result_error","error_code":"max_uses_exceeded"}}`
		page   = `{"type":"web_fetch_tool_result","tool_use_id":"s","content":{"type":"web_fetch_result","url":"https://x"}}`
		code   = `{"type":"code_execution_tool_result","tool_use_id":"s","content":{"type":"code_execution_result","stdout":"1"}}`
		shell  = `{"type":"bash_code_execution_tool_result","tool_use_id":"s","content":{"type":"bash_code_execution_result","stdout":"1"}}`
		broken = `{"type":"code_execution_tool_result","tool_use_id":"s","content":{"type":"code_execution_tool_result_error","error_code":"unavailable"}}`
		text   = `{"type":"text","text":"a"}`
	)
	for _, c := range []struct {
		name   string
		blocks []string
		usage  string // beside input and output
		want   llm.Calls
	}{
		{"nothing", []string{text}, "", llm.Calls{}},
		{"one that is told", []string{search, found, text}, `,"server_tool_use":{"web_search_requests":1,"web_fetch_requests":4}`, llm.Calls{WebSearch: 1}},
		{"two that nobody tells", []string{search, found, search, found, text}, "", llm.Calls{WebSearch: 2}},
		{"one that failed", []string{search, found, search, failed, text}, "", llm.Calls{WebSearch: 1}},
		{"more than are billed", []string{search, found, search, found, text}, `,"server_tool_use":{"web_search_requests":0}`, llm.Calls{}},
		{"a page", []string{page, text}, `,"server_tool_use":{"web_search_requests":0,"web_fetch_requests":1}`, llm.Calls{}},
		{"code, of one container", []string{code, shell, code, text}, `,"server_tool_use":{"web_search_requests":0}`, llm.Calls{CodeExecution: 1}},
		{"code that did not run", []string{broken, text}, "", llm.Calls{}},
		{"no number", []string{search, found, text}, `,"server_tool_use":{"web_search_requests":-1}`, llm.Calls{WebSearch: 1}},
		{"null", []string{search, found, text}, `,"server_tool_use":null`, llm.Calls{WebSearch: 1}},
	} {
		whole := `{"type":"message","content":[` + strings.Join(c.blocks, ",") + `],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1` + c.usage + `}}`
		stream := frame("message_start", `{"type":"message_start","message":{"type":"message","content":[],"usage":{"input_tokens":1,"output_tokens":1,"server_tool_use":{"web_search_requests":0}}}}`)
		for _, b := range c.blocks {
			stream += frame("content_block_start", `{"type":"content_block_start","index":0,"content_block":`+b+`}`) + frame("content_block_stop", `{"type":"content_block_stop","index":0}`)
		}
		stream += frame("message_delta", `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2`+c.usage+`}}`) + stopFrame
		for kind, body := range map[string]string{"application/json": whole, "text/event-stream": stream} {
			evs, err := ask(t, kind, body, kind != "application/json")
			if got := testkit.Ran(evs); err != nil || got != c.want {
				t.Errorf("%s, %s: %+v, want %+v (%v)", c.name, kind, got, c.want, err)
			}
		}
	}
}

// TestRecordedSearchesAreCounted compares what recordings say themselves.
func TestRecordedSearchesAreCounted(t *testing.T) {
	t.Parallel()
	up := newReplayer(t)
	n := 0
	for id, f := range up.fixtures {
		if !isAnswer(f) {
			continue
		}
		body := string(f.Response.Body())
		at := strings.LastIndex(body, `"web_search_requests"`)
		if at < 0 {
			continue
		}
		var want int64
		number := strings.TrimLeft(strings.SplitN(body[at:], ":", 2)[1], " ")
		if err := json.Unmarshal([]byte(number[:strings.IndexAny(number, ",} \n")]), &want); err != nil {
			t.Fatal(err)
		}
		q := request(t, f)
		evs, err := run(up.provider, provider.Call{Request: q, Model: q.Model, RequestID: id, Key: "k"})
		if err != nil {
			continue // which other tests look at
		}
		if want > 0 {
			n++
		}
		if got := testkit.Ran(evs).WebSearch; got != want {
			t.Errorf("%s: %d searches, want %d", id, got, want)
		}
	}
	if n < 10 {
		t.Errorf("only %d recordings with searches", n)
	}
}
