package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
)

// keyed posts with an idempotency key.
func (h house) keyed(t *testing.T, path, key, body string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest("POST", h.srv.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%v after %q", err, b)
	}
	return resp, string(b)
}

// What is kept is what was sent, whole or streamed, and it is kept with the bill.
func TestWhatIsSentIsWhatIsKept(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ body, media string }{
		{`{}`, "application/json"},
		{`{"stream":true}`, "text/event-stream"},
	} {
		var call *fakeCall
		h := build(t, &fake{
			open: func(ctx context.Context) (*fakeCall, error) {
				call = &fakeCall{ctx: ctx, drains: true, steps: []any{event("data: 1\n\n"), event("data: 2\n\n"), last("data: [DONE]\n\n")}}
				return call, nil
			},
			claim: func(string, [32]byte, time.Duration) (*Kept, error) { return nil, nil },
		}, nil)
		resp, sent := h.keyed(t, "/v1/chat/completions", "k", c.body)
		k := call.kept
		if k == nil || !k.Whole || string(k.Body) != sent || k.Status != 200 || resp.Header.Get("Content-Type") != c.media {
			t.Errorf("%s: sent %q, kept %+v", c.body, sent, k)
			continue
		}
		if got := fmt.Sprint(k.Header); got != fmt.Sprintf("[[Content-Type %s] [X-Output-Capped-By balance] [X-Dropped-Params seed]]", c.media) {
			t.Errorf("kept headers %s", got)
		}
		if resp.Header.Get("Idempotency-Replayed") != "" || call.outcome() != "finish, delivered, close" {
			t.Errorf("%v, %s", resp.Header, call.outcome())
		}
	}
}

// That an answer ended for want of money is known when its header has left: a
// trailer says so, and to who gets it again a header does.
func TestAnAnswerThatIsCutOffSaysSoInATrailer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		free, cut       bool
		header, trailer string
		kept            string
	}{
		{true, false, "", "", "[[Content-Type text/event-stream] [X-Dropped-Params seed]]"},
		{true, true, "", "balance", "[[Content-Type text/event-stream] [X-Output-Capped-By balance] [X-Dropped-Params seed]]"},
		{false, true, "balance", "", "[[Content-Type text/event-stream] [X-Output-Capped-By balance] [X-Dropped-Params seed]]"},
	} {
		var call *fakeCall
		h := build(t, &fake{
			open: func(ctx context.Context) (*fakeCall, error) {
				end := llm.Event{Raw: []byte("data: end\n\n"), Finish: llm.FinishLength, Cut: c.cut}
				call = &fakeCall{ctx: ctx, free: c.free, steps: []any{event("data: 1\n\n"), end}}
				return call, nil
			},
			claim: func(string, [32]byte, time.Duration) (*Kept, error) { return nil, nil },
		}, nil)
		resp, sent := h.keyed(t, "/v1/chat/completions", "k", `{"stream":true}`)
		if h, tr := resp.Header.Get("X-Output-Capped-By"), resp.Trailer.Get("X-Output-Capped-By"); h != c.header || tr != c.trailer {
			t.Errorf("%+v: header %q, trailer %q", c, h, tr)
		}
		if resp.Trailer.Get("X-Charge-Usd") == "" || sent != "data: 1\n\ndata: end\n\n" {
			t.Errorf("%+v: %q, %v", c, sent, resp.Trailer)
		}
		if got := fmt.Sprint(call.kept.Header); got != c.kept || string(call.kept.Body) != sent {
			t.Errorf("%+v: kept %s, %q", c, got, call.kept.Body)
		}
	}
}

