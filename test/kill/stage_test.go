package kill

import (
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/pontage/pontage/test/harness"
)

// patience is how long a test waits for what has to happen.
const patience = 20 * time.Second

// stage is a gateway for one test, and somebody with money.
type stage struct {
	*campaign
	client *http.Client
	shift  *shift // of the jobs that were run
}

func newStage(t *testing.T, server string) *stage {
	t.Helper()
	up := newUpstream(t)
	c := &campaign{t: t, rng: rand.New(rand.NewPCG(1, 2)), f: &findings{}, life: life{name: t.Name()}}
	c.w = &world{up: up, rng: c.rng, book: newBook()}
	c.g = harness.Start(t, harness.Options{Config: up.providers(), Server: server})
	c.w.settle(t, c.g)
	s := &stage{campaign: c, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	s.shift = &shift{w: c.w, g: c.g, client: s.client, begun: time.Now()}
	return s
}

// job makes a job of a rich account. A gate holds its answer after the first piece.
func (s *stage) job(surface string, stream bool, gate chan struct{}) *job {
	j := &job{
		n: s.w.next.Add(1), key: s.w.rich[0], surface: surface, model: "gpt", stream: stream, ending: answers, prompt: 300, maxTokens: 300,
		used: usage{input: 10, cached: 3, output: 77}, chunks: 3, size: 32, gate: gate, started: make(chan struct{}),
	}
	if surface == messages {
		j.model = "claude"
	}
	return j
}

// open starts a streamed job and waits for its first piece. The channel is
// closed when the job has ended.
func (s *stage) open(j *job) <-chan struct{} {
	s.t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.shift.run(j)
	}()
	select {
	case <-j.started:
	case <-done:
		s.t.Fatalf("%v: it did not begin", j)
	case <-time.After(patience):
		s.t.Fatalf("%v: no answer came", j)
	}
	return done
}

// wait waits until something has happened.
func (s *stage) wait(what string, happened func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); !happened(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("%s did not happen within %v\n%s", what, patience, lastLines(s.g.Log()))
		}
	}
}

// ended waits until jobs have ended, and holds their fates against want.
func (s *stage) ended(want fate, jobs ...*job) {
	s.t.Helper()
	s.wait("the end of every answer", func() bool {
		for _, j := range jobs {
			if f, _ := j.outcome(); f == pending {
				return false
			}
		}
		return true
	})
	for _, j := range jobs {
		if f, _ := j.outcome(); f != want {
			s.t.Errorf("%v: want %s", j, want)
		}
	}
}

// exit waits until the process has ended by itself, and returns how.
func (s *stage) exit() error {
	s.t.Helper()
	select {
	case err := <-s.g.Gone():
		s.gone()
		return err
	case <-time.After(patience):
		s.t.Fatalf("the process did not end within %v\n%s", patience, lastLines(s.g.Log()))
		return nil
	}
}

// account reads the closed database and compares it with what the clients saw.
func (s *stage) account() {
	s.t.Helper()
	s.client.CloseIdleConnections()
	s.examineDead(s.shift)
	s.shift = &shift{w: s.w, g: s.g, client: s.client, begun: time.Now()}
}

// tell fails the test with what was found.
func (s *stage) tell() {
	s.t.Helper()
	for _, said := range s.f.said {
		s.t.Error(said)
	}
}
