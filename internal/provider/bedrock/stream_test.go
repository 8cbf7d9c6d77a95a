package bedrock

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
	"github.com/pontage/pontage/internal/testkit"
)

// message writes a frame with the SDK's encoder. kind is event, exception or
// error.
func message(t *testing.T, kind, name, payload string) []byte {
	t.Helper()
	m := eventstream.Message{Payload: []byte(payload)}
	m.Headers.Set(":message-type", eventstream.StringValue(kind))
	m.Headers.Set(":content-type", eventstream.StringValue("application/json"))
	switch kind {
	case "event":
		m.Headers.Set(":event-type", eventstream.StringValue(name))
	case "exception":
		m.Headers.Set(":exception-type", eventstream.StringValue(name))
	case "error":
		m.Headers.Set(":error-code", eventstream.StringValue(name))
		m.Headers.Set(":error-message", eventstream.StringValue(payload))
		m.Payload = nil
	}
	var b bytes.Buffer
	if err := eventstream.NewEncoder().Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// script makes frames of lines "name payload"; a name that ends in Exception is
// an exception.
func script(t *testing.T, lines ...string) []byte {
	t.Helper()
	var b []byte
	for _, l := range lines {
		name, payload, _ := strings.Cut(l, " ")
		kind := "event"
		if strings.HasSuffix(name, "Exception") {
			kind = "exception"
		}
		b = append(b, message(t, kind, name, payload)...)
	}
	return b
}

// uneven is an answer of which the bytes come in pieces of all lengths.
func uneven(b []byte) testkit.Answer {
	a := testkit.Answer{Header: http.Header{"Content-Type": {mediaEvents}}}
	for n := 1; len(b) > 0; n = n*3%29 + 1 {
		n := min(n, len(b))
		a.Frames = append(a.Frames, testkit.Frame{Data: string(b[:n])})
		b = b[n:]
	}
	return a
}

// play opens an answer and reads it to its end.
func play(t *testing.T, a testkit.Answer, stream bool) (events []llm.Event, err error) {
	t.Helper()
	u := testkit.NewUpstream(t)
	u.Always(a)
	tr := provider.NewTransport(5 * time.Second)
	defer tr.CloseIdleConnections()
	p := New(Options{Name: "aws", Region: "us-east-1", BaseURL: u.URL, Transport: tr})
	members := hi
	if stream {
		members += `,"stream":true`
	}
	s, err := p.Open(t.Context(), provider.Call{Request: chat(t, members), Model: llama, Key: "k"})
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.Close() }()
	for {
		ev, err := s.Next()
		if err == io.EOF {
			return events, nil
		}
		if err != nil {
			return events, err
		}
		ev.Deltas = append([]llm.Delta(nil), ev.Deltas...)
		if ev.Usage != nil {
			u := *ev.Usage
			ev.Usage = &u
		}
		events = append(events, ev)
	}
}

// said writes down the deltas of an answer.
func said(events []llm.Event) (out []string) {
	for _, ev := range events {
		for _, d := range ev.Deltas {
			switch d.Kind {
			case llm.DeltaText:
				out = append(out, "text "+d.Text)
			case llm.DeltaReasoning:
				out = append(out, "thought "+d.Text)
			case llm.DeltaSignature, llm.DeltaRedacted:
				issuer, state, _ := llm.Unseal(d.Text)
				out = append(out, "sealed "+issuer+" "+state)
			case llm.DeltaToolCall:
				out = append(out, "call "+d.ToolID+" "+d.ToolName)
			case llm.DeltaToolArgs:
				out = append(out, "args "+string(rune('0'+d.Tool))+" "+d.Text)
			case llm.DeltaFinish:
				out = append(out, "finish "+string(d.Finish))
			case llm.DeltaStart:
				out = append(out, "start "+d.ID+d.Model)
			}
		}
	}
	return out
}

