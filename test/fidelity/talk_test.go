package fidelity

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// talk is a request without a dialect: what is said, what may be called, and
// how the answer is to be.
type talk struct {
	turns []turn
	tools []tool
	// choice is auto, none, required, or =NAME for one tool.
	choice string
	alone  bool   // one call at a time
	effort string // none, minimal, low, medium, high, xhigh, max, or some: as the model likes
	format *format
	sets   map[string]string // max, temperature, top_p, top_k, seed, frequency, presence: numbers as written
	stop   []string
	inputs []string // of embeddings
	// beyond lists what the dialect can say and this cannot: tools that the
	// provider runs, several answers, stored state. Such a request is put into
	// another dialect without it.
	beyond []string
}

// turn is what one side says at once. Roles are system, user and assistant;
// results of tools are parts of a user's turn.
type turn struct {
	role  string
	parts []part
}

// part is a piece of a turn.
type part struct {
	kind string // text, image, file, audio, video, call, result, thought, refusal
	text string // said, or of a plain document
	mime string
	data string // base64
	url  string
	name string // of a file, or of the tool that is called
	id   string
	args value  // of a call
	in   []part // of a result
}

// tool is a function that may be called.
type tool struct {
	name, description string
	schema            value // nil: no arguments
}

// format is what the answer must look like: any JSON object, or one of a schema.
type format struct {
	name   string
	schema value
}

func (q *talk) set(name string, v value) {
	if v == nil {
		return
	}
	if q.sets == nil {
		q.sets = map[string]string{}
	}
	q.sets[name] = string(v)
}

// say adds parts to the last turn if it has the same role, and else begins one.
func (q *talk) say(role string, parts ...part) {
	if n := len(q.turns); n > 0 && q.turns[n-1].role == role && role != "system" {
		q.turns[n-1].parts = append(q.turns[n-1].parts, parts...)
		return
	}
	q.turns = append(q.turns, turn{role, parts})
}

// only returns q with the parts that keep says may stay, and without turns of
// which nothing is left.
func (q talk) only(keep func(role string, p part) bool) talk {
	turns := q.turns
	q.turns = nil
	for _, t := range turns {
		var parts []part
		for _, p := range t.parts {
			if keep(t.role, p) {
				parts = append(parts, p)
			}
		}
		if len(parts) > 0 {
			q.say(t.role, parts...)
		}
	}
	return q
}

// without returns q without the named settings.
func (q talk) without(names ...string) talk {
	kept := map[string]string{}
	for k, v := range q.sets {
		if !slices.Contains(names, k) {
			kept[k] = v
		}
	}
	q.sets = kept
	return q
}

// asksAnything reports whether somebody but the system says something.
func (q talk) asksAnything() bool {
	return slices.ContainsFunc(q.turns, func(t turn) bool { return t.role == "user" })
}

// nearest are the efforts that a protocol, or the newest models of its vendor, lack,
// and what the gateway asks for instead: the next that there is, and where there is no
// word for as the model likes, nothing.
var nearest = map[string]map[string]string{
	"openai.chat":        {"some": ""},
	"openai.responses":   {"some": ""},
	"anthropic.messages": {"minimal": "low"},
	"gemini.generate":    {"none": "minimal", "xhigh": "high", "max": "high"},
}

// aims returns q with the effort that a provider of that protocol is to be asked for.
func (q talk) aims(own *dialect) talk {
	if e, lacks := nearest[own.name][q.effort]; lacks {
		q.effort = e
	}
	return q
}

// budgeted is the effort that a budget of tokens stands for, by protocols.md §3.5;
// without one, or below 0, the model does as it likes.
func budgeted(n value) string {
	switch tokens := count(n); {
	case n == nil || tokens < 0:
		return "some"
	case tokens == 0:
		return "none"
	case tokens <= 2048:
		return "low"
	case tokens <= 8192:
		return "medium"
	}
	return "high"
}

// hello is a request that any answer fits.
func hello() talk {
	return talk{turns: []turn{{"user", []part{{kind: "text", text: "Hello"}}}}}
}

// heard is what a request says by kinds, to be compared with what arrived:
// texts of each role in their order, and all else as lines.
type heard struct {
	texts map[string][]string
	lines []string
}

// hear lists what q says. Ids of calls are numbered, since dialects differ in
// what an id may look like; media stand by themselves, since dialects differ in
// whose they are.
func (q talk) hear() heard {
	h := heard{texts: map[string][]string{}}
	ids := map[string]string{}
	number := func(id string) string {
		if ids[id] == "" {
			ids[id] = fmt.Sprint("#", len(ids)+1)
		}
		return ids[id]
	}
	for _, t := range q.turns {
		for _, p := range t.parts {
			h.part(t.role, p, number)
		}
	}
	for _, t := range q.tools {
		h.add("tool %s: %s", t.name, t.description)
		for name, s := range members(in(t.schema, "properties")) {
			h.add("tool %s takes %s: %s", t.name, name, sorted(s))
		}
	}
	if len(q.tools) > 0 && q.choice != "" && q.choice != "auto" {
		h.add("choice: %s", q.choice)
	}
	switch forced := strings.HasPrefix(q.choice, "=") || q.choice == "required" && len(q.tools) == 1; {
	case len(q.tools) == 0 || !q.alone:
	case forced: // as structured output is asked for
		h.add("one call of one tool")
	default:
		h.add("one call at a time")
	}
	switch {
	case q.format != nil && q.format.schema != nil:
		h.add("format: %s", sorted(q.format.schema))
	case q.format != nil:
		h.add("format: any object")
	}
	if q.effort != "" {
		h.add("thinks: %s", q.effort)
	}
	for name, v := range q.sets {
		h.add("%s: %s", name, sorted(value(v)))
	}
	for _, s := range q.stop {
		h.add("stop: %s", s)
	}
	for _, s := range q.inputs {
		h.add("input: %s", s)
	}
	slices.Sort(h.lines)
	return h
}