func TestAnAnswerThatIsTooLongIsKeptAsAFact(t *testing.T) {
	t.Parallel()
	big := "data: " + strings.Repeat("x", maxKept/2) + "\n\n"
	for _, body := range []string{`{}`, `{"stream":true}`} {
		var call *fakeCall
		h := build(t, &fake{
			open: func(ctx context.Context) (*fakeCall, error) {
				steps := []any{event(big), event(big), event(big), last("end")}
				if body == `{}` {
					steps = []any{last(big + big)}
				}
				call = &fakeCall{ctx: ctx, steps: steps}
				return call, nil
			},
			claim: func(string, [32]byte, time.Duration) (*Kept, error) { return nil, nil },
		}, nil)
		if _, sent := h.keyed(t, "/v1/chat/completions", "k", body); len(sent) < maxKept || call.kept == nil || call.kept.Whole || call.kept.Body != nil {
			t.Errorf("%s: %d bytes sent, kept %v", body, len(sent), call.kept != nil)
		}
	}
}

func TestReplays(t *testing.T) {
	t.Parallel()
	h := build(t, &fake{
		open: func(context.Context) (*fakeCall, error) { return nil, errors.New("it was answered before") },
		claim: func(key string, _ [32]byte, _ time.Duration) (*Kept, error) {
			switch key {
			case "whole":
				return &Kept{Status: 200, Header: [][2]string{{"Content-Type", "application/json"}, {"X-Output-Capped-By", "balance"}}, Body: []byte(`{"a":1}`), Whole: true}, nil
			case "stream":
				return &Kept{Status: 200, Header: [][2]string{{"Content-Type", "text/event-stream"}}, Body: []byte("data: 1\n\n"), Whole: true}, nil
			case "fact":
				return &Kept{Status: 200}, nil
			case "busy":
				e := fault.New(fault.IdempotencyInProgress, "")
				e.RetryAfter = time.Second
				return nil, e
			case "other":
				return nil, fault.New(fault.IdempotencyMismatch, "")
			}
			t.Errorf("key %q", key)
			return nil, nil
		},
	}, nil)
	for _, c := range []struct {
		key    string
		status int
		body   string
	}{
		{"whole", 200, `{"a":1}`},
		{"stream", 200, "data: 1\n\n"},
		{"fact", 409, "idempotency_not_stored"},
		{"busy", 409, "idempotency_in_progress"},
		{"other", 422, "idempotency_mismatch"},
		{strings.Repeat("x", 256), 400, "Idempotency-Key"},
		{"a b", 400, "Idempotency-Key"},
		{"", 400, "Idempotency-Key"}, // as of a variable that is not set: who sends it does not want to be charged twice
	} {
		resp, body := h.keyed(t, "/v1/chat/completions", c.key, `{}`)
		if resp.StatusCode != c.status || !strings.Contains(body, c.body) || resp.Header.Get("X-Charge-Usd") != "0.00" {
			t.Errorf("%.10s: %d %s, charge %q", c.key, resp.StatusCode, body, resp.Header.Get("X-Charge-Usd"))
		}
		if replayed := resp.Header.Get("Idempotency-Replayed") == "true"; replayed != (c.status == 200) {
			t.Errorf("%.10s: replayed is %v", c.key, replayed)
		}
		if streams := resp.Header.Get("X-Accel-Buffering") == "no" && resp.Header.Get("Cache-Control") == "no-cache, no-transform"; streams != (c.key == "stream") {
			t.Errorf("%.10s: %v", c.key, resp.Header)
		}
		if c.key == "busy" && resp.Header.Get("Retry-After") != "1" {
			t.Errorf("no time to wait: %v", resp.Header)
		}
	}
	if got := strings.Join(h.refused, ", "); !strings.HasPrefix(got, "replayed 200, replayed 200, idempotency_not_stored 409") {
		t.Errorf("recorded %s", got)
	}
}

// The digest is of contract, method, path and body; headers and the gateway's own members
// of the body are another matter: the body counts as it was sent.
func TestTheDigestOfARequest(t *testing.T) {
	t.Parallel()
	seen := map[[32]byte]string{}
	var now string
	h := build(t, &fake{
		open: func(ctx context.Context) (*fakeCall, error) {
			return &fakeCall{ctx: ctx, steps: []any{last("{}")}}, nil
		},
		claim: func(_ string, digest [32]byte, wait time.Duration) (*Kept, error) {
			if before, ok := seen[digest]; ok && before != now {
				t.Errorf("%s and %s are the same", before, now)
			}
			if wait != 30*time.Second {
				t.Errorf("the contract waits %v", wait)
			}
			seen[digest] = now
			return nil, nil
		},
	}, nil)
	for _, c := range [][2]string{{"/v1/chat/completions", `{}`}, {"/v1/chat/completions", `{ }`}, {"/v1/chat", `{}`}, {"/v1/messages", `{}`}, {"/v1/chat/completions", `{}`}} {
		now = c[0] + c[1]
		h.keyed(t, c[0], "k", c[1])
	}
	if len(seen) != 4 {
		t.Errorf("%d digests of four requests", len(seen))
	}
}

