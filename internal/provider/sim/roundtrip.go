package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// maxRequest bounds the body of a request; OpenAI-shaped providers take no
// more.
const maxRequest = 64 << 20

type operation uint8

const (
	opNone operation = iota
	opChat
	opEmbed
	opCount
	opCompact
	opModerate
	opImage
	opSpeech
	opTranscribe
)

// operationOf tells what a path asks for.
func operationOf(path string) (family, operation) {
	switch {
	case strings.HasSuffix(path, "/chat/completions"):
		return familyOpenAI, opChat
	case strings.HasSuffix(path, "/completions"):
		return familyTexts, opChat
	case strings.HasSuffix(path, "/responses"):
		return familyResponses, opChat
	case strings.HasSuffix(path, "/responses/compact"):
		return familyResponses, opCompact
	case strings.HasSuffix(path, "/embeddings"):
		return familyOpenAI, opEmbed
	case strings.HasSuffix(path, "/messages"):
		return familyAnthropic, opChat
	case strings.HasSuffix(path, "/messages/count_tokens"):
		return familyAnthropic, opCount
	}
	for end, op := range mediaPaths {
		if strings.HasSuffix(path, end) {
			return familyOpenAI, op
		}
	}
	return familyOpenAI, opNone
}

// exchange is one request on its way to its answer.
type exchange struct {
	sim    *Sim
	req    *http.Request
	family family
	op     operation
	body   []byte
	model  string
	step   Step
	fault  fault
	id     string
}

// RoundTrip answers a request as its model's next step says. It fails as a
// connection fails where a step wants that, when the request's context ends,
// and when the request's body cannot be read.
func (s *Sim) RoundTrip(r *http.Request) (*http.Response, error) {
	sent := io.ReadCloser(http.NoBody)
	if r.Body != nil {
		sent = r.Body
	}
	defer sent.Close() //nolint:errcheck // the caller's, read to its end
	if r.Context().Err() != nil {
		return nil, context.Cause(r.Context())
	}
	body, err := io.ReadAll(io.LimitReader(sent, maxRequest+1))
	if err != nil {
		return nil, fmt.Errorf("read request body: %w", err)
	}
	x := &exchange{sim: s, req: r, body: body, id: hexID(hash(hashStart, string(body)))}
	x.family, x.op = operationOf(r.URL.Path)
	switch {
	case x.op == opNone:
		return x.refuse(refuse(http.StatusNotFound, "", "unknown_url", "Unknown request URL: %s %s (simulated).", r.Method, r.URL.Path)), nil
	case r.Method != http.MethodPost:
		return x.refuse(refuse(http.StatusMethodNotAllowed, "", "", "Only POST is allowed here (simulated).")), nil
	case len(body) > maxRequest:
		return x.refuse(refuse(http.StatusRequestEntityTooLarge, "", "", "The request is longer than %d bytes (simulated).", maxRequest)), nil
	}
	var head struct {
		Model string `json:"model"`
	}
	if x.op >= opModerate {
		a, mediaErr := readMedia(r, body)
		head.Model, err = a.Model, mediaErr
	} else {
		err = json.Unmarshal(body, &head)
	}
	if err != nil {
		announce(r, false)
		announce(r, true)
		return x.refuse(refuse(http.StatusBadRequest, "", "", "The request body is not valid (simulated): %v", err)), nil
	}
	x.model = head.Model
	x.step = s.take(x.model)
	x.fault, _ = lookupFault(x.step.Fault)
	return x.run()
}

// run brings about the connection's faults, waits, and answers.
func (x *exchange) run() (*http.Response, error) {
	ctx := x.req.Context()
	if x.fault.kind == faultRefuse || x.fault.kind == faultDNS {
		return nil, x.fault.kind.transportError(x.req.URL.Hostname())
	}
	announce(x.req, false)
	announce(x.req, true)
	switch x.fault.kind {
	case faultReset:
		return nil, x.fault.kind.transportError("")
	case faultHangHeaders:
		return nil, hang(ctx)
	}
	if err := wait(ctx, x.pace(x.step.FirstMS, slowFirstMS, x.sim.first)); err != nil {
		return nil, err
	}
	return x.respond(), nil
}

// pace is a pause: the step's, or that of the fault slow, or the simulator's.
func (x *exchange) pace(ms *int, slow int, own time.Duration) time.Duration {
	if ms == nil && x.fault.kind == faultSlow {
		ms = &slow
	}
	if ms != nil {
		return time.Duration(*ms) * time.Millisecond
	}
	return own
}

// respond chooses among the kinds of answers.
func (x *exchange) respond() *http.Response {
	st := &x.step
	switch {
	case st.recorded != nil:
		return x.replay()
	case st.raw():
		return x.raw()
	}
	a, err := x.decode()
	var bad *badRequest
	if errors.As(err, &bad) {
		return x.refuse(bad)
	}
	stream := x.op == opChat && a.stream
	switch x.fault.kind {
	case faultHTTP:
		if !stream || st.After == nil {
			return x.fail(apiErrorOf(x.family, st.Fault, x.status()))
		}
	case faultErrorIn200:
		return x.whole(http.StatusOK, appendError(nil, x.family, apiErrorOf(x.family, "", 500), x.id))
	case faultHTML:
		resp := x.whole(either0(st.Status, http.StatusBadGateway), []byte(htmlBody))
		if st.ContentType == "" {
			resp.Header.Set("Content-Type", "text/html; charset=UTF-8")
		}
		return resp
	}
	switch {
	case stream:
		return x.stream(x.sim.answer(a, st))
	case x.op == opEmbed:
		made, err := x.sim.embedding(x.body, st)
		if errors.As(err, &bad) {
			return x.refuse(bad)
		}
		return x.broken(made, nil)
	case x.op >= opModerate:
		return x.media()
	case x.op == opCount:
		return x.broken(append(member(nil, `{"input_tokens":`, x.counted(a)), '}'), nil)
	case x.op == opCompact:
		return x.broken(appendCompaction(nil, x.sim.answer(a, st)), nil)
	default:
		ans := x.sim.answer(a, st)
		return x.broken(ans.whole(nil), ans)
	}
}

// counted is the answer of count_tokens.
func (x *exchange) counted(a *ask) int64 {
	switch u := x.step.Usage; {
	case x.fault.kind == faultWrongUsage:
		return absurdTokens
	case u != nil && u.Input != nil:
		return *u.Input
	default:
		return a.input.input()
	}
}

// status is the status of a faultHTTP: the step's or the fault's own.
func (x *exchange) status() int { return either0(x.step.Status, x.fault.code) }

func either0(a, b int) int {
	if a != 0 {
		return a
	}
	return b
}

// decode reads the conversation; it is nil for a request without one.
func (x *exchange) decode() (*ask, error) {
	switch {
	case x.op == opEmbed, x.op >= opModerate:
		return nil, nil
	case x.family == familyAnthropic:
		return decodeAnthropic(x.body, x.sim.count, x.op == opCount)
	case x.family == familyTexts:
		return decodeTexts(x.body, x.sim.count)
	case x.family == familyResponses:
		return decodeResponses(x.body, x.sim.count)
	default:
		return decodeOpenAI(x.body, x.sim.count)
	}
}
