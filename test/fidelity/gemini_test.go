package fidelity

import (
	"encoding/json"
	"strings"
)

// readGeminiRequest reads a request of Gemini's generateContent. Its servers take
// names with underscores, too.
func readGeminiRequest(body value) talk {
	q := talk{}
	if s := any1(body, "systemInstruction", "system_instruction"); s != nil {
		if isText(s) {
			q.say("system", part{kind: "text", text: text(s)})
		}
		for _, p := range geminiParts(in(s, "parts")) {
			q.say("system", p)
		}
	}
	for _, c := range items(in(body, "contents")) {
		role := "user"
		if text(in(c, "role")) == "model" {
			role = "assistant"
		}
		q.say(role, geminiParts(in(c, "parts"))...)
	}
	q.pair()
	tools := in(body, "tools")
	list := items(tools)
	if isObject(tools) {
		list = []value{tools}
	}
	for _, t := range list {
		declared := items(any1(t, "functionDeclarations", "function_declarations"))
		for _, f := range declared {
			q.tools = append(q.tools, tool{text(in(f, "name")), text(in(f, "description")), lower(any1(f, "parametersJsonSchema", "parameters_json_schema", "parameters"))})
		}
		if len(declared) == 0 && len(members(t)) > 0 {
			q.beyond = append(q.beyond, "tools")
		}
	}
	q.geminiConfig(any1(body, "generationConfig", "generation_config"))
	q.geminiChoice(any1(any1(body, "toolConfig", "tool_config"), "functionCallingConfig", "function_calling_config"))
	if any1(body, "cachedContent", "cached_content") != nil {
		q.beyond = append(q.beyond, "cachedContent")
	}
	return q
}

func (q *talk) geminiConfig(c value) {
	q.set("max", any1(c, "maxOutputTokens", "max_output_tokens"))
	q.set("temperature", in(c, "temperature"))
	q.set("top_p", any1(c, "topP", "top_p"))
	q.set("top_k", any1(c, "topK", "top_k"))
	q.set("seed", in(c, "seed"))
	q.set("frequency", any1(c, "frequencyPenalty", "frequency_penalty"))
	q.set("presence", any1(c, "presencePenalty", "presence_penalty"))
	q.stop = texts(any1(c, "stopSequences", "stop_sequences"))
	if text(any1(c, "responseMimeType", "response_mime_type")) == "application/json" {
		q.format = &format{"", lower(any1(c, "responseJsonSchema", "response_json_schema", "responseSchema", "response_schema"))}
	}
	if t := any1(c, "thinkingConfig", "thinking_config"); t != nil {
		switch budget, level := any1(t, "thinkingBudget", "thinking_budget"), text(any1(t, "thinkingLevel", "thinking_level")); {
		case level != "":
			q.effort = strings.ToLower(level)
		case budget != nil, yes(any1(t, "includeThoughts", "include_thoughts")):
			q.effort = budgeted(budget)
		}
	}
	for _, name := range []string{"candidateCount", "responseModalities", "responseLogprobs", "speechConfig", "imageConfig"} {
		if v := in(c, name); v != nil && string(v) != "1" {
			q.beyond = append(q.beyond, name)
		}
	}
}

func (q *talk) geminiChoice(c value) {
	names := texts(any1(c, "allowedFunctionNames", "allowed_function_names"))
	switch mode := strings.ToLower(geminiEnum(in(c, "mode"), "", "auto", "any", "none", "validated")); {
	case mode == "any" && len(names) == 1: // what other protocols say by naming it
		q.choice = "=" + names[0]
	case mode == "any" && len(names) > 0:
		q.narrow("required", names)
	case mode == "any":
		q.choice = "required"
	case mode == "none" || mode == "auto":
		q.choice = mode
	}
}

