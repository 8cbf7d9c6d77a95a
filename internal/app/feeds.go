package app

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strconv"
	"sync"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/job"
	"github.com/pontage/pontage/internal/response"
	"github.com/pontage/pontage/internal/wire"
	"github.com/pontage/pontage/internal/wire/responses"
)

// feeds are the responses in the background that are answered, or that somebody
// waits for to be.
type feeds struct {
	mu      sync.Mutex
	open    map[string]*feed // by id; guarded by mu, as is stopped
	stopped bool             // nothing more is begun
}

// feed is what one of them says.
type feed struct {
	*response.Stream
	id       string
	users    int                // guarded by feeds.mu, as is begun
	begun    bool               // a task answers it, or has, or could not: it will end
	streamed bool               // it is told while it is answered; its task's
	told     bool               // some of its content; its task's
	listener responses.Listener // its task's
}

// base is the number of the first event that a response has next time: what an
// attempt before has told under lower ones is told anew. One that is not told while
// it is answered has but one attempt.
func base(r *response.Response) int64 { return r.Attempts * response.MaxStream }

// join returns the feed of a response in the background, which is left with leave.
// It is nil if that has ended and nothing tells it any more.
func (fs *feeds) join(r *response.Response) *feed {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if r.Ended && fs.open[r.ID] == nil {
		return nil
	}
	f := fs.enter(r)
	if fs.stopped && !f.begun {
		f.Break(fault.New(fault.Draining, ""))
	}
	return f
}

// begin joins the feed of a response whose turn it is to be answered.
func (fs *feeds) begin(r *response.Response) *feed {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f := fs.enter(r)
	f.begun = true
	return f
}

// enter returns the feed of a response, for one more user. The caller holds mu.
func (fs *feeds) enter(r *response.Response) *feed {
	f := fs.open[r.ID]
	if f == nil {
		f = &feed{Stream: response.NewStream(base(r)), id: r.ID}
		f.tell(responses.Opening(r.Object)...)
		fs.open[r.ID] = f
	}
	f.users++
	return f
}

// isBegun reports whether a task answers what the feed tells, or has.
func (fs *feeds) isBegun(f *feed) bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return f.begun
}

// of returns the feed of a response, without joining it; nil: there is none.
func (fs *feeds) of(id string) *feed {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.open[id]
}

func (fs *feeds) leave(f *feed) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f.users--; f.users == 0 {
		delete(fs.open, f.id)
	}
}

// fail ends the feed of a response that stays as it is in this process, whether it was
// begun or not. It is kept, for who asks later.
func (fs *feeds) fail(id string, err error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f := fs.open[id]
	if f == nil {
		f = &feed{Stream: response.NewStream(0), id: id}
		fs.open[id] = f
	}
	if !f.begun {
		f.begun = true
		f.users++
	}
	f.Break(err)
}

// stop ends the feeds of what will not be answered before the process ends, and
// those that are joined from now on.
func (fs *feeds) stop() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.stopped = true
	for _, f := range fs.open {
		if !f.begun {
			f.Break(fault.New(fault.Draining, ""))
		}
	}
}

// tell adds events, as far as there is room.
func (f *feed) tell(events ...responses.Event) {
	for _, e := range events {
		f.Add(e.Append(nil, f.Next()))
	}
}

// hear adds the events of frames that an encoder wrote.
func (f *feed) hear(frames []byte) {
	for e := range f.listener.Events(frames) {
		f.tell(e)
	}
}

// quit ends the feed of a task that has rested: err is what its run returned.
func (t *tasks) quit(ctx context.Context, task job.Task, err error) {
	if task.Job.Surface != surfaceResponses {
		return
	}
	if err != nil && !errors.Is(err, job.ErrStopping) {
		t.feeds.fail(task.Item.Name, fault.Wrap(fault.Internal, err))
		return
	}
	f := t.feeds.of(task.Item.Name)
	if f == nil {
		return
	}
	if err == nil {
		f.conclude(ctx, t.a)
	} else {
		f.Break(fault.New(fault.Draining, ""))
	}
	if t.feeds.isBegun(f) {
		t.feeds.leave(f)
	}
}

// conclude ends the feed of a response that has ended, unless it has been told to
// its end, and keeps what was told of one that came to nothing.
func (f *feed) conclude(ctx context.Context, a *App) {
	if f.Ended() {
		return
	}
	r, err := a.responses.Any(ctx, f.id)
	if err == nil && r != nil {
		err = a.settle(ctx, r)
	}
	if err == nil && r == nil {
		err = notKeptAnyMore()
	}
	if err != nil {
		f.Break(fault.From(err))
		return
	}
	last := responses.Frames(responses.Told(r.Object), f.Next())
	if f.streamed { // which nobody could tell a second time; without it the response is told under higher numbers
		if err := a.responses.Update(ctx, r.ID, response.Update{Object: r.Object, Events: f.Chunks(last), Ended: true}); err != nil {
			a.obs.Logger().Error("the events of a response were not stored", "response", r.ID, "error", err.Error())
		}
	}
	f.End(last)
}

