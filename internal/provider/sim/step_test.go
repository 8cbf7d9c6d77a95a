package sim

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseStepsNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ src, field, reason string }{
		{`{"text":"x"}`, "steps", "must be a list"},
		{`[{"txt":"x"}]`, "steps[0].txt", "not a known field"},
		{"- text: x\n- {fault: cut, aftr: 2}", "steps[1].aftr", "not a known field"},
		{`[{"tool_calls":[{"name":"x","args":1}]}]`, "steps[0].tool_calls[0].args", "not a known field"},
		{`[{"usage":{"inputs":1}}]`, "steps[0].usage.inputs", "not a known field"},
		{`[{"text":5}]`, "steps[0].text", "must not be a JSON number"},
		{`[{"times":"often"}]`, "steps[0].times", "must not be a JSON string"},
		{`[{"times":-2}]`, "steps[0].times", "-1 or more"},
		{`[{"text":"a","text":"b"}]`, "steps", "text: is there twice"},
		{"- {}\n---\n- {}\n", "steps", "more than one document"},
		{`[{"fault":"explode"}]`, "steps[0].fault", "must be one of refuse,"},
		{`[{"fault":"error_200"}]`, "steps[0].fault", "must be one of"},
		{`[{"status":99}]`, "steps[0].status", "from 200 to 599"},
		{`[{"after":1}]`, "steps[0].after", "without a fault"},
		{`[{"fault":"refuse","after":1}]`, "steps[0].after", "no meaning with fault refuse"},
		{`[{"fault":"cut","after":-1}]`, "steps[0].after", "from 0 to"},
		{`[{"fault":"cut","bytes":1}]`, "steps[0].bytes", "no meaning with fault cut"},
		{`[{"fault":"cut","status":500}]`, "steps[0].status", "no meaning with fault cut"},
		{`[{"fault":"auth","body":"x"}]`, "steps[0].body", "beside a fault"},
		{`[{"replay":"f","fault":"auth"}]`, "steps[0].fault", "beside replay"},
		{`[{"replay":"f","text":"x"}]`, "steps[0].text", "beside replay"},
		{`[{"replay":"f","body":"x"}]`, "steps[0].body", "beside replay"},
		{`[{"text":"x","retry_after":3}]`, "steps[0].retry_after", "no meaning"},
		{`[{"fault":"cut","retry_after":3}]`, "steps[0].retry_after", "no meaning"},
		{`[{"status":200,"text":"x"}]`, "steps[0].text", "beside status"},
		{`[{"body":"x","finish":"stop"}]`, "steps[0].finish", "beside body"},
		{`[{"finish":"done"}]`, "steps[0].finish", "must be stop,"},
		{`[{"chunks":3}]`, "steps[0].chunks", "without text"},
		{`[{"text":"x","events":3}]`, "steps[0].events", "use chunks"},
		{`[{"text":"x","chunks":3,"events":3}]`, "steps[0].events", "beside chunks"},
		{`[{"first_ms":-1}]`, "steps[0].first_ms", "from 0 to"},
		{`[{"headers":{"a b":"x"}}]`, "steps[0].headers", "not a header name"},
		{`[{"headers":{"Content-Length":"5"}}]`, "steps[0].headers", "not a header name"},
		{`[{"headers":{"X-A":"x\ny"}}]`, "steps[0].headers.X-A", "line break"},
		{`[{"tool_calls":[{"arguments":{}}]}]`, "steps[0].tool_calls[0].name", "is missing"},
		{"- &a {text: x}\n- *a", "steps", "aliases are not allowed"},
		{"- text: .nan\n", "steps", "not a number in JSON"},
		{"- {text: x", "steps", ""},
		{"[" + strings.Repeat("{},", MaxSteps) + "{}]", "steps", "more than 1000"},
		{`[{"text":"` + strings.Repeat("x", MaxText+1) + `"}]`, "steps[0].text", "longer than"},
	} {
		_, err := ParseSteps([]byte(c.src))
		var se *StepError
		if !errors.As(err, &se) || se.Field != c.field || !strings.Contains(se.Reason, c.reason) {
			t.Errorf("ParseSteps(%.60s) = %v, want %s: … %s", c.src, err, c.field, c.reason)
		}
	}
}