// pair gives ids to calls and results that have none: a result answers the first
// call of its name that was not answered.
func (q *talk) pair() {
	type open struct{ id, name string }
	var waiting []open
	n := 0
	for i := range q.turns {
		for j := range q.turns[i].parts {
			switch p := &q.turns[i].parts[j]; p.kind {
			case "call":
				if p.id == "" {
					n++
					p.id = "call_" + strings.Repeat("x", n)
				}
				waiting = append(waiting, open{p.id, p.name})
			case "result":
				for k, o := range waiting {
					if p.id == o.id || p.id == "" && p.name == o.name {
						p.id = o.id
						waiting = append(waiting[:k:k], waiting[k+1:]...)
						break
					}
				}
			}
		}
	}
}

func geminiParts(v value) (out []part) {
	for _, p := range items(v) {
		blob, file := any1(p, "inlineData", "inline_data"), any1(p, "fileData", "file_data")
		call, response := any1(p, "functionCall", "function_call"), any1(p, "functionResponse", "function_response")
		switch {
		case yes(in(p, "thought")):
			out = append(out, part{kind: "thought"})
		case blob != nil:
			mime := text(any1(blob, "mimeType", "mime_type"))
			out = append(out, part{kind: media(mime), mime: mime, data: text(in(blob, "data"))})
		case file != nil:
			mime := text(any1(file, "mimeType", "mime_type"))
			out = append(out, part{kind: media(mime), mime: mime, url: text(any1(file, "fileUri", "file_uri"))})
		case call != nil:
			args := in(call, "args")
			if args == nil {
				args = value("{}")
			}
			out = append(out, part{kind: "call", id: text(in(call, "id")), name: text(in(call, "name")), args: args})
		case response != nil:
			inside := []part{{kind: "text", text: string(in(response, "response"))}}
			out = append(out, part{kind: "result", id: text(in(response, "id")), name: text(in(response, "name")), in: append(inside, geminiParts(in(response, "parts"))...)})
		case in(p, "text") != nil:
			out = append(out, part{kind: "text", text: text(in(p, "text"))})
		case any1(p, "executableCode", "codeExecutionResult") != nil:
			out = append(out, part{kind: "code"})
		}
	}
	return out
}

func media(mime string) string {
	kind, _, _ := strings.Cut(mime, "/")
	switch kind {
	case "image", "audio", "video":
		return kind
	}
	return "file"
}

// lower writes the types of a schema as JSON Schema has them.
func lower(v value) value {
	if v == nil {
		return nil
	}
	var x any
	if json.Unmarshal(v, &x) != nil {
		return v
	}
	lowerTypes(x)
	return encode(x)
}

func lowerTypes(x any) {
	switch x := x.(type) {
	case []any:
		for _, e := range x {
			lowerTypes(e)
		}
	case map[string]any:
		delete(x, "propertyOrdering") // an order of members, which are sorted here
		delete(x, "property_ordering")
		for k, e := range x {
			switch n := e.(type) {
			case string:
				if k == "type" {
					x[k] = strings.ToLower(n)
				}
			case float64:
				if k == "type" {
					x[k] = strings.ToLower(geminiEnum(encode(n), "", "string", "number", "integer", "boolean", "array", "object", "null"))
				}
			}
			lowerTypes(e)
		}
		if t, ok := x["type"].(string); ok && x["nullable"] == true {
			x["type"] = []any{t, "null"}
			delete(x, "nullable")
		}
	}
}

// geminiCan leaves what Gemini can say.
func geminiCan(q talk) talk {
	q = q.results(func(x part) bool { return x.kind == "text" || x.data != "" && x.mime != "" }).only(func(_ string, p part) bool {
		switch p.kind {
		case "text", "call", "result":
			return true
		case "image", "audio", "video", "file":
			return p.data != "" && p.mime != ""
		}
		return false
	})
	q.alone = false // it has no word for it
	switch q.effort {
	case "some":
		q.effort = "medium"
	case "xhigh", "max":
		q.effort = "high"
	}
	for i := range q.turns { // a system message in the middle is the user's
		if q.turns[i].role == "system" && i > 0 && q.turns[i-1].role != "system" {
			q.turns[i].role = "user"
		}
	}
	turns := q.turns
	q.turns = nil
	for _, t := range turns {
		q.say(t.role, t.parts...)
	}
	return q
}

