package kill

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pontage/pontage/internal/failpoint"
	"github.com/pontage/pontage/test/harness"
)

// askers is how many callers of a keyed campaign ask at a time.
const askers = 12

// keyedPrice is what a request costs there, in nano-dollars.
const keyedPrice = 1_000_000

const keyedConfig = `
providers: {sim: {kind: sim}}
models: {m: {targets: [{provider: sim}], context: 100000, max_output: 5000, price: {request: 0.001}}}
sites: [{hosts: ["*"], contract: llmtune}, {hosts: [open.localhost], contract: openai}]
`

// openly is the host on which the same gateway speaks as OpenAI and Anthropic do.
const openly = "open.localhost"

// keyed is the campaign of idempotency keys and jobs. Each caller asks with a key
// until he has had its answer three times, and mostly leaves before, while the
// process is killed again and again. Whatever happens, a key is charged once.
type keyed struct {
	*campaign
	client *http.Client
	key    *key
	open   *key // of the same account, for the other host

	alive  sync.RWMutex // locked while there is no process
	halt   atomic.Bool  // the callers begin nothing more
	stop   func()       // and leave what they have begun
	priced atomic.Int64 // requests that are to be charged
	keys   atomic.Int64 // that were answered
}

func newKeyed(c *campaign) *keyed {
	return &keyed{campaign: c, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: askers}}}
}

// death is how a life of a keyed campaign ends: by kill -9, if by nothing else.
type death struct {
	life
	shape func(*keyed)
}

// tooLate is the life in which a charge becomes durable when nobody waits for it
// any more, and is taken back.
const tooLate = "a charge that comes too late"

func (k *keyed) deaths() []death {
	kill := death{life{name: "kill"}, func(k *keyed) { k.kill(nil) }}
	all := []death{kill, kill, kill, kill, kill, {life{name: tooLate}, (*keyed).late}}
	for _, point := range crashPoints() {
		d := death{life{name: point, point: point, times: 1}, func(k *keyed) { k.point(nil) }}
		if point == failpoint.CrashMidRecovery {
			d.shape = kill.shape
		}
		all = append(all, d)
	}
	k.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return append([]death{kill}, all...)
}

// run lives every life, or until something was found.
func (k *keyed) run() {
	k.w = &world{rng: k.rng, book: newBook()}
	dir := k.t.TempDir()
	k.g = harness.Prepare(k.t, harness.Options{
		Config: keyedConfig, Env: k.env, Dir: dir,
		Args: []string{"serve", "--test", "--log-level", "error", "--config", filepath.Join(dir, "pontage.yaml")},
	})
	if err := k.g.Launch(k.t); err != nil {
		k.f.add(trouble, "the first start: %v", err)
		return
	}
	k.key = k.w.newKey(k.t, k.g, k.w.newAccount(k.t, k.g, "insistent", richMoney), 0, 0)
	k.open = k.w.newKeyFor(k.t, k.g, k.key.account, map[string]any{"site": openly})
	k.slowDown()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	k.stop = cancel
	var wg sync.WaitGroup
	for n := range askers {
		rng := rand.New(rand.NewPCG(k.rng.Uint64(), 2))
		wg.Go(func() { k.work(ctx, rng, n) })
	}
	queue, late := k.deaths(), 0
	k.life = queue[0].life
	for len(queue) > 0 && !k.f.any() {
		d := queue[0]
		queue = queue[1:]
		d.shape(k)
		if d.name == tooLate && len(k.w.book.refunds) == 0 && late < 2 {
			late++ // it ended before, or what came too late was nobody's
			queue = append(queue, d)
		}
		next := life{name: "the last"}
		if len(queue) > 0 {
			next = queue[0].life
		}
		k.revive(next)
	}
	k.halt.Store(true)
	if k.f.any() {
		k.stop()
	}
	wg.Wait()
	k.account()
}

// revive makes sure that the process is gone, looks at what it left, and starts
// the next one.
func (k *keyed) revive(next life) {
	k.alive.Lock()
	defer k.alive.Unlock()
	if !k.ended {
		k.g.Kill()
		k.f.died(byKill)
	}
	k.readDead(k.paid)
	k.life, k.ended = next, false
	if k.start() {
		k.verifyLiving()
		k.slowDown()
	}
}

// slowDown makes answers take long enough to be killed in the middle.
func (k *keyed) slowDown() {
	slow := map[string]any{"model": "m", "steps": []map[string]any{{"events": 12, "per_event_ms": 6, "times": -1}}}
	if status, b, err := k.g.Admin(context.Background(), http.MethodPut, "/admin/v1/test/sim", slow, nil); err != nil || status != http.StatusOK {
		k.f.add(trouble, "slow the simulator down: %d %s %v", status, b, err)
	}
}

