package responses

import (
	"strconv"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
	"github.com/pontage/pontage/internal/testkit"
)

// TestCallsOfHostedToolsAreCounted has answers in one piece, in events that tell the
// items, and in a last event alone.
func TestCallsOfHostedToolsAreCounted(t *testing.T) {
	t.Parallel()
	const (
		text   = `{"type":"message","content":[{"type":"output_text","text":"a"}]}`
		search = `{"type":"web_search_call","id":"w","status":"completed","action":{"type":"search","query":"x","queries":["x","y"]}}`
		opens  = `{"type":"web_search_call","id":"w","status":"completed","action":{"type":"open_page","url":"https://x"}}`
		finds  = `{"type":"web_search_call","id":"w","status":"completed","action":{"type":"find_in_page","pattern":"x"}}`
		failed = `{"type":"web_search_call","id":"w","status":"failed","action":{"type":"search","query":"x"}}`
		bare   = `{"type":"web_search_call","id":"w","status":"completed","arguments":"{}","name":"web_search"}`
		onX    = `{"type":"x_search_call","id":"w","status":"completed","arguments":"{}"}`
		files  = `{"type":"file_search_call","id":"f","status":"completed","queries":["x","y"],"results":null}`
		code1  = `{"type":"code_interpreter_call","id":"c","status":"completed","container_id":"cntr_1","code":"1"}`
		code2  = `{"type":"code_interpreter_call","id":"c","status":"completed","container_id":"cntr_2","code":"1"}`
		mcp    = `{"type":"mcp_call","id":"m","status":"completed"}`
	)
	for _, c := range []struct {
		name  string
		items []string
		usage string // beside the tokens
		want  llm.Calls
	}{
		{"nothing", []string{text}, "", llm.Calls{}},
		{"a search and what it led to", []string{search, opens, finds, text}, "", llm.Calls{WebSearch: 1}},
		{"one that failed", []string{failed, text}, "", llm.Calls{}},
		{"xAI's", []string{bare, onX, text}, "", llm.Calls{WebSearch: 2}},
		{"files", []string{files, files, text}, "", llm.Calls{FileSearch: 2}},
		{"code in one container, twice", []string{code1, code1, text}, "", llm.Calls{CodeExecution: 1}},
		{"code in two", []string{code1, code2, code1, text}, "", llm.Calls{CodeExecution: 2}},
		{"a tool that costs nothing", []string{mcp, text}, "", llm.Calls{}},
		{"what usage tells", []string{search, text}, `,"server_side_tool_usage_details":{"web_search_calls":3,"x_search_calls":0,"code_interpreter_calls":2}`, llm.Calls{WebSearch: 3, CodeExecution: 2}},
		{"what usage tells and cannot be", []string{search, text}, `,"server_side_tool_usage_details":{"web_search_calls":-3}`, llm.Calls{WebSearch: 1}},
	} {
		response := `{"id":"r","object":"response","status":"completed","error":null,"model":"theirs","output":[` + strings.Join(c.items, ",") + `],"usage":{"input_tokens":7,"output_tokens":3,"total_tokens":10` + c.usage + `}}`
		told := []string{created}
		for i, it := range c.items {
			kind, _, _ := strings.Cut(strings.TrimPrefix(it, `{"type":"`), `"`)
			told = append(told, itemEvent("added", i, `{"type":"`+kind+`","status":"in_progress"}`), itemEvent("done", i, it))
		}
		last := `{"type":"response.completed","response":` + response + `}`
		for how, body := range map[string]string{"whole": response, "events": frames(append(told, last)...), "one event": frames(created, last)} {
			kind := jsonType
			if how != "whole" {
				kind = events
			}
			for _, translate := range []bool{false, true} {
				evs, err := ask(t, kind, body, kind == events, translate)
				if got := testkit.Ran(evs); err != nil || got != c.want {
					t.Errorf("%s, %s: %+v, want %+v (%v)", c.name, how, got, c.want, err)
				}
			}
		}
	}
}

// A call counts once it has ended: of what breaks off before that, nothing is known.
func TestACallThatHasBegunIsNotCounted(t *testing.T) {
	t.Parallel()
	evs, err := ask(t, events, frames(created,
		itemEvent("added", 0, `{"type":"web_search_call","id":"w","status":"in_progress"}`),
		itemEvent("done", 0, `{"type":"web_search_call","id":"w","status":"completed","action":{"type":"search"}}`),
		itemEvent("added", 1, `{"type":"file_search_call","id":"f","status":"in_progress"}`)), true, false)
	if got := testkit.Ran(evs); err == nil || got != (llm.Calls{WebSearch: 1}) {
		t.Errorf("%+v, want one search (%v)", got, err)
	}
}

// More calls of one tool than can be believed do not hide those of another.
func TestCallsOfEachToolHaveABound(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]llm.Calls{
		"web_search_call":       {WebSearch: llm.MostCalls, FileSearch: 1},
		"code_interpreter_call": {CodeExecution: llm.MostCalls, FileSearch: 1},
	} {
		var s scanner
		for i := range llm.MostCalls + 1 {
			s.ran(&body{kind: []byte(kind), container: strconv.AppendInt(nil, int64(i), 10)})
		}
		s.ran(&body{kind: []byte("file_search_call")})
		if s.hosted != want || !s.hosted.Believable() {
			t.Errorf("%s: %+v, want %+v", kind, s.hosted, want)
		}
	}
}

// TestRecordedCallsAreCounted compares what the items of recordings say.
func TestRecordedCallsAreCounted(t *testing.T) {
	t.Parallel()
	up := newReplayer(t)
	var all llm.Calls
	for id, f := range up.fixtures {
		if !ends(t, f) {
			continue
		}
		var want llm.Calls
		rooms := map[any]bool{}
		output, _ := response(t, f)["output"].([]any)
		for _, x := range output {
			it, _ := x.(map[string]any)
			action, _ := it["action"].(map[string]any)
			switch it["type"] {
			case "web_search_call", "x_search_call":
				if action == nil || action["type"] == "search" {
					want.WebSearch++
				}
			case "file_search_call":
				want.FileSearch++
			case "code_interpreter_call":
				rooms[it["container_id"]] = true
			}
		}
		want.CodeExecution = int64(len(rooms))
		q := request(t, f)
		evs, err := run(up.provider(f), provider.Call{Request: q, Model: q.Model, RequestID: id})
		if err != nil {
			continue // which other tests look at
		}
		got := testkit.Ran(evs)
		if got != want {
			t.Errorf("%s: %+v, want %+v", id, got, want)
		}
		all.WebSearch, all.FileSearch, all.CodeExecution = all.WebSearch+got.WebSearch, all.FileSearch+got.FileSearch, all.CodeExecution+got.CodeExecution
	}
	if all.WebSearch < 10 || all.FileSearch < 5 || all.CodeExecution < 4 {
		t.Errorf("only %+v in all recordings", all)
	}
}
