package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/failpoint"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/gate"
	"github.com/pontage/pontage/internal/job"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/obs"
	"github.com/pontage/pontage/internal/wire"
	"github.com/pontage/pontage/internal/wire/prompt"
)

// surfaceJobs is the surface of batches of prompts.
const surfaceJobs = "jobs"

// tasks lets the runner of jobs use the gate, neither of which knows the other.
type tasks struct {
	a       *App
	dialect *prompt.Dialect

	mu    sync.Mutex
	holds map[[16]byte]*ledger.Hold // open ones, by request; guarded by mu
	feeds feeds
	seats sync.Map // account.ID → chan struct{}
}

func newTasks(a *App) *tasks {
	t := &tasks{a: a, dialect: prompt.New(prompt.Options{Now: a.clock.now}), holds: map[[16]byte]*ledger.Hold{}, feeds: feeds{open: map[string]*feed{}}}
	t.add(a.ledger.OpenHolds())
	return t
}

func (t *tasks) add(holds []*ledger.Hold) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, h := range holds {
		t.holds[h.Request()] = h
	}
}

// take returns the hold of a request; it is the taker's to end or to put back.
func (t *tasks) hold(id [16]byte) *ledger.Hold {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.holds[id]
}

func (t *tasks) forget(id [16]byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.holds, id)
}

// Open implements job.Gate.
func (t *tasks) Open() map[[16]byte]bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make(map[[16]byte]bool, len(t.holds))
	for id := range t.holds {
		out[id] = true
	}
	return out
}

// Run implements job.Gate.
func (t *tasks) Run(ctx context.Context, task job.Task) error {
	h := t.hold(task.Item.Request)
	if h == nil {
		return nil // it has ended
	}
	ev := &obs.Event{
		ID: obs.RequestID(task.Item.Request).String(), Start: t.a.clock.now(), Site: task.Job.Site,
		Method: http.MethodPost, Route: task.Job.Surface, Surface: task.Job.Surface, Model: task.Job.Model,
	}
	start := time.Now()
	err := t.guarded(ctx, task, h, ev)
	t.quit(context.WithoutCancel(ctx), task, err)
	if errors.Is(err, job.ErrStopping) {
		return err
	}
	ev.Took = time.Since(start)
	t.a.obs.Done(ev)
	if err == nil {
		t.forget(task.Item.Request)
	}
	return err
}

// guarded is answer, but for a panic, which is the task's failure: the process
// would meet it again each time it takes the task up.
func (t *tasks) guarded(ctx context.Context, task job.Task, h *ledger.Hold, ev *obs.Event) (err error) {
	defer func() {
		if p := recover(); p != nil {
			ev.Panic, ev.Outcome = fmt.Sprintf("%v\n%s", p, debug.Stack()), gate.OutcomeAborted
			err = t.refuse(h, nil, ev, fault.Wrap(fault.Internal, fmt.Errorf("panic: %v", p)))
		}
	}()
	if task.Job.Surface == surfaceResponses {
		return t.respond(ctx, task, h, ev)
	}
	return t.answer(ctx, task, h, ev)
}

// answer brings a task to its end.
func (t *tasks) answer(ctx context.Context, task job.Task, h *ledger.Hold, ev *obs.Event) error {
	req, err := t.dialect.DecodeFor(task.Job.Model, task.Item.Body, nil)
	if err != nil {
		return t.refuse(h, nil, ev, fault.From(err))
	}
	call, err := t.a.gate.Resume(ctx, gate.Task{Hold: h, Pinned: task.Item.Pinned, Site: task.Job.Site, Key: task.Job.Key, Request: req, Event: ev})
	var said prompt.Collector
	for err == nil {
		ev, next := call.Next()
		if next == io.EOF {
			break
		}
		if err = next; err == nil {
			err = said.Add(ev)
		}
	}
	switch {
	case ctx.Err() != nil && errors.Is(context.Cause(ctx), job.ErrStopping):
		if call != nil {
			call.Abandon()
		}
		return job.ErrStopping
	case err != nil && ctx.Err() != nil:
		return t.cancel(h, call, ev)
	case err != nil:
		return t.refuse(h, call, ev, fault.From(err))
	case call.Blocked():
		return t.refuse(h, call, ev, fault.New(fault.ContentPolicy, ""))
	}
	text, err := said.Text()
	if err != nil {
		return t.refuse(h, call, ev, fault.Wrap(fault.UpstreamFailed, err))
	}
	ev.Status = http.StatusOK
	u := call.Usage()
	return call.FinishTask(job.Result{Text: text, Input: u.Input, Output: u.Output}.Encode())
}

// refuse ends a task that failed because of e.
func (t *tasks) refuse(h *ledger.Hold, call *gate.Call, ev *obs.Event, e *fault.Error) error {
	ev.Fault, ev.Error = e.Code.String(), e.Error()
	result := failed(e).Encode()
	if call == nil {
		return gate.GiveBack(h, nil, result)
	}
	return call.FailTask(e, result)
}

