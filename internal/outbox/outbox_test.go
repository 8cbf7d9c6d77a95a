package outbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
)

// receiver answers tries.
type receiver struct {
	mu     sync.Mutex
	at     []time.Time
	bodies []string
	heads  []http.Header
	answer func(n int) (*http.Response, error) // of the n-th try, from 1
}

func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	r.at, r.bodies, r.heads = append(r.at, time.Now()), append(r.bodies, string(body)), append(r.heads, req.Header)
	n := len(r.at)
	r.mu.Unlock()
	return r.answer(n)
}

func (r *receiver) tries() int { return len(r.seen().at) }

// seen returns what has come so far.
func (r *receiver) seen() *receiver {
	r.mu.Lock()
	defer r.mu.Unlock()
	return &receiver{at: slices.Clone(r.at), bodies: slices.Clone(r.bodies), heads: slices.Clone(r.heads)}
}

// journal is a log that can be read while it is written.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

func status(code int) (*http.Response, error) {
	return &http.Response{StatusCode: code, Header: http.Header{"Location": {"http://elsewhere/"}}, Body: io.NopCloser(strings.NewReader("…"))}, nil
}

const secret = "whsec-0123456789"

// run starts an outbox in a bubble, and ends it with the test.
func run(t *testing.T, s *shelf, r *receiver, change ...func(*Options)) (*Outbox, *journal) {
	t.Helper()
	log := new(journal)
	opts := Options{
		Store: s, Endpoint: func() Endpoint { return Endpoint{"https://hooks.example/secret-path?token=s3cr3t", secret} },
		Client: &http.Client{Transport: r}, Log: slog.New(slog.NewTextHandler(log, nil)), Random: func() float64 { return 1 },
	}
	for _, c := range change {
		c(&opts)
	}
	o := New(opts)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { o.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return o, log
}

func TestAnEventIsDeliveredSigned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, r := &shelf{}, &receiver{answer: func(int) (*http.Response, error) { return status(204) }}
		o, _ := run(t, s, r)
		synctest.Wait()
		id := s.add(1, time.Now())
		o.Wake()
		synctest.Wait()
		if r.tries() != 1 {
			t.Fatalf("%d tries", r.tries())
		}
		want := `{"id":"evt_04000000000000000000000000","type":"balance_warning","created_at":"2000-01-01T00:00:00Z","data":{"account":"acc_0000000000007","key":"key_0000000000008","request":"req_144","balance_usd":"4.99","below_usd":"5.00"}}`
		want = strings.Replace(want, "req_144", "req_140g0000000000000000000000", 1)
		r = r.seen()
		if r.bodies[0] != want || ID(id) != "evt_04000000000000000000000000" {
			t.Errorf("sent %s\nwant %s", r.bodies[0], want)
		}
		h := r.heads[0]
		if got := h.Get(SignatureHeader); got != Sign(secret, time.Now(), []byte(want)) || !strings.HasPrefix(got, "t=946684800,v1=") || len(got) != 15+64 {
			t.Errorf("signed %s", got)
		}
		if h.Get("Content-Type") != "application/json" || h.Get("User-Agent") == "" {
			t.Errorf("sent with %v", h)
		}
		row, _ := s.Get(t.Context(), id)
		if row.State != Delivered || row.Tries != 1 || !row.Ended.Equal(time.Now()) || o.Stats() != (Stats{Delivered: 1}) {
			t.Errorf("row %+v, stats %+v", row, o.Stats())
		}
		time.Sleep(keepRows + pruneEvery)
		synctest.Wait()
		if _, err := s.Get(t.Context(), id); !errors.Is(err, ErrNotFound) || s.most != maxRows || o.Stats().Delivered != 1 {
			t.Errorf("a week later: %v, bound %d, %d tries", err, s.most, r.tries())
		}
	})
}

// The vector is reckoned with: printf '1700000000.{}' | openssl dgst -sha256 -hmac whsec-0123456789
func TestTheSignature(t *testing.T) {
	t.Parallel()
	if got := Sign(secret, time.Unix(1_700_000_000, 999), []byte("{}")); got != "t=1700000000,v1=08b496ed2f117626147d5cab7eae77c442444af39d99eafad1e9205451534b89" {
		t.Errorf("signed %s", got)
	}
}

