package operate

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/testkit"
)

// spoken is one event of a response.
type spoken struct {
	Type   string `json:"type"`
	Number int64  `json:"sequence_number"`
	frame  string
}

// reader reads the events of a response as they come.
type reader struct {
	t     *testing.T
	resp  *http.Response
	lines *bufio.Reader
	leave func()
}

func (c customer) reads(t *testing.T, asked call) *reader {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	asked.key = c.key
	resp, err := open(ctx, c.g, asked)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { leave(); _ = resp.Body.Close() })
	if got := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || got != "text/event-stream" {
		t.Fatalf("%s %s: %d, %s", asked.method, asked.path, resp.StatusCode, got)
	}
	return &reader{t, resp, bufio.NewReader(resp.Body), leave}
}

// next is the next event, checked; nil: there is none.
func (r *reader) next() *spoken {
	r.t.Helper()
	var frame strings.Builder
	for {
		line, err := r.lines.ReadString('\n')
		if frame.WriteString(line); err != nil {
			if frame.Len() > 0 {
				r.t.Errorf("the stream ends with %q", frame.String())
			}
			return nil
		}
		if line != "\n" {
			continue
		}
		if strings.HasPrefix(frame.String(), "event: keepalive\n") {
			frame.Reset()
			continue
		}
		name, data, _ := strings.Cut(frame.String(), "\ndata: ")
		var e spoken
		if err := json.Unmarshal([]byte(data), &e); err != nil || name != "event: "+e.Type {
			r.t.Fatalf("%v: %s", err, frame.String())
		}
		official(r.t, "ResponseStreamEvent", []byte(strings.TrimSpace(data)))
		e.frame = frame.String()
		return &e
	}
}

// until reads events up to the one with that in it.
func (r *reader) until(what string) (out []*spoken) {
	r.t.Helper()
	for e := r.next(); e != nil; e = r.next() {
		if out = append(out, e); strings.Contains(e.frame, what) {
			return out
		}
	}
	r.t.Fatalf("no %s in %s", what, spell(out))
	return nil
}

func (r *reader) rest() (out []*spoken) {
	r.t.Helper()
	for e := r.next(); e != nil; e = r.next() {
		out = append(out, e)
	}
	return out
}

func spell(events []*spoken) string {
	var b strings.Builder
	for _, e := range events {
		b.WriteString(e.frame)
	}
	return b.String()
}

func (e *spoken) at(t *testing.T, path string) string {
	t.Helper()
	_, data, _ := strings.Cut(e.frame, "\ndata: ")
	return member(t, []byte(strings.TrimSpace(data)), path)
}

func idOf(t *testing.T, e *spoken) string {
	t.Helper()
	return e.at(t, "response.id")
}

const inBackground = `{"model":"m","input":"hi","background":true,"stream":true,"max_output_tokens":100}`

func after(id string, n int64) call {
	return call{method: "GET", path: fmt.Sprintf("%s/%s?stream=true&starting_after=%d", responsesPath, id, n)}
}

func fromStart(id string) call {
	return call{method: "GET", path: responsesPath + "/" + id + "?stream=true"}
}

