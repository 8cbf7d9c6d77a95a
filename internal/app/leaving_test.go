package app

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/job"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/response"
	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/internal/wire/responses"
)

// listens asks for a streamed response in the background, reads it up to the event
// with that in it, and returns the response as it is kept.
func (b *between) listens(t *testing.T, body, until string) *response.Response {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+b.Addr()+"/v1/responses", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+b.key)
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	id, read := "", bufio.NewReader(resp.Body)
	for {
		line, err := read.ReadString('\n')
		if err != nil {
			t.Fatalf("%d: no %s: %s (%v)", resp.StatusCode, until, line, err)
		}
		if _, rest, ok := strings.Cut(line, `"id":"resp_`); ok && id == "" {
			id, _, _ = strings.Cut("resp_"+rest, `"`)
		}
		if strings.Contains(line, until) {
			break
		}
	}
	r, err := b.responses.Any(t.Context(), id)
	if err != nil || r == nil {
		t.Fatalf("%s: %v", id, err)
	}
	return r
}

// rests waits until the job of a response rests, and returns how it is kept and what
// it cost.
func (b *between) rests(t *testing.T, r *response.Response) (status string, charge money.Amount) {
	t.Helper()
	ctx, enough := context.WithTimeout(t.Context(), time.Minute)
	defer enough()
	if err := b.jobs.Rested(ctx, r.Job); err != nil {
		t.Fatal(err)
	}
	now, err := b.responses.Any(ctx, r.ID)
	if err == nil {
		err = b.settle(ctx, now)
	}
	holds, fail := b.ledger.HoldsOf(ctx, r.Job)
	if err != nil || fail != nil || len(holds) != 1 || holds[0].State == ledger.DurableOpen {
		t.Fatalf("%v, %v: %+v", err, fail, holds)
	}
	if posted := b.ledger.Balance(int64(b.acc.ID)).Posted; posted != money.Dollar-holds[0].Charge || !b.ledger.Idle() {
		t.Errorf("the balance is %d, and %d was charged", posted, holds[0].Charge)
	}
	rep, err := b.ledger.Verify(ctx)
	if err != nil || !rep.OK {
		t.Errorf("verify: %+v, %v", rep, err)
	}
	return responses.Status(now.Object), holds[0].Charge
}

// chats has one upstream that knows chat completions alone.
const chats = `server: {listen: "127.0.0.1:0", admin_listen: "127.0.0.1:0", admin_token: abcdefghijklmnopqrstuvwxyz}
store: {url: "sqlite:data/pontage.db"}
providers: {one: {kind: openai, api_key: %[3]s, base_url: "%[1]s/v1"}, two: {kind: openai, api_key: %[3]s, base_url: "%[2]s/v1"}}
models: {m: {targets: [{provider: one}], attempts: 1, price: {input: 1, output: 2}, context: 100000, max_output: 10000}}
sites: [{hosts: ["*"], contract: openai}]
`

const heard = `{"model":"m","input":"hi","background":true,"stream":true,"max_output_tokens":100}`

// Who is told all of a response, and cancels it while only its usage is to come, has
// come too late: it has ended, and costs what it says.
func TestACancelThatComesWithTheLastWordIsNoFreeAnswer(t *testing.T) {
	t.Parallel()
	b := standOn(t, chats)
	gate := make(chan struct{})
	a := testkit.SSE(
		`{"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":"Blue."},"finish_reason":"stop"}]}`,
		`{"id":"c","choices":[],"usage":{"prompt_tokens":12,"completion_tokens":34,"total_tokens":46}}`,
		"[DONE]",
	)
	a.Frames[1].Gate = gate
	b.first.Queue(a)
	r := b.listens(t, heard, `"delta":"Blue."`)
	if err := b.jobs.Cancel(t.Context(), b.acc.ID, false, job.ID(r.Job).String()); err != nil {
		t.Fatal(err)
	}
	close(gate)
	if status, charge := b.rests(t, r); status != "completed" || charge != 12*1000+34*2000 {
		t.Errorf("it is %s, and cost %d", status, charge)
	}
}

// Who pads his response until it is too large to be kept has been told it all the same,
// and pays for it.
func TestWhatWasToldAndCannotBeKeptIsPaidFor(t *testing.T) {
	t.Parallel()
	for _, cancels := range []bool{false, true} {
		b := standOn(t, chats)
		gate := make(chan struct{})
		a := testkit.SSE(
			`{"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":"`+strings.Repeat("x", 8000)+`"},"finish_reason":null}]}`,
			`{"id":"c","choices":[{"index":0,"delta":{"content":"Blue."},"finish_reason":null}]}`,
			`{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`,
			`{"id":"c","choices":[],"usage":{"prompt_tokens":12,"completion_tokens":34,"total_tokens":46}}`,
			"[DONE]",
		)
		a.Frames[2].Gate = gate
		b.first.Queue(a)
		padded := strings.Replace(heard, "{", `{"prompt_cache_key":"`+strings.Repeat("x", response.MaxBytes-4000)+`",`, 1)
		r := b.listens(t, padded, `"delta":"Blue."`)
		want, least := "failed", money.Amount(12*1000+34*2000)
		if cancels {
			want, least = "cancelled", 100*2000
			if err := b.jobs.Cancel(t.Context(), b.acc.ID, false, job.ID(r.Job).String()); err != nil {
				t.Fatal(err)
			}
		} else {
			close(gate)
		}
		if status, charge := b.rests(t, r); status != want || charge < least {
			t.Errorf("cancelled %t: it is %s, and cost %d", cancels, status, charge)
		}
		if cancels {
			close(gate)
		}
	}
}

// A process that dies between keeping what was told of a cancelled response and its
// charge leaves it to the next one, which charges nothing, and shows nothing either.
func TestWhatWasKeptAndNotChargedIsNotShown(t *testing.T) {
	t.Parallel()
	b := standOn(t, chats)
	ctx, id, group := t.Context(), [16]byte{1}, [16]byte{2}
	k, _, err := b.accounts.CreateKey(ctx, account.NewKey{Account: b.acc.ID, Name: "of the job", Prefix: "sk-"})
	if err != nil {
		t.Fatal(err)
	}
	holds, err := b.ledger.HoldDurably(ctx, []ledger.Reservation{{Account: int64(b.acc.ID), Key: int64(k.ID), Request: id, Amount: 5}}, ledger.DurableOptions{Group: group})
	if err != nil {
		t.Fatal(err)
	}
	b.tasks.add(holds)
	r := &response.Response{
		ID: "resp_1", Owner: response.Owner{Account: b.acc.ID}, Created: b.clock.now(), Job: group, Input: []byte(`[]`),
		Object: []byte(`{"id":"resp_1","status":"cancelled","output":[{"type":"message","content":[{"type":"output_text","text":"Blue."}]}]}`),
	}
	if err := b.responses.Put(ctx, r, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.responses.Attempt(ctx, r.ID); err != nil {
		t.Fatal(err)
	}
	if err := b.tasks.GiveBack(ctx, job.Task{Job: &job.Job{ID: group, Surface: surfaceResponses}, Item: &job.Item{Name: r.ID, Request: id}}); err != nil {
		t.Fatal(err)
	}
	status, charge := b.rests(t, r)
	now, err := b.responses.Any(ctx, r.ID)
	if err != nil || status != "cancelled" || charge != 0 || strings.Contains(string(now.Object), "Blue.") {
		t.Errorf("%v: it is %s, cost %d, and is %s", err, status, charge, now.Object)
	}
}