// Tries come after 10, 20, 40, … seconds, at most 6 hours apart, for three days.
func TestTriesBackOffAndEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var up atomic.Bool
		s, r := &shelf{}, &receiver{answer: func(int) (*http.Response, error) {
			if up.Load() {
				return status(200)
			}
			return status(503)
		}}
		o, log := run(t, s, r)
		begun := time.Now()
		id := s.add(1, begun)
		o.Wake()
		time.Sleep(2 * keepTrying)
		synctest.Wait()
		r = r.seen()
		for i, d := 1, firstWait; i < len(r.at)-1; i, d = i+1, min(2*d, LongestWait) {
			if got := r.at[i].Sub(r.at[i-1]); got != d {
				t.Errorf("try %d came %v after the one before, want %v", i+1, got, d)
			}
		}
		if last := r.at[len(r.at)-1].Sub(begun); last != keepTrying || len(r.at) != 24 {
			t.Errorf("the last of %d tries came after %v", len(r.at), last)
		}
		for i, b := range r.bodies {
			if b != r.bodies[0] || (i > 0 && r.heads[i].Get(SignatureHeader) == r.heads[i-1].Get(SignatureHeader)) {
				t.Errorf("try %d sent %s, signed %s", i+1, b, r.heads[i].Get(SignatureHeader))
			}
		}
		row, _ := s.Get(t.Context(), id)
		if row.State != Failed || row.Tries != len(r.at) || row.Error != "it answered 503 Service Unavailable" || !row.Ended.Equal(begun.Add(keepTrying)) {
			t.Errorf("row %+v", row)
		}
		if got := o.Stats(); got.Failures != int64(len(r.at)) || got.Failed != 1 || got.Pending != 0 || got.Delivered != 0 {
			t.Errorf("stats %+v", got)
		}
		for _, secret := range []string{secret, "s3cr3t", "secret-path", "hooks.example"} {
			if strings.Contains(log.String(), secret) {
				t.Errorf("the log tells %s", secret)
			}
		}
		if n := strings.Count(log.String(), "level=WARN"); n != len(r.at) {
			t.Errorf("%d warnings", n)
		}
		// Whoever asks gets another series of them.
		up.Store(true)
		if row, err := o.Retry(t.Context(), id); err != nil || row.State != Pending || row.Tries != len(r.at) {
			t.Errorf("Retry = %+v, %v", row, err)
		}
		synctest.Wait()
		if row, _ = s.Get(t.Context(), id); row.State != Delivered || row.Error != "" {
			t.Errorf("row %+v", row)
		}
		if _, err := o.Retry(t.Context(), [16]byte{9}); !errors.Is(err, ErrNotFound) {
			t.Errorf("Retry of nothing = %v", err)
		}
	})
}

func TestJitterIsAtMostHalf(t *testing.T) {
	t.Parallel()
	for random, want := range map[float64]time.Duration{0: 5 * time.Second, 0.5: 7500 * time.Millisecond, 0.999999: 10 * time.Second} {
		o := New(Options{Random: func() float64 { return random }})
		if got := o.wait(1); got > want || got < want-time.Millisecond {
			t.Errorf("wait with %v = %v, want %v", random, got, want)
		}
		for tries := range 100 {
			if got := o.wait(tries + 1); got < firstWait/2 || got > LongestWait {
				t.Errorf("wait after %d tries is %v", tries+1, got)
			}
		}
	}
}

// A receiver that is down is not asked for every event that waits: the pause
// between two tries grows to a minute. Afterwards all of them arrive, once.
func TestManyEventsSpareAReceiverThatIsDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var up atomic.Bool
		s, r := &shelf{}, &receiver{}
		r.answer = func(int) (*http.Response, error) {
			if !up.Load() {
				return nil, errors.New("connection refused")
			}
			return status(200)
		}
		o, _ := run(t, s, r)
		for n := range byte(100) {
			s.add(n+1, time.Now())
		}
		o.Wake()
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		if n := r.tries(); n < 30 || n > 40 {
			t.Errorf("%d tries in half an hour", n)
		}
		before := r.tries()
		up.Store(true)
		time.Sleep(7 * time.Hour)
		synctest.Wait()
		if n := r.tries() - before; n != 100 {
			t.Errorf("%d tries delivered 100 events", n)
		}
		if got := o.Stats(); got.Delivered != 100 || got.Pending != 0 {
			t.Errorf("stats %+v", got)
		}
	})
}

func TestWhatIsNoDelivery(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer func(int) (*http.Response, error)
		want   string
	}{
		"a redirect":    {func(int) (*http.Response, error) { return status(302) }, "it answered 302 Found"},
		"gone":          {func(int) (*http.Response, error) { return status(410) }, "it answered 410 Gone"},
		"no status":     {func(int) (*http.Response, error) { return status(799) }, "it answered 799"},
		"no connection": {func(int) (*http.Response, error) { return nil, errors.New("dial tcp: refused") }, "dial tcp: refused"},
		"many words":    {func(int) (*http.Response, error) { return nil, errors.New(strings.Repeat("é", 500)) }, strings.Repeat("é", 100) + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, r := &shelf{}, &receiver{answer: c.answer}
				o, _ := run(t, s, r)
				id := s.add(1, time.Now())
				o.Wake()
				synctest.Wait()
				row, _ := s.Get(t.Context(), id)
				if r.tries() != 1 || row.State != Pending || row.Error != c.want || !row.Next.Equal(time.Now().Add(firstWait)) {
					t.Errorf("%d tries, row %+v", r.tries(), row)
				}
			})
		})
	}
}

// stalls is a body that never ends, and counts what is read of it.
type stalls struct {
	ctx  context.Context
	read int
}

func (b *stalls) Read(p []byte) (int, error) {
	if b.ctx != nil {
		<-b.ctx.Done()
		return 0, b.ctx.Err()
	}
	b.read += len(p)
	return len(p), nil
}