// A stream of a response in the background may be lost and read on, by as many as
// like, while it works and afterwards, and after another start of the process.
func TestABackgroundResponseIsStreamedAndResumed(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	gate := make(chan struct{})
	u.Queue(streamedWhole(gate))
	g := responding(t, u)
	c := newCustomer(t, g, "1", nil)

	first := c.reads(t, call{path: responsesPath, body: inBackground})
	begun := first.until(`"delta":"Bl"`)
	id := idOf(t, begun[0])
	for i, name := range []string{"response.created", "response.queued", "response.in_progress", "response.output_item.added"} {
		if begun[i].Type != name || begun[i].Number != int64(i) {
			t.Errorf("event %d is %s", i, begun[i].frame)
		}
	}
	if !strings.Contains(begun[0].frame, `"status":"queued"`) {
		t.Errorf("it begins with %s", begun[0].frame)
	}
	first.leave()
	second := c.reads(t, after(id, begun[1].Number))
	if got := second.until(`"delta":"Bl"`); spell(got) != spell(begun[2:]) {
		t.Errorf("read on: %s\nwant %s", spell(got), spell(begun[2:]))
	}
	third := c.reads(t, fromStart(id))
	if r := c.stored(t, "GET", id).is(t, 200); r.at(t, "status") != "in_progress" {
		t.Errorf("%s", r.body)
	}
	newCustomer(t, g, "1", nil).stored(t, "GET", id+"?stream=true").is(t, 404)
	close(gate)
	all := third.rest()
	for i, e := range all {
		if e.Number != int64(i) {
			t.Errorf("event %d: %s", i, e.frame)
		}
	}
	if got := second.rest(); spell(got) != spell(all[len(begun):]) {
		t.Errorf("read on to the end: %s\nwant %s", spell(got), spell(all[len(begun):]))
	}
	last := all[len(all)-1]
	kept := c.stored(t, "GET", id).is(t, 200)
	if last.Type != "response.completed" || last.at(t, "response") != kept.at(t, "") || kept.at(t, "output.0.content.0.text") != "Blue." {
		t.Errorf("it ends with %s, and is kept as %s", last.frame, kept.body)
	}
	again := func() {
		t.Helper()
		if got := c.reads(t, fromStart(id)).rest(); spell(got) != spell(all) {
			t.Errorf("again: %s\nwant %s", spell(got), spell(all))
		}
		for _, e := range all {
			if got := c.reads(t, after(id, e.Number)).rest(); spell(got) != spell(all[e.Number+1:]) {
				t.Errorf("again, behind %d: %s", e.Number, spell(got))
			}
		}
		for _, n := range []string{"-1", "x", fmt.Sprint(len(all)), "99999999999999999999"} {
			if r := c.stored(t, "GET", id+"?stream=true&starting_after="+n).is(t, 400); r.at(t, "error.param") != "starting_after" {
				t.Errorf("%s", r.body)
			}
		}
	}
	again()
	if r := c.stored(t, "GET", id+"?stream=yes").is(t, 400); r.at(t, "error.param") != "stream" {
		t.Errorf("%s", r.body)
	}
	g.Kill()
	g.Run(t)
	again()
	c.holds(t, money.Dollar-promptCost, 0)
	c.stored(t, "DELETE", id).is(t, 200)
	c.stored(t, "GET", id+"?stream=true").is(t, 404)
	if n := len(u.Received()); n != 1 {
		t.Errorf("%d requests were sent", n)
	}
	g.Verify(t)
}

// The caller's leaving stops nothing, and who comes again with his key reads on.
func TestABackgroundStreamAndItsIdempotencyKey(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	gate := make(chan struct{})
	u.Queue(streamedWhole(gate))
	g := responding(t, u)
	c := newCustomer(t, g, "1", nil)
	asked := call{path: responsesPath, body: inBackground, header: map[string]string{"Idempotency-Key": "k"}}
	first := c.reads(t, asked)
	begun := first.until(`"delta":"Bl"`)
	first.leave()
	again := c.reads(t, asked)
	if again.resp.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("%v", again.resp.Header)
	}
	if got := again.until(`"delta":"Bl"`); spell(got) != spell(begun) {
		t.Errorf("%s, then %s", spell(begun), spell(got))
	}
	again.leave()
	close(gate)
	c.untilResponse(t, idOf(t, begun[0]), "completed")
	if got := c.reads(t, asked).rest(); got[len(got)-1].Type != "response.completed" || idOf(t, got[0]) != idOf(t, begun[0]) {
		t.Errorf("%s", spell(got))
	}
	c.holds(t, money.Dollar-promptCost, 0)
	g.Verify(t)
}

// leftCost is what hi and the first delta of streamedWhole cost who leaves there, in
// nano-dollars: tokens counted here, as nobody told any.
const leftCost = money.Amount(8*1000 + 1*2000)