// failed is the result of a task that failed because of e.
func failed(e *fault.Error) job.Result {
	return job.Result{Fault: e.Code.String(), Message: e.Public()}
}

// cancel ends a task whose job was cancelled while it ran.
func (t *tasks) cancel(h *ledger.Hold, call *gate.Call, ev *obs.Event) error {
	ev.Outcome = gate.OutcomeRefused
	if call != nil {
		call.Abandon()
	}
	return gate.GiveBack(h, nil, job.Result{Fault: job.Cancelled}.Encode())
}

// GiveBack implements job.Gate.
func (t *tasks) GiveBack(ctx context.Context, task job.Task) error {
	h := t.hold(task.Item.Request)
	if h == nil {
		return nil
	}
	if task.Job.Surface == surfaceResponses {
		if kept, err := t.a.responses.Any(ctx, task.Item.Name); err == nil && kept != nil {
			t.unsay(ctx, kept)
		}
	}
	err := gate.GiveBack(h, nil, job.Result{Fault: job.Cancelled}.Encode())
	t.quit(context.WithoutCancel(ctx), task, err)
	if err == nil {
		t.forget(task.Item.Request)
	}
	return err
}

// maxViews is how many answers about its jobs an account gets at once: each may
// hold a hundred results of half a megabyte, several times over.
const maxViews = 2