// writeGeminiRequest writes a request of generateContent.
func writeGeminiRequest(q talk, _ string, _ bool) value {
	o := object{}
	var system, contents []any
	names := map[string]string{}
	for _, t := range q.turns {
		parts := writeGeminiParts(t.parts, names)
		switch t.role {
		case "system":
			system = append(system, parts...)
		case "assistant":
			contents = append(contents, object{"role": "model", "parts": parts})
		default:
			contents = append(contents, object{"role": "user", "parts": parts})
		}
	}
	o["contents"] = contents
	if system != nil {
		o["systemInstruction"] = object{"parts": system}
	}
	var declared []any
	for _, t := range q.tools {
		f := object{"name": t.name, "description": t.description}
		if t.schema != nil {
			f["parametersJsonSchema"] = t.schema
		}
		declared = append(declared, f)
	}
	if declared != nil {
		o["tools"] = []any{object{"functionDeclarations": declared}}
		if name, one := strings.CutPrefix(q.choice, "="); one {
			o["toolConfig"] = object{"functionCallingConfig": object{"mode": "ANY", "allowedFunctionNames": []string{name}}}
		} else if q.choice != "" {
			mode := map[string]string{"auto": "AUTO", "none": "NONE", "required": "ANY"}[q.choice]
			o["toolConfig"] = object{"functionCallingConfig": object{"mode": mode}}
		}
	}
	if c := writeGeminiConfig(q); len(c) > 0 {
		o["generationConfig"] = c
	}
	return encode(o)
}

func writeGeminiConfig(q talk) object {
	c := object{}
	for to, from := range map[string]string{"maxOutputTokens": "max", "temperature": "temperature", "topP": "top_p", "topK": "top_k", "seed": "seed", "frequencyPenalty": "frequency", "presencePenalty": "presence"} {
		if v, ok := q.sets[from]; ok {
			c[to] = value(v)
		}
	}
	if q.stop != nil {
		c["stopSequences"] = q.stop
	}
	if q.format != nil {
		c["responseMimeType"] = "application/json"
		if q.format.schema != nil {
			c["responseJsonSchema"] = q.format.schema
		}
	}
	switch q.effort {
	case "":
	case "none":
		c["thinkingConfig"] = object{"thinkingBudget": 0}
	default:
		c["thinkingConfig"] = object{"thinkingLevel": strings.ToUpper(q.effort), "includeThoughts": true}
	}
	return c
}

func writeGeminiParts(parts []part, names map[string]string) []any {
	out := []any{}
	for _, p := range parts {
		switch p.kind {
		case "text":
			out = append(out, object{"text": p.text})
		case "call":
			names[p.id] = p.name
			args := arguments(p.args)
			if members(args) == nil {
				args = encode(object{"_raw": args})
			}
			out = append(out, object{"functionCall": object{"id": p.id, "name": p.name, "args": args}})
		case "result":
			said, media := []string{}, []part{}
			for _, x := range p.in {
				if x.kind == "text" {
					said = append(said, x.text)
				} else if x.data != "" {
					media = append(media, x)
				}
			}
			if names[p.id] == "" { // its call is not there
				names[p.id] = "tool"
			}
			r := object{"id": p.id, "name": names[p.id], "response": object{"output": strings.Join(said, "\n")}}
			if len(media) > 0 {
				r["parts"] = writeGeminiParts(media, names)
			}
			out = append(out, object{"functionResponse": r})
		default:
			out = append(out, object{"inlineData": object{"mimeType": p.mime, "data": p.data}})
		}
	}
	return out
}
