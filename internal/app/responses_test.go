package app

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/response"
	"github.com/pontage/pontage/internal/wire/responses"
)

// Who has read a response before its job ended, and finds out now that it has, must
// not write back what he had read: the answer was paid for.
func TestAnAnswerIsNotOverwrittenByWhoReadBefore(t *testing.T) {
	t.Parallel()
	r := serving(t, small)
	r.responses = response.New(r.db.Responses(), time.Hour, r.clock.now)
	if err := r.sim.Script("m", steps(t, `[{"events": 3, "per_event_ms": 1000}]`)); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+r.Addr()+"/v1/responses", strings.NewReader(`{"model":"m","input":"hi","background":true,"max_output_tokens":100}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.key(t, "cancel"))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	_, id, _ := strings.Cut(string(body), `"id":"`)
	id, _, _ = strings.Cut(id, `"`)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%d %v %s", resp.StatusCode, err, body)
	}
	before, err := r.responses.Any(t.Context(), id)
	if err != nil || before == nil || before.Ended {
		t.Fatalf("%+v, %v", before, err)
	}
	var now *response.Response
	for deadline := time.Now().Add(time.Minute); now == nil || !now.Ended; time.Sleep(5 * time.Millisecond) {
		if now, err = r.responses.Any(t.Context(), id); err != nil || time.Now().After(deadline) {
			t.Fatalf("it does not end: %v", err)
		}
	}
	if err := r.settle(t.Context(), before); err != nil || string(before.Object) != string(now.Object) {
		t.Errorf("%v: it is told as %s", err, before.Object)
	}
	kept, err := r.responses.Any(t.Context(), id)
	if err != nil || responses.Status(kept.Object) != "completed" {
		t.Errorf("kept as %s, %v", kept.Object, err)
	}
}

// Who reads what a response said, and finds the rest deleted, is told so: silence
// would look like the end.
func TestAResponseThatIsDeletedWhileItIsRead(t *testing.T) {
	t.Parallel()
	a := serving(t, small)
	a.responses = response.New(a.db.Responses(), time.Hour, a.clock.now)
	s := response.NewStream(0)
	for range 3 {
		s.Add([]byte("data: " + strings.Repeat("x", 100<<10) + "\n\n")) // a chunk of its own
	}
	o, object := response.Owner{Account: 1}, []byte(`{"status":"completed","output":[]}`)
	if err := a.responses.Put(t.Context(), &response.Response{ID: "resp_1", Owner: o, Created: a.clock.now(), Ended: true, Input: []byte(`[]`), Object: object}, nil); err != nil {
		t.Fatal(err)
	}
	if err := a.responses.Update(t.Context(), "resp_1", response.Update{Object: object, Events: s.Chunks(nil), Ended: true}); err != nil {
		t.Fatal(err)
	}
	all, err := a.follow(t.Context(), o, "resp_1", -1)
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	if got, err := all.Next(t.Context()); err != nil || len(got) == 0 {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if err := a.responses.Delete(t.Context(), o, "resp_1"); err != nil {
		t.Fatal(err)
	}
	if got, err := all.Next(t.Context()); !fault.Is(err, fault.ResponseNotFound) || len(got) != 0 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
