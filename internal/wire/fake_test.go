package wire

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/failpoint"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/limit"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/obs"
)

// fake is a gateway and its only caller. What is nil does nothing.
type fake struct {
	enter  func(Visit) error
	open   func(context.Context) (*fakeCall, error)
	test   bool // a test key
	quota  contract.Limits
	claim  func(key string, digest [32]byte, wait time.Duration) (*Kept, error)
	wish   Wishes // of the last request
	opened func(*llm.Request)

	mu      sync.Mutex
	refused []string
	left    int
	freed   int
	allowed []limit.Allowance
	events  chan *obs.Event
}

func (f *fake) Enter(_ context.Context, v Visit) (Caller, error) {
	if f.enter != nil {
		if err := f.enter(v); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *fake) Open(ctx context.Context, r *llm.Request, w Wishes) (Call, error) {
	f.mu.Lock()
	f.wish = w
	f.mu.Unlock()
	if f.opened != nil {
		f.opened(r)
	}
	c, err := f.open(ctx)
	if err != nil {
		return nil, err
	}
	if c.request == nil {
		c.request = r
	}
	return c, nil
}

func (f *fake) Concerns(*llm.Request) {}
func (f *fake) Recognize(v Visit) Caller {
	if v.Credential == "" {
		return nil
	}
	return f
}
func (f *fake) Models() []Model               { return []Model{{ID: "a/b"}} }
func (f *fake) Knows(string) bool             { return false }
func (f *fake) Test() bool                    { return f.test }
func (f *fake) Balance() (money.Amount, bool) { return 10 * money.Dollar, true }
func (f *fake) Quota() contract.Limits        { return f.quota }
func (f *fake) Who() account.Principal {
	return account.Principal{Account: &account.Account{}, Key: &account.Key{}}
}
func (f *fake) Rate() limit.Rule { return limit.Rule{} }
func (f *fake) Claim(_ context.Context, key string, digest [32]byte, wait time.Duration) (*Kept, error) {
	if f.claim == nil {
		return nil, nil
	}
	return f.claim(key, digest, wait)
}

func (f *fake) Replayed(k *Kept) {
	f.mu.Lock()
	f.refused = append(f.refused, fmt.Sprint("replayed ", k.Status))
	f.mu.Unlock()
}
func (f *fake) Allowances() []limit.Allowance { return f.allowed }
func (f *fake) Free()                         { f.mu.Lock(); f.freed++; f.mu.Unlock() }
func (f *fake) Leave()                        { f.mu.Lock(); f.left++; f.mu.Unlock() }
func (f *fake) Refused(e *fault.Error, status int) {
	f.mu.Lock()
	f.refused = append(f.refused, fmt.Sprint(e.Code, " ", status))
	f.mu.Unlock()
}

// fakeCall plays steps and notes how it ended.
type fakeCall struct {
	ctx     context.Context
	request *llm.Request // as it is answered; nil: as it was asked
	kept    *Kept
	steps   []any // llm.Event, error, or func()
	drains  bool
	bill    error
	stands  bool // a charge cannot be taken back
	free    bool // the output is not capped beforehand

	mu   sync.Mutex
	ends []string
}

func (c *fakeCall) Terms() Terms {
	terms := Terms{Request: c.request, CappedBy: "balance", Dropped: []string{"seed"}}
	if c.free {
		terms.CappedBy = ""
	}
	return terms
}
func (c *fakeCall) Drains() bool { return c.drains }

func (c *fakeCall) Next() (llm.Event, error) {
	for len(c.steps) > 0 {
		s := c.steps[0]
		c.steps = c.steps[1:]
		switch s := s.(type) {
		case llm.Event:
			return s, nil
		case error:
			return llm.Event{}, s
		case func():
			s()
		}
	}
	return llm.Event{}, io.EOF
}

func (c *fakeCall) end(how string) { c.mu.Lock(); c.ends = append(c.ends, how); c.mu.Unlock() }

func (c *fakeCall) Finish(keep func(Bill) (*Kept, error)) (Bill, error) {
	if c.bill != nil {
		return Bill{}, c.bill
	}
	bill := Bill{Charge: 1_500, Balance: 9 * money.Dollar}
	if keep != nil {
		kept, err := keep(bill)
		if err != nil {
			return Bill{}, err
		}
		c.kept = kept
	}
	c.end("finish")
	return bill, nil
}
func (c *fakeCall) Left()                      { c.end("left") }
func (c *fakeCall) Fail(e *fault.Error, _ int) { c.end("fail " + e.Code.String()) }
func (c *fakeCall) Delivered()                 { c.end("delivered") }
func (c *fakeCall) Close()                     { c.end("close") }
func (c *fakeCall) TakeBack() money.Amount {
	c.end("take back")
	if c.stands {
		return 1_500
	}
	return 0
}

func (c *fakeCall) outcome() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.ends, ", ")
}