func TestParseStepsReadsJSONAndYAMLAlike(t *testing.T) {
	t.Parallel()
	fromJSON, err := ParseSteps([]byte(`[
		{"text":"hi","usage":{"input":5},"times":-1,"after":2,"fault":"cut"},
		{"status":418,"headers":{"X-A":"b"},"body":{"z":1,"a":[true,null,1.5]}},
		{"tool_calls":[{"name":"f","arguments":{"b":1,"a":2}}]}]`))
	if err != nil {
		t.Fatal(err)
	}
	fromYAML, err := ParseSteps([]byte(`
- {text: hi, usage: {input: 5}, times: -1, after: 2, fault: cut}
- status: 418
  headers: {X-A: b}
  body: {z: 1, a: [true, null, 1.5]}
- tool_calls:
    - name: f
      arguments: {b: 1, a: 2}
`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fromJSON[1].Body.String(), `{"z":1,"a":[true,null,1.5]}`); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(fromJSON, fromYAML, cmp.AllowUnexported(Step{}, recording{})); diff != "" {
		t.Errorf("(-json +yaml):\n%s", diff)
	}
	for _, empty := range []string{"", "null", "[]", "# nothing\n"} {
		if steps, err := ParseSteps([]byte(empty)); err != nil || len(steps) != 0 {
			t.Errorf("ParseSteps(%q) = %v, %v", empty, steps, err)
		}
	}
}

func TestStepsAreSpentInTheirOrder(t *testing.T) {
	t.Parallel()
	s := newSim(t, Options{})
	tell(t, s, "m", `[{"status":500},{"status":503,"times":2},{"text":"scripted"}]`)
	tell(t, s, Any, `[{"status":418,"times":-1}]`)
	const body = `{"model":"m","messages":[{"role":"user","content":"x"}]}`
	var statuses []int
	for range 6 {
		statuses = append(statuses, ask1(t, s, chatPath, body).status)
	}
	if diff := cmp.Diff([]int{500, 503, 503, 200, 418, 418}, statuses); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if g := ask1(t, s, chatPath, strings.Replace(body, `"m"`, `"n"`, 1)); g.status != 418 {
		t.Errorf("another model gets %d", g.status)
	}
	tell(t, s, Any, `[]`)
	if g := ask1(t, s, chatPath, body); g.status != 200 {
		t.Errorf("without steps: %d", g.status)
	}
	tell(t, s, "m", `[{"status":500,"times":-1}]`)
	tell(t, s, "m", `[{"status":501}]`)
	if g := ask1(t, s, chatPath, body); g.status != 501 {
		t.Errorf("new steps do not replace the old: %d", g.status)
	}
	tell(t, s, "m", `[{"status":500}]`)
	s.Reset()
	if g := ask1(t, s, chatPath, body); g.status != 200 {
		t.Errorf("after Reset: %d", g.status)
	}
}

func TestARawStepIsSentAsItStands(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		step, path string
		status     int
		kind, body string
		header     string
	}{
		{`{"body":"plain"}`, chatPath, 200, "text/plain; charset=UTF-8", "plain", ""},
		{`{"body":{"b":1,"a":2}}`, chatPath, 200, "application/json", `{"b":1,"a":2}`, ""},
		{`{"body":"data: 1\n\n"}`, chatPath, 200, "text/event-stream", "data: 1\n\n", ""},
		{`{"body":"<html>","status":404}`, messagesPath, 404, "text/html; charset=UTF-8", "<html>", ""},
		{`{"body":"x","content_type":"a/b","headers":{"X-Told":"yes"}}`, chatPath, 200, "a/b", "x", "yes"},
		{`{"body":"","status":204}`, chatPath, 204, "application/json", "", ""},
		{`{"status":200}`, chatPath, 200, "application/json", "", ""},
	} {
		s := newSim(t, Options{})
		tell(t, s, "m", "["+c.step+"]")
		g := ask1(t, s, c.path, `{"model":"m","max_tokens":1,"stream":true,"messages":[{"role":"user","content":"x"}]}`)
		if g.err != nil || g.status != c.status || g.body != c.body || g.header.Get("Content-Type") != c.kind || g.header.Get("X-Told") != c.header {
			t.Errorf("%s: %d %q %v %v", c.step, g.status, g.body, g.header, g.err)
		}
	}
}

