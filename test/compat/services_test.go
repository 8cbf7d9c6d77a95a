package compat

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	anthropicparam "github.com/anthropics/anthropic-sdk-go/packages/param"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/packages/ssestream"
)

// asked is one request by an SDK to a service.
type asked struct {
	key, body, simulate string
	header              map[string]string
	stream, retry       bool
	at                  int // which path of messages
}

// outcome is what the SDK made of it.
type outcome struct {
	text   string // of the answer, or of the part that came
	finish string
	status int         // of the last answer
	header http.Header // of the last answer
	tries  int
	err    error
}

// sdk is one of the two SDKs for Go.
type sdk struct {
	name    string // as in refusals
	surface string
	ask     func(t *testing.T, s *service, q asked) outcome
	// problem returns the status that the SDK's own error has, and the error of
	// the body as JSON; broke is the same for a stream.
	problem func(err error) (status int, body string)
	broke   func(err error) (body string)
}

var goSDKs = []sdk{
	{name: "go", surface: "chat", ask: askOpenAI, problem: openaiProblem, broke: openaiBroke},
	{name: "go-anthropic", surface: "messages", ask: askAnthropic, problem: anthropicProblem, broke: anthropicBroke},
}

func askOpenAI(t *testing.T, s *service, q asked) outcome {
	t.Helper()
	w := &watch{t: t}
	var o outcome
	opts := []option.RequestOption{
		option.WithBaseURL(s.URL + s.Chat), option.WithAPIKey(q.key), option.WithMaxRetries(btoi(q.retry)),
		option.WithMiddleware(func(r *http.Request, next option.MiddlewareNext) (*http.Response, error) {
			resp, err := w.see(r, next)
			if err == nil {
				o.status, o.header = resp.StatusCode, resp.Header
			}
			return resp, err
		}),
	}
	for name, v := range q.headers() {
		opts = append(opts, option.WithHeader(name, v))
	}
	c := openai.NewClient(opts...)
	p := param.Override[openai.ChatCompletionNewParams](json.RawMessage(q.body))
	if !q.stream {
		got, err := c.Chat.Completions.New(context.Background(), p)
		if o.err = err; err == nil {
			o.text, o.finish = got.Choices[0].Message.Content, got.Choices[0].FinishReason
		}
	} else {
		st := c.Chat.Completions.NewStreaming(context.Background(), p)
		for st.Next() {
			for _, ch := range st.Current().Choices {
				o.text += ch.Delta.Content
				o.finish += ch.FinishReason
			}
		}
		o.err = st.Err()
	}
	o.tries = w.tries
	return o
}

