package account

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/limit"
)

// The bounds here and those of the limiter are written down twice, because
// neither package may know the other.
func TestLimitsHaveTheBoundsOfTheLimiter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		num := func(name string, edges ...int64) int64 {
			return rapid.OneOf(rapid.SampledFrom(edges), rapid.Int64Range(-1, 2_000_000)).Draw(t, name)
		}
		l := Limits{
			RPS:         rapid.OneOf(rapid.SampledFrom([]float64{0, 0.0009, 0.001, 1e6, 1e6 + 1, math.NaN(), math.Inf(1), -1}), rapid.Float64Range(0, 10)).Draw(t, "rps"),
			Burst:       num("burst", 0, 1, maxBurst, maxBurst+1),
			Requests:    num("requests", 0, 1, maxRequests, maxRequests+1),
			Per:         time.Duration(num("per", 0, int64(minPer)-1, int64(minPer), int64(maxPer), int64(maxPer)+1)),
			Concurrency: num("concurrency", 0, 1, maxConcurrency, maxConcurrency+1),

			TokensPerMinute: num("tokens", 0, 1, maxTokens, maxTokens+1),
		}
		theirs := limit.Rule{RPS: l.RPS, Burst: l.Burst, Requests: l.Requests, Per: l.Per, Concurrency: l.Concurrency, TokensPerMinute: l.TokensPerMinute}.Validate()
		if ours := l.Validate(); (ours == nil) != (theirs == nil) {
			t.Fatalf("%+v: account says %v, limit says %v", l, ours, theirs)
		}
	})
}

func TestLimitsInJSON(t *testing.T) {
	t.Parallel()
	l := Limits{RPS: 0.5, Burst: 3, Requests: 60, Per: time.Minute, RequestsPerDay: 70, USDPerDay: 1_500_000_000, Concurrency: 2, TokensPerMinute: 9000}
	const text = `{"rps":0.5,"burst":3,"requests":60,"per":"60s","tokens_per_minute":9000,"requests_per_day":70,"usd_per_day":"1.50","concurrency":2}`
	if b, err := json.Marshal(l); string(b) != text || err != nil {
		t.Errorf("Marshal = %s, %v\nwant      %s", b, err, text)
	}
	if b, err := json.Marshal(Limits{}); string(b) != `{}` || err != nil {
		t.Errorf("no limits: %s, %v", b, err)
	}
	var got Limits
	if err := json.Unmarshal([]byte(text), &got); err != nil || got != l {
		t.Errorf("Unmarshal = %+v, %v", got, err)
	}
	if err := json.Unmarshal([]byte(`{"rps":null,"burst":null,"per":"1.5s"}`), &got); err != nil {
		t.Error(err)
	}
	l.RPS, l.Burst, l.Per = 0, 0, 1500*time.Millisecond
	if diff := cmp.Diff(l, got); diff != "" {
		t.Errorf("merged (-want +got)\n%s", diff)
	}
	for _, text := range []string{`[]`, `null`, `"x"`, `{"rps":0}`, `{"rps":-1}`, `{"rps":"1"}`, `{"per":60}`, `{"per":"a minute"}`, `{"per":"0s"}`, `{"usd_per_day":1.5}`, `{"usd_per_day":"0"}`, `{"requests":1.5}`, `{"concurrency":0}`} {
		if err := json.Unmarshal([]byte(text), new(Limits)); err == nil {
			t.Errorf("Unmarshal(%s): want an error", text)
		}
	}
	if err := json.Unmarshal([]byte(`{"rsp":1}`), new(Limits), json.RejectUnknownMembers(true)); !errors.Is(err, json.ErrUnknownName) {
		t.Errorf("unknown member: %v", err)
	}
}

func TestAllowlistGlobs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		globs  []string
		model  string
		allows bool
	}{
		{nil, "anything", true},
		{[]string{"gpt-5"}, "gpt-5", true},
		{[]string{"gpt-5"}, "gpt-5-mini", false},
		{[]string{"gpt-*"}, "gpt-", true},
		{[]string{"*"}, "vendor/model:free", true},
		{[]string{"openai/*"}, "openai/a/b", true},
		{[]string{"*mini*"}, "gpt-5-mini-2026", true},
		{[]string{"*mini"}, "mini-mini-x", false},
		{[]string{"a*b*c"}, "axxbxxbxc", true},
		{[]string{"a*b*c"}, "axxcxxb", false},
		{[]string{"o?"}, "o1", false},
		{[]string{"[ab]"}, "a", false},
		{[]string{"claude-*", "gpt-*"}, "gpt-5", true},
		{[]string{"GPT-*"}, "gpt-5", false},
		{[]string{"**"}, "", true},
	} {
		if got := (&Key{Models: c.globs}).Allows(c.model); got != c.allows {
			t.Errorf("%q allows %q = %v", c.globs, c.model, got)
		}
	}
}
