package compat

import (
	"context"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

// sent is what the upstream received under a note, decoded.
func sent(t *testing.T, name string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(upstream.noted(t, name).Body, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// has checks that the value at a path of member names and indexes is want.
func has(t *testing.T, m any, want any, path ...any) {
	t.Helper()
	v := m
	for _, p := range path {
		switch p := p.(type) {
		case string:
			o, _ := v.(map[string]any)
			v = o[p]
		case int:
			a, _ := v.([]any)
			if p >= len(a) {
				t.Errorf("nothing at %v in %v", path, m)
				return
			}
			v = a[p]
		}
	}
	if n, ok := want.(int); ok {
		want = float64(n)
	}
	if !reflect.DeepEqual(v, want) {
		t.Errorf("at %v: %v, want %v", path, v, want)
	}
}

// sameJSON compares two JSON texts by what they mean.
func sameJSON(t *testing.T, got, want string) {
	t.Helper()
	var a, b any
	if err := json.Unmarshal([]byte(got), &a); err != nil {
		t.Errorf("%v in %q", err, got)
		return
	}
	_ = json.Unmarshal([]byte(want), &b)
	if !reflect.DeepEqual(a, b) {
		t.Errorf("%s, want %s", got, want)
	}
}

// secretive checks that the words of an upstream about our account stay with us.
func secretive(t *testing.T, err error) {
	t.Helper()
	for _, word := range []string{"org-secret", "sk-prov", "x-api-key", "credit balance", "billing details", "platform.openai"} {
		if strings.Contains(err.Error(), word) {
			t.Errorf("the caller is told %q: %v", word, err)
		}
	}
}

// OpenAI's callers ask for base64 by themselves; a provider may not know it.
func TestNumbersArePackedForWhoAsks(t *testing.T) {
	t.Parallel()
	g := far.get(t)
	c := g.openai(g.key)
	for _, format := range []openai.EmbeddingNewParamsEncodingFormat{"float", "base64"} {
		got, err := c.Embeddings.New(context.Background(), openai.EmbeddingNewParams{
			Model: farEmbed, EncodingFormat: format, Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{play("numbers"), "two"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Data) != 2 || got.Model != farEmbed || got.Usage.PromptTokens != 2 {
			t.Fatalf("%s", got.RawJSON())
		}
		want := []float64{0.125, 2, -3}
		if format == "base64" {
			same(t, want, got.Data[1].RawJSON())
		} else if !reflect.DeepEqual(got.Data[1].Embedding, want) {
			t.Errorf("%v", got.Data[1].Embedding)
		}
	}
}

// --- the same dialect on both sides --------------------------------------------

// Members that nobody here has heard of reach the provider, and the caller.
func TestNewMembersPassBetweenEqualDialects(t *testing.T) {
	t.Parallel()
	g := far.get(t)
	both(t, func(t *testing.T, stream bool) {
		c := g.openai(g.key, option.WithJSONSet("brand_new", map[string]any{"x": []int{1}}), option.WithJSONSet("messages.0.extra", "kept"))
		got, err := complete(t, c, say(farGPT, play("thinking")+note(t.Name()+"-gpt")), stream)
		if err != nil {
			t.Fatal(err)
		}
		if !stream && !strings.Contains(got.RawJSON(), `"reasoning_content": "First, then second."`) {
			t.Errorf("%s", got.RawJSON())
		}
		m := sent(t, t.Name()+"-gpt")
		has(t, m, map[string]any{"x": []any{1.0}}, "brand_new")
		has(t, m, "kept", "messages", 0, "extra")

		a := g.anthropic(g.key, anthropicoption.WithJSONSet("brand_new", true))
		p := tell(farClaude, play("thinking")+note(t.Name()+"-claude"))
		p.Messages = append(p.Messages, anthropic.NewAssistantMessage(anthropic.NewThinkingBlock("c2ln", "Hm."), anthropic.NewRedactedThinkingBlock("b3BhcXVl"), anthropic.NewTextBlock("Well.")), anthropic.NewUserMessage(anthropic.NewTextBlock("And?")))
		p.System = []anthropic.TextBlockParam{{Text: "Be brief.", CacheControl: anthropic.CacheControlEphemeralParam{TTL: "1h"}}}
		message, err := message(t, a, p, stream)
		if err != nil || message.Content[0].Signature != "c2lnbmVk" {
			t.Fatalf("%+v, %v", message, err)
		}
		m = sent(t, t.Name()+"-claude")
		has(t, m, true, "brand_new")
		has(t, m, "claude-sonnet-4-5", "model")
		has(t, m, "1h", "system", 0, "cache_control", "ttl")
		has(t, m, map[string]any{"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}, "messages", 1, "content", 0)
		has(t, m, "b3BhcXVl", "messages", 1, "content", 1, "data")
		if string(message.Model) != farClaude {
			t.Errorf("model %q", message.Model)
		}
	})
}

// --- versions -----------------------------------------------------------------

// Newer SDKs send version 2026-10-21 and a bearer token in place of x-api-key.
func TestAnthropicVersion20261021WithABearerToken(t *testing.T) {
	t.Parallel()
	g := far.get(t)
	beta := "context-1m-2025-08-07,interleaved-thinking-2025-05-14"
	c := anthropic.NewClient(anthropicoption.WithBaseURL(g.base), anthropicoption.WithAuthToken(g.key), anthropicoption.WithMaxRetries(0),
		anthropicoption.WithHeader("anthropic-version", "2026-10-21"), anthropicoption.WithHeader("anthropic-beta", beta))
	both(t, func(t *testing.T, stream bool) {
		got, err := message(t, c, tell(farClaude, play("text")+note(t.Name())), stream)
		if err != nil || spoken(got) != "Bonjour, ça va?" {
			t.Fatalf("%+v, %v", got, err)
		}
		n := upstream.noted(t, t.Name())
		if n.Header.Get("Anthropic-Version") != "2026-10-21" || n.Header.Get("Anthropic-Beta") != beta || n.Header.Get("X-Api-Key") != farKey || n.Header.Get("Authorization") != "" {
			t.Errorf("the provider got %v", n.Header)
		}
		if got, err := message(t, c, tell(farGPT, play("text")), stream); err != nil || spoken(got) != "Bonjour, ça va?" {
			t.Errorf("of the other family: %+v, %v", got, err)
		}
	})
}
