package app

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/testkit"
)

// More of the bugs that other gateways have had; see others_test.go.

const messagesStreamed = `{"model":"m","stream":true,"max_tokens":99,"messages":[{"role":"user","content":"hi"}]}`

func TestBug5ErrorsWithoutATypeAreNeither500NorNothing(t *testing.T) {
	t.Parallel()
	page := testkit.Answer{Status: 401, Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte("<h1>Unauthorized</h1>")}
	for _, c := range []struct {
		name   string
		answer testkit.Answer
		status int
		code   string
	}{
		{"a key, as a page", page, 502, "upstream_authentication_failed"},
		{"a key, untyped", testkit.JSON(401, `{"detail":"no"}`), 502, "upstream_authentication_failed"},
		{"unprocessable", testkit.JSON(422, `{"detail":[{"loc":["body","top_p"],"msg":"too large"}]}`), 400, `"code":"`},
		{"not found", testkit.JSON(404, `{"error":"no such model"}`), 404, "model_not_found"},
		{"a number for a code", testkit.JSON(400, `{"object":"error","message":"no","type":"BadRequestError","param":null,"code":400}`), 400, `"code":"`},
		{"words for nothing", testkit.JSON(400, `{"error":{"message":"no","type":"None","param":"None","code":"None"}}`), 400, `"code":"`},
	} {
		b := stand(t)
		b.first.Always(c.answer)
		b.second.Always(c.answer)
		resp, got := b.post(t, chatPath, plain)
		if resp.StatusCode != c.status || !strings.Contains(got, c.code) || !strings.Contains(got, `"error":{`) || strings.Contains(got, `"None"`) || resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s, want %d %s", c.name, resp.StatusCode, got, c.status, c.code)
		}
	}
	b := stand(t)
	b.key = ""
	if resp, got := b.post(t, chatPath, plain); resp.StatusCode != 401 {
		t.Errorf("without a key: %d %s", resp.StatusCode, got)
	}
}

func TestBug6ACallEndsAMessageAndNoEmptyTextBeginsIt(t *testing.T) {
	t.Parallel()
	b := stand(t)
	b.first.Queue(testkit.SSE(roleChunk,
		`{"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"now","arguments":"{}"}}]},"finish_reason":null}]}`,
		endChunk, "[DONE]")) // it says stop
	_, got := b.post(t, messagesPath, messagesStreamed)
	if !strings.Contains(got, `"stop_reason":"tool_use"`) || !strings.Contains(got, `"index":0,"content_block":{"type":"tool_use"`) || strings.Contains(got, `"type":"text"`) {
		t.Errorf("%s", got)
	}
}

// usualGemini is the usual configuration, with Google's protocol at the model a.
var usualGemini = strings.Replace(usual, `kind: anthropic, api_key: %[3]s, base_url: "%[1]s/v1"`, `kind: gemini, api_key: %[3]s, base_url: "%[1]s/v1beta"`, 1)

func TestBug7ACallByGeminiHasItsArguments(t *testing.T) {
	t.Parallel()
	b := standOn(t, usualGemini)
	answer := `{"candidates":[{"content":{"role":"model","parts":[{"functionCall":{"name":"weather","args":{"city":"Bern","days":2}}}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":3,"totalTokenCount":8}}`
	b.first.Queue(testkit.SSE(answer))
	body := `{"model":"a","stream":true,"max_tokens":99,"tools":[{"name":"weather","input_schema":{"type":"object"}}],"messages":[{"role":"user","content":"hi"}]}`
	_, got := b.post(t, messagesPath, body)
	if !strings.Contains(got, `"partial_json":"{\"city\":\"Bern\",\"days\":2}"`) || !strings.Contains(got, `"stop_reason":"tool_use"`) {
		t.Errorf("%s", got)
	}
}

func TestBug8CachedTokensAreToldInAStreamOfMessages(t *testing.T) {
	t.Parallel()
	b := stand(t)
	b.first.Queue(testkit.SSE(roleChunk, textChunk, endChunk,
		`{"id":"c","choices":[],"usage":{"prompt_tokens":100,"completion_tokens":3,"total_tokens":103,"prompt_tokens_details":{"cached_tokens":80,"cache_write_tokens":15}}}`, "[DONE]"))
	_, got := b.post(t, messagesPath, messagesStreamed)
	_, end, _ := strings.Cut(got, "event: message_delta\n")
	for _, want := range []string{`"input_tokens":5`, `"cache_read_input_tokens":80`, `"cache_creation_input_tokens":15`, `"output_tokens":3`} {
		if !strings.Contains(end, want) {
			t.Errorf("%s, want %s", end, want)
		}
	}
}

