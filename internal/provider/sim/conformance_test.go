package sim

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/pontage/pontage/internal/testkit"
)

func isJSON(s string) bool { return jsontext.Value(s).IsValid() }

// nullable turns OpenAPI's older "nullable" into what JSON Schema knows.
func nullable(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = nullable(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = nullable(v[k])
		}
		if v["nullable"] == true {
			delete(v, "nullable")
			return map[string]any{"anyOf": []any{v, map[string]any{"type": "null"}}}
		}
	}
	return v
}

// official compiles one of the vendors' schemas, as strict as they wrote it.
func official(t *testing.T, file, place string) *jsonschema.Schema {
	t.Helper()
	src, err := os.ReadFile(filepath.Join(testkit.Shared(t), "schemas", file))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(src))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("file:///"+file, nullable(doc)); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("file:///" + file + place)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func conforms(t *testing.T, s *jsonschema.Schema, what, body string) {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
	if err != nil {
		t.Errorf("%s: %v in %s", what, err, body)
		return
	}
	if err := s.Validate(v); err != nil {
		t.Errorf("%s: %s\n%v", what, body, err)
	}
}

const someTools = `"tools":[{"type":"function","function":{"name":"get_weather","parameters":{"type":"object","required":["city"],"properties":{"city":{"type":"string"}}}}},{"type":"function","function":{"name":"g"}}],`

func TestOpenAIBodiesConformToTheOfficialSchema(t *testing.T) {
	t.Parallel()
	whole := official(t, "openai.json", "#/components/schemas/CreateChatCompletionResponse")
	chunk := official(t, "openai.json", "#/components/schemas/CreateChatCompletionStreamResponse")
	failed := official(t, "openai.json", "#/components/schemas/ErrorResponse")
	embedded := official(t, "openai.json", "#/components/schemas/CreateEmbeddingResponse")
	s := newSim(t, Options{})
	for _, rest := range []string{
		``, `"n":3,`, `"max_tokens":2,`, `"reasoning_effort":"high",`, `"response_format":{"type":"json_object"},`,
		someTools + `"tool_choice":"required",`, someTools, `"stop":["This"],`,
	} {
		body := rest + `"messages":[{"role":"user","content":"weather"}]}`
		conforms(t, whole, rest, ask1(t, s, chatPath, `{"model":"m",`+body).body)
		stream := frames(t, ask1(t, s, chatPath, `{"model":"m","stream":true,"stream_options":{"include_usage":true},`+body).body)
		for _, f := range stream[:len(stream)-1] {
			conforms(t, chunk, rest, f)
		}
	}
	for _, f := range append(Faults(), "error_400", "error_403", "error_404", "error_413", "error_500", "error_503", "error_529") {
		if row, _ := lookupFault(f); row.kind == faultHTTP || row.kind == faultErrorIn200 {
			tell(t, s, "m", `[{"fault":"`+f+`"}]`)
			conforms(t, failed, f, ask1(t, s, asks["chat"][0], asks["chat"][1]).body)
		}
	}
	conforms(t, failed, "refused", ask1(t, s, chatPath, `{"model":"m"}`).body)
	conforms(t, embedded, "embeddings", ask1(t, s, embedPath, `{"model":"m","input":["a","b"]}`).body)
}

func TestAnthropicBodiesConformToTheOfficialSchema(t *testing.T) {
	t.Parallel()
	whole := official(t, "anthropic.Message.json", "")
	event := official(t, "anthropic.RawMessageStreamEvent.json", "")
	failed := official(t, "anthropic.ErrorResponse.json", "")
	counted := official(t, "anthropic.MessageTokensCount.json", "")
	s := newSim(t, Options{})
	const tools = `"max_tokens":200,"tools":[{"name":"get_weather","input_schema":{"type":"object","required":["city"],"properties":{"city":{"type":"string"}}}}],`
	for _, rest := range []string{
		`"max_tokens":200,`, `"max_tokens":2,`, `"max_tokens":0,`, `"max_tokens":2000,"thinking":{"type":"adaptive"},`,
		tools, tools + `"tool_choice":{"type":"any"},`, `"max_tokens":200,"cache_control":{"type":"ephemeral"},`, `"max_tokens":200,"stop_sequences":["is"],`,
	} {
		body := rest + `"messages":[{"role":"user","content":"weather"}]}`
		conforms(t, whole, rest, ask1(t, s, messagesPath, `{"model":"m",`+body).body)
		for _, f := range frames(t, ask1(t, s, messagesPath, `{"model":"m","stream":true,`+body).body) {
			if f == `{"type":"ping"}` {
				continue // not in the SDK's union
			}
			conforms(t, event, rest, f)
		}
	}
	for _, f := range append(Faults(), "error_400", "error_402", "error_403", "error_404", "error_500", "error_504", "error_529") {
		if row, _ := lookupFault(f); row.kind == faultHTTP || row.kind == faultErrorIn200 {
			tell(t, s, "m", `[{"fault":"`+f+`"}]`)
			conforms(t, failed, f, ask1(t, s, asks["message"][0], asks["message"][1]).body)
		}
	}
	conforms(t, failed, "refused", ask1(t, s, messagesPath, `{"model":"m"}`).body)
	conforms(t, counted, "count_tokens", ask1(t, s, countPath, `{"model":"m","messages":[{"role":"user","content":"x"}]}`).body)
}