func TestScriptedContentGoesOutAsItIs(t *testing.T) {
	t.Parallel()
	const step = `[{"text":"Grüße, 世界!","reasoning":"let me think","tool_calls":[{"name":"f","arguments":{"b":1}},{"id":"own","name":"g","arguments":"not json"}],"usage":{"input":100,"cached_input":60,"output":50,"reasoning":20},"chunks":4,"times":-1}]`
	s := newSim(t, Options{})
	tell(t, s, "m", step)
	whole := decode[completion](t, ask1(t, s, chatPath, `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}]}`).body)
	stream, events := joined(t, ask1(t, s, chatPath, `{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"x"}]}`).body)
	for _, a := range []completion{whole, stream} {
		m := a.Choices[0].Message
		if m.Content != "Grüße, 世界!" || m.Reasoning != "let me think" || len(m.ToolCalls) != 2 ||
			m.ToolCalls[0].Function.Arguments != `{"b":1}` || m.ToolCalls[1].ID != "own" || m.ToolCalls[1].Function.Arguments != "not json" {
			t.Errorf("message = %+v", m)
		}
		if a.Choices[0].FinishReason != "tool_calls" {
			t.Errorf("finish = %s", a.Choices[0].FinishReason)
		}
		if u := a.Usage; u.Prompt != 100 || u.In.Cached != 60 || u.Completion != 50 || u.Out.Reasoning != 20 || u.Total != 150 {
			t.Errorf("usage = %+v", u)
		}
	}
	if want := 4 + 4 + (1 + 4) + (1 + 4); events != want {
		t.Errorf("%d events with content, want %d", events, want)
	}
	m := decode[message1](t, ask1(t, s, messagesPath, `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}]}`).body)
	if len(m.Content) != 4 || m.Usage.Input != 40 || m.Usage.Read != 60 || m.Usage.Output != 50 {
		t.Errorf("message = %+v", m)
	}
}

func TestFinishesHaveEachFamilysWord(t *testing.T) {
	t.Parallel()
	for finish, want := range openaiFinish {
		s := newSim(t, Options{})
		tell(t, s, "m", `[{"text":"x","times":2,"finish":"`+finish+`"}]`)
		o := decode[completion](t, ask1(t, s, chatPath, `{"model":"m","messages":[{"role":"user","content":"x"}]}`).body)
		a := decode[message1](t, ask1(t, s, messagesPath, `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}]}`).body)
		if o.Choices[0].FinishReason != want || a.StopReason != anthropicFinish[finish] || a.StopReason == "" {
			t.Errorf("%s: %s and %s", finish, o.Choices[0].FinishReason, a.StopReason)
		}
	}
}

func TestEventsSetTheLengthOfTheDefaultText(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3, 50, 500} {
		s := newSim(t, Options{Events: n})
		_, events := joined(t, ask1(t, s, chatPath, `{"model":"m","stream":true,"messages":[{"role":"user","content":"x"}]}`).body)
		if events != n {
			t.Errorf("Options.Events %d: %d events", n, events)
		}
		tell(t, s, "m", fmt.Sprintf(`[{"events":%d}]`, n+1))
		if _, events = joined(t, ask1(t, s, chatPath, `{"model":"m","stream":true,"messages":[{"role":"user","content":"x"}]}`).body); events != n+1 {
			t.Errorf("events %d: %d events", n+1, events)
		}
	}
}

const recorded = `{"id":"x","response":{"status":429,"kind":"json","headers":{"Content-Type":"application/json","Retry-After":"7","content-length":"999"},"body":"{\"error\":\n{}}"},"notes":{}}`

func TestAReplayIsByteForByte(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "r.json", recorded)
	write(t, dir, "s.json", `{"response":{"status":200,"kind":"sse","headers":{"content-type":"text/event-stream"},"body":"data: 1\r\n\r\ndata: 2\n\n: c\n\ndata: [DONE]\n\n"}}`)
	write(t, dir, "b.json", `{"response":{"status":200,"kind":"binary","headers":{},"body_base64":"AAEC"}}`)
	s := newSim(t, Options{Dir: dir})
	tell(t, s, "m", `[{"replay":"r.json"},{"replay":"s.json"},{"replay":"b.json"},{"replay":"s.json","fault":"cut","after":2},{"replay":"s.json","fault":"truncated","after":1}]`)
	const body = `{"model":"m","messages":[]}`
	if g := ask1(t, s, chatPath, body); g.status != 429 || g.body != "{\"error\":\n{}}" || g.header.Get("Retry-After") != "7" || g.header.Get("Content-Length") != "13" {
		t.Errorf("json: %+v", g)
	}
	if g := ask1(t, s, chatPath, body); g.status != 200 || g.body != "data: 1\r\n\r\ndata: 2\n\n: c\n\ndata: [DONE]\n\n" || g.header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("sse: %+v", g)
	}
	if g := ask1(t, s, chatPath, body); g.body != "\x00\x01\x02" {
		t.Errorf("binary: %+v", g)
	}
	if g := ask1(t, s, chatPath, body); g.body != "data: 1\r\n\r\ndata: 2\n\n" || g.err == nil {
		t.Errorf("cut: %+v", g)
	}
	if g := ask1(t, s, chatPath, body); g.body != "data: 1\r\n\r\n" || g.err != nil {
		t.Errorf("truncated: %+v", g)
	}
}

func TestARecordingThatCannotBeReadIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"missing.json": "",
		"broken.json":  `{`,
		"none.json":    `{"request":{}}`,
		"status.json":  `{"response":{"status":7}}`,
		"both.json":    `{"response":{"status":200,"body":"x","body_base64":"AA=="}}`,
		"header.json":  `{"response":{"status":200,"headers":{"a b":"c"}}}`,
	} {
		if content != "" {
			write(t, dir, name, content)
		}
		s := newSim(t, Options{Dir: dir})
		tell(t, s, "m", `[{"text":"kept"}]`)
		steps, err := ParseSteps([]byte(`[{},{"replay":"` + name + `"}]`))
		if err != nil {
			t.Fatal(err)
		}
		var se *StepError
		if err := s.Script("m", steps); !errors.As(err, &se) || se.Field != "steps[1].replay" {
			t.Errorf("%s: Script = %v, want an error of steps[1].replay", name, err)
		}
		if g := ask1(t, s, chatPath, `{"model":"m","messages":[{"role":"user","content":"x"}]}`); !strings.Contains(g.body, "kept") {
			t.Errorf("%s: the steps before are gone: %s", name, g.body)
		}
	}
}

func TestAScriptFileIsLoadedWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "r.json", recorded)
	s := newSim(t, Options{})
	good := write(t, dir, "good.yaml", "m:\n- replay: r.json\n\"*\":\n- status: 418\n")
	if err := s.LoadScript(good); err != nil {
		t.Fatal(err)
	}
	bad := write(t, dir, "bad.yaml", "m:\n- status: 500\nn:\n- {replay: nowhere.json}\n")
	if err := s.LoadScript(bad); err == nil || !strings.Contains(err.Error(), "n[0].replay") {
		t.Errorf("LoadScript = %v, want an error of n[0].replay", err)
	}
	for _, c := range []struct{ content, want string }{
		{"- status: 500", "must be an object"},
		{"m: 5", "m: must be a list"},
		{"m:\n- {txt: x}", "m[0].txt: is not a known field"},
		{"\"\": []", "model: must have"},
	} {
		if err := s.LoadScript(write(t, dir, "c.yaml", c.content)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("LoadScript(%q) = %v, want %q", c.content, err, c.want)
		}
	}
	if err := s.LoadScript(dir + "/absent"); err == nil {
		t.Error("a file that is not there is loaded")
	}
	const body = `","messages":[{"role":"user","content":"x"}]}`
	if a, b := ask1(t, s, chatPath, `{"model":"m`+body).status, ask1(t, s, chatPath, `{"model":"z`+body).status; a != 429 || b != 418 {
		t.Errorf("statuses %d and %d, want 429 and 418", a, b)
	}
}

func TestTheTablesAreBounded(t *testing.T) {
	t.Parallel()
	s := newSim(t, Options{})
	for i := range MaxModels {
		if err := s.Script(fmt.Sprint(i), []Step{{Status: http.StatusTeapot}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Script("one more", []Step{{}}); err == nil {
		t.Error("steps for more models than allowed are taken")
	}
	if err := s.Script("7", []Step{{}}); err != nil {
		t.Errorf("a model that has steps cannot get others: %v", err)
	}
	if err := s.Script("7", nil); err != nil {
		t.Error(err)
	}
	if err := s.Script("one more", []Step{{}}); err != nil {
		t.Errorf("room that was made is not there: %v", err)
	}
	if err := s.Script("x", []Step{{Times: -5}}); err == nil {
		t.Error("Script does not check steps made in Go")
	}
}

func FuzzParseSteps(f *testing.F) {
	f.Add([]byte(`[{"fault":"cut","after":2,"times":-1}]`))
	f.Add([]byte("- text: hi\n  usage: {input: 5}\n- {status: 418, body: {a: [1, 0x10, 1e3, ~]}}\n"))
	f.Add([]byte("- &a [*a]"))
	s := New(Options{Now: fixed, Count: func(t string) int64 { return int64(len(t)) }})
	f.Fuzz(func(t *testing.T, src []byte) {
		steps, err := ParseSteps(src)
		var se *StepError
		if err != nil && (!errors.As(err, &se) || se.Field == "" || se.Reason == "") {
			t.Fatalf("the error %v names no field", err)
		}
		if err != nil {
			return
		}
		for i := range steps {
			// What was read can be answered, unless it waits or opens files.
			steps[i].FirstMS, steps[i].PerEventMS = nil, nil
			if st := &steps[i]; st.Replay != "" || strings.Contains("hang_headers hang_stream pings slow huge_line", st.Fault) && st.Fault != "" {
				return
			}
		}
		if err := s.Script("m", steps); err != nil {
			t.Fatalf("Script refuses what ParseSteps has read: %v", err)
		}
		ask1(t, s, chatPath, `{"model":"m","stream":true,"messages":[{"role":"user","content":"x"}]}`)
		ask1(t, s, messagesPath, `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}]}`)
	})
}