func askAnthropic(t *testing.T, s *service, q asked) outcome {
	t.Helper()
	w := &watch{t: t}
	var o outcome
	opts := []anthropicoption.RequestOption{
		anthropicoption.WithBaseURL(s.URL + s.Messages[q.at]), anthropicoption.WithAPIKey(q.key), anthropicoption.WithMaxRetries(btoi(q.retry)),
		anthropicoption.WithMiddleware(func(r *http.Request, next anthropicoption.MiddlewareNext) (*http.Response, error) {
			resp, err := w.see(r, next)
			if err == nil {
				o.status, o.header = resp.StatusCode, resp.Header
			}
			return resp, err
		}),
	}
	for name, v := range q.headers() {
		opts = append(opts, anthropicoption.WithHeader(name, v))
	}
	c := anthropic.NewClient(opts...)
	p := anthropicparam.Override[anthropic.MessageNewParams](json.RawMessage(q.body))
	if !q.stream {
		got, err := c.Messages.New(context.Background(), p)
		if o.err = err; err == nil {
			o.text, o.finish = spoken(*got), string(got.StopReason)
		}
	} else {
		st := c.Messages.NewStreaming(context.Background(), p)
		for st.Next() {
			o.text += st.Current().Delta.Text
			o.finish += string(st.Current().Delta.StopReason)
		}
		o.err = st.Err()
	}
	o.tries = w.tries
	return o
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (q asked) headers() map[string]string {
	out := maps.Clone(q.header)
	if out == nil {
		out = map[string]string{}
	}
	if q.simulate != "" {
		out["X-Pontage-Simulate"] = q.simulate
	}
	return out
}

func openaiProblem(err error) (int, string) {
	var e *openai.Error
	if !errors.As(err, &e) {
		return 0, ""
	}
	return e.StatusCode, e.RawJSON()
}

func openaiBroke(err error) string {
	var e *ssestream.StreamError
	if !errors.As(err, &e) {
		return ""
	}
	var frame struct{ Error json.RawMessage }
	_ = json.Unmarshal(e.Event.Data, &frame)
	return string(frame.Error)
}

func anthropicProblem(err error) (int, string) {
	var e *anthropic.Error
	if !errors.As(err, &e) {
		return 0, ""
	}
	var body struct{ Error json.RawMessage }
	_ = json.Unmarshal([]byte(e.RawJSON()), &body)
	return e.StatusCode, string(body.Error)
}

func anthropicBroke(err error) string {
	_, body := anthropicProblem(err)
	return body
}

// object returns the member error of a body, if that is an object.
func object(t *testing.T, body string) map[string]any {
	t.Helper()
	var b struct{ Error any }
	if err := json.Unmarshal([]byte(body), &b); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	o, _ := b.Error.(map[string]any)
	return o
}

// everywhere runs a test with each SDK for Go at every service that has its
// surface, unless the envelope has no object that the SDK could read.
func everywhere(t *testing.T, f *fleet, test func(t *testing.T, s *service, k sdk)) {
	t.Helper()
	for _, s := range f.get(t) {
		for _, k := range goSDKs {
			if k.surface == "chat" && object(t, s.Rows["chat"]["internal"].Example) == nil || k.surface == "messages" && s.Messages == nil {
				continue
			}
			t.Run(s.Name+" "+k.name, func(t *testing.T) { test(t, s, k) })
		}
	}
}

func TestServicesAnswerTheSDKs(t *testing.T) {
	t.Parallel()
	everywhere(t, five, func(t *testing.T, s *service, k sdk) {
		t.Parallel()
		for at := range max(len(s.Messages), 1) {
			for _, stream := range []bool{false, true} {
				o := k.ask(t, s, asked{key: s.Key, body: asks("gpt-5-mini", play("text"), ""), stream: stream, at: at})
				if o.err != nil || o.text != "Bonjour, ça va?" || o.finish != "stop" && o.finish != "end_turn" || !strings.HasPrefix(o.header.Get("X-Request-Id"), "req_") {
					t.Errorf("%d, stream %v: %q, finish %q, %v", at, stream, o.text, o.finish, o.err)
				}
			}
		}
	})
}

// Each refusal is brought about in truth, and asked for whole and streamed, by
// an SDK that may retry once.
func TestServicesRefuseTheSDKsAsDocumented(t *testing.T) {
	t.Parallel()
	everywhere(t, five, func(t *testing.T, s *service, k sdk) {
		for _, c := range s.Cases {
			for i, mode := range modes {
				if len(c.Surfaces) > 0 && !slices.Contains(c.Surfaces, k.surface) && !slices.Contains(c.Surfaces, k.surface+" "+mode) {
					continue
				}
				t.Run(c.Name+" "+mode, func(t *testing.T) {
					t.Parallel()
					body := strings.NewReplacer("SDK", k.name, "MODE", mode).Replace(c.Body)
					o := k.ask(t, s, asked{key: c.Key, body: body, header: c.Header, stream: i == 1, retry: true})
					s.refused(t, k, c, o)
				})
			}
		}
	})
}

// refused compares what the SDK raised with the row of the reference: all but
// the words, and the field at fault where the envelope shows one.
func (s *service) refused(t *testing.T, k sdk, c refusal, o outcome) {
	t.Helper()
	promised := s.Rows[k.surface][c.Fault]
	tries := c.Tries
	if tries == 0 {
		tries = promised.tries()
	}
	if o.tries != tries {
		t.Errorf("%d tries, want %d", o.tries, tries)
	}
	want := object(t, promised.Example)
	if want == nil {
		refusedInWords(t, promised, o)
		return
	}
	status, body := k.problem(o.err)
	got := object(t, `{"error":`+body+`}`)
	if status != promised.Status || got == nil {
		t.Fatalf("%v (%T), want the SDK's own error with status %d", o.err, o.err, promised.Status)
	}
	if m, _ := got["message"].(string); m == "" {
		t.Errorf("no message in %s", body)
	}
	if _, shown := want["param"]; shown && c.Param != "" && got["param"] != c.Param {
		t.Errorf("the field at fault is %v, want %s", got["param"], c.Param)
	}
	for _, m := range []map[string]any{want, got} {
		delete(m, "message")
		delete(m, "param")
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %s, the reference has %s", body, promised.Example)
	}
	if o.header.Get("X-Charge-Usd") != "0.00" || !strings.HasPrefix(o.header.Get("X-Request-Id"), "req_") {
		t.Errorf("headers %v", o.header)
	}
	if k.surface == "messages" && o.header.Get("Request-Id") != o.header.Get("X-Request-Id") {
		t.Errorf("request-id %q", o.header.Get("Request-Id"))
	}
}

// refusedInWords is refused for a row whose envelope has words where the SDK for
// Go looks for an object (NanoGPT's, of the balance): then it raises an error that
// is not its own, and all that can be read of the answer is its head.
func refusedInWords(t *testing.T, promised row, o outcome) {
	t.Helper()
	if o.err == nil || o.header.Get("X-Charge-Usd") != "0.00" || o.status != promised.Status {
		t.Errorf("status %d, %v, want an error with status %d", o.status, o.err, promised.Status)
	}
}

// Every fault of the registry is asked for with a test key: whole, streamed by
// an SDK that may retry once, and in the middle of a stream.
func TestServicesFailTheSDKsAsDocumented(t *testing.T) {
	t.Parallel()
	everywhere(t, five, func(t *testing.T, s *service, k sdk) {
		for name, promised := range s.Rows[k.surface] {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				q := asked{key: s.TestKey, body: asks("gpt-5-mini", "Hello", ""), simulate: name}
				o := k.ask(t, s, q)
				s.failed(t, k, promised, o)
				if wait := o.header.Get("Retry-After"); wait == "" || wait == "1" || wait == "2" || promised.tries() == 1 { // or the test takes long
					q.stream, q.retry = true, true
					o = k.ask(t, s, q)
					s.failed(t, k, promised, o)
					if o.tries != promised.tries() {
						t.Errorf("%d tries, want %d", o.tries, promised.tries())
					}
				}
				q.stream, q.retry, q.simulate = true, true, name+";after=2"
				o = k.ask(t, s, q)
				if words := strings.Fields(o.text); len(words) != 2 || o.tries != 1 || o.finish != "" {
					t.Errorf("broke off: %q, finish %q after %d tries", o.text, o.finish, o.tries)
				}
				s.broke(t, k, name, o)
			})
		}
	})
}