// late keeps a batch of the journal from its end for longer than an answer waits
// for its charge, which is 10 s, and then lets it through. The commit before is
// slow, so that many charges are in the batch. Then the disk is full, but not for
// the 10 s after which that ends the process, and the commit is slow, too.
func (k *keyed) late() {
	k.life.point, k.life.times = failpoint.SlowFsync, 2 // 1.5 s each
	if !k.watch(k.some(200*time.Millisecond)) || !k.armed() || !k.watch(700*time.Millisecond) {
		return
	}
	k.life.point, k.life.times = failpoint.DiskFull, 1000
	if !k.armed() || !k.outlive(9900*time.Millisecond) {
		return
	}
	k.life.times = 0
	if !k.armed() || !k.recovers() {
		return
	}
	k.verifyLiving() // behind what was queued before
	k.readLiving()
}

func (k *keyed) armed() bool {
	err := k.arm()
	if err != nil {
		k.f.add(trouble, "arm %s: %v", k.life.point, err)
	}
	return err == nil && !k.f.any()
}

// outlive lets the process try for a while. It may give up.
func (k *keyed) outlive(d time.Duration) bool {
	select {
	case err := <-k.g.Gone():
		k.gaveUp(err)
		return false
	case <-time.After(d):
		return true
	}
}

// gaveUp notes that the process has ended as one that cannot write for long does.
func (k *keyed) gaveUp(err error) {
	k.gone()
	k.f.ends++
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 75 {
		k.f.add(trouble, "%s: it ended with %v\n%s", tooLate, err, lastLines(k.g.Log()))
	}
}

// recovers waits until the process is ready again.
func (k *keyed) recovers() bool {
	for begun := time.Now(); time.Since(begun) < patience; {
		if said, err := k.health(); err == nil && said == "" {
			return true
		}
		if !k.outlive(10 * time.Millisecond) {
			return false
		}
	}
	k.f.add(trouble, "%s: it is not ready again", tooLate)
	return false
}

// readLiving reads what the process has written by now.
func (k *keyed) readLiving() {
	db, err := open(k.g.DatabasePath())
	if err != nil {
		k.f.add(trouble, "open the database: %v", err)
		return
	}
	defer func() { _ = db.Close() }()
	lines, err := k.w.book.read(context.Background(), db)
	if err != nil {
		k.f.add(wrong, "%s: %v", k.life.name, err)
	}
	k.w.book.add(lines, k.f)
}

// work is a caller. He asks for one kind of answer after the other.
func (k *keyed) work(ctx context.Context, rng *rand.Rand, worker int) {
	for n := 0; !k.halt.Load(); n++ {
		q := question{key: fmt.Sprintf("k-%d-%d", worker, n), kind: kinds[n%len(kinds)], twice: rng.IntN(3) == 0, costs: 1}
		if q.kind == aJob {
			q.costs = 2
		}
		if !k.insist(ctx, rng, q) {
			k.stop()
			return
		}
		k.keys.Add(1)
		k.priced.Add(q.costs)
	}
}

// kind is what an answer is asked for in.
type kind struct {
	host   string // empty: the first site
	path   string
	body   string // with a verb for the idempotency key
	last   string // what a stream ends with; empty: it is no stream
	header string // of the gateway's key; empty: Authorization
}

// aJob is a job of two requests.
var aJob = kind{path: "/v1/batch/inference", body: `{"modelId":"m","requests":[{"prompt":%q},{"prompt":"b"}]}`}

var kinds = []kind{
	{path: chat, body: `{"model":"m","messages":[{"role":"user","content":"Why is the sky blue?"}],"user":%q}`},
	{path: chat, body: `{"model":"m","messages":[{"role":"user","content":"Why is the sky blue?"}],"stream":true,"user":%q}`, last: "data: [DONE]\n\n"},
	aJob,
	{host: openly, path: messages, header: "X-Api-Key", body: `{"model":"m","max_tokens":100,"messages":[{"role":"user","content":%q}]}`},
	{path: "/v1/models/m/inference", body: `{"prompt":%q}`},
	{host: openly, path: messages, header: "X-Api-Key", body: `{"model":"m","max_tokens":100,"stream":true,"messages":[{"role":"user","content":%q}]}`, last: "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"},
	{host: openly, path: simple, body: `{"model":"m","messages":[{"role":"user","content":%q}]}`},
	{host: openly, path: chat, body: `{"model":"m","messages":[{"role":"user","content":%q}],"stream":true}`, last: "data: [DONE]\n\n"},
}

// question is what is asked with one key.
type question struct {
	key string
	kind
	twice bool  // on two connections at once
	costs int64 // requests
}

// reply is what came; a status of 0 is nothing.
type reply struct {
	body   []byte
	status int
}