func (h *heard) add(format string, args ...any) {
	h.lines = append(h.lines, fmt.Sprintf(format, args...))
}

// part lists one part.
func (h *heard) part(role string, p part, number func(string) string) {
	switch p.kind {
	case "text", "refusal":
		if s := strings.TrimSpace(p.text); s != "" {
			h.texts[role] = append(h.texts[role], s)
		}
	case "call":
		h.add("call %s %s: %s", number(p.id), p.name, sorted(arguments(p.args)))
	case "result":
		id := number(p.id)
		h.add("result %s", id)
		for _, x := range p.in {
			if x.kind == "text" {
				x.text = result(x.text)
			}
			h.part("result "+id, x, number)
		}
	case "thought": // state of its provider
	default:
		if p.text != "" {
			h.texts[role] = append(h.texts[role], strings.TrimSpace(p.text))
			return
		}
		if plain, err := base64.StdEncoding.DecodeString(p.data); err == nil && strings.HasPrefix(p.mime, "text/") {
			h.texts[role] = append(h.texts[role], strings.TrimSpace(string(plain)))
			return
		}
		h.add("%s: %s", p.kind, cmp.Or(p.url, standard(p.data)))
	}
}

// standard writes base64 in its usual alphabet.
func standard(data string) string {
	return strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(data), "=")
}

// arguments are the arguments of a call as JSON, whatever a model wrote.
func arguments(v value) value {
	if strings.TrimSpace(string(v)) == "" {
		return value("{}")
	}
	if raw := in(v, "_raw"); raw != nil && len(members(v)) == 1 { // no object, so it was put into one
		if v = raw; isText(v) {
			v = value(text(v))
		}
	}
	if string(v) == "null" { // the ways of some models to say that there are none
		return value("{}")
	}
	return v
}

// result is the text of a tool's result; an object or a list stands for its text, in
// one spelling, and an object that only wraps something for that.
func result(s string) string {
	v := value(s)
	if !isObject(value(strings.TrimSpace(s))) {
		if items(v) != nil {
			return sorted(v)
		}
		return s
	}
	for _, name := range []string{"output", "result", "error"} {
		if x := in(v, name); x != nil && len(members(v)) == 1 {
			if isText(x) {
				return result(text(x))
			}
			return sorted(x)
		}
	}
	return sorted(v)
}

// narrow leaves the tools that may be called, in that mode.
func (q *talk) narrow(mode string, names []string) {
	if q.choice = mode; mode == "required" && len(names) == 1 {
		q.choice = "=" + names[0]
	}
	q.tools = slices.DeleteFunc(q.tools, func(t tool) bool { return !slices.Contains(names, t.name) })
}

// lost compares what arrived with what was said. dropped are the members that
// the gateway told the caller it left out. Each difference is a line.
func (h heard) lost(got heard, dropped []string) (out []string) {
	for role, texts := range h.texts {
		all, size := strings.Join(got.texts[role], "\n"), 0
		rest := all
		for _, s := range texts {
			i := strings.Index(rest, s)
			if i < 0 {
				out = append(out, fmt.Sprintf("text of %s is lost: %.200q", role, s))
				continue
			}
			rest = rest[i+len(s):]
			size += len(strings.Join(strings.Fields(s), ""))
		}
		if n := len(strings.Join(strings.Fields(all), "")); n != size && len(out) == 0 {
			out = append(out, fmt.Sprintf("text of %s grew by %d bytes", role, n-size))
		}
	}
	for role, texts := range got.texts {
		if len(h.texts[role]) == 0 {
			out = append(out, fmt.Sprintf("text of %s was added: %.200q", role, texts))
		}
	}
	for _, l := range h.lines {
		kind, _, _ := strings.Cut(l, ":")
		if !slices.Contains(got.lines, l) && !tells(dropped, kind) {
			out = append(out, fmt.Sprintf("lost: %.300s", l))
		}
	}
	for _, l := range got.lines {
		kind, _, _ := strings.Cut(l, ":")
		if !slices.Contains(h.lines, l) && kind != "max" && !strings.HasPrefix(l, "tool ") && l != "choice: none" {
			out = append(out, fmt.Sprintf("added: %.300s", l))
		}
	}
	return out
}

// drops are the members whose names in X-Dropped-Params excuse a kind of line.
var drops = map[string][]string{
	"seed":                 {"seed", "generationConfig.seed"},
	"top_k":                {"top_k", "generationConfig.topK"},
	"top_p":                {"top_p", "generationConfig.topP"},
	"one call of one tool": {"parallel_tool_calls", "tool_choice.disable_parallel_tool_use"},

	"thinks": {"thinking", "reasoning_effort", "reasoning.effort", "generationConfig.thinkingConfig"},
}

func tells(dropped []string, kind string) bool {
	return slices.ContainsFunc(drops[kind], func(name string) bool { return slices.Contains(dropped, name) })
}
