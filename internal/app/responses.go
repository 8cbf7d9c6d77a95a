package app

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"

	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/failpoint"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/gate"
	"github.com/pontage/pontage/internal/job"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/obs"
	"github.com/pontage/pontage/internal/response"
	"github.com/pontage/pontage/internal/wire"
	"github.com/pontage/pontage/internal/wire/responses"
)

// The surfaces of responses: what asks a model, and what is asked of a response
// that is kept.
const (
	surfaceResponses      = "openai.responses"
	surfaceResponse       = "openai.responses.item"
	surfaceResponseItems  = "openai.responses.input_items"
	surfaceResponseCancel = "openai.responses.cancel"
	surfaceCount          = "openai.responses.input_tokens"
	surfaceCompact        = "openai.responses.compact"
)

var keptSurfaces = []string{surfaceResponse, surfaceResponseItems, surfaceResponseCancel}

// memory lets the edge keep responses.
type memory struct{ a *App }

var (
	_ wire.Memory = memory{}
	_ wire.Teller = responseDesk{}
)

func ownerOf(c wire.Caller) response.Owner {
	who := c.Who()
	return response.Owner{Account: who.Account.ID, Test: who.Key.Test}
}

// Keeps implements wire.Memory.
func (m memory) Keeps() bool { return m.a.responses.Keeps() }

// Recall implements wire.Memory.
func (m memory) Recall(ctx context.Context, c wire.Caller, t *llm.Thread) (past wire.Past, err error) {
	o := ownerOf(c)
	if t.Previous != "" {
		past.Items, past.IDs, err = m.a.responses.Past(ctx, o, t.Previous, func(r *response.Response) error { return m.a.settle(ctx, r) })
		if err != nil {
			return past, fault.From(err)
		}
	}
	past.Stand = make(map[string][]byte, len(t.References))
	for _, id := range t.References {
		item, err := m.a.responses.Item(ctx, o, id)
		if err != nil {
			return past, fault.From(err)
		}
		past.Stand[id] = item
	}
	return past, nil
}

// Keep implements wire.Memory.
func (m memory) Keep(ctx context.Context, c wire.Caller, r wire.Record) error {
	return m.a.responses.Put(ctx, m.response(c, r, true), r.Past)
}

func (m memory) response(c wire.Caller, r wire.Record, ended bool) *response.Response {
	keep := r.Keep
	if keep == 0 && r.Usual > 0 {
		keep = min(r.Usual, m.a.responses.Usually())
	}
	return &response.Response{
		Keep: keep,
		ID:   r.ID, Owner: ownerOf(c), Previous: r.Previous, Created: m.a.clock.now(), Ended: ended,
		Input: r.Input, Object: r.Object, Items: r.Items,
	}
}

// Defer implements wire.Memory: stored, then held for, then acknowledged, like
// any other job.
func (m memory) Defer(ctx context.Context, c wire.Caller, site *wire.Site, req *llm.Request, r wire.Record, kept *wire.Kept) error {
	a := m.a
	edge, ok := c.(caller)
	if !ok {
		return fault.New(fault.Internal, "") // cannot be: the edge made it
	}
	now, who := a.clock.now(), c.Who()
	id := obs.NewRequestID(now)
	prepared, err := edge.Prepare(req, id)
	if err != nil {
		return err
	}
	j := &job.Job{
		ID: job.ID(obs.NewRequestID(now)), Account: who.Account.ID, Key: who.Key.ID, Test: who.Key.Test,
		Site: site.Name, Surface: surfaceResponses, Model: req.Model, Created: now,
		Items: []job.Item{{Name: r.ID, Request: id, Body: bytes.Clone(req.Raw.Body), Pinned: prepared.Pinned}},
	}
	kept2, holding := (*ledger.Stored)(nil), ctx
	if kept != nil { // he can come back for it; see jobDesk
		kept2, holding = stored(kept), context.WithoutCancel(ctx)
	}
	put := m.response(c, r, false)
	put.Job = j.ID
	if err := a.responses.Put(ctx, put, r.Past); err != nil {
		return fault.From(err)
	}
	forget := func() error { return a.responses.Forget(context.WithoutCancel(ctx), r.ID) }
	if err := a.jobs.Draft(ctx, j); err != nil {
		return errors.Join(err, forget())
	}
	if err := a.points.Hit(failpoint.CrashJobDrafted); err != nil {
		return err
	}
	holds, err := edge.HoldAll(holding, j.ID, []gate.Prepared{prepared}, kept2)
	if err != nil {
		return errors.Join(err, a.jobs.Discard(ctx, j), forget())
	}
	if err := a.points.Hit(failpoint.CrashJobHeld); err != nil {
		return err
	}
	a.tasks.add(holds)
	a.jobs.Submit(j)
	return nil
}

