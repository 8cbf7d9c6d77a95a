package wire

import (
	"math"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/limit"
	"github.com/pontage/pontage/internal/testkit"
)

var someAllowances = []limit.Allowance{
	{Policy: "rps", Limit: 5, Remaining: 4, Window: 5 * time.Second, Reset: 300 * time.Millisecond},
	{Policy: "tokens_per_minute", Unit: "tokens", Limit: 90_000, Remaining: 0, Window: time.Minute, Reset: time.Second + 1},
	{Policy: "requests_per_day", Limit: 70, Remaining: 70, Window: 24 * time.Hour},
	{Policy: `plan:"a\b"é` + "\n", Limit: math.MaxInt64, Remaining: math.MaxInt64 - 1, Window: 1},
}

const (
	somePolicy = `"rps";q=5;w=5, "tokens_per_minute";q=90000;qu="tokens";w=60, "requests_per_day";q=70;w=86400, "plan:\"a\\b\"??";q=999999999999999;w=1`
	someLeft   = `"rps";r=4;t=1, "tokens_per_minute";r=0;t=2, "requests_per_day";r=70, "plan:\"a\\b\"??";r=999999999999999`
)

func TestAllowancesAsStructuredFields(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		list         []limit.Allowance
		policy, left string
	}{
		{someAllowances, somePolicy, someLeft},
		{nil, "", ""},
	} {
		x := &exchange{w: newWriter(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil), time.Minute)}
		x.allowances(&fake{allowed: c.list})
		h := x.w.Header()
		if p, l := h.Get("RateLimit-Policy"), h.Get("RateLimit"); p != c.policy || l != c.left || len(h) != 2*min(len(c.list), 1) {
			t.Errorf("%s\n%s\n%v", p, l, h)
		}
	}
}

// Ceilings of what the two fields cost, for callers with limits and without.
func TestTheFieldsOfLimitsAllocateLittle(t *testing.T) {
	if testkit.Race {
		t.Skip("allocations cannot be counted with the race detector")
	}
	x := &exchange{w: &Writer{rw: &nobody{make(http.Header, 4)}}}
	for _, c := range []struct {
		list []limit.Allowance
		most float64
	}{{nil, 0}, {someAllowances, 6}} {
		f := &fake{allowed: c.list}
		if got := testing.AllocsPerRun(100, func() { x.allowances(f) }); got > c.most {
			t.Errorf("%d limits: %v allocations, want at most %v", len(c.list), got, c.most)
		}
	}
}

func BenchmarkAllowances(b *testing.B) {
	x := &exchange{w: &Writer{rw: &nobody{make(http.Header, 4)}}}
	f := &fake{allowed: someAllowances[:3]}
	b.ReportAllocs()
	for b.Loop() {
		x.allowances(f)
	}
}
