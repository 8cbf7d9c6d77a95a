package provider

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

func TestWaitsThatStandInTheBody(t *testing.T) {
	t.Parallel()
	const body = `{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":%q}]}}`
	for _, c := range []struct {
		delay, header string
		want          time.Duration
	}{
		{"48s", "", 48 * time.Second},
		{"0.25s", "", 250 * time.Millisecond},
		{"48s", "7", 7 * time.Second},
		{"100h", "", 24 * time.Hour},
		{"-5s", "", 0},
		{"soon", "", 0},
	} {
		h := http.Header{}
		if c.header != "" {
			h.Set("Retry-After", c.header)
		}
		f := Classify("gemini", 429, h, fmt.Appendf(nil, body, c.delay))
		if f.Cooldown != c.want || f.Fault.RetryAfter != c.want {
			t.Errorf("%s, %q: cooldown %s, retry after %s, want %s", c.delay, c.header, f.Cooldown, f.Fault.RetryAfter, c.want)
		}
	}
}

func TestWaitsOfProviders(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		header map[string]string
		want   time.Duration
	}{
		{nil, 0},
		{map[string]string{"Retry-After": "30"}, 30 * time.Second},
		{map[string]string{"Retry-After": "1.5"}, 1500 * time.Millisecond},
		{map[string]string{"Retry-After": "2", "Retry-After-Ms": "1780"}, 1780 * time.Millisecond},
		{map[string]string{"Retry-After": "1", "Retry-After-Ms": "0"}, time.Second}, // Azure sends both
		{map[string]string{"X-Ms-Retry-After-Ms": "250"}, 250 * time.Millisecond},
		{map[string]string{"Retry-After": "Fri, 20 Nov 2026 12:00:30 GMT", "Date": "Fri, 20 Nov 2026 12:00:00 GMT"}, 30 * time.Second},
		{map[string]string{"Retry-After": "Fri, 20 Nov 2026 11:00:30 GMT", "Date": "Fri, 20 Nov 2026 12:00:00 GMT"}, 0},
		{map[string]string{"Retry-After": "1e300"}, 24 * time.Hour},
		{map[string]string{"Retry-After": "NaN"}, 0},
		{map[string]string{"Retry-After": "-5"}, 0},
		{map[string]string{"Retry-After": "soon"}, 0},
	} {
		h := http.Header{}
		for k, v := range c.header {
			h.Set(k, v)
		}
		for _, status := range []int{429, 503} {
			f := Classify("openai", status, h, nil)
			if f.Cooldown != c.want || f.Fault.RetryAfter != c.want || f.Fault.LimitSource != "provider" {
				t.Errorf("%d with %v: cooldown %v, retry after %v from %q, want %v", status, c.header, f.Cooldown, f.Fault.RetryAfter, f.Fault.LimitSource, c.want)
			}
		}
		if f := Classify("openai", 401, h, nil); f.Cooldown != 0 {
			t.Errorf("401 with %v: cooldown %v", c.header, f.Cooldown)
		}
	}
}
