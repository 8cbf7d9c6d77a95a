package compat

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3/option"
)

// watch counts an SDK's attempts, and checks that none comes earlier than the
// answer before it advised.
type watch struct {
	t *testing.T

	mu     sync.Mutex
	tries  int
	until  time.Time
	waited int // attempts that had been told to wait
}

func (w *watch) see(r *http.Request, next func(*http.Request) (*http.Response, error)) (*http.Response, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tries++
	if time.Now().Before(w.until) {
		w.t.Errorf("attempt %d comes %v before its time", w.tries, time.Until(w.until))
	}
	resp, err := next(r)
	if err == nil {
		if ms, perr := strconv.Atoi(resp.Header.Get("Retry-After-Ms")); perr == nil {
			w.waited++
			w.until = time.Now().Add(time.Duration(ms) * time.Millisecond)
			if whole, _ := strconv.Atoi(resp.Header.Get("Retry-After")); whole < 1 || whole*1000 < ms {
				w.t.Errorf("Retry-After %q beside %d ms", resp.Header.Get("Retry-After"), ms)
			}
		}
	}
	return resp, err
}

// clients are one request by each SDK with its own retries, as it comes.
func clients(g *gateway, w *watch, key, simulate string) map[string]func(model string) error {
	return map[string]func(string) error{
		"openai": func(model string) error {
			opts := []option.RequestOption{option.WithMaxRetries(2), option.WithMiddleware(func(r *http.Request, next option.MiddlewareNext) (*http.Response, error) { return w.see(r, next) })}
			if simulate != "" {
				opts = append(opts, option.WithHeader("X-Pontage-Simulate", simulate))
			}
			c := g.openai(key, opts...)
			_, err := c.Chat.Completions.New(context.Background(), hello(model))
			return err
		},
		"anthropic": func(model string) error {
			opts := []anthropicoption.RequestOption{anthropicoption.WithMaxRetries(2), anthropicoption.WithMiddleware(func(r *http.Request, next anthropicoption.MiddlewareNext) (*http.Response, error) {
				return w.see(r, next)
			})}
			if simulate != "" {
				opts = append(opts, anthropicoption.WithHeader("X-Pontage-Simulate", simulate))
			}
			c := g.anthropic(key, opts...)
			_, err := c.Messages.New(context.Background(), greet(model))
			return err
		},
	}
}

func TestSDKsRetryWhatIsWorthItAndNothingElse(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	for fault, want := range map[string]int{
		"upstream_failed": 3, "upstream_overloaded": 3, "upstream_timeout": 3, "internal": 3, "upstream_rate_limited": 3, "balance_held": 3, "no_target": 3,
		"upstream_auth": 1, "upstream_quota": 1, "daily_requests_exceeded": 1, "daily_spend_exceeded": 1, "balance_insufficient": 1, "plan_quota_exceeded": 1,
		"content_policy": 1, "context_length_exceeded": 1, "invalid_json": 1, "key_invalid": 1, "model_not_found": 1,
	} {
		for _, sdk := range []string{"openai", "anthropic"} {
			t.Run(fault+" "+sdk, func(t *testing.T) {
				t.Parallel()
				w := &watch{t: t}
				if err := clients(g, w, g.testKey, fault)[sdk]("gpt-5-mini"); err == nil {
					t.Error("no error")
				}
				if w.tries != want {
					t.Errorf("%d tries, want %d", w.tries, want)
				}
			})
		}
	}
}

func TestSDKsSucceedAfterWaitingOutARateLimit(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	for _, sdk := range []string{"openai", "anthropic"} {
		t.Run(sdk, func(t *testing.T) {
			t.Parallel()
			key, _ := g.newKey(t, "1", map[string]any{"limits": map[string]any{"requests": 1, "per": "1500ms"}})
			w := &watch{t: t}
			ask := clients(g, w, key, "")[sdk]
			for range 2 {
				if err := ask("gpt-5-mini"); err != nil {
					t.Error(err)
				}
			}
			if w.waited != 1 || w.tries != 3 {
				t.Errorf("%d tries, %d of them refused", w.tries, w.waited)
			}
		})
	}
}

// The gateway's own attempts fail, and the SDK's second round succeeds.
func TestSDKsSucceedAfterAFailingUpstreamHasRecovered(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	for sdk, model := range map[string]string{"openai": "gpt-5-nano", "anthropic": "claude-haiku-4-5"} {
		t.Run(sdk, func(t *testing.T) {
			t.Parallel()
			g.script(t, model, map[string]any{"fault": "error_500", "times": 3})
			w := &watch{t: t}
			if err := clients(g, w, g.key, "")[sdk](model); err != nil || w.tries != 2 {
				t.Errorf("%d tries, %v", w.tries, err)
			}
		})
	}
}

// A broken answer is whole to the SDKs only if they can try again without
// paying twice: they do not, and neither does the gateway.
func TestNothingIsRetriedAfterContent(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	g.script(t, "o3", map[string]any{"fault": "cut", "after": 2}, map[string]any{"fault": "cut", "after": 2})
	g.script(t, "claude-opus-4-5", map[string]any{"fault": "cut", "after": 2}, map[string]any{"fault": "cut", "after": 2})
	tries := 0
	c := g.openai(g.key, option.WithMaxRetries(2), option.WithMiddleware(func(r *http.Request, next option.MiddlewareNext) (*http.Response, error) {
		tries++
		return next(r)
	}))
	s := c.Chat.Completions.NewStreaming(context.Background(), hello("o3"))
	for s.Next() {
	}
	if s.Err() == nil || tries != 1 {
		t.Errorf("chat: %d tries, error %v", tries, s.Err())
	}
	tries = 0
	a := g.anthropic(g.key, anthropicoption.WithMaxRetries(2), anthropicoption.WithMiddleware(func(r *http.Request, next anthropicoption.MiddlewareNext) (*http.Response, error) {
		tries++
		return next(r)
	}))
	m := a.Messages.NewStreaming(context.Background(), greet("claude-opus-4-5"))
	for m.Next() {
	}
	if m.Err() == nil || tries != 1 {
		t.Errorf("messages: %d tries, error %v", tries, m.Err())
	}
}