// Cancelling ends the stream of whoever reads, whether it works or waits, and what
// was told stays, and is paid for as by one who leaves.
func TestCancellingEndsAStream(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	gate := make(chan struct{})
	defer close(gate)
	u.Always(streamedWhole(gate))
	g := responding(t, u)
	c := newCustomer(t, g, "1", nil)
	for _, how := range []string{"POST", "DELETE"} {
		reads := c.reads(t, call{path: responsesPath, body: inBackground})
		begun := reads.until(`"delta":"Bl"`)
		id := idOf(t, begun[0])
		other := c.reads(t, after(id, 2))
		if how == "POST" {
			ask(t, g, call{path: responsesPath + "/" + id + "/cancel", key: c.key}).is(t, 200)
		} else {
			c.stored(t, "DELETE", id).is(t, 200)
		}
		ends := reads.rest()
		if len(ends) != 1 || ends[0].Type != "response.failed" || ends[0].Number != int64(len(begun)) || !strings.Contains(ends[0].frame, `"status":"cancelled"`) {
			t.Errorf("%s: it ends with %s", how, spell(ends))
		}
		all := append(begun, ends...)
		if got := other.rest(); spell(got) != spell(all[3:]) {
			t.Errorf("%s: the other was told %s", how, spell(got))
		}
		if how == "POST" {
			if got := c.reads(t, fromStart(id)).rest(); spell(got) != spell(all) {
				t.Errorf("later: %s\nwant %s", spell(got), spell(all))
			}
			c.brokeOff(t, id, "cancelled", "Bl", ends[0])
			again := ask(t, g, call{path: responsesPath + "/" + id + "/cancel", key: c.key}).is(t, 200)
			if again.at(t, "status") != "cancelled" {
				t.Errorf("cancelled again: %s", again.body)
			}
		} else {
			c.stored(t, "GET", id+"?stream=true").is(t, 404)
		}
	}
	c.holds(t, money.Dollar-2*leftCost, 0)

	// More than run at once: some wait.
	var waiting []*reader
	var ids []string
	for range 9 {
		r := c.reads(t, call{path: responsesPath, body: inBackground})
		ids = append(ids, idOf(t, r.next()))
		waiting = append(waiting, r)
	}
	var told money.Amount // how many were told something
	for i, r := range waiting {
		ask(t, g, call{path: responsesPath + "/" + ids[i] + "/cancel", key: c.key}).is(t, 200)
		rest := r.rest()
		if strings.Contains(spell(rest), `"delta":"Bl"`) {
			told++
		}
		last := rest[len(rest)-1]
		if last.Type != "response.failed" || !strings.Contains(last.frame, `"status":"cancelled"`) {
			t.Errorf("%s", spell(rest))
		}
		if got := c.reads(t, after(ids[i], 0)).rest(); spell(got) != spell(rest) {
			t.Errorf("later: %s\nwant %s", spell(got), spell(rest))
		}
	}
	c.holds(t, money.Dollar-(2+told)*leftCost, 0)
	if told == 0 {
		t.Error("none of nine was told anything")
	}
	g.Verify(t)
}

// A response that fails on the way ends its stream as failed, free of charge.
func TestABackgroundStreamMayFail(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	broken := streamedWhole(nil)
	broken.Frames = broken.Frames[:2]
	u.Queue(broken, testkit.JSON(500, `{"error":{"message":"words","type":"server_error"}}`), broken)
	g := responding(t, u)
	c := newCustomer(t, g, "1", nil)
	for _, begins := range []bool{true, false} {
		all := c.reads(t, call{path: responsesPath, body: inBackground}).rest()
		last := all[len(all)-1]
		id := idOf(t, all[0])
		kept := c.untilResponse(t, id, "failed")
		if last.Type != "response.failed" || last.at(t, "response") != kept.at(t, "") || strings.Contains(spell(all), `"delta":"Bl"`) != begins {
			t.Errorf("%s", spell(all))
		}
		if got := c.reads(t, fromStart(id)).rest(); spell(got) != spell(all) {
			t.Errorf("later: %s\nwant %s", spell(got), spell(all))
		}
		if begins {
			c.brokeOff(t, id, "failed", "Blue.", last)
		} else if kept.at(t, "output") != "[]" {
			t.Errorf("without a word it has %s", kept.at(t, "output"))
		}
	}
	c.holds(t, money.Dollar, 0)
	// It may be continued, without what it has not said to its end.
	kept := c.reads(t, call{path: responsesPath, body: inBackground}).rest()
	broke := idOf(t, kept[0])
	u.Queue(streamedWhole(nil))
	ask(t, g, call{path: responsesPath, key: c.key, body: `{"model":"m","input":"again","stream":true,"previous_response_id":"` + broke + `"}`}).is(t, 200)
	if sent := u.Received(); !strings.Contains(string(sent[len(sent)-1].Body), `"again"`) || strings.Contains(string(sent[len(sent)-1].Body), `Blue.`) {
		t.Errorf("sent on: %s", sent[len(sent)-1].Body)
	}
	g.Verify(t)
}

// brokeOff checks that a response which was broken off behind a text is kept with it,
// as the last of its events has it.
func (c customer) brokeOff(t *testing.T, id, status, text string, last *spoken) {
	t.Helper()
	kept := c.stored(t, "GET", id).is(t, 200)
	official(t, "Response", kept.body)
	if kept.at(t, "status") != status || kept.at(t, "output.0.content.0.text") != text || kept.at(t, "output.0.status") != "incomplete" || last.at(t, "response") != kept.at(t, "") {
		t.Errorf("kept as %s, and it ends with %s", kept.body, last.frame)
	}
}