// seat waits for one of the account's seats, which is kept until ctx ends: that
// of a request ends when its answer has been written.
func (t *tasks) seat(ctx context.Context, a account.ID) error {
	v, _ := t.seats.LoadOrStore(a, make(chan struct{}, maxViews))
	seats := v.(chan struct{})
	select {
	case seats <- struct{}{}:
		context.AfterFunc(ctx, func() { <-seats })
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// jobDesk answers callers about their jobs.
type jobDesk struct{ a *App }

// Answer implements wire.Desk.
func (d jobDesk) Answer(ctx context.Context, q wire.Question) (contract.Data, error) {
	switch q.Method {
	case http.MethodPost:
		return d.submit(ctx, q)
	case http.MethodDelete:
		if err := d.a.jobs.Cancel(ctx, q.Caller.Who().Account.ID, q.Caller.Test(), q.ID); err != nil {
			return contract.Data{}, err
		}
	}
	return d.show(ctx, q)
}

// submit takes a job in: stored, then held for, then acknowledged.
func (d jobDesk) submit(ctx context.Context, q wire.Question) (contract.Data, error) {
	batch, err := prompt.DecodeBatch(q.Body, job.MaxItems)
	if err != nil {
		return contract.Data{}, err
	}
	c, ok := q.Caller.(caller)
	if !ok {
		return contract.Data{}, fault.New(fault.Internal, "") // cannot be: the edge made it
	}
	now, who := d.a.clock.now(), c.Who()
	j := &job.Job{ID: job.ID(obs.NewRequestID(now)), Account: who.Account.ID, Key: who.Key.ID, Test: who.Key.Test, Site: q.Site.Name, Surface: surfaceJobs, Model: batch.Model, Created: now}
	prepared := make([]gate.Prepared, len(batch.Items))
	for i, item := range batch.Items {
		req, err := d.a.tasks.dialect.DecodeFor(batch.Model, item.Body, nil)
		if err != nil {
			return contract.Data{}, err
		}
		id := obs.NewRequestID(now)
		if prepared[i], err = c.Prepare(req, id); err != nil {
			return contract.Data{}, err
		}
		j.Items = append(j.Items, job.Item{Name: item.ID, Request: id, Body: item.Body, Pinned: prepared[i].Pinned})
	}
	data := jobData(j, nil, nil, func(string) string { return "" })
	var kept *ledger.Stored
	holding := ctx
	if q.Keep != nil {
		kept = stored(q.Keep(data))
		// He can come back for it. If he took the job along when he leaves, a
		// crash before that is durable would leave the answer without its job.
		holding = context.WithoutCancel(ctx)
	}
	if err := d.a.jobs.Draft(ctx, j); err != nil {
		return contract.Data{}, err
	}
	if err := d.a.points.Hit(failpoint.CrashJobDrafted); err != nil {
		return contract.Data{}, err
	}
	holds, err := c.HoldAll(holding, j.ID, prepared, kept)
	if err != nil {
		return contract.Data{}, errors.Join(err, d.a.jobs.Discard(ctx, j))
	}
	if err := d.a.points.Hit(failpoint.CrashJobHeld); err != nil {
		return contract.Data{}, err
	}
	d.a.tasks.add(holds)
	d.a.jobs.Submit(j)
	return data, nil
}

// show tells how a job stands.
func (d jobDesk) show(ctx context.Context, q wire.Question) (contract.Data, error) {
	if err := d.a.tasks.seat(ctx, q.Caller.Who().Account.ID); err != nil {
		return contract.Data{}, err
	}
	j, running, err := d.a.jobs.Get(ctx, q.Caller.Who().Account.ID, q.Caller.Test(), q.ID)
	if err != nil {
		return contract.Data{}, err
	}
	holds, err := d.a.ledger.HoldsOf(ctx, j.ID)
	if err != nil {
		return contract.Data{}, err
	}
	return jobData(j, holds, running, func(name string) string {
		code, ok := fault.Lookup(name)
		if !ok {
			return name
		}
		if own := q.Site.Contract.Code(q.Envelope, code); own != "" {
			return own
		}
		return name
	}), nil
}

// The states of a job and of its requests.
const (
	jobQueued    = "queued"
	jobRunning   = "running"
	jobCompleted = "completed"
	jobFailed    = "failed"
	jobCancelled = "cancelled"
)

// jobData is a job as templates of contracts know it. code names a fault as the
// contract does.
func jobData(j *job.Job, holds []ledger.HoldRow, running map[[16]byte]bool, code func(string) string) contract.Data {
	byID := make(map[[16]byte]*ledger.HoldRow, len(holds))
	for i := range holds {
		byID[holds[i].ID] = &holds[i]
	}
	var completed, failed, begun int64
	var held, charged money.Amount
	rows := make([]contract.Values, len(j.Items))
	for i := range j.Items {
		item := &j.Items[i]
		row := contract.Values{"id": contract.Text(item.Name), "status": contract.Text(jobQueued)}
		rows[i] = row
		h := byID[item.Request]
		switch {
		case h == nil:
		case h.State == ledger.DurableOpen && running[item.Request]:
			row["status"] = contract.Text(jobRunning)
			begun++
			held += h.Amount
		case h.State == ledger.DurableOpen:
			held += h.Amount
		case h.State == ledger.DurablePosted:
			completed++
			charged += h.Charge
			answered(row, job.DecodeResult(h.Result), h.Charge)
		default:
			failed++
			unanswered(row, job.DecodeResult(h.Result), code)
		}
	}
	v := contract.Values{
		"job": contract.Text(j.ID.String()), "model": contract.Text(j.Model), "status": contract.Text(state(j, completed, failed, begun)),
		"total": contract.Number(int64(len(j.Items))), "accepted": contract.Number(int64(len(j.Items))),
		"completed": contract.Number(completed), "failed": contract.Number(failed),
		"hold": contract.USD(held), "charge": contract.USD(charged),
		"created_at": contract.Time(j.Created), "ended_at": contract.Time(endOf(j, holds)),
	}
	return contract.Data{Values: v, Lists: map[string][]contract.Values{"results": rows}}
}

// endOf is when the job ended: with the last of its requests, where the store has
// not been told yet; zero: it has not.
func endOf(j *job.Job, holds []ledger.HoldRow) time.Time {
	if !j.Ended.IsZero() || len(holds) < len(j.Items) {
		return j.Ended
	}
	var last time.Time
	for i := range holds {
		if holds[i].State == ledger.DurableOpen {
			return time.Time{}
		}
		if holds[i].Ended.After(last) {
			last = holds[i].Ended
		}
	}
	return last
}

func answered(row contract.Values, r job.Result, charge money.Amount) {
	row["status"], row["text"], row["charge"] = contract.Text(jobCompleted), contract.Text(r.Text), contract.USD(charge)
	row["input_tokens"], row["output_tokens"], row["total_tokens"] = contract.Number(r.Input), contract.Number(r.Output), contract.Number(r.Input+r.Output)
}

func unanswered(row contract.Values, r job.Result, code func(string) string) {
	row["charge"] = contract.USD(0)
	if r.Fault == job.Cancelled {
		row["status"] = contract.Text(jobCancelled)
		return
	}
	row["status"], row["error"], row["message"] = contract.Text(jobFailed), contract.Text(code(r.Fault)), contract.Text(r.Message)
}

// state is how a job stands as a whole.
func state(j *job.Job, completed, failed, begun int64) string {
	over := completed+failed == int64(len(j.Items))
	switch {
	case !j.Cancelled.IsZero():
		return jobCancelled
	case over && completed > 0:
		return jobCompleted
	case over:
		return jobFailed
	case completed+failed+begun > 0:
		return jobRunning
	}
	return jobQueued
}

var _ job.Gate = (*tasks)(nil)

// startJobs takes up the jobs that the last process left.
func (a *App) startJobs(ctx context.Context) error {
	a.tasks = newTasks(a)
	a.jobs = job.NewRunner(a.db.Jobs(), a.tasks, a.clock.now, func(err error) {
		a.obs.Logger().Error("a job could not go on; it is taken up again when the process is started again", "error", err.Error())
	})
	a.undo = append(a.undo, func() error {
		over, cancel := context.WithCancel(context.Background())
		cancel()
		a.jobs.Stop(over)
		return nil
	})
	return a.jobs.Start(ctx)
}
