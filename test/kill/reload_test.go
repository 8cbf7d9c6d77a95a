package kill

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// A new configuration drops no stream. Prices are fixed at admission: what was
// admitted before costs what it cost then. A bad configuration changes nothing,
// and the log says why.
func TestAReloadKeepsStreamsAndChangesPricesForTheNextRequestOnly(t *testing.T) {
	t.Parallel()
	s := newStage(t, "drain: 15s")
	old := s.w.up.providers()
	dearer := tariff{input: 7_000_000_013, cached: 500_000_001, output: 99_000_000_007}
	changed := strings.Replace(old, modelConfig("gpt", tariffs["gpt"]), modelConfig("gpt", dearer), 1)
	if changed == old {
		t.Fatal("the configuration has no price to change")
	}
	gate := make(chan struct{})
	before := []*job{s.job(chat, true, gate), s.job(messages, true, gate), s.job(chat, true, gate)}
	for _, j := range before {
		s.open(j)
	}
	now := func(p tariff) *job {
		j := s.job(chat, true, nil)
		j.tariff = &p
		s.shift.run(j)
		return j
	}
	jobs := append([]*job{now(tariffs["gpt"])}, before...)

	// Files that must not come into force: broken, wrong in meaning, and one
	// that only a restart can follow.
	listen := strings.Replace(old, "providers:", "# again\nproviders:", 1)
	for _, bad := range []struct{ config, why string }{
		{strings.Replace(changed, "price:", "prize:", 1), "prize"},
		{strings.Replace(changed, "provider: openly", "provider: nobody", 1), "nobody"},
		{changed + "\nmodels: [", "pontage.yaml"},
	} {
		times := strings.Count(s.g.Log(), "was not reloaded")
		s.g.Reconfigure(t, bad.config)
		s.wait("the refusal of a bad file", func() bool { return strings.Count(s.g.Log(), "was not reloaded") > times })
		if log := s.g.Log(); !strings.Contains(log[strings.LastIndex(log, "was not reloaded"):], bad.why) {
			t.Errorf("the log does not say why: want %q in\n%s", bad.why, lastLines(log))
		}
		jobs = append(jobs, now(tariffs["gpt"]))
	}
	s.g.ReconfigureServer(t, "drain: 15s, body_limit: 1MiB", listen)
	s.wait("the refusal of a file that needs a restart", func() bool { return strings.Contains(s.g.Log(), "server.body_limit cannot change without a restart") })
	jobs = append(jobs, now(tariffs["gpt"]))

	reloaded := func() int { return strings.Count(s.g.Log(), "the configuration was reloaded") }
	times := reloaded()
	s.g.ReconfigureServer(t, "drain: 15s", changed)
	s.wait("the reload of a file that has changed", func() bool { return reloaded() > times })
	jobs = append(jobs, now(dearer))

	times = reloaded()
	if err := s.g.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.wait("the reload on SIGHUP", func() bool { return reloaded() > times })
	jobs = append(jobs, now(dearer))

	for _, j := range before {
		if f, _ := j.outcome(); f != pending {
			t.Errorf("%v: it ended before its answer did", j)
		}
	}
	close(gate)
	s.ended(acked, jobs...)
	s.nothingHeld("in the end")
	if err := s.g.Stop(); err != nil {
		t.Errorf("the process ended with %v, want 0", err)
	}
	s.account()
	if want := fmt.Sprint(len(jobs), " of ", len(jobs)); fmt.Sprint(s.f.acks, " of ", len(jobs)) != want {
		t.Errorf("%d of %d answers came to their end", s.f.acks, len(jobs))
	}
	s.tell()
}
