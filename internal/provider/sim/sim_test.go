package sim

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
)

const (
	chatPath     = "/v1/chat/completions"
	embedPath    = "/v1/embeddings"
	messagesPath = "/v1/messages"
	countPath    = "/v1/messages/count_tokens"
)

// fixed is a clock that stands still.
func fixed() time.Time { return time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC) }

func newSim(t testing.TB, o Options) *Sim {
	t.Helper()
	if o.Now == nil {
		o.Now = fixed
	}
	return New(o)
}

func tell(t testing.TB, s *Sim, model, src string) {
	t.Helper()
	steps, err := ParseSteps([]byte(src))
	if err != nil {
		t.Fatalf("ParseSteps(%s): %v", src, err)
	}
	if err := s.Script(model, steps); err != nil {
		t.Fatalf("Script(%s): %v", src, err)
	}
}

// got is an answer as a plain client sees it.
type got struct {
	status int
	header http.Header
	body   string
	err    error // of the request or the body
}

func ask1(t testing.TB, s *Sim, path, body string) got {
	t.Helper()
	return askWith(t, t.Context(), s, path, body)
}

func askWith(t testing.TB, ctx context.Context, s *Sim, path, body string) got {
	t.Helper()
	return askIn(t, ctx, s, path, "", body)
}

// askAs sends a body of a content type.
func askAs(t testing.TB, s *Sim, path, media, body string) got {
	t.Helper()
	return askIn(t, t.Context(), s, path, media, body)
}

func askIn(t testing.TB, ctx context.Context, s *Sim, path, media, body string) got {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://sim.invalid"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if media != "" {
		req.Header.Set("Content-Type", media)
	}
	resp, err := (&http.Client{Transport: s}).Do(req)
	if err != nil {
		return got{err: err}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return got{status: resp.StatusCode, header: resp.Header, body: string(b), err: err}
}

// completion is an OpenAI answer, whole or chunk, as far as tests look.
type completion struct {
	ID      string `json:"id"`
	Created int64  `json:"created"`
	Model   string `json:"model"`
	Choices []struct {
		Index        int    `json:"index"`
		Message      spoken `json:"message"`
		Delta        spoken `json:"delta"`
		FinishReason string `json:"finish_reason"`
	} `json:"choices"`
	Usage *struct {
		Prompt     int64 `json:"prompt_tokens"`
		Completion int64 `json:"completion_tokens"`
		Total      int64 `json:"total_tokens"`
		In         struct {
			Cached int64 `json:"cached_tokens"`
			Write  int64 `json:"cache_write_tokens"`
		} `json:"prompt_tokens_details"`
		Out struct {
			Reasoning int64 `json:"reasoning_tokens"`
		} `json:"completion_tokens_details"`
	} `json:"usage"`
}

type spoken struct {
	Role      string `json:"role"`
	Content   string `json:"content"`
	Reasoning string `json:"reasoning_content"`
	ToolCalls []struct {
		Index    int    `json:"index"`
		ID       string `json:"id"`
		Type     string `json:"type"`
		Function struct {
			Name      string `json:"name"`
			Arguments string `json:"arguments"`
		} `json:"function"`
		Custom struct {
			Name  string `json:"name"`
			Input string `json:"input"`
		} `json:"custom"`
	} `json:"tool_calls"`
}

func decode[T any](t testing.TB, body string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return v
}

// frames splits a stream into the payloads of its events.
func frames(t testing.TB, body string) []string {
	t.Helper()
	var out []string
	for _, f := range strings.SplitAfter(body, "\n\n") {
		if f == "" {
			continue
		}
		_, data, ok := strings.Cut(f, "data: ")
		if !ok || !strings.HasSuffix(f, "\n\n") {
			t.Fatalf("frame %q is not whole", f)
		}
		out = append(out, strings.TrimSuffix(data, "\n\n"))
	}
	return out
}