func (b *stalls) Close() error { return nil }

// A receiver that never answers, or never stops, is left after a bound.
func TestAReceiverCannotHoldTheWorker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endless := &stalls{}
		s, r := &shelf{}, &hanging{endless: endless}
		o, _ := run(t, s, nil, func(o *Options) { o.Client = &http.Client{Transport: r} })
		first, begun := s.add(1, time.Now()), time.Now()
		o.Wake()
		synctest.Wait()
		time.Sleep(tryTimeout + firstPause)
		synctest.Wait()
		row, _ := s.Get(t.Context(), first)
		if row.Tries != 1 || row.State != Pending || !row.Next.Equal(begun.Add(tryTimeout+firstWait)) || row.Error == "" {
			t.Errorf("row %+v", row)
		}
		time.Sleep(firstWait)
		synctest.Wait()
		if row, _ = s.Get(t.Context(), first); row.State != Delivered || endless.read > 2*maxAnswer {
			t.Errorf("row %+v, %d bytes read", row, endless.read)
		}
	})
}

// hanging never answers the first try, and answers the second without end.
type hanging struct {
	n       int
	endless *stalls
}

func (h *hanging) RoundTrip(r *http.Request) (*http.Response, error) {
	if h.n++; h.n == 1 {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return &http.Response{StatusCode: 200, Body: h.endless}, nil
}

// Nobody is told while there is no endpoint; what waits is told to the next one.
func TestWithoutAnEndpointNothingIsTried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var to atomic.Pointer[Endpoint]
		to.Store(&Endpoint{})
		s, r := &shelf{}, &receiver{answer: func(int) (*http.Response, error) { return status(200) }}
		o, _ := run(t, s, r, func(o *Options) { o.Endpoint = func() Endpoint { return *to.Load() } })
		s.add(1, time.Now())
		o.Wake()
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if got := o.Stats(); r.tries() != 0 || got.Pending != 1 {
			t.Errorf("%d tries, %+v", r.tries(), got)
		}
		to.Store(&Endpoint{"http://127.0.0.1/", secret})
		o.Hurry()
		synctest.Wait()
		if r.tries() != 1 {
			t.Errorf("%d tries", r.tries())
		}
	})
}

// A store that fails is asked again after a minute, and nothing is lost.
func TestAStoreThatFailsIsAskedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, r := &shelf{broken: errors.New("disk I/O error")}, &receiver{answer: func(int) (*http.Response, error) { return status(200) }}
		o, log := run(t, s, r)
		s.add(1, time.Now())
		time.Sleep(10 * longPause)
		synctest.Wait()
		if n := strings.Count(log.String(), "disk I/O error"); n < 9 || n > 12 || r.tries() != 0 {
			t.Errorf("%d tries; the log has\n%s", r.tries(), log)
		}
		s.mu.Lock()
		s.broken = nil
		s.mu.Unlock()
		time.Sleep(longPause)
		synctest.Wait()
		if o.Stats().Delivered != 1 {
			t.Errorf("stats %+v", o.Stats())
		}
	})
}

// A retry that is asked for while a try is under way is not forgotten.
func TestARetryDuringATryCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, r := &shelf{}, &receiver{}
		r.answer = func(n int) (*http.Response, error) {
			if n == 1 {
				time.Sleep(5 * time.Second)
				return status(500)
			}
			return status(200)
		}
		o, _ := run(t, s, r)
		id := s.add(1, time.Now())
		o.Wake()
		time.Sleep(time.Second)
		if _, err := o.Retry(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		time.Sleep(4*time.Second + time.Millisecond)
		synctest.Wait()
		if row, _ := s.Get(t.Context(), id); row.State != Delivered || row.Tries != 2 {
			t.Errorf("row %+v", row)
		}
	})
}

func TestBodiesTellTheirKind(t *testing.T) {
	t.Parallel()
	b, err := Body(&ledger.Event{Kind: ledger.EventAbsorbed, Account: 1, Key: 2, Model: "m", Target: "up/m", Charge: money.Cent, Absorbed: money.Dollar})
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	want := "map[absorbed_usd:1.00 account:acc_0000000000001 charge_usd:0.01 key:key_0000000000002 model:m request:req_00000000000000000000000000 target:up/m]"
	if got := fmt.Sprint(m["data"]); m["type"] != "absorbed" || got != want {
		t.Errorf("the body is %s", b)
	}
	if b, err := Body(&ledger.Event{Kind: "gift"}); err == nil {
		t.Errorf("an event of no kind is %s", b)
	}
}

func TestIDsReadBack(t *testing.T) {
	t.Parallel()
	id := [16]byte{1, 2, 3, 15: 255}
	if got, err := ParseID(ID(id)); err != nil || got != id {
		t.Errorf("%s reads as %x, %v", ID(id), got, err)
	}
	for _, bad := range []string{"", "evt_", "req_" + ID(id)[4:], "evt_x", ID(id) + "0", "evt_!!!!!!!!!!!!!!!!!!!!!!!!!!"} {
		if got, err := ParseID(bad); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q reads as %x, %v", bad, got, err)
		}
	}
}