// respond answers a response in the background to its end. What it said is kept
// before it is charged for, and told of only after that; so whatever happens to
// the process, it is charged once, and with the answer there.
func (t *tasks) respond(ctx context.Context, task job.Task, h *ledger.Hold, ev *obs.Event) error {
	keeping := context.WithoutCancel(ctx) // what is told or paid for is kept, whoever calls it off meanwhile
	kept, err := t.a.responses.Any(keeping, task.Item.Name)
	if err != nil {
		return err // the next process tries again
	}
	if kept == nil { // nobody can ask for it any more
		return t.cancel(h, nil, ev)
	}
	d := responses.New(responses.Options{Now: t.a.clock.now})
	req, err := d.Decode(task.Item.Body, nil)
	if err != nil {
		t.unsay(keeping, kept)
		return t.refuse(h, nil, ev, fault.From(err))
	}
	req.Thread.Previous = kept.Previous
	f := t.feeds.begin(kept)
	if f.streamed = req.Stream; f.streamed {
		if err := t.a.responses.Attempt(keeping, kept.ID); err != nil {
			return err
		}
	}
	enc := d.Resume(req, kept.ID, kept.Created)
	call, err := t.a.gate.Resume(ctx, gate.Task{Hold: h, Pinned: task.Item.Pinned, Site: task.Job.Site, Key: task.Job.Key, Request: req, Event: ev})
	var said []byte
	for err == nil {
		next, fail := call.Next()
		if fail == io.EOF {
			break
		}
		if err = fail; err == nil {
			said, err = enc.Event(said[:0], next)
			f.hear(said)
			f.told = f.told || f.streamed && next.Content
		}
	}
	switch {
	case ctx.Err() != nil && errors.Is(context.Cause(ctx), job.ErrStopping):
		if call != nil {
			call.Abandon()
		}
		return job.ErrStopping
	case err != nil && ctx.Err() != nil && f.told:
		t.keepRest(keeping, f, enc, job.Result{Fault: job.Cancelled})
		ev.Status = http.StatusOK
		return call.LeaveTask(job.Result{Fault: job.Cancelled}.Encode())
	case err != nil && ctx.Err() != nil:
		t.keepRest(keeping, f, enc, job.Result{Fault: job.Cancelled}) // nothing of it was told
		return t.cancel(h, call, ev)
	case err == nil && call.Blocked():
		err = fault.New(fault.ContentPolicy, "")
	}
	if err != nil {
		e := fault.From(err)
		t.keepRest(keeping, f, enc, failed(e)) // kept or not, it is free
		return t.refuse(h, call, ev, e)
	}
	return t.pay(keeping, h, call, ev, enc, f)
}

// keepRest keeps what a response came to that is told while it is answered, and ends
// as a result says. It is told of once the hold has ended so. Its error is logged: what
// was told is paid for, or free, whether or not it can be kept.
func (t *tasks) keepRest(ctx context.Context, f *feed, enc responses.Promised, r job.Result) {
	if !f.streamed {
		return
	}
	object := enc.BrokenOff(ending(r))
	if err := t.a.responses.Update(ctx, f.id, response.Update{Object: object}); err != nil {
		t.a.obs.Logger().Error("what a response came to was not stored", "response", f.id, "error", err.Error())
	}
}

