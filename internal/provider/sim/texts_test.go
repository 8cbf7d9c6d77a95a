package sim

import (
	"strings"
	"testing"
)

const textsPath = "/v1/completions"

// completed is a completion, whole or a chunk.
type completed struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Choices []struct {
		Text         string `json:"text"`
		Index        int    `json:"index"`
		FinishReason string `json:"finish_reason"`
	} `json:"choices"`
	Usage *struct {
		Prompt     int64 `json:"prompt_tokens"`
		Completion int64 `json:"completion_tokens"`
		Total      int64 `json:"total_tokens"`
	} `json:"usage"`
}

func TestTextsAreContinued(t *testing.T) {
	t.Parallel()
	whole := official(t, "openai.json", "#/components/schemas/CreateCompletionResponse")
	s := newSim(t, Options{})
	for _, c := range []struct {
		members string
		choices int
		finish  string
		output  int64
	}{
		{`"prompt":"Once"`, 1, "length", 16},
		{`"prompt":"Once","max_tokens":500`, 1, "stop", 0},
		{`"prompt":"Once","max_tokens":3`, 1, "length", 3},
		{`"prompt":"Once","max_tokens":0`, 1, "length", 0},
		{`"prompt":["Once","Twice"],"n":2,"max_tokens":3`, 4, "length", 12},
		{`"prompt":"Once","n":2,"best_of":5,"max_tokens":3`, 2, "length", 15},
		{`"prompt":[1,2,3],"max_tokens":3`, 1, "length", 3},
		{`"prompt":[[1],[2,3]],"max_tokens":3`, 2, "length", 6},
		{`"prompt":"Once","stop":["simulated"],"max_tokens":9`, 1, "stop", 0},
	} {
		body := ask1(t, s, textsPath, `{"model":"m",`+c.members+`}`).body
		conforms(t, whole, c.members, body)
		got := decode[completed](t, body)
		if len(got.Choices) != c.choices || got.Object != "text_completion" {
			t.Fatalf("%s: %s", c.members, body)
		}
		if got.Choices[0].FinishReason != c.finish || c.output > 0 && got.Usage.Completion != c.output || got.Usage.Total != got.Usage.Prompt+got.Usage.Completion {
			t.Errorf("%s: %s", c.members, body)
		}
	}
	echo := decode[completed](t, ask1(t, s, textsPath, `{"model":"m","prompt":["Once ","Twice "],"echo":true,"n":2}`).body)
	for i, want := range []string{"Once ", "Once ", "Twice ", "Twice "} {
		if got := echo.Choices[i].Text; !strings.HasPrefix(got, want) || len(got) == len(want) {
			t.Errorf("choice %d is %q, want %q before it", i, got, want)
		}
	}
	failed := official(t, "openai.json", "#/components/schemas/ErrorResponse")
	for _, body := range []string{`{"prompt":"a"}`, `{"model":"m","prompt":5}`, `{"model":"m","prompt":[]}`, `{"model":"m","prompt":"a","n":0}`, `{"model":"m","prompt":"a","max_tokens":-1}`, `{"model":"m","prompt":"a","stop":5}`, `{`} {
		got := ask1(t, s, textsPath, body)
		if got.status != 400 {
			t.Errorf("%s: %d", body, got.status)
		}
		conforms(t, failed, body, got.body)
	}
}

// A stream says what the whole answer says.
func TestTextsAreStreamed(t *testing.T) {
	t.Parallel()
	s := newSim(t, Options{})
	const rest = `"prompt":["Once","Twice"],"n":2,"max_tokens":20}`
	whole := decode[completed](t, ask1(t, s, textsPath, `{"model":"m",`+rest).body)
	list := frames(t, ask1(t, s, textsPath, `{"model":"m","stream":true,"stream_options":{"include_usage":true},`+rest).body)
	said, finished := map[int]string{}, map[int]string{}
	var usage int64
	for _, f := range list[:len(list)-1] {
		c := decode[completed](t, f)
		for _, x := range c.Choices {
			said[x.Index] += x.Text
			finished[x.Index] += x.FinishReason
		}
		if c.Usage != nil {
			usage = c.Usage.Completion
		}
	}
	for i, c := range whole.Choices {
		if said[i] != c.Text || finished[i] != c.FinishReason {
			t.Errorf("choice %d is %q and ends with %q, want %q", i, said[i], finished[i], c.Text)
		}
	}
	if list[len(list)-1] != "[DONE]" || usage != whole.Usage.Completion || len(list) < 40 {
		t.Errorf("%d frames, %d tokens, the last is %s", len(list), usage, list[len(list)-1])
	}
	tell(t, s, "m", `[{"fault":"cut","after":2},{"fault":"no_done"},{"text":"hi there","reasoning":"hm"}]`)
	body := `{"model":"m","stream":true,` + rest
	if got := ask1(t, s, textsPath, body); got.err == nil || strings.Count(got.body, "data: ") != 2 {
		t.Errorf("cut: %s, %v", got.body, got.err)
	}
	if got := ask1(t, s, textsPath, body); strings.Contains(got.body, "[DONE]") {
		t.Errorf("no_done: %s", got.body)
	}
	if got := decode[completed](t, ask1(t, s, textsPath, `{"model":"m",`+rest).body); got.Choices[0].Text != "hi there" {
		t.Errorf("scripted: %+v", got)
	}
}
