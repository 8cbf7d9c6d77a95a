package provider

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// Own returns an error of Post as it is to be told: where the provider objects to a
// member of the body that stands there on the gateway's own account, and that the
// caller of r has asked for in no way, the mistake is not the caller's. It is a
// translation error then: another target may take the request, and this one never
// will. Every other error comes back as it is.
func Own(r *llm.Request, body []byte, err error) error {
	var f *Failure
	if !errors.As(err, &f) || f.Sent || !callers[f.Fault.Code] || f.Fault.UpstreamStatus < 400 || f.Fault.UpstreamStatus > 499 {
		return err
	}
	for _, path := range objected(f.Fault) {
		name, ok := standing(body, path)
		switch {
		case !ok:
			continue
		case asked(r, name, path):
			return err
		}
		return &Failure{
			Fault: &fault.Error{
				Code: fault.TranslationError, UpstreamStatus: f.Fault.UpstreamStatus, Upstream: f.Fault.Upstream,
				Cause: fmt.Errorf("the provider objects to %.128s, which the gateway added", path),
			},
			Failover: true, Added: path,
		}
	}
	return err
}

// callers are the faults that say that the caller made a mistake in a member.
var callers = map[fault.Code]bool{
	fault.InvalidRequest: true, fault.InvalidParameter: true, fault.InvalidType: true, fault.UnknownParameter: true,
	fault.UnsupportedParameter: true, fault.InvalidJSONSchema: true, fault.ToolChoiceUnsupported: true,
}

// objections are how providers name in their words a member that they do not take.
// They are no more than hints: the first member that was sent counts, and only if it
// was not asked for.
var objections = []*regexp.Regexp{
	regexp.MustCompile(`Unknown name \\*"([\w.]+)\\*" at '([\w.\[\]]+)'`),
	regexp.MustCompile(`Unknown name \\*"([\w.]+)\\*"`),
	regexp.MustCompile(`(?i)property '([\w.]+)' is (?:un|not )supported`),
	regexp.MustCompile(`Argument not supported on this model: ([\w.]+)`),
	regexp.MustCompile(`#/([\w/]+): `), // of JSON Schema, at Bedrock
	regexp.MustCompile(`extraneous key \[([\w.]+)\]`),
	regexp.MustCompile(`([\w.]+): Extra inputs are not permitted`),
	regexp.MustCompile("(?i)un(?:known|supported|recognized|expected) (?:request )?(?:parameter|field|argument|property|key)s?(?: supplied)?:? ?\\\\*['\"`]?([\\w.]+)"),
	regexp.MustCompile("`([\\w.]+)` (?:is|are|may|can|must)"),
}

// objected returns the paths that an error may be about, the likeliest first.
func objected(e *fault.Error) []string {
	var out []string
	if e.Param != "" {
		out = append(out, e.Param)
	}
	for _, re := range objections {
		m := re.FindStringSubmatch(e.Upstream)
		switch {
		case m == nil:
		case len(m) == 3:
			return append(out, indexes.ReplaceAllString(m[2], ".$1")+"."+m[1])
		default:
			return append(out, strings.ReplaceAll(m[1], "/", "."))
		}
	}
	return out
}

// containers are members that only hold the settings of an answer.
var containers = map[string]bool{
	"generationconfig": true, "inferenceconfig": true, "additionalmodelrequestfields": true, "toolconfig": true,
}

// unspelt is a name however it is spelt: max_tokens and maxTokens are the same.
func unspelt(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }

// standing returns the member of a body, or of one of its containers, in which the
// path is, in plain spelling. It is not ok if there is none.
func standing(body []byte, path string) (name string, ok bool) {
	doc, err := jsonx.Parse(body)
	if err != nil {
		return "", false
	}
	at := doc.Root()
	for part := range strings.SplitSeq(path, ".") {
		name = unspelt(part)
		if at, ok = member(at, name); !ok {
			// A path may begin within a container.
			return name, within(doc.Root(), name)
		}
		if !containers[name] {
			return name, true
		}
	}
	return name, true
}

func member(v jsonx.Value, name string) (jsonx.Value, bool) {
	if v.Kind() != jsonx.Object {
		return v, false
	}
	for key, m := range v.Members() {
		if unspelt(string(key)) == name {
			return m, true
		}
	}
	return v, false
}

func within(root jsonx.Value, name string) bool {
	if root.Kind() != jsonx.Object {
		return false
	}
	for key, m := range root.Members() {
		if !containers[unspelt(string(key))] {
			continue
		}
		if _, ok := member(m, name); ok {
			return true
		}
	}
	return false
}