// ask asks once, or twice at once.
func (k *keyed) ask(ctx context.Context, rng *rand.Rand, q question) []reply {
	replies := make([]reply, 1, 2)
	if !q.twice {
		replies[0] = k.impatient(ctx, rng, q)
		return replies
	}
	replies = append(replies, reply{})
	var both sync.WaitGroup
	for i := range replies {
		own := rand.New(rand.NewPCG(rng.Uint64(), 4))
		both.Go(func() { replies[i] = k.impatient(ctx, own, q) })
	}
	both.Wait()
	return replies
}

// insist asks until it has had the answer three times. It reports false if it is
// to end for something else.
func (k *keyed) insist(ctx context.Context, rng *rand.Rand, q question) bool {
	var first []byte
	deadline := time.Now().Add(jobLimit)
	for had := 0; had < 3; {
		before := had
		for _, r := range k.ask(ctx, rng, q) {
			switch {
			case r.status == 0 || r.status == http.StatusServiceUnavailable || r.status == http.StatusOK && !bytes.HasSuffix(r.body, []byte(q.last)):
				continue
			case r.status != http.StatusOK:
				k.f.add(wrong, "%s: %d %s", q.key, r.status, r.body)
				return false
			case first == nil:
				first = r.body
			case !bytes.Equal(first, r.body):
				k.f.add(wrong, "%s: %s\nand then %s", q.key, first, r.body)
				return false
			}
			had++
		}
		switch {
		case ctx.Err() != nil:
			return false
		case time.Now().After(deadline):
			k.f.add(lost, "%s: %d answers came within %v", q.key, had, jobLimit)
			return false
		case had == before: // as a client does, so that there is room for others
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	return true
}

// impatient asks, and leaves after a while, mostly before there is an answer.
func (k *keyed) impatient(ctx context.Context, rng *rand.Rand, q question) reply {
	patience := 2*time.Millisecond + time.Duration(rng.Int64N(int64(70*time.Millisecond)))
	if rng.IntN(4) == 0 {
		patience = 2 * time.Second
	}
	ctx, leave := context.WithTimeout(ctx, patience)
	defer leave()
	k.alive.RLock()
	base := k.g.URL
	k.alive.RUnlock()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+q.path, strings.NewReader(fmt.Sprintf(q.body, q.key)))
	if err != nil {
		panic(err) // the URL is the harness's own
	}
	secret := k.key.secret
	if q.host != "" {
		req.Host, secret = q.host, k.open.secret
	}
	if q.header != "" {
		req.Header.Set(q.header, secret)
	} else {
		req.Header.Set("Authorization", "Bearer "+secret)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", q.key)
	resp, err := k.client.Do(req)
	if err != nil {
		return reply{}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return reply{}
	}
	return reply{body, resp.StatusCode}
}

// paid makes sure that every answer that is kept for a key was charged, and that
// the charge stands. An answer without a charge of its own is a job.
func (k *keyed) paid(ctx context.Context, db *sql.DB) error {
	rows, err := db.QueryContext(ctx, "SELECT k, seq, req FROM idem")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name, request []byte
		var seq int64
		if err := rows.Scan(&name, &seq, &request); err != nil {
			return err
		}
		if seq == 0 {
			continue
		}
		switch c := k.w.book.charges[requestID(request)]; {
		case c == nil || c.line.seq != seq:
			k.f.add(lost, "the answer of key %s is kept, and entry %d does not charge it", name, seq)
		case c.refunded > 0:
			k.f.add(lost, "the answer of key %s is kept, and its charge, entry %d, was taken back", name, seq)
		}
	}
	return rows.Err()
}

// account waits until the jobs are done, and counts.
func (k *keyed) account() {
	k.client.CloseIdleConnections()
	if k.f.any() {
		k.evidence()
		return
	}
	if !k.examineLiving() {
		return
	}
	a := k.key.account
	used := richMoney - k.w.book.purses[a.num].balance()
	switch want := k.priced.Load() * keyedPrice; {
	case used < want:
		k.f.add(lost, "%d keys and jobs were answered, which is %s, and %s was charged", k.keys.Load(), usd(want), usd(used))
	case used > want:
		k.f.add(double, "%d keys and jobs were answered, which is %s, and %s was charged", k.keys.Load(), usd(want), usd(used))
	}
	if err := k.g.Stop(); err != nil {
		k.f.add(trouble, "SIGTERM: it ended with %v", err)
	}
	k.ended = true
	k.readDead(k.paid)
	k.readDead(k.closed)
	if k.f.any() {
		k.evidence()
	}
}

// closed makes sure that no job has a request left to do.
func (k *keyed) closed(ctx context.Context, db *sql.DB) error {
	var open int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM holds WHERE state = 1").Scan(&open); err != nil {
		return err
	}
	if open > 0 {
		k.f.add(held, "%d requests of jobs are still to be done, and nobody does them", open)
	}
	return nil
}