// joined puts the chunks of a stream together as a whole answer, and returns
// how many held content.
func joined(t testing.TB, body string) (completion, int) {
	t.Helper()
	list := frames(t, body)
	if list[len(list)-1] != "[DONE]" {
		t.Fatalf("the stream ends with %s", list[len(list)-1])
	}
	var sum completion
	events := 0
	for _, f := range list[:len(list)-1] {
		c := decode[completion](t, f)
		sum.ID, sum.Created, sum.Model = c.ID, c.Created, c.Model
		if c.Usage != nil {
			sum.Usage = c.Usage
		}
		for _, ch := range c.Choices {
			for len(sum.Choices) <= ch.Index {
				fresh := ch
				fresh.Index, fresh.Delta = len(sum.Choices), spoken{}
				sum.Choices = append(sum.Choices, fresh)
			}
			m := &sum.Choices[ch.Index].Message
			if ch.Delta.Content+ch.Delta.Reasoning != "" || len(ch.Delta.ToolCalls) > 0 {
				events++
			}
			m.Content += ch.Delta.Content
			m.Reasoning += ch.Delta.Reasoning
			m.Role += ch.Delta.Role
			for _, tc := range ch.Delta.ToolCalls {
				if tc.ID != "" {
					m.ToolCalls = append(m.ToolCalls, tc)
					continue
				}
				m.ToolCalls[tc.Index].Function.Arguments += tc.Function.Arguments
				m.ToolCalls[tc.Index].Custom.Input += tc.Custom.Input
			}
			sum.Choices[ch.Index].FinishReason = ch.FinishReason
		}
	}
	return sum, events
}

func TestTheDefaultAnswerIsTheSameEveryTime(t *testing.T) {
	t.Parallel()
	for _, path := range []string{chatPath, embedPath, messagesPath, countPath} {
		for _, stream := range []string{"false", "true"} {
			body := `{"model":"m","max_tokens":100,"input":"x","stream":` + stream + `,"messages":[{"role":"user","content":"Hello there"}]}`
			one, two := ask1(t, newSim(t, Options{}), path, body), ask1(t, newSim(t, Options{}), path, body)
			if diff := cmp.Diff(one.body, two.body); diff != "" || one.err != nil || one.status != 200 {
				t.Errorf("%s stream=%s: %d %v, (-one +two):\n%s", path, stream, one.status, one.err, diff)
			}
		}
	}
}

func TestAnotherPromptOrSeedGetsAnotherAnswer(t *testing.T) {
	t.Parallel()
	s := newSim(t, Options{})
	text := func(body string) string {
		return decode[completion](t, ask1(t, s, chatPath, body).body).Choices[0].Message.Content
	}
	first := text(`{"model":"m","messages":[{"role":"user","content":"one"}]}`)
	if !strings.HasPrefix(first, greeting) {
		t.Errorf("the answer %q does not say that it is simulated", first)
	}
	if second := text(`{"model":"m","messages":[{"role":"user","content":"two"}]}`); second == first {
		t.Error("another prompt gets the same answer")
	}
	if seeded := text(`{"model":"m","seed":7,"messages":[{"role":"user","content":"one"}]}`); seeded == first {
		t.Error("another seed gets the same answer")
	}
	if other := text(`{"model":"n","messages":[{"role":"user","content":"one"}]}`); other != first {
		t.Error("another model gets another answer")
	}
}

func TestAStreamSaysWhatAWholeAnswerSays(t *testing.T) {
	t.Parallel()
	s := newSim(t, Options{})
	for _, rest := range []string{
		`"messages":[{"role":"user","content":"Hello"}]`,
		`"n":3,"messages":[{"role":"user","content":"Hello"}]`,
		`"max_tokens":4,"messages":[{"role":"user","content":"Hello"}]`,
		`"stop":["simulated"],"messages":[{"role":"user","content":"Hello"}]`,
		`"tool_choice":"required","tools":[{"type":"function","function":{"name":"a","parameters":{"type":"object","required":["x"],"properties":{"x":{"type":"integer"}}}}}],"messages":[{"role":"user","content":"Hello"}]`,
		`"tools":[{"type":"custom","custom":{"name":"shell"}}],"messages":[{"role":"user","content":"open a shell"}]`,
		`"response_format":{"type":"json_object"},"messages":[{"role":"user","content":"Hello"}]`,
	} {
		whole := decode[completion](t, ask1(t, s, chatPath, `{"model":"m",`+rest+`}`).body)
		stream, _ := joined(t, ask1(t, s, chatPath, `{"model":"m","stream":true,"stream_options":{"include_usage":true},`+rest+`}`).body)
		stream.ID = whole.ID // made of the body, which differs
		for i := range whole.Choices {
			for k := range whole.Choices[i].Message.ToolCalls {
				// A whole answer numbers its calls by their order.
				stream.Choices[i].Message.ToolCalls[k].Index = 0
				stream.Choices[i].Message.ToolCalls[k].ID = whole.Choices[i].Message.ToolCalls[k].ID
			}
		}
		if diff := cmp.Diff(whole, stream); diff != "" {
			t.Errorf("%s (-whole +stream):\n%s", rest, diff)
		}
	}
}