// unsay deletes what an attempt of a process before has told, or has kept, of a response
// that is not to be attempted again: it was not paid for.
func (t *tasks) unsay(ctx context.Context, r *response.Response) {
	if r.Attempts == 0 {
		return
	}
	if err := t.a.responses.Update(ctx, r.ID, response.Update{Object: responses.Pending(r.Object, statusQueued), Events: []response.Chunk{}}); err != nil {
		t.a.obs.Logger().Error("the events of a response were not deleted", "response", r.ID, "error", err.Error())
	}
}

// pay charges for a response that has come to its end; one that cannot be kept is free,
// unless its caller was told it. ctx does not end: who calls the response off now comes
// too late.
func (t *tasks) pay(ctx context.Context, h *ledger.Hold, call *gate.Call, ev *obs.Event, enc wire.Keeper, f *feed) error {
	u := call.Usage()
	said, err := enc.Finish(nil, wire.Final{Model: call.Model().ID, Usage: u})
	if err != nil {
		return t.refuse(h, call, ev, fault.Wrap(fault.UpstreamFailed, err))
	}
	rec := enc.Record()
	update := response.Update{Object: rec.Object, Items: rec.Items}
	var last [][]byte
	if f.streamed {
		last = responses.Frames(slices.Collect(f.listener.Events(said)), f.Next())
		update.Events = f.Chunks(last)
	}
	result := job.Result{Input: u.Input, Output: u.Output}
	switch err := t.a.responses.Update(ctx, rec.ID, update); {
	case err != nil && !f.told:
		return t.refuse(h, call, ev, fault.Wrap(fault.Internal, err))
	case err != nil:
		ev.Error, result.Message = "the response was not stored: "+err.Error(), "The response was told, and could not be kept."
	}
	ev.Status = http.StatusOK
	if err := call.FinishTask(result.Encode()); err != nil {
		return err
	}
	// Should this fail, whoever asks for it finds out from its hold.
	_ = t.a.responses.Update(ctx, rec.ID, response.Update{Object: rec.Object, Ended: true})
	if f.streamed {
		f.End(last)
	}
	return nil
}

// settle brings a response that a job answers up to date: how it stands is known
// from its hold.
func (a *App) settle(ctx context.Context, r *response.Response) error {
	if r.Ended || r.Job == [16]byte{} {
		return nil
	}
	holds, err := a.ledger.HoldsOf(ctx, r.Job)
	if err != nil {
		return err
	}
	if len(holds) > 0 && holds[0].State == ledger.DurableOpen {
		status := statusQueued
		if a.jobs.Running(holds[0].ID) {
			status = statusInProgress
		}
		r.Object = responses.Pending(r.Object, status) // whatever is written already is not paid for
		return nil
	}
	// The answer was written before its hold ended, perhaps since r was read.
	switch now, err := a.responses.Any(ctx, r.ID); {
	case err != nil:
		return err
	case now != nil:
		*r = *now
		if r.Ended {
			return nil
		}
	}
	status, code, message := outcome(r, holds)
	if status != "" {
		r.Object = responses.WithStatus(r.Object, status, code, message)
	}
	r.Ended = true
	return a.responses.Update(ctx, r.ID, response.Update{Object: r.Object, Ended: true})
}

// outcome is what became of a response whose hold is not open any more: how it
// ended, empty: with the answer that is written, and for a failure the error.
func outcome(r *response.Response, holds []ledger.HoldRow) (status, code, message string) {
	status, code, message = statusFailed, "server_error", "The response was given up."
	switch {
	case len(holds) == 0 && responses.Status(r.Object) != statusQueued: // it ended so long ago that only the answer is left
		return "", "", ""
	case len(holds) == 0:
		return status, code, message
	case holds[0].State == ledger.DurablePosted && responses.Status(r.Object) != statusQueued: // else it could not be kept
		return "", "", ""
	}
	return ending(job.DecodeResult(holds[0].Result))
}

// ending is how a response ended that came to nothing, or could not be kept, and the
// error of one that failed.
func ending(r job.Result) (status, code, message string) {
	switch r.Fault {
	case job.Cancelled:
		return statusCancelled, "", ""
	case fault.UpstreamRateLimited.String():
		return statusFailed, "rate_limit_exceeded", r.Message
	}
	return statusFailed, "server_error", r.Message
}

