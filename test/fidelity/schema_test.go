package fidelity

import (
	"fmt"
	"testing"

	"github.com/pontage/pontage/internal/testkit"
)

// schemas are the official ones, by name.
type schemas struct{ by map[string]*testkit.Schema }

// newSchemas loads all schemas that some dialect needs.
func newSchemas(t *testing.T) *schemas {
	s := &schemas{by: map[string]*testkit.Schema{}}
	names := []string{
		"openai.json#CreateChatCompletionResponse", "openai.json#CreateChatCompletionStreamResponse", "openai.json#CreateEmbeddingResponse",
		"openai.json#ErrorResponse", "anthropic.Message.json", "anthropic.RawMessageStreamEvent.json", "anthropic.ErrorResponse.json",
		"openai.json#Response",
	}
	for _, name := range responsesEvents {
		names = append(names, "openai.json#"+name)
	}
	for _, name := range names {
		s.by[name] = testkit.LoadSchema(t, name)
	}
	return s
}

// check returns what a schema refuses of a document.
func (s *schemas) check(name string, doc []byte) (out []string) {
	schema := s.by[name]
	if schema == nil {
		return []string{"there is no schema " + name}
	}
	if err := schema.Check(doc); err != nil {
		return []string{fmt.Sprintf("%s refuses %.400s: %.800v", name, doc, err)}
	}
	return nil
}

// whole checks a whole answer against one schema, and each event of a stream
// against another.
func whole(answer, event string) func(*schemas, []byte, bool) []string {
	return func(s *schemas, body []byte, sse bool) (out []string) {
		if !sse {
			return s.check(answer, body)
		}
		for _, e := range events(body) {
			switch {
			case string(e.data) == "[DONE]", e.name == "ping":
			case e.cut || e.odd:
				out = append(out, fmt.Sprintf("an event in a form that official clients lose: %.200q", e.data))
			case e.name != "" && e.name != text(in(e.data, "type")):
				out = append(out, fmt.Sprintf("the event is called %q: %.200s", e.name, e.data))
			default:
				out = append(out, s.check(event, e.data)...)
			}
		}
		return out
	}
}

// simpleSchema checks a whole answer of the simple surface, which is a chat
// completion with its first message again; its stream is one of chunks.
func simpleSchema(s *schemas, body []byte, sse bool) []string {
	out := whole("openai.json#CreateChatCompletionResponse", "openai.json#CreateChatCompletionStreamResponse")(s, body, sse)
	if sse {
		return out
	}
	var first value
	if choices := items(in(body, "choices")); len(choices) > 0 {
		first = in(choices[0], "message")
	}
	if sorted(first) != sorted(in(body, "message")) || in(body, "model") == nil {
		out = append(out, "the answer has no model, or another message than its first choice")
	}
	return out
}

// responsesEvents are the schemas of the events that we write.
var responsesEvents = map[string]string{
	"response.created": "ResponseCreatedEvent", "response.in_progress": "ResponseInProgressEvent",
	"response.output_item.added": "ResponseOutputItemAddedEvent", "response.output_item.done": "ResponseOutputItemDoneEvent",
	"response.content_part.added": "ResponseContentPartAddedEvent", "response.content_part.done": "ResponseContentPartDoneEvent",
	"response.output_text.delta": "ResponseTextDeltaEvent", "response.output_text.done": "ResponseTextDoneEvent",
	"response.output_text.annotation.added": "ResponseOutputTextAnnotationAddedEvent",
	"response.refusal.delta":                "ResponseRefusalDeltaEvent", "response.refusal.done": "ResponseRefusalDoneEvent",
	"response.function_call_arguments.delta": "ResponseFunctionCallArgumentsDeltaEvent", "response.function_call_arguments.done": "ResponseFunctionCallArgumentsDoneEvent",
	"response.reasoning_summary_part.added": "ResponseReasoningSummaryPartAddedEvent", "response.reasoning_summary_part.done": "ResponseReasoningSummaryPartDoneEvent",
	"response.reasoning_summary_text.delta": "ResponseReasoningSummaryTextDeltaEvent", "response.reasoning_summary_text.done": "ResponseReasoningSummaryTextDoneEvent",
	"response.reasoning_text.delta": "ResponseReasoningTextDeltaEvent", "response.reasoning_text.done": "ResponseReasoningTextDoneEvent",
	"response.image_generation_call.in_progress": "ResponseImageGenCallInProgressEvent", "response.image_generation_call.generating": "ResponseImageGenCallGeneratingEvent",
	"response.image_generation_call.completed": "ResponseImageGenCallCompletedEvent",
	"response.completed":                       "ResponseCompletedEvent", "response.incomplete": "ResponseIncompleteEvent", "response.failed": "ResponseFailedEvent",
	"error": "ResponseErrorEvent",
}

// responsesSchema checks a response, or its events by their types.
func responsesSchema(s *schemas, body []byte, sse bool) (out []string) {
	if !sse {
		return s.check("openai.json#Response", body)
	}
	for _, e := range events(body) {
		kind := text(in(e.data, "type"))
		name, ok := responsesEvents[kind]
		switch {
		case kind == "keepalive" && e.name == kind: // OpenAI sends it, and its schema lacks it
		case !ok:
			out = append(out, fmt.Sprintf("an event of the type %q: %.200s", kind, e.data))
		case e.name != kind || e.cut || e.odd:
			out = append(out, fmt.Sprintf("an event in a form that official clients lose: %q %.200q", e.name, e.data))
		default:
			out = append(out, s.check("openai.json#"+name, e.data)...)
		}
	}
	return out
}