func TestUsageIsStreamedOnlyWhenAskedFor(t *testing.T) {
	t.Parallel()
	s := newSim(t, Options{})
	plain := ask1(t, s, chatPath, `{"model":"m","stream":true,"messages":[{"role":"user","content":"x"}]}`).body
	if strings.Contains(plain, "usage") {
		t.Errorf("usage was not asked for: %s", plain)
	}
	asked := ask1(t, s, chatPath, `{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"x"}]}`).body
	list := frames(t, asked)
	for _, f := range list[:len(list)-2] {
		if !strings.Contains(f, `"usage":null`) {
			t.Errorf("a chunk before the last has no null usage: %s", f)
		}
	}
	last := decode[completion](t, list[len(list)-2])
	if len(last.Choices) != 0 || last.Usage == nil || last.Usage.Total != last.Usage.Prompt+last.Usage.Completion {
		t.Errorf("the usage chunk is %s", list[len(list)-2])
	}
}

func TestTheAnswerKeepsToTheRequestsLimits(t *testing.T) {
	t.Parallel()
	s := newSim(t, Options{})
	tools := `"tools":[{"type":"function","function":{"name":"get_weather","parameters":{"type":"object","required":["city"],"properties":{"city":{"type":"string"}}}}}],`
	for _, c := range []struct {
		name, rest, finish string
		most               int64
		choices            int
	}{
		{"max_tokens", `"max_tokens":3,`, "length", 3, 1},
		{"max_completion_tokens wins", `"max_tokens":30,"max_completion_tokens":2,`, "length", 2, 1},
		{"each of n", `"max_tokens":3,"n":2,`, "length", 6, 2},
		{"reasoning within", `"max_tokens":10,"reasoning_effort":"high",`, "length", 10, 1},
		{"tool arguments cut", `"max_tokens":4,"tool_choice":"required",` + tools, "length", 4, 1},
		{"json cut", `"max_tokens":4,"response_format":{"type":"json_object"},`, "length", 4, 1},
		{"roomy", `"max_tokens":4000,`, "stop", 48, 1},
		{"stop", `"stop":" simulated",`, "stop", 3, 1},
		{"tool call", `"tool_choice":"required",` + tools, "tool_calls", 30, 1},
	} {
		a := decode[completion](t, ask1(t, s, chatPath, `{"model":"m",`+c.rest+`"messages":[{"role":"user","content":"Hello"}]}`).body)
		if len(a.Choices) != c.choices || a.Choices[0].FinishReason != c.finish || a.Usage.Completion > c.most || a.Usage.Completion == 0 {
			t.Errorf("%s: %d choices, finish %q, %d tokens; want %d, %q, at most %d", c.name, len(a.Choices), a.Choices[0].FinishReason, a.Usage.Completion, c.choices, c.finish, c.most)
		}
	}
}

func TestToolsAreCalledWhenTheyShouldBe(t *testing.T) {
	t.Parallel()
	s := newSim(t, Options{})
	const tools = `"tools":[{"type":"function","function":{"name":"get_weather"}},{"type":"function","function":{"name":"send_mail"}}],`
	for _, c := range []struct{ name, choice, messages, want string }{
		{"plain talk", "", `[{"role":"user","content":"Hello"}]`, ""},
		{"a word of the name", "", `[{"role":"user","content":"What is the Weather like?"}]`, "get_weather"},
		{"the tool itself", "", `[{"role":"user","content":"run SEND_MAIL now"}]`, "send_mail"},
		{"any tool", "", `[{"role":"user","content":"Please use a tool."}]`, "get_weather send_mail"},
		{"one at a time", `"parallel_tool_calls":false,`, `[{"role":"user","content":"Please use a tool."}]`, "get_weather"},
		{"required", `"tool_choice":"required",`, `[{"role":"user","content":"Hello"}]`, "get_weather"},
		{"named", `"tool_choice":{"type":"function","function":{"name":"send_mail"}},`, `[{"role":"user","content":"Hello"}]`, "send_mail"},
		{"none", `"tool_choice":"none",`, `[{"role":"user","content":"weather"}]`, ""},
		{"allowed", `"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"send_mail"}}]}},`, `[{"role":"user","content":"weather"}]`, "send_mail"},
		{"after the result", "", `[{"role":"user","content":"weather"},{"role":"assistant","tool_calls":[]},{"role":"tool","tool_call_id":"x","content":"rain"}]`, ""},
	} {
		a := decode[completion](t, ask1(t, s, chatPath, `{"model":"m",`+tools+c.choice+`"messages":`+c.messages+`}`).body)
		var names []string
		for _, tc := range a.Choices[0].Message.ToolCalls {
			names = append(names, tc.Function.Name)
		}
		if calls := strings.Join(names, " "); calls != c.want {
			t.Errorf("%s: calls %q, want %q", c.name, calls, c.want)
		}
		if c.name == "after the result" && !strings.Contains(a.Choices[0].Message.Content, "tool") {
			t.Errorf("the result is not mentioned: %q", a.Choices[0].Message.Content)
		}
	}
}

