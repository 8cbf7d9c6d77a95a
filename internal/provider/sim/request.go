package sim

import (
	"errors"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// family is a family of protocols.
type family uint8

const (
	familyOpenAI family = iota
	familyAnthropic
	familyResponses // OpenAI's, of the newer protocol
	familyTexts     // OpenAI's, of the oldest: a text and how it goes on
)

// ask is a conversation as far as the simulator cares. It refers to nothing of
// the request's body, so a stream keeps none of it alive.
type ask struct {
	family       family
	model        string
	id           string // hexadecimal, of the whole body
	stream       bool
	includeUsage bool

	prompt    string // text of the last user message
	seed      uint64
	images    int  // and other media in all messages
	afterTool bool // the last message is the result of a tool

	maxOutput int64 // -1: not limited
	choices   int
	unseen    int      // made as well, and not shown
	echo      []string // prompts to be repeated before what was made of each
	stop      []string

	tools    []tool
	must     bool   // a tool has to be called
	named    string // this one
	parallel bool

	json   bool           // JSON is asked for
	schema jsontext.Value // that matches this; nil: any object

	effort   int64  // OpenAI: hidden reasoning tokens
	sealed   bool   // Responses: reasoning is wanted in a form that can be sent back
	thinking string // Anthropic: "", summarized or omitted
	budget   int64  // Anthropic: tokens of thinking allowed, 0: not said

	input usage // input side only
}

// tool is a function that may be called.
type tool struct {
	name   string
	schema jsontext.Value // nil: no arguments
	custom bool           // OpenAI's free-form tools
	space  string         // namespace, which responses alone have; empty: none
}

// usage counts tokens; classes as in llm.Usage, but uncached input on its own.
type usage struct {
	uncached, read, write, write1h int64
	output, reasoning              int64
}

func (u usage) input() int64 { return u.uncached + u.read + u.write + u.write1h }

// meter counts the tokens of a prompt in its order, and remembers where it is
// to be cached.
type meter struct {
	count func(string) int64
	total int64
	marks [2]int64 // the last two breakpoints: before the last, and the last
	hour  bool     // the last asked for an hour
	some  bool
}

// What a message, an image and the answer's beginning weigh, about as much as
// with the providers.
const (
	messageTokens = 3
	replyTokens   = 3
	imageTokens   = 85
)

func (m *meter) text(s string) {
	if s != "" {
		m.total += m.count(s)
	}
}

func (m *meter) mark(ttl string) {
	m.marks[0], m.marks[1] = m.marks[1], m.total
	m.hour, m.some = ttl == "1h", true
}

// usage splits the prompt: what stands before the last breakpoint but one was
// read from the cache, what stands between the two was written to it. So one
// breakpoint writes, two read and write, and neither depends on what was asked
// before.
func (m *meter) usage() usage {
	u := usage{uncached: m.total - m.marks[1], read: m.marks[0]}
	if wrote := m.marks[1] - m.marks[0]; m.hour {
		u.write1h = wrote
	} else {
		u.write = wrote
	}
	return u
}

// cacheControl is Anthropic's mark, which some OpenAI-shaped providers take as
// well.
type cacheControl struct {
	Type string `json:"type"`
	TTL  string `json:"ttl"`
}

// message is a turn in either family.
type message struct {
	Role      string         `json:"role"`
	Content   jsontext.Value `json:"content"`
	ToolCalls jsontext.Value `json:"tool_calls"`
}

// block is a part of a message's content in either family.
type block struct {
	Type       string         `json:"type"`
	Text       string         `json:"text"`
	Thinking   jsontext.Value `json:"thinking"` // a list with some OpenAI-shaped providers
	Input      jsontext.Value `json:"input"`
	Content    jsontext.Value `json:"content"` // of tool_result
	Cache      *cacheControl  `json:"cache_control"`
	Breakpoint jsontext.Value `json:"prompt_cache_breakpoint"`
}

// reader walks the content of messages.
type reader struct {
	meter  meter
	images int
}

// content walks a content, a string or a list of blocks, and returns its text
// and the type of its last block.
func (r *reader) content(v jsontext.Value, depth int) (text, last string, err error) {
	switch v.Kind() {
	case '"':
		if err := json.Unmarshal(v, &text); err != nil {
			return "", "", err
		}
		r.meter.text(text)
		return text, "text", nil
	case '[':
	case 'n', 0:
		return "", "", nil
	default:
		return "", "", errors.New("content must be a string or a list")
	}
	var blocks []block
	if err := json.Unmarshal(v, &blocks); err != nil {
		return "", "", err
	}
	var b strings.Builder
	for i := range blocks {
		if err := r.block(&b, &blocks[i], depth); err != nil {
			return "", "", err
		}
		last = blocks[i].Type
	}
	return b.String(), last, nil
}

func (r *reader) block(b *strings.Builder, k *block, depth int) error {
	switch k.Type {
	case "text", "input_text", "output_text":
		b.WriteString(k.Text)
		r.meter.text(k.Text)
	case "image", "image_url", "document", "file", "input_audio", "input_image", "input_file":
		r.images++
		r.meter.total += imageTokens
	case "thinking":
		r.meter.text(literal(k.Thinking))
	case "tool_use":
		r.meter.text(string(k.Input))
	case "tool_result":
		if depth > 0 {
			return errors.New("a tool result cannot stand in a tool result")
		}
		if _, _, err := r.content(k.Content, depth+1); err != nil {
			return err
		}
	}
	if k.Cache != nil {
		r.meter.mark(k.Cache.TTL)
	} else if k.Breakpoint.Kind() == '{' {
		r.meter.mark("")
	}
	return nil
}

// conversation walks the messages and fills in what they say.
func (a *ask) conversation(r *reader, messages []message) error {
	for _, m := range messages {
		r.meter.total += messageTokens
		text, last, err := r.content(m.Content, 0)
		if err != nil {
			return err
		}
		if m.ToolCalls.Kind() == '[' {
			r.meter.text(string(m.ToolCalls))
		}
		a.afterTool = m.Role == "tool" || m.Role == "function" || last == "tool_result"
		if m.Role == "user" && (text != "" || !a.afterTool) {
			a.prompt = text
		}
	}
	a.images = r.images
	return nil
}

// seal derives what depends on the whole request.
func (a *ask) seal(r *reader, body []byte, seed *int64) {
	r.meter.total += replyTokens
	a.input = r.meter.usage()
	a.seed = hash(hashStart, a.prompt)
	if seed != nil {
		a.seed = hash(a.seed, string(appendInt(nil, *seed)))
	}
	a.id = hexID(hash(hashStart, string(body)))
}

// asks reports whether the prompt speaks of the tool: by its name, by a word of
// at least four letters of its name, or by asking for a tool at all.
func (a *ask) asks(t tool) bool {
	prompt := strings.ToLower(a.prompt)
	name := strings.ToLower(t.name)
	if strings.Contains(prompt, name) {
		return true
	}
	for _, verb := range [...]string{"call", "use", "invoke"} {
		if strings.Contains(prompt, verb) && (strings.Contains(prompt, "tool") || strings.Contains(prompt, "function")) {
			return true
		}
	}
	for word := range strings.FieldsFuncSeq(name, func(c rune) bool { return c == '_' || c == '-' || c == '.' }) {
		if len(word) >= 4 && strings.Contains(prompt, word) {
			return true
		}
	}
	return false
}

// maxCalls bounds the tool calls of one answer.
const maxCalls = 8

// calls returns the tools to call now.
func (a *ask) calls() []tool {
	if len(a.tools) == 0 {
		return nil
	}
	if a.named != "" {
		for _, t := range a.tools {
			if t.name == a.named {
				return []tool{t}
			}
		}
		return nil
	}
	var out []tool
	if !a.afterTool || a.must {
		for _, t := range a.tools {
			if len(out) < maxCalls && a.asks(t) {
				out = append(out, t)
			}
		}
	}
	if len(out) == 0 && a.must {
		out = append(out, a.tools[0])
	}
	if len(out) > 1 && !a.parallel {
		out = out[:1]
	}
	return out
}

const hexDigits = "0123456789abcdef"

func hexID(h uint64) string {
	var b [16]byte
	for i := range b {
		b[len(b)-1-i] = hexDigits[h&15]
		h >>= 4
	}
	return string(b[:])
}
