package fidelity

import (
	"encoding/json"
	"strings"

	"github.com/pontage/pontage/internal/testkit"
)

// geminiNamed names the model in a request of Google's that has it in the body,
// too, and in each part of a batch.
func geminiNamed(body value, model string) value {
	var o map[string]any
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.UseNumber()
	if dec.Decode(&o) != nil {
		return body
	}
	name := func(o map[string]any) {
		if _, ok := o["model"]; ok {
			o["model"] = "models/" + model
		}
	}
	name(o)
	if inner, ok := o["generateContentRequest"].(map[string]any); ok {
		name(inner)
	}
	list, _ := o["requests"].([]any)
	for _, x := range list {
		if one, ok := x.(map[string]any); ok {
			name(one)
		}
	}
	return encode(o)
}

// readGeminiEmbed reads a request of embedContent or batchEmbedContents.
func readGeminiEmbed(body value) talk {
	q := talk{}
	all := []value{body}
	if list := in(body, "requests"); list != nil {
		all = items(list)
	}
	for _, one := range all {
		var s []string
		for _, p := range items(in(one, "content", "parts")) {
			s = append(s, text(in(p, "text")))
		}
		q.inputs = append(q.inputs, strings.Join(s, ""))
		config := any1(one, "embedContentConfig", "embed_content_config")
		q.set("dimensions", any1(one, "outputDimensionality", "output_dimensionality"))
		q.set("dimensions", any1(config, "outputDimensionality", "output_dimensionality"))
		if in(one, "taskType") != nil || in(config, "taskType") != nil {
			q.beyond = []string{"taskType"}
		}
	}
	return q
}

// listed reports whether the vectors of a recording are lists of numbers, and not
// in a form that only OpenAI's callers ask for.
func listed(f *testkit.Fixture) bool {
	for _, d := range items(in(f.Response.Body(), "data")) {
		if isText(in(d, "embedding")) {
			return false
		}
	}
	return true
}

func writeGeminiEmbed(q talk, model string, _ bool) value {
	var all []any
	for _, s := range q.inputs {
		one := object{"model": "models/" + model, "content": object{"parts": []any{object{"text": s}}}}
		if d, ok := q.sets["dimensions"]; ok {
			one["outputDimensionality"] = value(d)
		}
		all = append(all, one)
	}
	return encode(object{"requests": all})
}

func smallGeminiEmbed(string) value {
	return encode(object{"content": object{"parts": []any{object{"text": "Hello"}}}})
}

// readGeminiEmbeddings reads one vector, or a list of them.
func readGeminiEmbeddings(_ string, body []byte, _ bool) (a answer) {
	a.ended, a.failed = true, string(in(body, "error"))
	all := items(in(body, "embeddings"))
	if one := in(body, "embedding"); one != nil {
		all = []value{one}
	}
	for _, e := range all {
		if v := in(e, "values"); v != nil {
			a.vectors = append(a.vectors, vector(v))
		}
	}
	if len(a.vectors) == 0 && a.failed == "" {
		a.failed = "no embeddings"
	}
	if n := count(in(body, "usageMetadata", "promptTokenCount")); n > 0 {
		a.usage = &tokens{Input: n}
	}
	return a
}
