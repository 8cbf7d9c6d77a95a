package app

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"

	"github.com/pontage/pontage/internal/testkit"
)

// frames is an answer of Bedrock: lines of the name of an event and its payload.
func frames(t *testing.T, lines ...string) testkit.Answer {
	t.Helper()
	a := testkit.Answer{Header: http.Header{"Content-Type": {"application/vnd.amazon.eventstream"}}}
	for _, l := range lines {
		name, payload, _ := strings.Cut(l, " ")
		kind, header := "event", ":event-type"
		if strings.HasSuffix(name, "Exception") {
			kind, header = "exception", ":exception-type"
		}
		m := eventstream.Message{Payload: []byte(payload)}
		m.Headers.Set(":message-type", eventstream.StringValue(kind))
		m.Headers.Set(header, eventstream.StringValue(name))
		var b bytes.Buffer
		if err := eventstream.NewEncoder().Encode(&b, m); err != nil {
			t.Fatal(err)
		}
		a.Frames = append(a.Frames, testkit.Frame{Data: b.String()})
	}
	return a
}

const onBedrock = `server: {listen: "127.0.0.1:0", admin_listen: "127.0.0.1:0", admin_token: abcdefghijklmnopqrstuvwxyz}
store: {url: "sqlite:data/pontage.db"}
routing: {attempts: 2}
providers:
  one: {kind: bedrock, region: us-east-1, base_url: "%[1]s", api_key: %[3]s}
  two: {kind: bedrock, region: us-west-2, base_url: "%[2]s", access_key_id: AKIDEXAMPLE, secret_access_key: %[3]s}
models:
  m: {targets: [{provider: one, model: "us.x.model-v1:0"}, {provider: two, model: "us.x.model-v1:0"}], price: {input: 1, output: 2}, context: 100000, max_output: 10000, input: [text, image]}
sites: [{hosts: ["*"], contract: openai}]
`

// TestBedrockAnswersCallersOfOtherDialects has a whole gateway before two
// regions: the second answers where the first has failed before any content, and
// nobody afterwards.
func TestBedrockAnswersCallersOfOtherDialects(t *testing.T) {
	t.Parallel()
	b := standOn(t, onBedrock)
	const (
		start = `messageStart {"role":"assistant"}`
		hello = `contentBlockDelta {"contentBlockIndex":0,"delta":{"text":"hello"}}`
		stop  = `messageStop {"stopReason":"end_turn"}`
		usage = `metadata {"usage":{"inputTokens":5,"outputTokens":3,"totalTokens":8}}`
	)
	failed := `modelStreamErrorException {"message":"x"}`
	for _, c := range []struct {
		path, end string
	}{
		{"/v1/chat/completions", "data: [DONE]\n\n"},
		{"/v1/messages", "\"message_stop\"}\n\n"},
	} {
		body := `{"model":"m","max_tokens":50,"stream":true,"messages":[{"role":"user","content":"hi"}]}`
		b.first.Queue(frames(t, start, failed))
		b.second.Queue(frames(t, start, hello, stop, usage))
		resp, got := b.post(t, c.path, body)
		if resp.StatusCode != 200 || !strings.Contains(got, "hello") || !strings.HasSuffix(got, c.end) {
			t.Errorf("%s: %d, %s", c.path, resp.StatusCode, got)
		}
		b.first.Queue(frames(t, start, hello, failed))
		if _, got := b.post(t, c.path, body); !strings.Contains(got, "hello") || !strings.Contains(got, `"error"`) || strings.HasSuffix(got, c.end) {
			t.Errorf("%s, cut: %s", c.path, got)
		}
		b.first.Queue(testkit.JSON(200, `{"output":{"message":{"role":"assistant","content":[{"text":"whole"}]}},"stopReason":"end_turn","usage":{"inputTokens":5,"outputTokens":3,"totalTokens":8}}`))
		if _, got := b.post(t, c.path, strings.Replace(body, "true", "false", 1)); !strings.Contains(got, `"whole"`) {
			t.Errorf("%s, whole: %s", c.path, got)
		}
		// What may take long is asked for as a stream.
		b.first.Queue(frames(t, start, hello, stop, usage))
		if _, got := b.post(t, c.path, strings.Replace(strings.Replace(body, "true", "false", 1), ":50", ":9000", 1)); !strings.Contains(got, `"hello"`) {
			t.Errorf("%s, gathered: %s", c.path, got)
		}
	}
	if h := b.first.Request(0).Header.Get("Authorization"); h != "Bearer "+upstreamKey {
		t.Errorf("authorization is %q", h)
	}
	if h := b.second.Request(0).Header.Get("Authorization"); !strings.HasPrefix(h, "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/") || !strings.Contains(h, "/us-west-2/bedrock/aws4_request") {
		t.Errorf("authorization is %q", h)
	}
	if got := b.first.Request(0).Path; got != "/model/us.x.model-v1:0/converse-stream" {
		t.Errorf("path is %q", got)
	}
	if strings.Contains(b.log.String(), upstreamKey) {
		t.Error("the log has a credential")
	}
}