// asked reports whether the caller asked for a member, by its plain name, in his own
// dialect or in words that it was made of.
func asked(r *llm.Request, name, path string) bool {
	doc, err := jsonx.Parse(r.Raw.Body)
	if err != nil || r.DecodeChat == nil {
		return true // nobody knows
	}
	chat, err := r.DecodeChat()
	if err != nil {
		return true
	}
	leaf := unspelt(path[strings.LastIndexByte(path, '.')+1:])
	if leaf == "strict" && leaf != name {
		return strict(chat)
	}
	if _, ok := member(doc.Root(), name); ok || within(doc.Root(), name) {
		return true
	}
	of, known := made[name]
	return known && of(r, chat)
}

func always(*llm.Request, *llm.Chat) bool { return true }

// strict reports whether any tool, or the form of the answer, was to be held to.
func strict(c *llm.Chat) bool {
	for i := range c.Tools {
		if c.Tools[i].Strict != nil {
			return true
		}
	}
	return c.Format != nil && c.Format.Strict != nil
}

// made tells for the members of all protocols, by their plain names, whether the
// caller has said what they are made of. Others are made of nothing that he said.
var made = map[string]func(*llm.Request, *llm.Chat) bool{
	"model": always, "messages": always, "contents": always, "content": always, "input": always,
	"system": always, "systeminstruction": always, "instructions": always,
	"stream": func(r *llm.Request, _ *llm.Chat) bool { return r.Stream },

	"maxtokens": limited, "maxcompletiontokens": limited, "maxoutputtokens": limited,
	"temperature":      func(_ *llm.Request, c *llm.Chat) bool { return c.Temperature != nil },
	"topp":             func(_ *llm.Request, c *llm.Chat) bool { return c.TopP != nil },
	"topk":             func(_ *llm.Request, c *llm.Chat) bool { return c.TopK != nil },
	"seed":             seeded,
	"randomseed":       seeded,
	"frequencypenalty": func(_ *llm.Request, c *llm.Chat) bool { return c.FrequencyPenalty != nil },
	"presencepenalty":  func(_ *llm.Request, c *llm.Chat) bool { return c.PresencePenalty != nil },
	"n":                several, "candidatecount": several,
	"stop": stopped, "stopsequences": stopped,

	"tools": offers, "functions": offers,
	"toolchoice": chosen, "functioncallingconfig": chosen, "functioncall": chosen,
	"paralleltoolcalls": func(_ *llm.Request, c *llm.Chat) bool { return c.ParallelTools != nil },

	"reasoning": reasons, "reasoningeffort": reasons, "thinking": reasons, "thinkingconfig": reasons,
	"responseformat": formed, "text": func(r *llm.Request, c *llm.Chat) bool { return formed(r, c) || r.Raw.Value("verbosity") != nil },
	"responsemimetype": formed, "responsejsonschema": formed, "responseschema": formed,
	"outputconfig": func(r *llm.Request, c *llm.Chat) bool { return formed(r, c) || reasons(r, c) },

	"user": userKnown, "safetyidentifier": userKnown, "metadata": userKnown, "requestmetadata": userKnown,
	"cachecontrol":  always,
	"anthropicbeta": always, // of a header
	"include":       logs, "logprobs": logs,
	"responsemodalities": func(r *llm.Request, _ *llm.Chat) bool { return r.Raw.Value("modalities") != nil },
}

func logs(r *llm.Request, _ *llm.Chat) bool {
	return r.Raw.Value("include") != nil || r.Raw.Value("logprobs") != nil || r.Raw.Value("top_logprobs") != nil
}

func limited(_ *llm.Request, c *llm.Chat) bool   { return c.MaxOutput != nil }
func seeded(_ *llm.Request, c *llm.Chat) bool    { return c.Seed != nil }
func several(_ *llm.Request, c *llm.Chat) bool   { return c.Choices > 1 }
func stopped(_ *llm.Request, c *llm.Chat) bool   { return len(c.Stop) > 0 }
func offers(_ *llm.Request, c *llm.Chat) bool    { return len(c.Tools) > 0 }
func chosen(_ *llm.Request, c *llm.Chat) bool    { return c.ToolChoice != nil || c.ParallelTools != nil }
func reasons(_ *llm.Request, c *llm.Chat) bool   { return c.Reasoning != nil }
func formed(_ *llm.Request, c *llm.Chat) bool    { return c.Format != nil }
func userKnown(_ *llm.Request, c *llm.Chat) bool { return c.User != "" }
