package dash

import (
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/failpoint"
)

// health says that the process is alive, which it is if it answers.
func (s *server) health(c *call) error {
	return c.write(http.StatusOK, struct {
		OK bool `json:"ok"`
	}{true})
}

// ready says whether the process may take traffic, and why not.
func (s *server) ready(c *call) error {
	out := struct {
		Ready    bool     `json:"ready"`
		Degraded []string `json:"degraded"`
		Reasons  []string `json:"reasons"`
	}{Degraded: []string{}, Reasons: []string{}}
	if s.Ready != nil {
		out.Reasons = append(out.Reasons, s.Ready()...)
	}
	for _, why := range out.Reasons {
		word, _, _ := strings.Cut(why, ":")
		out.Degraded = append(out.Degraded, word)
	}
	out.Ready = len(out.Degraded) == 0
	if !out.Ready {
		c.w.Header().Set("Retry-After", "1")
		return c.write(http.StatusServiceUnavailable, out)
	}
	return c.write(http.StatusOK, out)
}

func (s *server) metrics(c *call) error {
	c.wrote = http.StatusOK
	s.Metrics.ServeHTTP(c.w, c.r)
	return nil
}

// verify recomputes every balance from the journal.
func (s *server) verify(c *call) error {
	if err := c.query().done(); err != nil {
		return err
	}
	c.unhurried()
	r, err := s.Ledger.Verify(c.ctx())
	if err != nil {
		return err
	}
	out := struct {
		OK          bool     `json:"ok"`
		Entries     int64    `json:"entries"`
		Accounts    int      `json:"accounts"`
		Digests     int      `json:"digests"`
		Pending     int      `json:"pending_digests"`
		Old         int      `json:"old_digests"`
		Differences []string `json:"differences"`
	}{r.OK, r.Entries, r.Accounts, r.Digests, r.PendingDigests, r.OldDigests, append([]string{}, r.Differences...)}
	return c.write(http.StatusOK, out)
}

func (s *server) effectiveConfig(c *call) error {
	if err := c.query().done(); err != nil {
		return err
	}
	if s.EffectiveConfig == nil {
		return c.write(http.StatusOK, struct{}{})
	}
	return c.write(http.StatusOK, s.EffectiveConfig())
}

// targetJSON is one target's health.
type targetJSON struct {
	Target           string     `json:"target"`
	Provider         string     `json:"provider"`
	Model            string     `json:"model"`
	Healthy          bool       `json:"healthy"`
	Breaker          string     `json:"breaker"`
	CooldownUntil    *time.Time `json:"cooldown_until"`
	QuarantinedUntil *time.Time `json:"quarantined_until"`
	Reason           *string    `json:"reason"`
	Requests         int64      `json:"requests"`
	Failures         int64      `json:"failures"`
	LatencyMS        *int64     `json:"latency_ms"`
}

func (s *server) targets(c *call) error {
	if err := c.query().done(); err != nil {
		return err
	}
	out := list[targetJSON]{Data: []targetJSON{}}
	if s.Routes != nil {
		for _, t := range s.Routes.Targets() {
			out.Data = append(out.Data, targetJSON{
				Target: t.Target, Provider: t.Provider, Model: t.Model, Healthy: t.Healthy, Breaker: t.Breaker,
				CooldownUntil: stampOf(t.CooldownUntil), QuarantinedUntil: stampOf(t.QuarantinedUntil),
				Reason: orNull(t.Reason), Requests: t.Requests, Failures: t.Failures, LatencyMS: milliseconds(t.Latency),
			})
		}
	}
	return c.write(http.StatusOK, out)
}

// milliseconds of d, at least one; nil for 0, which is unknown.
func milliseconds(d time.Duration) *int64 {
	if d <= 0 {
		return nil
	}
	ms := max(d.Milliseconds(), 1)
	return &ms
}

// maxAdvance bounds how far one call moves the test clock.
const maxAdvance = 10 * 366 * 24 * time.Hour

// firstYear is how far the test clock goes back.
const firstYear = 2000

// advanceClock stops the test clock or lets it run, and moves it, forward or, as
// that of a machine may, back.
func (s *server) advanceClock(c *call) error {
	var in struct {
		Advance *string `json:"advance"`
		Stop    *bool   `json:"stop"`
	}
	if err := c.read(&in); err != nil {
		return err
	}
	if in.Advance == nil {
		return missing("advance")
	}
	d, err := time.ParseDuration(*in.Advance)
	if err != nil || d < -maxAdvance || d > maxAdvance {
		return invalid("advance", `must be a duration such as "3h" or "-90s", of at most %dh`, int64(maxAdvance/time.Hour))
	}
	if to := s.Now().Add(d).Year(); to < firstYear || to >= account.LastYear {
		return invalid("advance", "must not leave the years from %d to %d", firstYear, account.LastYear-1)
	}
	if in.Stop != nil && s.Test.StopClock != nil {
		s.Test.StopClock(*in.Stop)
	}
	s.Test.AdvanceClock(d)
	return c.write(http.StatusOK, struct {
		Now *time.Time `json:"now"`
	}{stampOf(s.Now())})
}

// faultJSON is a point where a failure can be injected.
type faultJSON struct {
	Point string `json:"point"`
	Kind  string `json:"kind"`
	Doc   string `json:"doc"`
	Times int    `json:"times"` // how often it will still fire
}

func (s *server) listFaults(c *call) error {
	if err := c.query().done(); err != nil {
		return err
	}
	out := list[faultJSON]{Data: []faultJSON{}}
	for _, p := range failpoint.All() {
		out.Data = append(out.Data, faultJSON{p.Name, string(p.Kind), p.Doc, s.Test.Failpoints.Left(p.Name)})
	}
	return c.write(http.StatusOK, out)
}

func (s *server) armFault(c *call) error {
	var in struct {
		Point *string `json:"point"`
		Times *int64  `json:"times"`
	}
	if err := c.read(&in); err != nil {
		return err
	}
	if in.Point == nil {
		return missing("point")
	}
	times := int64(1)
	if in.Times != nil {
		times = *in.Times
	}
	if times < 0 || times > maxTimes {
		return invalid("times", "must be 0 to %d; 0 disarms the point", maxTimes)
	}
	if err := s.Test.Failpoints.Arm(*in.Point, int(times)); err != nil {
		return invalid("point", "%s", err)
	}
	return c.write(http.StatusOK, struct {
		Point string `json:"point"`
		Times int64  `json:"times"`
	}{*in.Point, times})
}

// maxTimes bounds how often a point fires.
const maxTimes = 1_000_000

func (s *server) scriptSim(c *call) error {
	var in struct {
		Model *string        `json:"model"`
		Steps jsontext.Value `json:"steps"`
	}
	if err := c.read(&in); err != nil {
		return err
	}
	switch {
	case in.Model == nil:
		return missing("model")
	case *in.Model == "" || len(*in.Model) > 200:
		return invalid("model", "must be 1 to 200 bytes")
	case in.Steps == nil:
		return missing("steps")
	case in.Steps.Kind() != '[':
		return fail(http.StatusBadRequest, codeType, "steps", "must be an array")
	}
	if err := s.Test.Sim.Script(*in.Model, in.Steps); err != nil {
		return invalid("steps", "%s", err)
	}
	return c.write(http.StatusOK, struct {
		Model string `json:"model"`
	}{*in.Model})
}