// The states of a response that are told from its hold.
const (
	statusQueued     = "queued"
	statusInProgress = "in_progress"
	statusFailed     = "failed"
	statusCancelled  = "cancelled"
)

// responseDesk answers callers about responses that are kept.
type responseDesk struct{ a *App }

func notKept() error { return fault.New(fault.NotFound, "Responses are not stored here.") }

// Answer implements wire.Desk.
func (d responseDesk) Answer(ctx context.Context, q wire.Question) (contract.Data, error) {
	a, owner := d.a, ownerOf(q.Caller)
	if !a.responses.Keeps() {
		return contract.Data{}, notKept()
	}
	if err := checkID(q.ID); err != nil {
		return contract.Data{}, err
	}
	r, err := a.responses.Get(ctx, owner, q.ID)
	if err != nil {
		return contract.Data{}, fault.From(err)
	}
	switch {
	case q.Method == http.MethodDelete:
		return d.forget(ctx, owner, r, q.Site)
	case q.Surface == surfaceResponseItems:
		return listItems(r, q)
	case q.Surface == surfaceResponseCancel:
		if err := d.cancel(ctx, r); err != nil {
			return contract.Data{}, err
		}
	}
	if err := a.settle(ctx, r); err != nil {
		return contract.Data{}, fault.From(err)
	}
	return contract.Data{Raw: r.Object}, nil
}

// cancel ends a response in the background early: free of charge, unless its caller
// was told some of it.
func (d responseDesk) cancel(ctx context.Context, r *response.Response) error {
	if r.Job == [16]byte{} {
		return fault.New(fault.InvalidRequest, "Only a response in the background can be cancelled.")
	}
	if r.Ended {
		return nil
	}
	err := d.a.jobs.Cancel(ctx, r.Owner.Account, r.Owner.Test, job.ID(r.Job).String())
	if fault.Is(err, fault.JobNotFound) { // it has ended, and was forgotten
		return nil
	}
	if err != nil {
		return fault.From(err)
	}
	return d.a.jobs.Rested(ctx, r.Job)
}

// forget deletes a response, and ends it early if it has not ended.
func (d responseDesk) forget(ctx context.Context, o response.Owner, r *response.Response, site *wire.Site) (contract.Data, error) {
	if r.Job != [16]byte{} && !r.Ended {
		if err := d.cancel(ctx, r); err != nil {
			return contract.Data{}, err
		}
	}
	if err := d.a.responses.Delete(ctx, o, r.ID); err != nil {
		return contract.Data{}, fault.From(err)
	}
	object := cmp.Or(site.Contract.Responses().Deleted, "response")
	return contract.Data{Raw: fmt.Appendf(nil, `{"id":%s,"object":%s,"deleted":true}`, jsonx.AppendString(nil, r.ID), jsonx.AppendString(nil, object))}, nil
}

// idRule is what ids of responses are like.
var idRule = regexp.MustCompile(`^resp_[0-9A-Za-z_-]{1,128}$`)

// checkID refuses what is no id of a response.
func checkID(id string) error {
	if !idRule.MatchString(id) {
		return fault.New(fault.ResponseIDInvalid, "'%s' is not the id of a response, which begins with resp_.", id[:min(len(id), 64)])
	}
	return nil
}

// Bounds of a page of items.
const (
	usualItems = 20
	mostItems  = 100
)

// listItems lists what a response was asked, a page at a time.
func listItems(r *response.Response, q wire.Question) (contract.Data, error) {
	limit, order := usualItems, q.Query.Get("order")
	if s := q.Query.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > mostItems {
			return contract.Data{}, fault.New(fault.InvalidParameter, "Must be between 1 and %d", mostItems).At("limit")
		}
		limit = n
	}
	if order != "" && order != "asc" && order != "desc" {
		return contract.Data{}, fault.New(fault.InvalidParameter, "Must be one of asc or desc").At("order")
	}
	page, ok := responses.Page(responses.Listed(r.ID, r.Input), limit, order == "asc", q.Query.Get("after"))
	if !ok {
		return contract.Data{}, fault.New(fault.InvalidParameter, "Names no item of this response").At("after")
	}
	return contract.Data{Raw: page}, nil
}