func TestImagesAreMentioned(t *testing.T) {
	t.Parallel()
	s := newSim(t, Options{})
	one := ask1(t, s, chatPath, `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"see"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}]}]}`).body
	two := ask1(t, s, messagesPath, `{"model":"m","max_tokens":99,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"x"}},{"type":"image","source":{"type":"url","url":"x"}}]}]}`).body
	if !strings.Contains(one, "There is one image.") || !strings.Contains(two, "There are two images.") {
		t.Errorf("images are not mentioned:\n%s\n%s", one, two)
	}
}

func TestBadRequestsAreRefusedAsProvidersDo(t *testing.T) {
	t.Parallel()
	s := newSim(t, Options{})
	for _, c := range []struct {
		path, body string
		status     int
		want       string
	}{
		{chatPath, `{`, 400, "invalid_request_error"},
		{chatPath, `{"messages":[]}`, 400, `"param":"model"`},
		{chatPath, `{"model":"m"}`, 400, `"param":"messages"`},
		{chatPath, `{"model":"m","n":0,"messages":[{"role":"user","content":"x"}]}`, 400, `"param":"n"`},
		{chatPath, `{"model":"m","max_tokens":0,"messages":[{"role":"user","content":"x"}]}`, 400, `"param":"max_completion_tokens"`},
		{chatPath, `{"model":"m","stop":5,"messages":[{"role":"user","content":"x"}]}`, 400, `"param":"stop"`},
		{chatPath, `{"model":"m","tool_choice":{"type":"function","function":{"name":"x"}},"messages":[{"role":"user","content":"x"}]}`, 400, `"param":"tool_choice"`},
		{chatPath, `{"model":"m","messages":[{"role":"user","content":5}]}`, 400, `"param":"messages"`},
		{messagesPath, `{"model":"m","messages":[{"role":"user","content":"x"}]}`, 400, "max_tokens: Field required"},
		{messagesPath, `{"max_tokens":1,"messages":[]}`, 400, "model: Field required"},
		{embedPath, `{"model":"m"}`, 400, `"param":"input"`},
		{embedPath, `{"model":"m","input":""}`, 400, `"param":"input"`},
		{embedPath, `{"model":"m","input":"x","dimensions":0}`, 400, `"param":"dimensions"`},
		{embedPath, `{"model":"m","input":["x","y"],"dimensions":4611686018427387904}`, 400, `"param":"dimensions"`},
		{embedPath, `{"model":"m","input":"x","encoding_format":"hex"}`, 400, `"param":"encoding_format"`},
		{"/v1/elsewhere", `{}`, 404, "unknown_url"},
	} {
		if g := ask1(t, s, c.path, c.body); g.status != c.status || !strings.Contains(g.body, c.want) || g.err != nil {
			t.Errorf("%s %s: %d %s %v, want %d with %q", c.path, c.body, g.status, g.body, g.err, c.status, c.want)
		}
	}
	resp, err := (&http.Client{Transport: s}).Get("http://sim.invalid" + chatPath)
	if err != nil || resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: %v %v", resp, err)
	}
}

func TestCallsAreCountedByModel(t *testing.T) {
	t.Parallel()
	s := newSim(t, Options{})
	for _, m := range []string{"a", "b", "a"} {
		ask1(t, s, chatPath, `{"model":"`+m+`","messages":[{"role":"user","content":"x"}]}`)
	}
	if a, b, all := s.Calls("a"), s.Calls("b"), s.Calls(Any); a != 2 || b != 1 || all != 3 {
		t.Errorf("calls = %d, %d, %d; want 2, 1, 3", a, b, all)
	}
	if n := s.Cancelled(Any); n != 0 {
		t.Errorf("%d bodies count as cancelled", n)
	}
	s.Reset()
	if s.Calls("a") != 0 || s.Calls(Any) != 0 {
		t.Error("Reset keeps the counters")
	}
}

// write writes a file of a test and returns its path.
func write(t testing.TB, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