// What was begun when the process died is begun anew, under numbers that nobody
// has had: who reads on from where he was is told all of it.
func TestABackgroundStreamOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	held := make(chan struct{})
	u.Queue(streamedWhole(held))
	u.Always(streamedWhole(nil))
	g := responding(t, u)
	c := newCustomer(t, g, "1", nil)
	first := c.reads(t, call{path: responsesPath, body: inBackground})
	begun := first.until(`"delta":"Bl"`)
	id := idOf(t, begun[0])
	g.Kill()
	close(held)
	g.Run(t)
	rest := c.reads(t, after(id, begun[len(begun)-1].Number)).rest()
	if rest[0].Type != "response.created" || rest[0].Number <= begun[len(begun)-1].Number || rest[len(rest)-1].Type != "response.completed" {
		t.Errorf("%s", spell(rest))
	}
	for i, e := range rest {
		if e.Number != rest[0].Number+int64(i) {
			t.Errorf("event %d: %s", i, e.frame)
		}
	}
	if got := c.reads(t, fromStart(id)).rest(); spell(got) != spell(rest) {
		t.Errorf("later: %s", spell(got))
	}
	c.holds(t, money.Dollar-promptCost, 0)
	g.Verify(t)
}

// A process that goes down breaks the stream off as an error, and not as the end of
// the answer, which the next one gives.
func TestAProcessThatGoesDownBreaksBackgroundStreams(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	held := make(chan struct{})
	u.Queue(streamedWhole(held))
	u.Always(streamedWhole(nil))
	g := responding(t, u)
	c := newCustomer(t, g, "1", nil)
	first := c.reads(t, call{path: responsesPath, body: inBackground})
	begun := first.until(`"delta":"Bl"`)
	id := idOf(t, begun[0])
	if err := g.Stop(); err != nil {
		t.Fatal(err)
	}
	close(held)
	rest := first.rest()
	if len(rest) != 1 || rest[0].Type != "error" || !strings.Contains(rest[0].frame, "gateway_draining") || rest[0].Number != begun[len(begun)-1].Number {
		t.Errorf("%s", spell(rest))
	}
	g.Run(t)
	again := c.reads(t, after(id, begun[len(begun)-1].Number)).rest()
	if again[len(again)-1].Type != "response.completed" {
		t.Errorf("%s", spell(again))
	}
	c.holds(t, money.Dollar-promptCost, 0)
	g.Verify(t)
}

// Any response that is kept can be read as events: they are made of the answer.
func TestAStoredResponseIsRead(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	gate := make(chan struct{})
	waiting := testkit.JSON(200, whole)
	waiting.Gate = gate
	u.Queue(testkit.JSON(200, whole), waiting)
	g := responding(t, u)
	c := newCustomer(t, g, "1", nil)
	names := func(events []*spoken) string {
		var out []string
		for _, e := range events {
			out = append(out, strings.TrimPrefix(e.Type, "response."))
		}
		return strings.Join(out, " ")
	}
	const said = " output_item.added content_part.added output_text.delta output_text.done content_part.done output_item.done completed"

	id := c.respond(t, `"input":"hi"`, nil).is(t, 200).at(t, "id")
	all := c.reads(t, fromStart(id)).rest()
	if got := names(all); got != "created in_progress"+said {
		t.Errorf("at once: %s", got)
	}
	if got := c.reads(t, after(id, 3)).rest(); spell(got) != spell(all[4:]) {
		t.Errorf("%s", spell(got))
	}
	c.stored(t, "GET", id+"?stream=true&starting_after=9").is(t, 400)

	id = c.respond(t, `"input":"hi","background":true,"max_output_tokens":100`, nil).is(t, 200).at(t, "id")
	reads := c.reads(t, fromStart(id))
	begun := reads.until("response.queued")
	c.untilResponse(t, id, "in_progress")
	close(gate)
	all = append(begun, reads.rest()...)
	if got := names(all); got != "created queued in_progress"+said {
		t.Errorf("in the background: %s", got)
	}
	if got := c.reads(t, fromStart(id)).rest(); spell(got) != spell(all) {
		t.Errorf("later: %s", spell(got))
	}
	c.holds(t, money.Dollar-2*promptCost, 0)
}