// An account can have keys of several services, whose answers are not alike.
func TestOneRequestToTwoServicesIsTwo(t *testing.T) {
	t.Parallel()
	seen := map[[32]byte]bool{}
	for _, name := range []string{"llmtune", "modelswitch", "modelswitch"} {
		c, err := contract.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		x := exchange{site: &Site{Contract: c}, r: httptest.NewRequest("POST", "/v1/chat/completions", nil)}
		seen[x.digest([]byte(`{}`))] = true
	}
	if len(seen) != 2 {
		t.Errorf("%d digests of two services", len(seen))
	}
}

// Who names another provider in a header asks for something else, at another price.
func TestOneBodyToTwoProvidersIsTwoRequests(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int{"nanogpt": 3, "modelswitch": 1} {
		con, err := contract.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[[32]byte]bool{}
		for _, provider := range []string{"", "a", "b", "a"} {
			x := exchange{site: &Site{Contract: con}, r: httptest.NewRequest("POST", "/v1/chat/completions", nil)}
			x.r.Header.Set("X-Provider", provider)
			seen[x.digest([]byte(`{}`))] = true
		}
		if len(seen) != want {
			t.Errorf("%s: %d requests, want %d", name, len(seen), want)
		}
	}
}

func TestRequestsThatAreNoGoodClaimNothing(t *testing.T) {
	t.Parallel()
	h := build(t, &fake{claim: func(string, [32]byte, time.Duration) (*Kept, error) {
		t.Error("claimed")
		return nil, nil
	}}, nil)
	if resp, _ := h.keyed(t, "/v1/chat/completions", "k", `{`); resp.StatusCode != 400 {
		t.Errorf("%d", resp.StatusCode)
	}
}

// formed is a dialect whose bodies are forms.
type formed struct{ plain }

func (formed) Body() Body { return Form }

func (formed) Decode([]byte, map[string][]string) (*llm.Request, error) {
	return &llm.Request{Model: "m"}, nil
}

// Clients that try again write a form anew, between other boundaries. It is the
// same request, unless a part of it is another.
func TestAFormIsTheSameBetweenOtherBoundaries(t *testing.T) {
	t.Parallel()
	var digests [][32]byte
	h := build(t, &fake{
		open: func(ctx context.Context) (*fakeCall, error) {
			return &fakeCall{ctx: ctx, steps: []any{last(`{}`)}}, nil
		},
		claim: func(_ string, digest [32]byte, _ time.Duration) (*Kept, error) {
			digests = append(digests, digest)
			return nil, nil
		},
	}, func(o *Options) { o.Dialects["openai.transcriptions"] = formed{} })
	for _, c := range []struct{ boundary, text string }{{"one", "a"}, {"another", "a"}, {"one", "b"}, {"one", "a\r\n--another"}} {
		part := "\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\n" + c.text + "\r\n--" + c.boundary
		req, err := http.NewRequest(http.MethodPost, h.srv.URL+"/v1/audio/transcriptions", strings.NewReader("--"+c.boundary+part+part+"--\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "multipart/form-data; boundary="+c.boundary)
		req.Header.Set("Idempotency-Key", "k")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("status %d", resp.StatusCode)
		}
	}
	if len(digests) != 4 || digests[0] != digests[1] {
		t.Errorf("the same form is %x", digests)
	}
	if digests[0] == digests[2] || digests[0] == digests[3] {
		t.Errorf("other forms are the same: %x", digests)
	}
}