func notKeptAnyMore() *fault.Error {
	return fault.New(fault.ResponseNotFound, "The response is not kept any more.")
}

// Follow implements wire.Memory.
func (m memory) Follow(ctx context.Context, c wire.Caller, id string) (wire.Events, error) {
	return m.a.follow(ctx, ownerOf(c), id, -1)
}

// follow returns the events of a response that follow the one with that number, as
// they come.
func (a *App) follow(ctx context.Context, o response.Owner, id string, after int64) (wire.Events, error) {
	r, err := a.responses.Get(ctx, o, id)
	if err != nil {
		return nil, fault.From(err)
	}
	if f := a.tasks.feeds.join(r); f != nil {
		// It may have ended before it was joined, and nothing would tell.
		if err := a.settle(ctx, r); err != nil {
			a.tasks.feeds.leave(f)
			return nil, fault.From(err)
		}
		if !r.Ended || a.tasks.feeds.isBegun(f) {
			return &following{feeds: &a.tasks.feeds, feed: f, at: after}, nil
		}
		a.tasks.feeds.leave(f)
	}
	e := &ended{memory: a.responses, id: r.ID, at: after}
	if err := e.begin(ctx, r); err != nil {
		return nil, fault.From(err)
	}
	return e, nil
}

// following reads a feed.
type following struct {
	feeds *feeds
	feed  *feed
	at    int64 // number of the last event that was read
}

// Next implements wire.Events.
func (f *following) Next(ctx context.Context) ([]byte, error) {
	for {
		events, last, more, err := f.feed.Read(f.at)
		if len(events) > 0 || err != nil {
			f.at = last
			return events, err
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Heartbeat implements wire.Events.
func (f *following) Heartbeat() []byte { return responses.Heartbeat() }

// Break implements wire.Events.
func (f *following) Break(frame []byte) []byte { return responses.Broken(frame, max(f.at, 0)) }

// Close implements wire.Events.
func (f *following) Close() { f.feeds.leave(f.feed) }

// ended reads what a response said that has ended: as it was told while it was
// answered, if it was, and else from the answer.
type ended struct {
	memory *response.Memory
	id     string
	at     int64  // number of the last event that was read
	events []byte // to be read next
	last   int64  // number of the last of them
	until  int64  // number of the last of all
}

// begin finds the first events. It refuses a number that none has.
func (e *ended) begin(ctx context.Context, r *response.Response) (err error) {
	last, told, err := e.memory.LastEvent(ctx, e.id)
	if err != nil {
		return err
	}
	if told {
		e.until = last
		return e.check()
	}
	all := append(responses.Opening(r.Object), responses.Told(r.Object)...)
	if r.Job == [16]byte{} {
		all = append([]responses.Event{responses.Begun(r.Object)}, responses.Told(r.Object)...)
	}
	first := base(r)
	e.until = first + int64(len(all)) - 1
	if err := e.check(); err != nil {
		return err
	}
	e.last = e.until
	e.events = bytes.Join(responses.Frames(all, first)[max(e.at+1-first, 0):], nil)
	return nil
}

// check refuses a number behind the last.
func (e *ended) check() error {
	if e.at > e.until {
		return fault.New(fault.InvalidParameter, "The response has ended, and has no such event.").At("starting_after")
	}
	return nil
}

// Next implements wire.Events.
func (e *ended) Next(ctx context.Context) (events []byte, err error) {
	if e.at >= e.until {
		return nil, io.EOF
	}
	if len(e.events) == 0 {
		if e.events, e.last, err = e.memory.Events(ctx, e.id, e.at); err != nil {
			return nil, fault.From(err)
		}
	}
	if len(e.events) == 0 {
		return nil, notKeptAnyMore()
	}
	events, e.events, e.at = e.events, nil, e.last
	return events, nil
}

// Heartbeat implements wire.Events.
func (e *ended) Heartbeat() []byte { return responses.Heartbeat() }

// Break implements wire.Events.
func (e *ended) Break(frame []byte) []byte { return responses.Broken(frame, max(e.at, 0)) }

// Close implements wire.Events.
func (e *ended) Close() {}

// Tell implements wire.Teller: a response is told event by event to who asks for
// stream=true, from the event behind starting_after on.
func (d responseDesk) Tell(ctx context.Context, q wire.Question) (wire.Events, error) {
	switch stream := q.Query.Get("stream"); {
	case q.Surface != surfaceResponse, stream == "", stream == "false":
		return nil, nil
	case stream != "true":
		return nil, fault.New(fault.InvalidParameter, "Must be true or false").At("stream")
	}
	after := int64(-1)
	if s := q.Query.Get("starting_after"); s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < 0 || n > maxNumber {
			return nil, fault.New(fault.InvalidParameter, "Must be the sequence number of an event").At("starting_after")
		}
		after = n
	}
	if !d.a.responses.Keeps() {
		return nil, notKept()
	}
	if err := checkID(q.ID); err != nil {
		return nil, err
	}
	return d.a.follow(ctx, ownerOf(q.Caller), q.ID, after)
}

// maxNumber bounds the numbers of events that callers may name.
const maxNumber = 1 << 53