func TestOpenAIStreamsKeepTheGrammar(t *testing.T) {
	t.Parallel()
	s := newSim(t, Options{})
	list := frames(t, ask1(t, s, chatPath, `{"model":"m","stream":true,"n":2,"messages":[{"role":"user","content":"Hello"}]}`).body)
	roles, finishes, ids := 0, 0, map[string]bool{}
	for _, f := range list[:len(list)-1] {
		c := decode[completion](t, f)
		ids[c.ID] = true
		if len(c.Choices) != 1 {
			t.Fatalf("a chunk with %d choices: %s", len(c.Choices), f)
		}
		if c.Choices[0].Delta.Role != "" {
			roles++
		}
		if c.Choices[0].FinishReason != "" {
			finishes++
		}
	}
	if roles != 2 || finishes != 2 || len(ids) != 1 || list[len(list)-1] != "[DONE]" {
		t.Errorf("%d roles, %d finishes, %d ids, last %s", roles, finishes, len(ids), list[len(list)-1])
	}
}

func TestAnthropicStreamsKeepTheGrammar(t *testing.T) {
	t.Parallel()
	s := newSim(t, Options{})
	tell(t, s, "m", `[{"reasoning":"hm","text":"hi","tool_calls":[{"name":"f"}],"chunks":1}]`)
	body := ask1(t, s, messagesPath, `{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"Hello"}]}`).body
	var names []string
	for _, f := range strings.SplitAfter(body, "\n\n") {
		if f == "" {
			continue
		}
		event, data, _ := strings.Cut(strings.TrimPrefix(f, "event: "), "\n")
		v := decode[struct {
			Type  string `json:"type"`
			Index int    `json:"index"`
			Delta struct {
				Type string `json:"type"`
			} `json:"delta"`
		}](t, strings.TrimPrefix(strings.TrimSpace(data), "data: "))
		if v.Type != event {
			t.Errorf("event %s has type %s", event, v.Type)
		}
		name := strings.TrimPrefix(event, "content_block_")
		if strings.HasPrefix(event, "content_block_") {
			name += string(rune('0'+v.Index)) + strings.TrimSuffix(v.Delta.Type, "_delta")
		}
		names = append(names, name)
	}
	want := "message_start ping start0 delta0thinking delta0signature stop0 start1 delta1text stop1 start2 delta2input_json stop2 message_delta message_stop"
	if diff := cmp.Diff(strings.Fields(want), names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestInstancesMatchTheirSchemas(t *testing.T) {
	t.Parallel()
	for _, src := range []string{
		`{"type":"object"}`,
		`{"type":"object","required":["a","b","c","d","e"],"properties":{"a":{"type":"string","minLength":20},"b":{"type":"integer","minimum":7,"multipleOf":5},"c":{"type":"array","minItems":2,"items":{"type":"boolean"}},"d":{"type":["null","string"]},"e":{"enum":["x","y"]}},"additionalProperties":false}`,
		`{"type":"object","required":["n"],"properties":{"n":{"$ref":"#/$defs/node"}},"$defs":{"node":{"type":"object","required":["next"],"properties":{"next":{"anyOf":[{"$ref":"#/$defs/node"},{"type":"null"}]}}}}}`,
		`{"type":"object","required":["v"],"properties":{"v":{"oneOf":[{"const":5},{"type":"string"}]}}}`,
		`{"allOf":[{"type":"object","required":["a"],"properties":{"a":{"type":"number","exclusiveMinimum":0,"maximum":0.5}}},{"required":["b"],"properties":{"b":{"type":"string","format":"date"}}}]}`,
		`{"type":"object","required":["t"],"properties":{"t":{"type":"array","prefixItems":[{"type":"string"},{"type":"integer","maximum":-3}],"minItems":3}}}`,
		`{"type":"object","required":["x"]}`,
		`{"type":"object","properties":{"s":{"type":"string","maxLength":3}},"required":["s"]}`,
	} {
		matches(t, src, instance(jsontext.Value(src)))
	}
	for _, src := range []string{`{"type":"object","required":["a"],"properties":{"a":{"$ref":"#/$defs/none"}}}`, `{"$ref":"#"}`, `{"type":7}`} {
		if got := instance(jsontext.Value(src)); !got.IsValid() {
			t.Errorf("instance(%s) = %s", src, got)
		}
	}
}

func matches(t *testing.T, schema string, got jsontext.Value) {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("file:///s.json", doc); err != nil {
		t.Fatalf("schema that the validator refuses: %v", err)
	}
	s, err := c.Compile("file:///s.json")
	if err != nil {
		return // a schema that is not one
	}
	conforms(t, s, schema, string(got))
}

func TestInstancesMatchTheSchemasThatClientsSend(t *testing.T) {
	t.Parallel()
	c := testkit.Fixtures(t)
	seen := 0
	for _, e := range c.Filter(testkit.Filter{HasRequest: true, Recorded: true}) {
		if !e.Has("tools") && !e.Has("structured_output") || !strings.HasPrefix(e.API, "openai.chat") && !strings.HasPrefix(e.API, "anthropic.") {
			continue
		}
		var q struct {
			Tools          []map[string]jsontext.Value `json:"tools"`
			ResponseFormat struct {
				JSONSchema struct {
					Schema jsontext.Value `json:"schema"`
				} `json:"json_schema"`
			} `json:"response_format"`
		}
		if json.Unmarshal(c.Load(t, e).Request.JSON, &q) != nil {
			continue
		}
		schemas := []jsontext.Value{q.ResponseFormat.JSONSchema.Schema}
		for _, tl := range q.Tools {
			var f struct {
				Parameters jsontext.Value `json:"parameters"`
			}
			if tl["function"] != nil && json.Unmarshal(tl["function"], &f) == nil {
				schemas = append(schemas, f.Parameters)
			}
			schemas = append(schemas, tl["input_schema"])
		}
		for _, v := range schemas {
			if object(v) != nil {
				seen++
				matches(t, string(v), instance(v))
			}
		}
	}
	if seen < 100 {
		t.Errorf("only %d schemas were found", seen)
	}
}

func TestRecordedRequestsGetAnAnswer(t *testing.T) {
	t.Parallel()
	c := testkit.Fixtures(t)
	s := New(Options{Now: fixed, Count: func(t string) int64 { return int64(len(t)) / 4 }})
	paths := map[string]string{"openai.chat": chatPath, "openai.embeddings": embedPath, "anthropic.messages": messagesPath, "anthropic.count_tokens": countPath}
	n := 0
	for _, e := range c.Filter(testkit.Filter{HasRequest: true, Recorded: true, Status: 200}) {
		path := paths[e.API]
		q := c.Load(t, e).Request
		if path == "" || !bytes.Contains(q.JSON, []byte(`"model"`)) || path == embedPath && !bytes.Contains(q.JSON, []byte(`"input"`)) {
			continue
		}
		n++
		if g := ask1(t, s, path, string(q.JSON)); g.status != 200 || g.err != nil {
			t.Errorf("%s: %d %s %v", e.ID, g.status, g.body, g.err)
		}
	}
	if n < 300 {
		t.Errorf("only %d requests were found", n)
	}
}

func TestEmbeddingsAreUnitVectorsInBothForms(t *testing.T) {
	t.Parallel()
	s := newSim(t, Options{})
	floats := decode[struct {
		Data []struct {
			Index     int       `json:"index"`
			Embedding []float32 `json:"embedding"`
		} `json:"data"`
	}](t, ask1(t, s, embedPath, `{"model":"m","input":["a","b","a"]}`).body)
	packed := decode[struct {
		Data []struct {
			Embedding string `json:"embedding"`
		} `json:"data"`
	}](t, ask1(t, s, embedPath, `{"model":"m","input":["a","b","a"],"encoding_format":"base64"}`).body)
	if len(floats.Data) != 3 || len(packed.Data) != 3 {
		t.Fatalf("%d and %d vectors", len(floats.Data), len(packed.Data))
	}
	for i, d := range floats.Data {
		raw, err := base64.StdEncoding.DecodeString(packed.Data[i].Embedding)
		if err != nil || len(raw) != 4*defaultDimensions || len(d.Embedding) != defaultDimensions {
			t.Fatalf("%d bytes, %d floats, %v", len(raw), len(d.Embedding), err)
		}
		sum := 0.0
		for k, x := range d.Embedding {
			sum += float64(x) * float64(x)
			if y := math.Float32frombits(binary.LittleEndian.Uint32(raw[4*k:])); x != y {
				t.Fatalf("number %d of vector %d is %v and %v", k, i, x, y)
			}
		}
		if math.Abs(sum-1) > 1e-4 {
			t.Errorf("vector %d has length² %v", i, sum)
		}
	}
	if diff := cmp.Diff(floats.Data[0].Embedding, floats.Data[2].Embedding); diff != "" {
		t.Error("the same input has two vectors")
	}
	if cmp.Equal(floats.Data[0].Embedding, floats.Data[1].Embedding) {
		t.Error("two inputs have one vector")
	}
	ids := ask1(t, s, embedPath, `{"model":"m","input":[[1,2],[3]],"dimensions":2}`).body
	if strings.Count(ids, `"index"`) != 2 || !strings.Contains(ids, `"prompt_tokens":3`) {
		t.Errorf("lists of tokens: %s", ids)
	}
}