// plain is a dialect whose frames are the events' Raw bytes.
type plain struct{ stream bool }

func (p plain) Decode(b []byte, _ map[string][]string) (*llm.Request, error) {
	if !json.Valid(b) {
		return nil, fault.New(fault.InvalidJSON, "")
	}
	return &llm.Request{Model: "m", Stream: p.stream || strings.Contains(string(b), "stream")}, nil
}
func (p plain) Encoder(*llm.Request) Encoder { return &plainEncoder{} }

type plainEncoder struct{ held []byte }

func (e *plainEncoder) Event(dst []byte, ev llm.Event) ([]byte, error) {
	if ev.Last {
		e.held = append(e.held, ev.Raw...)
		return dst, nil
	}
	return append(dst, ev.Raw...), nil
}

func (e *plainEncoder) Finish(dst []byte, _ Final) ([]byte, error) {
	return append(dst, e.held...), nil
}

func (e *plainEncoder) Heartbeat(dst []byte) []byte { return append(dst, ": beat\n\n"...) }

func (p plain) List(dst []byte, m []Model) []byte { return append(dst, "list of "+m[0].ID...) }
func (p plain) One(dst []byte, m Model) []byte    { return append(dst, "one "+m.ID...) }

func event(s string) llm.Event { return llm.Event{Raw: []byte(s), Content: true} }
func last(s string) llm.Event  { return llm.Event{Raw: []byte(s), Last: true} }

type house struct {
	*fake
	srv    *httptest.Server
	points *failpoint.Set
}

func build(t *testing.T, f *fake, change func(*Options)) house {
	t.Helper()
	c, err := contract.Load("openai")
	if err != nil {
		t.Fatal(err)
	}
	f.events = make(chan *obs.Event, 64)
	points := failpoint.New()
	d := plain{}
	o := Options{
		Gateway:    f,
		Dialects:   map[string]Dialect{"openai.chat": d, "anthropic.messages": d, "chat": d},
		Listers:    map[string]ModelLister{"openai.models": d},
		Done:       func(e *obs.Event) { f.events <- e },
		Failpoints: points,
		BodyLimit:  1000,
	}
	if change != nil {
		change(&o)
	}
	srv := httptest.NewServer(NewServer(o, NewSites([]*Site{{Name: "*", Hosts: []string{"*"}, Contract: c}})))
	t.Cleanup(srv.Close)
	return house{f, srv, points}
}

func (h house) post(t *testing.T, path, body string) (*http.Response, string) {
	t.Helper()
	resp, err := http.Post(h.srv.URL+path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%v after %q", err, b)
	}
	return resp, string(b)
}

func code(body string) string {
	var e struct{ Error struct{ Code any } }
	_ = json.Unmarshal([]byte(body), &e)
	s, _ := e.Error.Code.(string)
	return s
}

// endless is a body that never ends: it is only refused in time if it is not read.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}
