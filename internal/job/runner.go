package job

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/fault"
)

// Runner answers jobs in the background. Its methods may be called by many
// goroutines. Start it once, and Stop it before what it works with is closed.
type Runner struct {
	store Store
	gate  Gate
	now   func() time.Time
	fail  func(error) // told of what nobody else can be told of

	ctx    context.Context
	cancel context.CancelCauseFunc
	done   sync.WaitGroup

	mu      sync.Mutex
	ready   *sync.Cond // signalled when queue grows, or the runner stops
	queue   []Task     // guarded by mu, as all below
	stopped bool
	open    map[account.ID]int // tasks that wait or run, those of drafts included
	total   int
	bytes   int                                  // of the requests
	left    map[ID]int                           // of each job: tasks that have not ended
	stuck   map[ID]int                           // of those: which only the next process can end
	running map[[16]byte]context.CancelCauseFunc // by request
	busy    map[account.ID]int                   // tasks that run
	gone    map[ID]bool                          // cancelled: what waits is given back, and what is yet to be submitted
}

// NewRunner returns a runner that does nothing yet. fail is told of errors that
// no caller waits for; nil: they are dropped.
func NewRunner(s Store, g Gate, now func() time.Time, fail func(error)) *Runner {
	if fail == nil {
		fail = func(error) {}
	}
	r := &Runner{
		store: s, gate: g, now: now, fail: fail,
		open: map[account.ID]int{}, left: map[ID]int{}, stuck: map[ID]int{}, running: map[[16]byte]context.CancelCauseFunc{}, gone: map[ID]bool{},
		busy: map[account.ID]int{},
	}
	r.ready = sync.NewCond(&r.mu)
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	return r
}

// Start takes up what the last process left, and begins to work.
func (r *Runner) Start(ctx context.Context) error {
	jobs, err := r.store.Open(ctx)
	if err != nil {
		return fmt.Errorf("jobs: %w", err)
	}
	held := r.gate.Open()
	for _, j := range jobs {
		if err := r.takeUp(ctx, j, held); err != nil {
			return fmt.Errorf("jobs: %w", err)
		}
	}
	for id := range held { // of no job that is open
		if err := r.gate.GiveBack(ctx, Task{&Job{}, &Item{Request: id}}); err != nil {
			return fmt.Errorf("jobs: give back: %w", err)
		}
	}
	for range workers {
		r.done.Go(r.work)
	}
	return nil
}

// takeUp queues what is left of a job, and takes it out of held.
func (r *Runner) takeUp(ctx context.Context, j *Job, held map[[16]byte]bool) error {
	var tasks []Task
	for i := range j.Items {
		if id := j.Items[i].Request; held[id] {
			tasks = append(tasks, Task{j, &j.Items[i]})
			delete(held, id)
		}
	}
	if len(tasks) == 0 {
		// Nothing was held for it yet, so it was never acknowledged; or all of it
		// has ended, and only that was not noted. Both are over.
		return r.store.End(ctx, j.ID, r.now())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range tasks {
		r.reserve(j, []Item{*t.Item})
	}
	if !j.Cancelled.IsZero() {
		r.gone[j.ID] = true
	}
	r.enqueue(tasks)
	return nil
}

// Stop ends the work: nothing new is begun, and what runs may go on until ctx
// ends. Then it is broken off and stays held, for the next process. Stop returns
// when nothing works any more. It may be called any number of times.
func (r *Runner) Stop(ctx context.Context) {
	r.mu.Lock()
	r.stopped = true
	r.ready.Broadcast()
	r.mu.Unlock()
	breakOff := context.AfterFunc(ctx, func() { r.cancel(ErrStopping) })
	defer breakOff()
	r.done.Wait()
}

// Draft stores a job that nothing is held for yet, and keeps its room in the
// queue. Its error may be a *fault.Error: ConcurrencyLimited if the account has
// too much open already, Overloaded if everybody together has. Submit or Discard
// follows, unless there is an error.
func (r *Runner) Draft(ctx context.Context, j *Job) error {
	if err := r.room(j); err != nil {
		return err
	}
	err := r.store.Purge(ctx, r.now().Add(-Retention), purged)
	if err == nil {
		err = r.store.Put(ctx, j)
	}
	if err != nil {
		r.leave(j, j.Items)
		return fmt.Errorf("job: %w", err)
	}
	return nil
}

// room keeps room for a job, if there is any.
func (r *Runner) room(j *Job) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var e *fault.Error
	a, n := j.Account, len(j.Items)
	switch {
	case r.stopped:
		e = fault.New(fault.Draining, "")
	case r.open[a]+n > MaxOpen:
		e = fault.New(fault.ConcurrencyLimited, "At most %d requests of an account may wait in jobs.", MaxOpen)
	case r.total+n > MaxQueued || r.bytes+weight(j.Items) > MaxBytes:
		e = fault.New(fault.Overloaded, "")
	default:
		r.reserve(j, j.Items)
		return nil
	}
	e.RetryAfter = 30 * time.Second
	return e
}

