package traffic

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/pontage/pontage/internal/testkit"
)

// expected returns the bytes that a caller of a recording's own dialect must
// get, exactly. alias is the name that the caller gave the model, if the
// provider knows it by another; wantUsage is whether a streamed chat asked for
// its usage. These are all the ways in which an answer differs from what the
// provider sent:
//
//  1. blank bytes before a whole answer go;
//  2. model is the caller's name, if the provider has another;
//  3. a member "error": null goes: the official Go client takes it for an error;
//
// and of streams
//
//  4. comments become the dialect's own sign of life;
//  5. an event with id:, retry: or unknown lines, without the event: line that
//     Anthropic's clients need, with an event: line where OpenAI's stumble over
//     it, after blank lines or without its blank line is written anew;
//     an event without data goes;
//  6. a chunk with nothing but the usage that only the gateway asked for goes;
//  7. from the event on that says why the answer ended, events are written
//     anew, since what a contract adds goes into the last of them;
//  8. [DONE] or message_stop stands at the end, once, whether it was sent or not.
func expected(f *testkit.Fixture, alias string, wantUsage bool) []byte {
	body := f.Response.Body()
	if f.Response.Kind != "sse" {
		return rename(bytes.TrimLeft(body, " \t\r\n"), alias)
	}
	r := rewriter{alias: alias, wantUsage: wantUsage, vendor: f.Provider}
	for _, e := range frames(body) {
		next := r.openAI
		if strings.HasPrefix(f.API, "anthropic.") {
			next = r.anthropic
		}
		if !next(e) {
			break
		}
	}
	r.release()
	if strings.HasPrefix(f.API, "anthropic.") {
		if r.stop == nil {
			r.stop = []byte("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n")
		}
		return append(r.out, r.stop...)
	}
	return append(r.out, "data: [DONE]\n\n"...)
}

// rename sets the model to alias, if there is one, and removes a null error.
func rename(data []byte, alias string) []byte {
	if raw := valueOf(data, "error"); string(raw) == "null" {
		var o map[string]json.RawMessage
		_ = json.Unmarshal(data, &o)
		delete(o, "error")
		data, _ = json.Marshal(o)
	}
	if alias == "" {
		return data
	}
	for _, m := range membersOf(data) {
		switch m.name {
		case "model":
			name, _ := json.Marshal(alias)
			return append(append(append([]byte{}, data[:m.valueStart]...), name...), data[m.end:]...)
		case "message": // of message_start
			if inner := m.value(data); inner[0] == '{' {
				return append(append(append([]byte{}, data[:m.valueStart]...), rename(inner, alias)...), data[m.end:]...)
			}
		}
	}
	return data
}

type rewriter struct {
	alias     string
	wantUsage bool
	vendor    string

	out   []byte
	held  []byte
	ended bool
	stop  []byte
}

func (r *rewriter) release() {
	r.out = append(r.out, r.held...)
	r.held = nil
}

// openAI takes in one event of a chat. It returns false at the end.
func (r *rewriter) openAI(e frame) bool {
	data := bytes.TrimSpace(e.data)
	switch {
	case string(data) == "[DONE]":
		return false
	case len(data) == 0:
		if e.comment {
			r.out = append(r.out, ": keep-alive\n\n"...)
		}
		return true
	}
	o := parse(data)
	finish, elements := false, 0
	for _, c := range list(o["choices"]) {
		elements++
		finish = finish || str(obj(c)["finish_reason"]) != ""
	}
	usage := openAIUsage(obj(first(o["usage"], obj(o["x_groq"])["usage"])), r.vendor)
	if elements == 0 && usage != nil && !r.wantUsage {
		return true
	}
	r.release()
	payload := rename(e.data, r.alias)
	again := !bytes.Equal(payload, e.data)
	if r.ended = r.ended || finish; r.ended {
		r.held = write("", payload)
		return true
	}
	if again || e.other || e.name != "" || e.comment || e.cut || lines(e.raw) != 2 {
		r.out = append(r.out, write("", payload)...)
	} else {
		r.out = append(r.out, e.raw...)
	}
	return true
}

// anthropic takes in one event of a message. It returns false at the end.
func (r *rewriter) anthropic(e frame) bool {
	o := parse(e.data)
	name := e.name
	if name == "" {
		name = str(o["type"])
	}
	plain := !e.other && !e.comment && !e.cut && lines(e.raw) == 3 && bytes.HasPrefix(e.raw, []byte("event:"))
	switch {
	case len(bytes.TrimSpace(e.data)) == 0 && !e.comment:
		return true
	case o == nil: // a comment
		r.out = append(r.out, "event: ping\ndata: {\"type\":\"ping\"}\n\n"...)
		return true
	case str(o["type"]) == "message_stop":
		if r.stop = e.raw; !plain {
			r.stop = nil
		}
		return false
	}
	r.release()
	payload := rename(e.data, r.alias)
	switch {
	case name == "message_delta":
		r.held = write(name, payload)
	case plain && bytes.Equal(payload, e.data):
		r.out = append(r.out, e.raw...)
	default:
		r.out = append(r.out, write(name, payload)...)
	}
	return true
}

// lines counts the lines of a frame, the blank one that ends it among them.
func lines(raw []byte) int { return bytes.Count(raw, []byte("\n")) }

// write makes an event.
func write(name string, data []byte) []byte {
	var b []byte
	if name != "" {
		b = append(b, "event: "+name+"\n"...)
	}
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		b = append(append(append(b, "data: "...), line...), '\n')
	}
	return append(b, '\n')
}