const (
	usage8 = `metadata {"usage":{"inputTokens":5,"outputTokens":3,"totalTokens":8},"metrics":{"latencyMs":7}}`
	start  = `messageStart {"role":"assistant","p":"abcd"}`
	hello  = `contentBlockDelta {"contentBlockIndex":0,"delta":{"text":"Hé\n"},"p":"abc"}`
	ends   = `messageStop {"stopReason":"end_turn"}`
)

// TestStreams has what is made of a stream, whatever the pieces that it comes in.
func TestStreams(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		script []string
		want   []string
		usage  *llm.Usage
	}{
		{
			"text",
			[]string{start, hello, `contentBlockDelta {"delta":{"text":"!"},"contentBlockIndex":0}`, `contentBlockStop {"contentBlockIndex":0}`, ends, usage8},
			[]string{"start ", "text Hé\n", "text !", "finish stop"},
			&llm.Usage{Input: 5, Output: 3},
		},
		{
			"thoughts and tools, with indexes that skip",
			[]string{
				start,
				`contentBlockDelta {"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"hm"}}}`,
				`contentBlockDelta {"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"c2ln"}}}`,
				`contentBlockStop {"contentBlockIndex":0}`,
				`contentBlockDelta {"contentBlockIndex":1,"delta":{"reasoningContent":{"redactedContent":"AAEC"}}}`,
				`contentBlockStart {"contentBlockIndex":3,"start":{"toolUse":{"toolUseId":"t1","name":"f"}}}`,
				`contentBlockDelta {"contentBlockIndex":3,"delta":{"toolUse":{"input":"{\"a\": 1234567"}}}`,
				`contentBlockStart {"contentBlockIndex":7,"start":{"toolUse":{"toolUseId":"t2","name":"g"}}}`,
				`contentBlockDelta {"contentBlockIndex":3,"delta":{"toolUse":{"input":"8901234567890}"}}}`,
				`contentBlockStop {"contentBlockIndex":3}`,
				`contentBlockStop {"contentBlockIndex":7}`,
				ends, // though there are calls
				`metadata {"usage":{"inputTokens":4,"outputTokens":298,"totalTokens":1837,"cacheReadInputTokens":500,"cacheWriteInputTokens":1035,"cacheDetails":[{"ttl":"1h","inputTokens":1000},{"ttl":"5m","inputTokens":35}]}}`,
			},
			[]string{
				"start ", "thought hm", "sealed aws sc2ln", "sealed aws rAAEC", "call t1 f", `args 0 {"a": 1234567`, "call t2 g", "args 0 8901234567890}", "args 1 {}",
				"finish tool_calls",
			},
			&llm.Usage{Input: 1539, CachedInput: 500, CacheWrite: 35, CacheWrite1h: 1000, Output: 298},
		},
		{
			"events that nobody knows",
			[]string{`initial-response `, start, `somethingNew {"stopReason":"end_turn","usage":{"inputTokens":9,"outputTokens":9}}`, hello, "somethingNew no JSON", `messageStop {"stopReason":"max_tokens","additionalModelResponseFields":{"x":{}}}`, usage8},
			[]string{"start ", "text Hé\n", "finish length"},
			&llm.Usage{Input: 5, Output: 3},
		},
		{"no numbers", []string{start, hello, ends}, []string{"start ", "text Hé\n", "finish stop"}, nil},
		{
			"numbers in which the cache is counted",
			[]string{start, hello, ends, `metadata {"usage":{"inputTokens":100,"outputTokens":3,"totalTokens":103,"cacheReadInputTokens":60}}`},
			[]string{"start ", "text Hé\n", "finish stop"},
			&llm.Usage{Input: 100, CachedInput: 60, Output: 3},
		},
	} {
		events, err := play(t, uneven(script(t, c.script...)), true)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := said(events); !cmp.Equal(got, c.want) {
			t.Errorf("%s: %s", c.name, cmp.Diff(c.want, got))
		}
		var last *llm.Usage
		for i, ev := range events {
			if ev.Usage != nil {
				last = ev.Usage
			}
			if ev.Raw != nil || ev.Last != (i == len(events)-1) {
				t.Errorf("%s: event %d of %d is %+v", c.name, i, len(events), ev)
			}
		}
		if !cmp.Equal(last, c.usage) {
			t.Errorf("%s: usage %s", c.name, cmp.Diff(c.usage, last))
		}
	}
}

