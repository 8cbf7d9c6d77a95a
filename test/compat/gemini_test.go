package compat

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/genai"
)

// gemini returns Google's SDK's client, for a path below the version.
func (g *gateway) gemini(t *testing.T, key string, more http.Header) *genai.Client {
	t.Helper()
	c, err := genai.NewClient(context.Background(), &genai.ClientConfig{
		APIKey: key, Backend: genai.BackendGeminiAPI,
		HTTPOptions: genai.HTTPOptions{BaseURL: g.base, Headers: more},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// heard is all that the SDK has of an answer, whole or streamed.
type heard struct {
	text, thoughts string
	calls          []*genai.FunctionCall
	finish         genai.FinishReason
	usage          *genai.GenerateContentResponseUsageMetadata
	model, id      string
	chunks         int
	parts          []*genai.Part
}

func (h *heard) add(r *genai.GenerateContentResponse) {
	h.chunks++
	h.model, h.id = r.ModelVersion, r.ResponseID
	if r.UsageMetadata != nil {
		h.usage = r.UsageMetadata
	}
	for _, c := range r.Candidates {
		if c.FinishReason != "" {
			h.finish = c.FinishReason
		}
		for _, p := range c.Content.Parts {
			h.parts = append(h.parts, p)
			switch {
			case p.FunctionCall != nil:
				h.calls = append(h.calls, p.FunctionCall)
			case p.Thought:
				h.thoughts += p.Text
			default:
				h.text += p.Text
			}
		}
	}
}

// generate asks for an answer, whole or streamed.
func generate(c *genai.Client, model string, in []*genai.Content, config *genai.GenerateContentConfig, stream bool) (heard, error) {
	var h heard
	if !stream {
		r, err := c.Models.GenerateContent(context.Background(), model, in, config)
		if err == nil {
			h.add(r)
		}
		return h, err
	}
	for r, err := range c.Models.GenerateContentStream(context.Background(), model, in, config) {
		if err != nil {
			return h, err
		}
		h.add(r)
	}
	return h, nil
}

func TestGeminiGenerate(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	for _, model := range []string{"gpt-5-mini", "claude-sonnet-4-5"} {
		t.Run(model, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, stream bool) {
				config := &genai.GenerateContentConfig{
					SystemInstruction: genai.NewContentFromText("Be brief.", genai.RoleUser), MaxOutputTokens: 500,
					SafetySettings: []*genai.SafetySetting{{Category: genai.HarmCategoryHarassment, Threshold: genai.HarmBlockThresholdBlockNone}},
				}
				got, err := generate(g.gemini(t, g.key, nil), model, genai.Text("Hello"), config, stream)
				if err != nil {
					t.Fatal(err)
				}
				if got.text == "" || got.finish != genai.FinishReasonStop || got.model != model || got.id == "" || stream && got.chunks < 3 {
					t.Errorf("%+v", got)
				}
				if u := got.usage; u == nil || u.PromptTokenCount == 0 || u.CandidatesTokenCount == 0 || u.TotalTokenCount != u.PromptTokenCount+u.CandidatesTokenCount {
					t.Errorf("%+v", u)
				}
			})
		})
	}
}

func weatherFunction() []*genai.Tool {
	return []*genai.Tool{{FunctionDeclarations: []*genai.FunctionDeclaration{{
		Name: "weather", Description: "The weather of a city",
		Parameters: &genai.Schema{Type: genai.TypeObject, Properties: map[string]*genai.Schema{"city": {Type: genai.TypeString}, "days": {Type: genai.TypeInteger, Nullable: genai.Ptr(true)}}, Required: []string{"city"}},
	}}}}
}

// A function is called, answered, and spoken of.
func TestGeminiTools(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	both(t, func(t *testing.T, stream bool) {
		model := map[bool]string{false: "gpt-4-turbo", true: "gpt-4"}[stream]
		g.script(t, model, map[string]any{"tool_calls": []any{
			map[string]any{"name": "weather", "arguments": map[string]any{"city": "Paris"}}, map[string]any{"name": "weather", "arguments": map[string]any{"city": "Oslo"}},
		}, "chunks": 5})
		c := g.gemini(t, g.key, nil)
		config := &genai.GenerateContentConfig{Tools: weatherFunction(), ToolConfig: &genai.ToolConfig{FunctionCallingConfig: &genai.FunctionCallingConfig{Mode: genai.FunctionCallingConfigModeAny}}}
		in := genai.Text("Compare Paris and Oslo.")
		got, err := generate(c, model, in, config, stream)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.calls) != 2 || got.finish != genai.FinishReasonStop || got.calls[0].Args["city"] != "Paris" || got.calls[1].Args["city"] != "Oslo" || got.calls[0].ID == got.calls[1].ID {
			t.Fatalf("%+v", got)
		}
		results := &genai.Content{Role: genai.RoleUser}
		for _, call := range got.calls {
			p := genai.NewPartFromFunctionResponse(call.Name, map[string]any{"output": "sunny"})
			p.FunctionResponse.ID = call.ID
			results.Parts = append(results.Parts, p)
		}
		in = append(in, &genai.Content{Role: genai.RoleModel, Parts: got.parts}, results)
		for _, model := range []string{"claude-sonnet-4-5", "gpt-5-mini"} {
			after, err := generate(c, model, in, &genai.GenerateContentConfig{Tools: weatherFunction()}, stream)
			if err != nil || after.text == "" {
				t.Errorf("%s: %+v, %v", model, after, err)
			}
		}
	})
}

