package app

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/response"
	"github.com/pontage/pontage/internal/wire/responses"
)

// Who has read a response before its job ended, and finds out now that it has, must
// not write back what he had read: the answer was paid for.
func TestAnAnswerIsNotOverwrittenByWhoReadBefore(t *testing.T) {
	t.Parallel()
	r := serving(t, small)
	r.responses = response.New(r.db.Responses(), time.Hour, r.clock.now)
	if err := r.sim.Script("m", steps(t, `[{"events": 3, "per_event_ms": 100}]`)); err != nil {
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