// failed compares what the SDK raised with the example of the reference.
func (s *service) failed(t *testing.T, k sdk, promised row, o outcome) {
	t.Helper()
	want := object(t, promised.Example)
	if want == nil {
		refusedInWords(t, promised, o)
		return
	}
	status, body := k.problem(o.err)
	if got := object(t, `{"error":`+body+`}`); status != promised.Status || !reflect.DeepEqual(got, want) {
		t.Errorf("status %d, %s, want %d, %s; %v", status, body, promised.Status, promised.Example, o.err)
	}
	retry := map[string]string{"yes": "true", "no": "false", "up to you": ""}[promised.Retry]
	if got := o.header.Get("X-Should-Retry"); got != retry {
		t.Errorf("x-should-retry %q, want %q", got, retry)
	}
}

// broke checks what ended a stream that has broken off: for one fault all of it,
// for the others that it says something.
func (s *service) broke(t *testing.T, k sdk, fault string, o outcome) {
	t.Helper()
	body := k.broke(o.err)
	got := object(t, `{"error":`+body+`}`)
	if m, _ := got["message"].(string); m == "" {
		t.Fatalf("%v (%T), want the SDK's own error with a message", o.err, o.err)
	}
	if want := object(t, s.Frames[k.surface]); fault == "stream_interrupted" && !reflect.DeepEqual(got, want) {
		t.Errorf("it ended with %s, the reference has %s", body, s.Frames[k.surface])
	}
}

// A provider breaks in the middle of a stream: at every service that raises, and
// nothing is tried again.
func TestServicesRaiseWhenAStreamBreaksOff(t *testing.T) {
	t.Parallel()
	everywhere(t, five, func(t *testing.T, s *service, k sdk) {
		for _, how := range []string{"cut", "cut-error"} {
			t.Run(how, func(t *testing.T) {
				t.Parallel()
				o := k.ask(t, s, asked{key: s.Key, body: asks("gpt-5-mini", play(how), ""), stream: true, retry: true})
				if o.text == "" || o.finish != "" || o.tries != 1 {
					t.Errorf("%q, finish %q after %d tries", o.text, o.finish, o.tries)
				}
				s.broke(t, k, "", o)
				five.g.charged(t, o.header.Get("X-Request-Id"), "0.00")
			})
		}
	})
}

// A handler fails. These tests run alone, before all others: who comes next meets
// the fault.
func TestServicesBearADefect(t *testing.T) {
	everywhere(t, broken, func(t *testing.T, s *service, k sdk) {
		for _, stream := range []bool{false, true} {
			broken.g.call(t, "POST", "/admin/v1/test/fault", map[string]any{"point": "handler_panic", "times": 2}, nil)
			o := k.ask(t, s, asked{key: s.Key, body: asks("gpt-5-mini", play("text"), ""), stream: stream, retry: true})
			s.refused(t, k, refusal{Fault: "internal"}, o)
		}
	})
}