func TestBug9CacheMarksAreKept(t *testing.T) {
	t.Parallel()
	const mark = `"cache_control":{"type":"ephemeral","ttl":"1h"}`
	b := stand(t)
	b.first.Queue(testkit.JSON(200, `{"id":"m","type":"message","role":"assistant","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","usage":{"input_tokens":5,"output_tokens":3}}`),
		testkit.JSON(200, fromOther))
	b.post(t, chatPath, `{"model":"a","tools":[{"type":"function","function":{"name":"now"},`+mark+`}],"messages":[{"role":"system","content":[{"type":"text","text":"long",`+mark+`}]},{"role":"user","content":[{"type":"text","text":"hi",`+mark+`}]}]}`)
	b.post(t, messagesPath, `{"model":"m","max_tokens":99,"tools":[{"name":"now","input_schema":{"type":"object"},`+mark+`}],"system":[{"type":"text","text":"long",`+mark+`}],"messages":[{"role":"user","content":[{"type":"text","text":"hi",`+mark+`}]}]}`)
	for i, who := range []string{"Anthropic", "OpenRouter"} {
		if sent := string(b.first.Request(i).Body); strings.Count(sent, mark) != 3 {
			t.Errorf("%s got %s", who, sent)
		}
	}
}

func TestBug14GeminiGetsSchemasWhereItTakesThemAndNoOptionsOfOthers(t *testing.T) {
	t.Parallel()
	b := standOn(t, usualGemini)
	b.first.Queue(testkit.SSE(`{"candidates":[{"content":{"role":"model","parts":[{"text":"{}"}]},"finishReason":"STOP","index":0}]}`))
	const schema = `{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","properties":{"x":{"type":["string","null"],"exclusiveMinimum":1}},"additionalProperties":false}`
	resp, got := b.post(t, chatPath, `{"model":"a","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function","function":{"name":"f","parameters":`+schema+`}}]}`)
	if resp.StatusCode != 200 || len(b.first.Received()) != 1 {
		t.Fatalf("%d %s", resp.StatusCode, got)
	}
	sent := string(b.first.Request(0).Body)
	if !strings.Contains(sent, `"parametersJsonSchema":`+schema) || strings.Contains(sent, "stream_options") || strings.Contains(sent, "streamOptions") || strings.Contains(sent, `"parameters":`) {
		t.Errorf("Gemini got %s", sent)
	}
}

func TestBug16ArgumentsInManyPiecesAllArrive(t *testing.T) {
	t.Parallel()
	const pieces = 600
	call := `{"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"write","arguments":""}}]},"finish_reason":null}]}`
	chunks := []string{roleChunk, call}
	want := `[`
	for i := range pieces {
		piece := fmt.Sprintf("%d,", i)
		want += piece
		chunks = append(chunks, fmt.Sprintf(`{"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"%s"}}]},"finish_reason":null}]}`, piece))
	}
	chunks[2] = strings.Replace(chunks[2], `"0,"`, `"{\"a\":[0,"`, 1)
	chunks = append(chunks, strings.Replace(chunks[3], `"1,"`, `"0]}"`, 1), endChunk, "[DONE]")
	for _, c := range []struct{ path, body, member string }{
		{chatPath, streamed, `"arguments":"`},
		{messagesPath, messagesStreamed, `"partial_json":"`},
	} {
		b := stand(t)
		b.first.Queue(testkit.SSE(chunks...))
		_, got := b.post(t, c.path, c.body)
		args := ""
		for _, piece := range strings.Split(got, c.member)[1:] {
			text, _, _ := strings.Cut(strings.ReplaceAll(piece, `\"`, "'"), `"`)
			args += text
		}
		if args != "{'a':"+want+"0]}" {
			t.Errorf("%s: %d bytes of arguments, want %d: %.200s", c.path, len(args), len(want)+8, args)
		}
	}
}