// Thoughts are seen by who asks for them, and go back with the conversation.
func TestGeminiThoughts(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	both(t, func(t *testing.T, stream bool) {
		c := g.gemini(t, g.key, nil)
		model := map[bool]string{false: "o3", true: "o4-mini"}[stream]
		thinks := map[string]any{"reasoning": "Let me see.", "text": "Hello."}
		g.script(t, model, thinks, thinks, thinks)
		config := &genai.GenerateContentConfig{ThinkingConfig: &genai.ThinkingConfig{IncludeThoughts: true, ThinkingLevel: genai.ThinkingLevelLow}}
		got, err := generate(c, model, genai.Text("Hello"), config, stream)
		if err != nil {
			t.Fatal(err)
		}
		if got.text != "Hello." || got.thoughts != "Let me see." || got.usage.ThoughtsTokenCount == 0 {
			t.Errorf("%+v", got)
		}
		in := append(genai.Text("Hello"), &genai.Content{Role: genai.RoleModel, Parts: got.parts}, genai.NewContentFromText("Go on", genai.RoleUser))
		if again, err := generate(c, model, in, config, stream); err != nil || again.text != "Hello." {
			t.Errorf("%+v, %v", again, err)
		}
		config.ThinkingConfig.IncludeThoughts = false
		if silent, err := generate(c, model, genai.Text("Hello"), config, stream); err != nil || silent.thoughts != "" || silent.text != "Hello." {
			t.Errorf("%+v, %v", silent, err)
		}
	})
}

func TestGeminiCountsEmbeddingsAndModels(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	c, ctx := g.gemini(t, g.key, nil), context.Background()
	for _, model := range []string{"gpt-5-mini", "claude-sonnet-4-5"} {
		if n, err := c.Models.CountTokens(ctx, model, genai.Text("Hello"), nil); err != nil || n.TotalTokens == 0 {
			t.Errorf("%s: %+v, %v", model, n, err)
		}
	}
	got, err := c.Models.EmbedContent(ctx, "text-embedding-3-small", append(genai.Text("one"), genai.Text("two")...), &genai.EmbedContentConfig{OutputDimensionality: genai.Ptr(int32(8))})
	if err != nil || len(got.Embeddings) != 2 || len(got.Embeddings[0].Values) != 8 || got.Embeddings[0].Values[0] == got.Embeddings[1].Values[0] {
		t.Errorf("%+v, %v", got, err)
	}
	m, err := c.Models.Get(ctx, "gpt-5-mini", nil)
	if err != nil || m.Name != "models/gpt-5-mini" || m.InputTokenLimit == 0 {
		t.Errorf("%+v, %v", m, err)
	}
	seen := map[string]bool{}
	page, err := c.Models.List(ctx, &genai.ListModelsConfig{PageSize: 50})
	for pages := 0; err == nil && pages < 1000; pages++ {
		for _, m := range page.Items {
			if seen[m.Name] {
				t.Errorf("%s stands twice", m.Name)
			}
			seen[m.Name] = true
		}
		if page.NextPageToken == "" {
			break
		}
		page, err = page.Next(ctx)
	}
	if err != nil && !errors.Is(err, genai.ErrPageDone) || len(seen) < 60 || !seen["models/claude-sonnet-4-5"] {
		t.Errorf("%d models, %v", len(seen), err)
	}
}

// Failures are the SDK's own type, before content and after it.
func TestGeminiErrors(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	poor, _ := g.newKey(t, "", nil)
	simulating := func(s string) *genai.Client {
		return g.gemini(t, g.testKey, http.Header{"X-Pontage-Simulate": {s}})
	}
	for name, c := range map[string]struct {
		client *genai.Client
		model  string
		code   int
		status string
	}{
		"a bad key":    {g.gemini(t, "sk-pontage-none", nil), "gpt-5-mini", 401, "UNAUTHENTICATED"},
		"no money":     {g.gemini(t, poor, nil), "gpt-5-mini", 402, "RESOURCE_EXHAUSTED"},
		"no model":     {g.gemini(t, g.key, nil), "nope", 404, "NOT_FOUND"},
		"too fast":     {simulating("rate_limited"), "gpt-5-mini", 429, "RESOURCE_EXHAUSTED"},
		"overloaded":   {simulating("overloaded"), "gpt-5-mini", 503, "UNAVAILABLE"},
		"out of time":  {simulating("upstream_timeout"), "gpt-5-mini", 504, "DEADLINE_EXCEEDED"},
		"bad upstream": {simulating("upstream_failed"), "gpt-5-mini", 502, "UNAVAILABLE"},
		"a defect":     {simulating("internal"), "gpt-5-mini", 500, "INTERNAL"},
	} {
		both(t, func(t *testing.T, stream bool) {
			_, err := generate(c.client, c.model, genai.Text("Hello"), nil, stream)
			var e genai.APIError
			if !errors.As(err, &e) || e.Code != c.code || e.Status != c.status || e.Message == "" || len(e.Details) == 0 {
				t.Errorf("%s: %v", name, err)
			}
			waits := false
			for _, d := range e.Details {
				delay, _ := d["retryDelay"].(string)
				waits = waits || strings.HasSuffix(delay, "s")
			}
			if want := c.code == 429 || c.code == 503; waits != want {
				t.Errorf("%s: a wait is told: %v, in %v", name, waits, e.Details)
			}
		})
	}
	got, err := generate(simulating("upstream_failed;after=3"), "gpt-5-mini", genai.Text("Hello"), nil, true)
	var e genai.APIError
	if !errors.As(err, &e) || e.Code != 502 || e.Status != "UNAVAILABLE" || got.text == "" || got.finish != "" {
		t.Errorf("midway: %+v, %v", got, err)
	}
}