// weight is how many bytes requests have.
func weight(items []Item) (n int) {
	for i := range items {
		n += len(items[i].Body)
	}
	return n
}

// reserve counts requests of a job as open. The caller holds mu.
func (r *Runner) reserve(j *Job, items []Item) {
	r.left[j.ID] += len(items)
	r.open[j.Account] += len(items)
	r.total += len(items)
	r.bytes += weight(items)
}

// leave counts requests of a job as ended, and reports whether they were the
// last.
func (r *Runner) leave(j *Job, items []Item) (last bool) {
	n := len(items)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total -= n
	r.bytes -= weight(items)
	if r.open[j.Account] -= n; r.open[j.Account] == 0 {
		delete(r.open, j.Account)
	}
	if r.left[j.ID] -= n; r.left[j.ID] > 0 {
		return false
	}
	delete(r.left, j.ID)
	delete(r.gone, j.ID)
	return true
}

// Submit starts a drafted job whose requests are all held. It cannot fail.
func (r *Runner) Submit(j *Job) {
	tasks := make([]Task, len(j.Items))
	for i := range j.Items {
		tasks[i] = Task{j, &j.Items[i]}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.enqueue(tasks)
}

// Discard forgets a drafted job that could not be held, perhaps because its
// caller has left.
func (r *Runner) Discard(ctx context.Context, j *Job) error {
	r.leave(j, j.Items)
	return r.store.Delete(context.WithoutCancel(ctx), j.ID)
}

// enqueue adds the tasks of one job. The caller holds mu.
func (r *Runner) enqueue(tasks []Task) {
	r.queue = append(r.queue, tasks...)
	r.ready.Broadcast()
}

// Get returns an account's job, of its live or its test keys, and which of its
// requests run at the moment; a JobNotFound fault if the account has no such job.
func (r *Runner) Get(ctx context.Context, a account.ID, test bool, id string) (j *Job, running map[[16]byte]bool, err error) {
	parsed, err := ParseID(id)
	if err != nil {
		return nil, nil, notFound(id)
	}
	if j, err = r.store.Get(ctx, parsed); err != nil {
		return nil, nil, fmt.Errorf("job: %w", err)
	}
	if j == nil || j.Account != a || j.Test != test {
		return nil, nil, notFound(id)
	}
	running = map[[16]byte]bool{}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range j.Items {
		_, running[j.Items[i].Request] = r.running[j.Items[i].Request]
	}
	return j, running, nil
}

// Running reports whether a request runs at the moment.
func (r *Runner) Running(request [16]byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.running[request]
	return ok
}

// Rested waits until nothing of a job waits or runs any more, or ctx ends. It is an
// Internal fault if some of it can be ended by the next process only.
func (r *Runner) Rested(ctx context.Context, id ID) error {
	for {
		r.mu.Lock()
		left, stuck := r.left[id], r.stuck[id]
		r.mu.Unlock()
		switch {
		case left == 0:
			return nil
		case left == stuck:
			return fault.New(fault.Internal, "")
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(restLook):
		}
	}
}

// restLook is how often it is looked whether a job that is broken off rests.
const restLook = 5 * time.Millisecond

func notFound(id string) *fault.Error {
	return fault.New(fault.JobNotFound, "").With("job", id[:min(len(id), 64)])
}

// Cancel ends an account's job early: what waits is given back before it
// returns, and what runs is broken off. Cancelling a job that has ended changes
// nothing. It is a JobNotFound fault if the account has no such job.
func (r *Runner) Cancel(ctx context.Context, a account.ID, test bool, id string) error {
	j, _, err := r.Get(ctx, a, test, id)
	if err != nil {
		return err
	}
	if !j.Ended.IsZero() {
		return nil
	}
	if err := r.store.Cancel(ctx, j.ID, r.now()); err != nil {
		return fmt.Errorf("job: %w", err)
	}
	for _, t := range r.withdraw(j) {
		r.giveBack(ctx, t)
	}
	return nil
}

// withdraw takes what waits of a job out of the queue, and breaks off what runs.
func (r *Runner) withdraw(j *Job) []Task {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left[j.ID] == 0 {
		return nil
	}
	r.gone[j.ID] = true
	var out []Task
	kept := r.queue[:0]
	for _, t := range r.queue {
		if t.Job.ID == j.ID {
			out = append(out, t)
		} else {
			kept = append(kept, t)
		}
	}
	clear(r.queue[len(kept):])
	r.queue = kept
	for i := range j.Items {
		if cancel := r.running[j.Items[i].Request]; cancel != nil {
			cancel(errCancelled)
		}
	}
	return out
}

// work answers one task after another.
func (r *Runner) work() {
	for {
		t, ctx, ok := r.next()
		if !ok {
			return
		}
		if ctx == nil {
			r.giveBack(r.ctx, t)
			continue
		}
		err := r.gate.Run(ctx, t)
		r.rest(t)
		switch {
		case err == nil:
			r.ended(r.ctx, t)
		case !errors.Is(err, ErrStopping):
			r.leaveOpen(t, err)
		}
	}
}

// next waits for a task. Without a context it is one of a cancelled job, to be
// given back.
func (r *Runner) next() (t Task, ctx context.Context, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.queue) == 0 && !r.stopped {
		r.ready.Wait()
	}
	if r.stopped {
		return Task{}, nil, false
	}
	i := r.turn()
	t = r.queue[i]
	r.queue = slices.Delete(r.queue, i, i+1)
	if r.gone[t.Job.ID] {
		return t, nil, true
	}
	ctx, r.running[t.Item.Request] = context.WithCancelCause(r.ctx)
	r.busy[t.Job.Account]++
	return t, ctx, true
}

