package contract

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/fault"
)

func TestControlsAreRead(t *testing.T) {
	t.Parallel()
	src := strings.Replace(small, "defaults:", `controls:
  provider.allow_fallbacks: {value: false, means: no_fallback}
  sticky: {value: true, means: sticky}
  header.x-memory: {means: refuse, fault: unsupported_parameter}
  provider: {means: nothing}
  mark: {means: nothing, unless: type}
  mark.ttl: {means: nothing}
  metadata: {means: nothing, surfaces: [openai.chat, prompt]}
idempotency: {wait: 0s}
defaults:`, 1)
	c, err := Parse("c.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	want := []Control{
		{Member: []string{"provider", "allow_fallbacks"}, HasValue: true, Means: ControlNoFallback},
		{Member: []string{"sticky"}, Value: true, HasValue: true, Means: ControlSticky},
		{Header: "X-Memory", Means: ControlRefuse, Fault: fault.UnsupportedParameter},
		{Member: []string{"provider"}},
		{Member: []string{"mark"}, Unless: "type"},
		{Member: []string{"mark", "ttl"}, Unless: "type"},
	}
	if diff := cmp.Diff(want, c.Controls("openai.embeddings")); diff != "" {
		t.Error(diff)
	}
	want = append(want, Control{Member: []string{"metadata"}, Surfaces: []string{"openai.chat", "prompt"}})
	for _, s := range want[len(want)-1].Surfaces {
		if diff := cmp.Diff(want, c.Controls(s)); diff != "" {
			t.Error(s, diff)
		}
	}
	if c.IdempotencyWait() != 0 {
		t.Errorf("waits %v, want not at all", c.IdempotencyWait())
	}
}

func TestHowLongTheContractsWaitForAnotherRequest(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]time.Duration{
		"openai": 30 * time.Second, "ninjachat": 30 * time.Second, "llmtune": time.Minute,
		"modelswitch": 30 * time.Second, "samurai": 30 * time.Second, "nanogpt": 0,
	} {
		if got := load(t, name).IdempotencyWait(); got != want {
			t.Errorf("%s waits %v, want %v", name, got, want)
		}
	}
}
