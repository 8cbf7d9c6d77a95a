package wire

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/failpoint"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/obs"
)

// Options are what a Server is made of. Gateway, Dialects and Done must be set.
type Options struct {
	Gateway     Gateway
	Dialects    map[string]Dialect     // by surface
	Desks       map[string]Desk        // by surface
	Memory      Memory                 // of answers; nil: none is kept
	Listers     map[string]ModelLister // by surface; "anthropic.models" is openai.models for callers that send anthropic-version
	Done        func(*obs.Event)       // told of every request when it has ended
	Now         func() time.Time       // nil: time.Now
	BodyLimit   int64                  // bytes, after decompression; 0: 32 MiB
	BodyTimeout time.Duration          // for the whole body; 0: 60 s
	Heartbeat   time.Duration          // silence after which a stream is kept alive; 0: 15 s
	WriteStall  time.Duration          // how long one write may take; 0: 60 s
	Failpoints  *failpoint.Set         // nil: none
}

// Server is the HTTP edge of all sites. It is an http.Handler.
type Server struct {
	o     Options
	sites atomic.Pointer[Sites]
}

// NewServer returns a server of the given sites.
func NewServer(o Options, sites *Sites) *Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.BodyLimit == 0 {
		o.BodyLimit = 32 << 20
	}
	if o.BodyTimeout == 0 {
		o.BodyTimeout = 60 * time.Second
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = 15 * time.Second
	}
	if o.WriteStall == 0 {
		o.WriteStall = 60 * time.Second
	}
	s := &Server{o: o}
	s.Swap(sites)
	return s
}

// Swap puts other sites in force for requests that come from now on.
func (s *Server) Swap(sites *Sites) { s.sites.Store(sites) }

// ErrGoingDown is the cause with which a process that goes down ends the
// contexts of requests that outlive its patience: they fail, free of charge,
// as if a provider had, and not as if their callers had left.
var ErrGoingDown = errors.New("the gateway is going down")

// exchange is one request and what has become of it.
type exchange struct {
	s      *Server
	w      *Writer
	r      *http.Request
	ev     *obs.Event
	id     obs.RequestID
	site   *Site
	route  contract.Route
	rest   string // what the wildcard of the path stands for
	caller Caller
	call   Call
	enc    Encoder      // of the answer, once there is one
	begun  bool         // the first event of a stream has come
	events Events       // in place of it: of an answer that others make; nil: none
	asked  *llm.Request // as the caller asked it, once it was decoded
	past   []string     // ids of the answers that it continues
	facts  contract.Facts
	body   []byte
	wanted *simulation // nil: none
	usage  llm.Usage   // what was charged for

	claimed bool   // an idempotency key, for this request
	days    *int64 // for how many an answer is to be kept; nil: nobody said
	daysAt  string // where
	follows bool   // the answer is streamed, and is made whether or not anybody reads it
	said    []byte // what was streamed, to be kept for it
	tooLong bool   // to be kept
}

// ServeHTTP answers one request. Whatever happens, the caller gets an answer of
// the contract in force, and one event is reported.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := s.o.Now()
	id := obs.NewRequestID(now)
	x := &exchange{
		s: s, r: r, id: id,
		w:  newWriter(w, r, s.o.WriteStall),
		ev: &obs.Event{ID: id.String(), Start: now, Method: r.Method, Remote: r.RemoteAddr},
	}
	start := time.Now()
	x.identify()
	defer x.abandon() // should what follows panic itself
	defer func() {
		p := recover()
		if p != nil {
			if p == http.ErrAbortHandler {
				x.abandon()
				x.done(start)
				panic(p)
			}
			x.ev.Panic = fmt.Sprintf("%v\n%s", p, debug.Stack())
			x.enc = nil // it may be the encoder that failed
			x.fail(fault.Wrap(fault.Internal, fmt.Errorf("panic: %v", p)))
		}
		x.abandon()
		x.done(start)
		if p == nil { // after a panic nobody knows who still refers to it
			giveBack(x.body)
		}
		if x.w.broken {
			// The answer broke off: the connection must say so, too.
			panic(http.ErrAbortHandler)
		}
	}()
	if err := x.serve(); err != nil {
		x.fail(x.named(x.placed(x.told(err))))
	}
}