// rest notes that a task does not run any more.
func (r *Runner) rest(t Task) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running[t.Item.Request](nil)
	delete(r.running, t.Item.Request)
	if r.busy[t.Job.Account]--; r.busy[t.Job.Account] == 0 {
		delete(r.busy, t.Job.Account)
	}
}

// turn returns whose turn it is in the queue: the first task of the account of
// which the fewest run. The caller holds mu.
func (r *Runner) turn() int {
	best := 0
	for i := range r.queue {
		n := r.busy[r.queue[i].Job.Account]
		if n == 0 {
			return i
		}
		if n < r.busy[r.queue[best].Job.Account] {
			best = i
		}
	}
	return best
}

// leaveOpen notes that a task could not be ended. Its hold is still open: the next
// process takes it up.
func (r *Runner) leaveOpen(t Task, err error) {
	r.mu.Lock()
	r.stuck[t.Job.ID]++
	r.mu.Unlock()
	r.fail(fmt.Errorf("job %s: %w", t.Job.ID, err))
}

// giveBack ends a task that is not to run, if it can.
func (r *Runner) giveBack(ctx context.Context, t Task) {
	if err := r.gate.GiveBack(ctx, t); err != nil {
		r.leaveOpen(t, fmt.Errorf("give back: %w", err))
		return
	}
	r.ended(ctx, t)
}

// ended notes the end of a task, and of its job if it was the last.
func (r *Runner) ended(ctx context.Context, t Task) {
	if !r.leave(t.Job, []Item{*t.Item}) {
		return
	}
	if err := r.store.End(context.WithoutCancel(ctx), t.Job.ID, r.now()); err != nil {
		r.fail(fmt.Errorf("job %s: %w", t.Job.ID, err)) // noted at the next start
	}
}
