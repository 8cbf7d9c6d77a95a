package chaos

import (
	"fmt"
	"strconv"
	"strings"
)

// words are what answers in a family's protocol consist of.
type words struct {
	begin string // of a stream, before content
	text  string // an event with content, with %s for JSON text
	end   string // of a stream
	whole string // an answer in one piece, with %s for JSON text
	fail  string // an error, as a body or as the data of an event
	named string // the name of the event that is an error; empty: it has none

	framed bool // events are frames of AWS, not server-sent ones
}

// named makes an event with a name.
func named(name, data string) string { return "event: " + name + "\ndata: " + data + "\n\n" }

// protocols are the families by the first segment of the path under which they
// are asked.
var protocols = map[string]words{
	"openai": {
		begin: goodRole,
		text:  chunkHead + `"choices":[{"index":0,"delta":{"content":%s},"finish_reason":null}]}` + "\n\n",
		end:   goodEnd,
		whole: strings.Replace(goodWhole, `"Hello"`, "%s", 1),
		fail:  `{"error":{"message":"words of the provider","type":"server_error","param":null,"code":null}}`,
	},
	"anthropic": {
		begin: named("message_start", `{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":10,"output_tokens":1}}}`) +
			named("content_block_start", `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`),
		text: named("content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":%s}}`),
		end: named("content_block_stop", `{"type":"content_block_stop","index":0}`) +
			named("message_delta", `{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":2}}`) +
			named("message_stop", `{"type":"message_stop"}`),
		whole: `{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":%s}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":10,"output_tokens":2}}`,
		fail:  `{"type":"error","error":{"type":"api_error","message":"words of the provider"}}`,
		named: "error",
	},
	"responses": {
		begin: named("response.created", `{"type":"response.created","sequence_number":0,"response":`+response("in_progress", "[]", "null")+`}`) +
			named("response.output_item.added", `{"type":"response.output_item.added","sequence_number":1,"output_index":0,"item":`+item("in_progress", "")+`}`) +
			named("response.content_part.added", `{"type":"response.content_part.added","sequence_number":2,"item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[]}}`),
		text: named("response.output_text.delta", `{"type":"response.output_text.delta","sequence_number":3,"item_id":"msg_1","output_index":0,"content_index":0,"delta":%s,"logprobs":[]}`),
		end: named("response.output_item.done", `{"type":"response.output_item.done","sequence_number":4,"output_index":0,"item":`+item("completed", "Hello")+`}`) +
			named("response.completed", `{"type":"response.completed","sequence_number":5,"response":`+response("completed", "["+item("completed", "Hello")+"]", spent)+`}`),
		whole: strings.Replace(response("completed", "["+item("completed", "Hello")+"]", spent), `"Hello"`, "%s", 1),
		fail:  `{"type":"error","code":"server_error","message":"words of the provider","param":null,"sequence_number":9,"error":{"type":"server_error","code":"server_error","message":"words of the provider","param":null}}`,
		named: "error",
	},
	"gemini": {
		text:  "data: " + `{"candidates":[{"content":{"role":"model","parts":[{"text":%s}]},"index":0}],"modelVersion":"m","responseId":"r1"}` + "\n\n",
		end:   "data: " + candidate("") + "\n\n",
		whole: strings.Replace(candidate("Hello"), `"Hello"`, "%s", 1),
		fail:  `{"error":{"code":500,"message":"words of the provider","status":"INTERNAL","details":[]}}`,
	},
	"bedrock": {
		begin: framed("messageStart", `{"p":"abc","role":"assistant"}`),
		text:  `{"contentBlockIndex":0,"delta":{"text":%s},"p":"abcdef"}`,
		end: framed("contentBlockStop", `{"contentBlockIndex":0}`) + framed("messageStop", `{"stopReason":"end_turn"}`) +
			framed("metadata", `{"metrics":{"latencyMs":1},"usage":{"inputTokens":10,"outputTokens":2,"totalTokens":12}}`),
		whole:  `{"metrics":{"latencyMs":1},"output":{"message":{"content":[{"text":%s}],"role":"assistant"}},"stopReason":"end_turn","usage":{"inputTokens":10,"outputTokens":2,"totalTokens":12}}`,
		fail:   `{"__type":"InternalServerException","message":"words of the provider"}`,
		named:  "internalServerException",
		framed: true,
	},
}

// candidate is the last event of a stream of Google's, or an answer.
func candidate(text string) string {
	return `{"candidates":[{"content":{"role":"model","parts":[{"text":"` + text + `"}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":2,"totalTokenCount":12},"modelVersion":"m","responseId":"r1"}`
}

const spent = `{"input_tokens":10,"input_tokens_details":{"cached_tokens":0},"output_tokens":2,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":12}`

func response(status, output, usage string) string {
	return `{"id":"resp_1","object":"response","created_at":1,"status":"` + status + `","error":null,"incomplete_details":null,"model":"m","output":` + output + `,"usage":` + usage + `}`
}

func item(status, text string) string {
	content := "[]"
	if text != "" {
		content = `[{"type":"output_text","text":"` + text + `","annotations":[],"logprobs":[]}]`
	}
	return `{"type":"message","id":"msg_1","status":"` + status + `","role":"assistant","content":` + content + `}`
}

// say is an event with content.
func (w words) say(text string) string { return w.piece(strings.Trim(strconv.Quote(text), `"`)) }

// piece is an event with content, as it stands within a JSON string.
func (w words) piece(inner string) string {
	said := fmt.Sprintf(w.text, `"`+inner+`"`)
	if w.framed {
		return framed("contentBlockDelta", said)
	}
	return said
}

// full is an answer in one piece.
func (w words) full(text string) string { return fmt.Sprintf(w.whole, strconv.Quote(text)) }

// event is an error within a stream.
func (w words) event() string {
	if w.framed {
		return thrown(w.named, w.fail)
	}
	if w.named != "" {
		return named(w.named, w.fail)
	}
	return "data: " + w.fail + "\n\n"
}

// events is the media type of a stream.
func (w words) events() string {
	if w.framed {
		return "application/vnd.amazon.eventstream"
	}
	return "text/event-stream"
}

// alive is an event that says nothing.
func (w words) alive() string {
	if w.framed {
		return framed("ping", "{}")
	}
	return ": alive\n\n"
}

// opened is the start of an event that has no end.
func (w words) opened() string {
	if w.framed {
		return framed("contentBlockDelta", strings.Repeat(" ", 1<<20))[:200]
	}
	return `data: {"x":"`
}