// identify gives the answer the request's id, and the one that the caller chose.
func (x *exchange) identify() {
	h := x.w.Header()
	h["X-Request-Id"] = []string{x.ev.ID}
	if c := x.r.Header.Get("X-Client-Request-Id"); printable(c) {
		h["X-Client-Request-Id"] = []string{c}
		x.ev.ClientRequestID = c
	}
}

// printable reports whether s can be echoed in a header: 1 to 128 visible
// ASCII characters.
func printable(s string) bool { return visible(s, 128) }

// visible reports whether s is 1 to most visible ASCII characters.
func visible(s string, most int) bool {
	if s == "" || len(s) > most {
		return false
	}
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// serve walks the journey of a request up to its answer. What it returns has
// not been answered yet.
func (x *exchange) serve() error {
	x.site = x.s.sites.Load().find(x.r)
	if x.site == nil {
		return fault.New(fault.NotFound, "No site is served at this host.")
	}
	x.ev.Site = x.site.Name
	x.facts = contract.Facts{RequestID: x.ev.ID, WarnBelow: x.site.WarnBelow}
	if x.site.Docs != nil && x.r.URL.Path == docsPath {
		return x.docs()
	}
	rt, rest, ok, allow := x.site.routes.find(x.r.Method, x.r.URL.Path)
	x.route, x.rest = rt, rest
	x.ev.Route, x.ev.Surface = rt.Path, rt.Surface
	x.family()
	names, scheme := x.site.Contract.KeyHeaders()
	v := Visit{Site: x.site, Route: rt, Credential: credential(x.r, names, scheme), ID: x.id, Event: x.ev}
	if key := queryKey(x.r, rt.Surface); v.Credential == "" {
		v.Credential = key
	}
	if !ok {
		return x.nothing(v, allow)
	}
	caller, err := x.s.o.Gateway.Enter(x.r.Context(), v)
	if caller != nil {
		x.caller = caller
		x.facts.Balance, x.facts.HasBalance = caller.Balance()
	}
	if err != nil {
		return err
	}
	if err := x.elsewhere(); err != nil {
		return err
	}
	if err := x.s.o.Failpoints.Hit("handler_panic"); err != nil {
		return err
	}
	if e := x.simulate(); e != nil {
		return e
	}
	if desk := x.s.o.Desks[rt.Surface]; desk != nil {
		return x.ask(desk)
	}
	if rt.Method == http.MethodGet {
		return x.models()
	}
	return x.generate()
}

// nothing is the fault of a path that there is not, or not with this method. To
// a caller who is known it tells what every answer does.
func (x *exchange) nothing(v Visit, allow string) error {
	if c := x.s.o.Gateway.Recognize(v); c != nil {
		x.facts.Balance, x.facts.HasBalance = c.Balance()
		x.facts.Limits = c.Quota()
		x.allowances(c)
	}
	if allow != "" {
		return fault.NoMethod(allow, x.r.Method)
	}
	return fault.New(fault.NotFound, "")
}

// family fits the answer to callers who speak Anthropic's dialect, or Google's.
// Anthropic's SDKs read the request's id from a header of their own, on successes
// too. The list of models stands at one path for all families: who names a version
// of Anthropic's protocol, or sends his key as Google's callers do, sees it, and
// every failure there, in that shape.
func (x *exchange) family() {
	if x.route.Surface == "openai.models" {
		switch h := x.r.Header; {
		case x.site.anthropic != "" && h.Get("Anthropic-Version") != "":
			x.route.Surface, x.route.Envelope = "anthropic.models", x.site.anthropic
		case x.site.gemini != "" && h.Get("Authorization") == "" && h.Get("X-Goog-Api-Key") != "":
			x.route.Surface, x.route.Envelope = "gemini.models", x.site.gemini
		}
	}
	if strings.HasPrefix(x.route.Surface, "anthropic.") {
		x.w.Header()["Request-Id"] = []string{x.ev.ID}
	}
}

// generate answers a surface that asks something of a model.
func (x *exchange) generate() error {
	d := x.s.o.Dialects[x.route.Surface]
	if d == nil {
		return fault.Wrap(fault.Internal, fmt.Errorf("surface %q has no dialect", x.route.Surface))
	}
	if m, ok := d.(MethodInPath); ok {
		query, err := x.query()
		if err != nil {
			return err
		}
		if d, err = m.At(x.route.Ending(), query); err != nil {
			return err
		}
	}
	want := JSON
	if f, ok := d.(Forms); ok {
		want = f.Body()
	}
	if err := x.read(want); err != nil {
		return err
	}
	w := x.wishes()
	req, err := x.request(d, &w)
	if err == nil {
		req, err = x.suffixed(req, &w)
	}
	if req != nil {
		x.caller.Concerns(req)
	}
	if err != nil {
		return x.withModel(fault.From(err), req)
	}
	x.ev.Model, x.ev.Stream = req.Model, req.Stream
	if len(w.Models) > 0 {
		x.facts.Chain = append([]string{req.Model}, w.Models...)
	}
	if err := x.waits(req); err != nil {
		return err
	}
	x.follows = req.Thread != nil && req.Thread.Background && req.Stream
	if done, err := x.claim(x.body); done || err != nil {
		return err
	}
	if req, err = x.recall(d, req); err != nil {
		return err
	}
	x.asked = req
	if t := req.Thread; t != nil && t.Background {
		if w.routes() {
			return fault.New(fault.UnsupportedParameter, "background cannot be combined with a choice of providers, fallbacks, caches or prices.").At("background")
		}
		return x.later(d, req)
	}
	call, err := x.open(d, req, w)
	if x.w.committed {
		x.enc = x.encoder(d, req) // which knows how its streams break
	}
	if err != nil {
		return err
	}
	x.call = call
	if x.wanted != nil {
		x.call = &simulated{Call: call, s: *x.wanted}
		if x.wanted.after == 0 {
			return contract.Sample(x.wanted.code)
		}
	}
	return x.answer(d)
}

// read reads the body, JSON or a form, within its bounds.
func (x *exchange) read(want Body) error {
	if e := checkMedia(x.r.Header, want); e != nil {
		return e
	}
	body, err := readBody(x.w.rw, x.r, x.s.o.BodyLimit, x.s.o.BodyTimeout)
	x.body, x.w.unread = body, err != nil
	x.ev.BytesIn = int64(len(body))
	if fault.Is(err, fault.RequestTimeout) || fault.Is(err, fault.BodyTooLarge) {
		x.w.Header().Set("Connection", "close")
	}
	return err
}

// decode makes a request of a body, and of the path where that names the model.
func (x *exchange) decode(d Dialect, body []byte) (*llm.Request, error) {
	if named, ok := d.(ModelInPath); ok && x.rest != "" {
		return named.DecodeFor(x.rest, body, x.r.Header)
	}
	return d.Decode(body, x.r.Header)
}

// gone reports whether the caller has left.
func (x *exchange) gone() bool {
	return x.r.Context().Err() != nil && !x.ending()
}

// ending reports whether it is us who end the request.
func (x *exchange) ending() bool {
	return errors.Is(context.Cause(x.r.Context()), ErrGoingDown)
}

// told returns err as the fault to be told.
func (x *exchange) told(err error) *fault.Error {
	if x.ending() {
		e := fault.Wrap(fault.Draining, err)
		e.RetryAfter = time.Second
		return e
	}
	return fault.From(err)
}

// fail answers with a fault, or breaks a started answer off as the contract
// says. It ends the call free of charge.
func (x *exchange) fail(e *fault.Error) {
	x.ev.Fault, x.ev.Error = e.Code.String(), e.Error()
	if x.site == nil {
		x.stranger(e)
		return
	}
	if x.call != nil && x.facts.Charge != 0 {
		x.facts.Charge = x.call.TakeBack()
	}
	// The server takes a read deadline that has passed for a client that has left.
	gone := x.gone() && e.Code != fault.RequestTimeout
	if gone && errors.Is(e, context.Canceled) {
		x.ev.Fault = "" // he ended the provider's work himself
	}
	status := 0
	switch {
	case x.w.committed:
	case gone:
		status = 499
	default:
		status = x.site.Contract.Status(x.envelope(), e.Code)
	}
	x.conclude(e, status) // first, so that nothing is held when the caller reads on
	x.free()
	switch {
	case status == 499:
		x.nobody()
	case !x.w.committed:
		x.ev.Status = status
		x.refusal(e)
	case x.w.streaming:
		x.breakOff(e)
	default:
		x.w.broken = true // part of an answer has gone out that has no room for an error
	}
}

// breakOff ends a stream with the error that the dialect has for e. Where it has
// room for none the connection breaks.
func (x *exchange) breakOff(e *fault.Error) {
	frame, done := x.site.Contract.RenderFrame(x.spoken(), x.envelope(), e, x.facts)
	if b, ok := x.enc.(Breaker); ok {
		frame = b.Break(nil, frame, e)
	} else if x.events != nil {
		frame = x.events.Break(frame)
	} else if x.w.Header().Get("Content-Type") != eventStream {
		frame = nil // which would be no event in it
	}
	x.w.Header()["X-Charge-Usd"] = []string{x.facts.Charge.String()} // the trailer
	x.w.frame(frame)
	x.w.broken = len(frame) == 0 || !done && x.w.err != nil
}

// conclude ends the call free of charge, or records the refusal. status is what
// the caller is sent; 0: a status had gone out before.
func (x *exchange) conclude(e *fault.Error, status int) {
	switch {
	case x.call != nil:
		x.call.Fail(e, status)
		x.call = nil
	case x.caller != nil:
		x.caller.Refused(e, cmp.Or(status, x.w.status))
	}
}

// free gives back the caller's place among the requests in flight, before the
// last bytes leave.
func (x *exchange) free() {
	if x.caller != nil {
		x.caller.Free()
	}
}

// refusal writes the answer that a fault has.
func (x *exchange) refusal(e *fault.Error) {
	if x.caller != nil {
		x.facts.Limits = x.caller.Quota()
		x.allowances(x.caller)
	}
	rendered := x.site.Contract.Render(x.envelope(), e, x.facts)
	h := x.w.Header()
	for _, kv := range rendered.Header {
		h.Set(kv[0], kv[1])
	}
	x.w.whole(rendered.Status, rendered.Body)
}

// nobody ends an exchange with a caller who left before anything was sent. Who
// has closed only the sending side must not take silence for an empty success.
func (x *exchange) nobody() {
	x.ev.Status = 499
	x.w.broken = true
}

// envelope is the route's, or the one for paths without a route.
func (x *exchange) envelope() string {
	if x.route.Envelope != "" {
		return x.route.Envelope
	}
	return x.site.Contract.Elsewhere(x.r.URL.Path)
}

// stranger answers where no site, and so no contract, is known.
func (x *exchange) stranger(e *fault.Error) {
	x.ev.Status = http.StatusNotFound
	x.w.Header().Set("Content-Type", "application/json")
	x.w.whole(http.StatusNotFound, []byte(`{"error":{"message":"No site is served at this host.","type":"invalid_request_error","param":null,"code":"`+e.Code.String()+`"}}`))
}

// abandon gives back whatever has not been given back.
func (x *exchange) abandon() {
	if x.call != nil {
		x.call.Close()
		x.call = nil
	}
	if x.caller != nil {
		x.caller.Leave()
		x.caller = nil
	}
}

func (x *exchange) done(start time.Time) {
	x.ev.Took = time.Since(start)
	x.ev.BytesOut = x.w.n
	if x.ev.Status == 0 {
		x.ev.Status = x.w.status
	}
	if x.ev.Outcome == "" {
		x.ev.Outcome = "refused" // before anybody knew who was asking
	}
	x.s.o.Done(x.ev)
}