// TestEventsCarryTheFacts has what the gateway counts by.
func TestEventsCarryTheFacts(t *testing.T) {
	t.Parallel()
	events, err := play(t, uneven(script(t, start, hello, `contentBlockStart {"contentBlockIndex":1,"start":{"toolUse":{"toolUseId":"t","name":"f"}}}`, `messageStop {"stopReason":"tool_use"}`, usage8)), true)
	if err != nil || len(events) != 5 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	if ev := events[0]; ev.Content || ev.OutputBytes != 0 || ev.Weight != 0 {
		t.Errorf("the start has %+v", ev)
	}
	if ev := events[1]; !ev.Content || ev.OutputBytes != len("Hé\n") || ev.Weight != provider.Weight([]byte(`Hé\n`)) {
		t.Errorf("the text has %+v", ev)
	}
	if ev := events[2]; !ev.Content || ev.Weight != provider.CallWeight {
		t.Errorf("the call has %+v", ev)
	}
	if ev := events[3]; ev.Content || ev.Finish != llm.FinishToolCalls || ev.Last {
		t.Errorf("the end has %+v", ev)
	}
}

// TestStreamsThatFail has that no stream ends well which did not.
func TestStreamsThatFail(t *testing.T) {
	t.Parallel()
	good := script(t, start, hello)
	spoiled := bytes.Clone(good)
	spoiled[len(spoiled)-20] ^= 1
	head := bytes.Clone(good)
	head[9] ^= 1 // checksum of the prelude
	for _, c := range []struct {
		name    string
		body    []byte
		content bool
		code    fault.Code
		retries bool
	}{
		{"cut between frames", good, true, fault.StreamInterrupted, true},
		{"cut within one", good[:len(good)-3], false, fault.StreamInterrupted, true},
		{"nothing", nil, false, fault.StreamInterrupted, true},
		{"a wrong checksum", spoiled, false, fault.UpstreamFailed, true},
		{"a wrong checksum of the prelude", head, false, fault.UpstreamFailed, true},
		{"too long a frame", []byte{0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, false, fault.UpstreamFailed, true},
		{"too short a frame", []byte{0, 0, 0, 4, 0, 0, 0, 0}, false, fault.UpstreamFailed, true},
		{"throttled before content", script(t, start, `throttlingException {"message":"Too many requests"}`), false, fault.UpstreamRateLimited, true},
		{"throttled after it", script(t, start, hello, `throttlingException {"message":"Too many requests"}`), true, fault.UpstreamRateLimited, true},
		{"a failure of the server", script(t, `internalServerException {"message":"x"}`), false, fault.UpstreamFailed, true},
		{"a failure of the model", script(t, start, `modelStreamErrorException {"message":"x","originalStatusCode":500,"originalMessage":"y"}`), false, fault.UpstreamFailed, true},
		{"overload", script(t, `serviceUnavailableException {"message":"x"}`), false, fault.UpstreamOverloaded, true},
		{"too long a prompt", script(t, `validationException {"message":"Input is too long for requested model."}`), false, fault.ContextLengthExceeded, false},
		{"a wrong request", script(t, `validationException {"message":"Malformed input request"}`), false, fault.InvalidRequest, false},
		{"an error without a type of its own", message(t, "error", "InternalFailure", `a "b"`), false, fault.UpstreamFailed, true},
		{"a frame of another kind", message(t, "rumour", "contentBlockDelta", `{"delta":{"text":"x"}}`), false, fault.UpstreamFailed, true},
		{"a malformed answer", script(t, start, `messageStop {"stopReason":"malformed_model_output"}`, usage8), false, fault.UpstreamFailed, true},
		{"a malformed call", script(t, start, hello, `messageStop {"stopReason":"malformed_tool_use"}`, usage8), true, fault.UpstreamFailed, true},
		{"no JSON", script(t, start, `contentBlockDelta {"delta":`), false, fault.UpstreamFailed, true},
		{"an image", script(t, start, hello, `contentBlockStart {"contentBlockIndex":1,"start":{"image":{"format":"png"}}}`), true, fault.UnsupportedParameter, false},
		{"a piece of an image", script(t, start, `contentBlockDelta {"contentBlockIndex":0,"delta":{"image":{"source":{"bytes":"iVBORw=="}}}}`), false, fault.UnsupportedParameter, false},
	} {
		events, err := play(t, uneven(c.body), true)
		var f *provider.Failure
		if !errors.As(err, &f) || f.Fault.Code != c.code || f.Failover != c.retries {
			t.Errorf("%s: %v, want %s", c.name, err, c.code)
			continue
		}
		content := false
		for _, ev := range events {
			content = content || ev.Content
		}
		if content != c.content {
			t.Errorf("%s: content: %v", c.name, content)
		}
	}
}

// TestWholeAnswers has what is made of an answer in one piece.
func TestWholeAnswers(t *testing.T) {
	t.Parallel()
	events, err := play(t, testkit.JSON(200, `{"metrics":{"latencyMs":1},"stopReason":"end_turn","output":{"message":{"content":[`+
		`{"reasoningContent":{"reasoningText":{"signature":"sig","text":"hm"}}},{"reasoningContent":{"redactedContent":"AAEC"}},{"text":"Hello \"you\""},`+
		`{"citationsContent":{"content":[{"text":"a"},{"text":"b"}],"citations":[{}]}},`+
		`{"toolUse":{"toolUseId":"t1","name":"f","input":{"b":12345678901234567890,"a":[]}}},{"toolUse":{"name":"g","toolUseId":"t2","input":{ }}}],"role":"assistant"}},`+
		`"usage":{"inputTokens":10,"outputTokens":20,"totalTokens":30}}`), false)
	if err != nil || len(events) != 1 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	want := &llm.Answer{Choices: []llm.Choice{{
		Finish: llm.FinishToolCalls,
		Parts: []llm.Part{
			{Kind: llm.PartReasoning, Text: "hm", Signature: llm.Seal("aws", "ssig")},
			{Kind: llm.PartRedacted, Data: llm.Seal("aws", "rAAEC")},
			{Kind: llm.PartText, Text: `Hello "you"`},
			{Kind: llm.PartText, Text: "ab"},
			{Kind: llm.PartToolCall, ToolID: "t1", ToolName: "f", Args: json.RawMessage(`{"b":12345678901234567890,"a":[]}`)},
			{Kind: llm.PartToolCall, ToolID: "t2", ToolName: "g", Args: json.RawMessage(`{}`)},
		},
	}}}
	ev := events[0]
	if !cmp.Equal(ev.Whole, want) {
		t.Error(cmp.Diff(want, ev.Whole))
	}
	if !ev.Last || !ev.Content || ev.Finish != llm.FinishToolCalls || ev.OutputBytes != len(`hmHello "you"ab{"b":12345678901234567890,"a":[]}`) ||
		!cmp.Equal(ev.Usage, &llm.Usage{Input: 10, Output: 20}) {
		t.Errorf("%+v", ev)
	}
}

// TestStopReasons has protocols.md §3.9.
func TestStopReasons(t *testing.T) {
	t.Parallel()
	for reason, want := range map[string]llm.Finish{
		"end_turn": llm.FinishStop, "stop_sequence": llm.FinishStopSequence, "max_tokens": llm.FinishLength,
		"model_context_window_exceeded": llm.FinishContextWindow, "guardrail_intervened": llm.FinishContentFilter,
		"content_filtered": llm.FinishContentFilter, "tool_use": llm.FinishToolCalls, "new_one": llm.FinishStop,
	} {
		body := `{"output":{"message":{"content":[{"text":"x"}]}},"stopReason":"` + reason + `"}`
		events, err := play(t, testkit.JSON(200, body), false)
		if err != nil || events[0].Finish != want {
			t.Errorf("%s: %v, %v", reason, events, err)
		}
	}
}

// TestAnswersThatFail has what is no answer, whatever its status says.
func TestAnswersThatFail(t *testing.T) {
	t.Parallel()
	failed := func(status int, kind, body string) testkit.Answer {
		a := testkit.JSON(status, body)
		if kind != "" {
			a.Header.Set("x-amzn-errortype", kind)
		}
		return a
	}
	for _, c := range []struct {
		name   string
		answer testkit.Answer
		stream bool
		code   fault.Code
	}{
		{"no JSON", failed(200, "", `<html>`), false, fault.UpstreamFailed},
		{"no output", failed(200, "", `{"stopReason":"end_turn"}`), false, fault.UpstreamFailed},
		{"an image", failed(200, "", `{"output":{"message":{"content":[{"text":"here"},{"image":{"format":"png","source":{"bytes":"iVBORw=="}}}]}},"stopReason":"end_turn"}`), false, fault.UnsupportedParameter},
		{"malformed", failed(200, "", `{"output":{"message":{"content":[]}},"stopReason":"malformed_tool_use"}`), false, fault.UpstreamFailed},
		{"an error that says it is none", failed(200, "ThrottlingException", `{"message":"x"}`), false, fault.UpstreamRateLimited},
		{"no stream", failed(200, "", `{}`), true, fault.UpstreamFailed},
		{"an error in place of a stream", failed(200, "ServiceUnavailableException:http://x/", `{"message":"x"}`), true, fault.UpstreamOverloaded},
		{"a refusal", failed(400, "ValidationException:http://internal.amazon.com/coral/com.amazon.bedrock/", `{"message":"Input is too long for requested model."}`), true, fault.ContextLengthExceeded},
	} {
		_, err := play(t, c.answer, c.stream)
		var f *provider.Failure
		if !errors.As(err, &f) || f.Fault.Code != c.code {
			t.Errorf("%s: %v, want %s", c.name, err, c.code)
		}
	}
}

// TestFailuresKeepOurSecrets has an upstream that echoes credentials.
func TestFailuresKeepOurSecrets(t *testing.T) {
	t.Parallel()
	u := testkit.NewUpstream(t)
	u.Always(testkit.JSON(403, `{"__type":"com.amazon.coral.service#InvalidSignatureException","message":"Key `+accessKey+` with `+secretKey+` and `+session+` of arn:aws:iam::123456789012:user/ops is wrong"}`))
	tr := provider.NewTransport(5 * time.Second)
	defer tr.CloseIdleConnections()
	p := New(Options{Name: "aws", Region: "us-east-1", BaseURL: u.URL, AccessKeyID: accessKey, SecretAccessKey: secretKey, SessionToken: session, Transport: tr})
	_, err := p.Open(t.Context(), provider.Call{Request: chat(t, hi), Model: llama})
	var f *provider.Failure
	if !errors.As(err, &f) || f.Fault.Code != fault.UpstreamAuth || !f.Quarantine {
		t.Fatalf("%v", err)
	}
	words := f.Fault.Error() + f.Fault.Said + f.Fault.Upstream + f.Fault.Message
	for _, s := range []string{accessKey, secretKey, session, "123456789012"} {
		if strings.Contains(words, s) {
			t.Errorf("%s stands in %s", s, words)
		}
	}
}

// FuzzStream has that nothing which an upstream sends is taken for an answer that
// it is not, or breaks the reader.
func FuzzStream(f *testing.F) {
	f.Add([]byte(`{"contentBlockIndex":0,"delta":{"text":"a"}}`), "contentBlockDelta")
	f.Add([]byte(`{"contentBlockIndex":0,"start":{"toolUse":{"name":"a"}}}`), "contentBlockStart")
	f.Fuzz(func(t *testing.T, payload []byte, name string) {
		k := scanner{issuer: "aws", stream: true}
		for range 2 {
			if !k.event(name, payload) {
				continue
			}
			if k.bytes > 0 && !k.content || k.bytes < 0 || k.weight < 0 {
				t.Errorf("%s %s: %+v", name, payload, k)
			}
		}
		k.whole(payload)
	})
}
