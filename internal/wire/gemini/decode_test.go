package gemini

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/testkit"
)

func decode(t testing.TB, body string) (*llm.Request, *llm.Chat) {
	t.Helper()
	r, err := NewGenerate().DecodeFor("m", []byte(body), nil)
	if err != nil {
		t.Fatalf("DecodeFor(%s) = %v", body, err)
	}
	chat, err := r.DecodeChat()
	if err != nil {
		t.Fatal(err)
	}
	return r, chat
}

func ptr[T any](v T) *T { return &v }

// both spellings of everything say the same.
var spellings = []string{
	`{"systemInstruction":{"parts":[{"text":"Be brief."}]},
	"contents":[
		{"role":"user","parts":[{"text":"Look"},{"inlineData":{"mimeType":"image/png","data":"aGk_"}},{"fileData":{"mimeType":"application/pdf","fileUri":"https://x/y.pdf","displayName":"y"}}]},
		{"role":"model","parts":[{"text":"hm","thought":true,"thoughtSignature":"SIGN"},{"functionCall":{"name":"f","args":{"x":1}}},{"functionCall":{"id":"own","name":"f","args":{}}}]},
		{"role":"user","parts":[{"functionResponse":{"name":"f","response":{"output":"sunny"}}},{"functionResponse":{"id":"own","name":"f","response":{"error":"no"}}}]}],
	"tools":[{"functionDeclarations":[{"name":"f","description":"d","parameters":{"type":"OBJECT","properties":{"x":{"type":"INTEGER"}}}},{"name":"g"}]}],
	"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["f"]}},
	"generationConfig":{"temperature":0.5,"topP":0.9,"topK":40,"candidateCount":2,"maxOutputTokens":100,"stopSequences":["."],"presencePenalty":1,"frequencyPenalty":-1,"seed":7,
		"responseMimeType":"application/json","responseJsonSchema":{"type":"object"},"thinkingConfig":{"thinkingBudget":2048,"includeThoughts":true},"mediaResolution":"MEDIA_RESOLUTION_LOW"},
	"safetySettings":[{"category":"c","threshold":"t"}],"labels":{"a":"b"}}`,
	`{"system_instruction":{"parts":{"text":"Be brief."}},
	"contents":[
		{"parts":[{"text":"Look"},{"inline_data":{"mime_type":"image/png","data":"aGk_"}},{"file_data":{"mime_type":"application/pdf","file_uri":"https://x/y.pdf","display_name":"y"}}]},
		{"role":"model","parts":[{"text":"hm","thought":true,"thought_signature":"SIGN"},{"function_call":{"name":"f","args":{"x":1}}},{"function_call":{"id":"own","name":"f"}}]},
		{"role":"function","parts":[{"function_response":{"name":"f","response":{"output":"sunny"}}},{"function_response":{"id":"own","name":"f","response":{"error":"no"}}}]}],
	"tools":{"function_declarations":[{"name":"f","description":"d","parameters":{"type":"object","properties":{"x":{"type":"integer"}}}},{"name":"g"}]},
	"tool_config":{"function_calling_config":{"mode":"any","allowed_function_names":["f"]}},
	"generation_config":{"temperature":0.5,"top_p":0.9,"top_k":40,"candidate_count":2,"max_output_tokens":100,"stop_sequences":["."],"presence_penalty":1,"frequency_penalty":-1,"seed":7,
		"response_mime_type":"application/json","response_json_schema":{"type":"object"},"thinking_config":{"thinking_budget":2048,"include_thoughts":true},"media_resolution":"MEDIA_RESOLUTION_LOW"},
	"safety_settings":[{"category":"c","threshold":"t"}],"labels":{"a":"b"}}`,
}

func TestAConversationIsDecodedInBothSpellings(t *testing.T) {
	t.Parallel()
	want := &llm.Chat{
		System: []llm.Part{{Text: "Be brief."}},
		Messages: []llm.Message{
			{Role: llm.RoleUser, Parts: []llm.Part{
				{Text: "Look"},
				{Kind: llm.PartImage, MediaType: "image/png", Data: "aGk/"},
				{Kind: llm.PartFile, MediaType: "application/pdf", URL: "https://x/y.pdf", Name: "y"},
			}},
			{Role: llm.RoleAssistant, Parts: []llm.Part{
				{Kind: llm.PartReasoning, Text: "hm", Signature: llm.Seal("?", "SIGN")},
				{Kind: llm.PartToolCall, ToolID: "call_1_1", ToolName: "f", Args: json.RawMessage(`{"x":1}`)},
				{Kind: llm.PartToolCall, ToolID: "own", ToolName: "f", Args: json.RawMessage(`{}`)},
			}},
			{Role: llm.RoleUser, Parts: []llm.Part{
				{Kind: llm.PartToolResult, ToolID: "call_1_1", Parts: []llm.Part{{Text: "sunny"}}},
				{Kind: llm.PartToolResult, ToolID: "own", Parts: []llm.Part{{Text: "no"}}, IsError: true},
			}},
		},
		Tools: []llm.Tool{
			{Name: "f", Description: "d", Schema: json.RawMessage(`{"type":"object","properties":{"x":{"type":"integer"}}}`)},
			{Name: "g"},
		},
		ToolChoice: &llm.ToolChoice{Mode: llm.ToolNamed, Name: "f"},
		Format:     &llm.Format{JSON: true, Schema: json.RawMessage(`{"type":"object"}`), Name: "response"},
		Reasoning:  &llm.Reasoning{Budget: 2048, Display: "summarized"},
		MaxOutput:  ptr(int64(100)), Temperature: ptr(0.5), TopP: ptr(0.9), TopK: ptr(int64(40)),
		PresencePenalty: ptr(1.0), FrequencyPenalty: ptr(-1.0), Seed: ptr(int64(7)), Stop: []string{"."}, Choices: 2,
	}
	extras := map[string]bool{"generationconfig.mediaresolution": true, "safetysettings": true, "labels": true}
	for i, body := range spellings {
		r, got := decode(t, body)
		if len(got.Extra) != len(extras) {
			t.Errorf("%d: extras %+v", i, got.Extra)
		}
		for _, x := range got.Extra {
			if !extras[strings.ToLower(strings.ReplaceAll(x.Path, "_", ""))] {
				t.Errorf("%d: extra %s", i, x.Path)
			}
		}
		bare := *got
		bare.Extra = nil
		if diff := cmp.Diff(want, &bare); diff != "" {
			t.Errorf("%d (-want +got):\n%s", i, diff)
		}
		if r.Model != "m" || r.Dialect != llm.GeminiGenerate || r.MaxOutput != 100 || !r.HasMaxOutput || r.Choices != 2 || r.Size.Images != 2 || r.Size.Messages != 3 || r.Size.Media != 4 || r.Size.ASCII == 0 {
			t.Errorf("%d: %+v", i, r)
		}
		for _, n := range []llm.Need{llm.NeedTools, llm.NeedForcedTool, llm.NeedImageInput, llm.NeedFileInput, llm.NeedJSONSchema, llm.NeedReasoning, llm.NeedTemperature} {
			if !r.Needs.Has(n) {
				t.Errorf("%d: need %d is not seen", i, n)
			}
		}
	}
}

func TestWhatIsWrongIsNamed(t *testing.T) {
	t.Parallel()
	const ok = `"contents":[{"parts":[{"text":"a"}]}]`
	for body, want := range map[string]string{
		`{}`:                          "contents missing_parameter",
		`{"contents":[]}`:             "contents invalid_parameter",
		`{"contents":"a"}`:            "contents invalid_type",
		`{"contents":[{"role":"x"}]}`: "contents.0.parts missing_parameter, contents.0.role invalid_parameter",
		`{"contents":[{"parts":[{"text":1},{"inline_data":{}}]}]}`:                                                                                          "contents.0.parts.0.text invalid_type, contents.0.parts.1.inline_data.mimeType missing_parameter, contents.0.parts.1.inline_data.data missing_parameter",
		`{"contents":[{"parts":[{"text":"a","functionCall":{"name":"f"}}]}]}`:                                                                               "contents.0.parts.0 invalid_parameter",
		`{"contents":[{"parts":[{"functionResponse":{"name":"f"}}]}]}`:                                                                                      "contents.0.parts.0.functionResponse.response missing_parameter",
		`{"contents":[{"parts":[{"functionCall":{"args":[]}}]}]}`:                                                                                           "contents.0.parts.0.functionCall.name missing_parameter, contents.0.parts.0.functionCall.args invalid_type",
		`{"model":"other",` + ok + `}`:                                                                                                                      "model invalid_parameter",
		`{` + ok + `,"generationConfig":{},"generation_config":{}}`:                                                                                         "generation_config invalid_parameter",
		`{` + ok + `,"generationConfig":{"temperature":3,"maxOutputTokens":0,"candidateCount":9}}`:                                                          "generationConfig.temperature invalid_parameter, generationConfig.maxOutputTokens invalid_parameter, generationConfig.candidateCount invalid_parameter",
		`{` + ok + `,"generationConfig":{"stopSequences":["1","2","3","4","5","6"]}}`:                                                                       "generationConfig.stopSequences invalid_parameter",
		`{` + ok + `,"generationConfig":{"responseSchema":{},"responseJsonSchema":{}}}`:                                                                     "generationConfig.responseJsonSchema invalid_parameter",
		`{` + ok + `,"generationConfig":{"responseJsonSchema":{"type":"OBJECT"}}}`:                                                                          "generationConfig.responseJsonSchema.type invalid_json_schema",
		`{` + ok + `,"generationConfig":{"thinkingConfig":{"thinkingLevel":"HIGH","thinkingBudget":5}}}`:                                                    "generationConfig.thinkingConfig.thinkingLevel invalid_parameter",
		`{` + ok + `,"generationConfig":{"thinkingConfig":{"thinkingLevel":"SOME"}}}`:                                                                       "generationConfig.thinkingConfig.thinkingLevel invalid_parameter",
		`{` + ok + `,"tools":[{"functionDeclarations":[{"parameters":{},"parametersJsonSchema":{}}]}]}`:                                                     "tools.0.functionDeclarations.0.name missing_parameter, tools.0.functionDeclarations.0.parametersJsonSchema invalid_parameter",
		`{` + ok + `,"toolConfig":{"functionCallingConfig":{"mode":"ANY"}}}`:                                                                                "toolConfig.functionCallingConfig.mode invalid_parameter",
		`{` + ok + `,"tools":[{"functionDeclarations":[{"name":"f"}]}],"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["g"]}}}`: "toolConfig.functionCallingConfig.allowedFunctionNames.0 invalid_parameter",
	} {
		_, err := NewGenerate().DecodeFor("m", []byte(body), nil)
		var fe *fault.Error
		if !errors.As(err, &fe) {
			t.Errorf("%s: %v, want %s", body, err, want)
			continue
		}
		var got []string
		for _, d := range fe.Details {
			got = append(got, d.Field+" "+d.Code.String())
		}
		if g := strings.Join(got, ", "); g != want {
			t.Errorf("%s:\n%s, want\n%s", body, g, want)
		}
	}
	if _, err := NewGenerate().Decode([]byte(`{`+ok+`}`), nil); !fault.Is(err, fault.MissingParameter) {
		t.Errorf("without a model: %v", err)
	}
}

// The name of a model is that of the path, whatever resource it is written as.
func TestTheModelIsInThePath(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"gemini-2.5-flash": "gemini-2.5-flash", "models/m": "m", "google/gemini": "google/gemini",
		"projects/p/locations/l/publishers/google/models/m": "m", "publishers/meta/models/a/b": "a/b",
	} {
		r, err := NewGenerate().DecodeFor(path, []byte(`{"model":"models/`+want+`","contents":{"parts":{"text":"a"}}}`), nil)
		if err != nil || r.Model != want {
			t.Errorf("%s: %+v, %v", path, r, err)
		}
	}
}

// What has no field is kept, with its place.
func TestWhatHasNoFieldIsAnExtra(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`"tools":[{"googleSearch":{}},{"functionDeclarations":[{"name":"f","behavior":"BLOCKING"}]}]`:                                                                        "tools.0.googleSearch tools.1.functionDeclarations.0.behavior",
		`"cachedContent":"cachedContents/1","store":true,"madeUp":1,"nothing":null,"none":[]`:                                                                                "cachedContent store madeUp",
		`"generationConfig":{"responseModalities":["TEXT"],"speechConfig":{},"logprobs":2}`:                                                                                  "generationConfig.speechConfig generationConfig.logprobs",
		`"generationConfig":{"responseModalities":["TEXT","IMAGE"]}`:                                                                                                         "generationConfig.responseModalities",
		`"generationConfig":{"responseMimeType":"text/x.enum","responseSchema":{"type":"STRING","enum":["a"]}}`:                                                              "generationConfig.responseMimeType generationConfig.responseSchema",
		`"tools":[{"functionDeclarations":[{"name":"f"},{"name":"g"},{"name":"h"}]}],"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["f","g"]}}`: "",
		`"tools":[{"functionDeclarations":[{"name":"f"},{"name":"g"}]}],"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["f","g"]}}`:              "",
		`"toolConfig":{"functionCallingConfig":{"mode":"VALIDATED"},"retrievalConfig":{}}`:                                                                                   "toolConfig.retrievalConfig toolConfig.functionCallingConfig.mode",
	} {
		_, chat := decode(t, `{"contents":[{"parts":[{"text":"a"}]}],`+body+`}`)
		var got []string
		for _, x := range chat.Extra {
			got = append(got, x.Path)
		}
		if g := strings.Join(got, " "); g != want {
			t.Errorf("%s: %q, want %q", body, g, want)
		}
	}
	_, chat := decode(t, `{"contents":[{"parts":[{"text":"a","videoMetadata":{}},{"executableCode":{"code":"1"}}]}]}`)
	if len(chat.Extra) != 2 || chat.Extra[0].Path != "contents.0.parts.0.videoMetadata" || chat.Extra[1].Path != "contents.0.parts.1.executableCode" {
		t.Errorf("%+v", chat.Extra)
	}
}

func TestSomeOfTheFunctionsMayBeCalled(t *testing.T) {
	t.Parallel()
	for tail, want := range map[string]llm.ToolChoice{
		`"ANY","allowedFunctionNames":["f","g"]`:       {Mode: llm.ToolRequired, Allowed: []string{"f", "g"}},
		`"ANY","allowedFunctionNames":["f","g","h"]`:   {Mode: llm.ToolRequired},
		`"ANY","allowedFunctionNames":["g"]`:           {Mode: llm.ToolNamed, Name: "g"},
		`"VALIDATED","allowedFunctionNames":["f","g"]`: {Mode: llm.ToolAuto, Allowed: []string{"f", "g"}},
		`"VALIDATED"`: {Mode: llm.ToolAuto},
	} {
		_, chat := decode(t, `{"contents":[{"parts":[{"text":"a"}]}],"tools":[{"functionDeclarations":[{"name":"f"},{"name":"g"},{"name":"h"}]}],"toolConfig":{"functionCallingConfig":{"mode":`+tail+`}}}`)
		if d := cmp.Diff(&want, chat.ToolChoice); d != "" {
			t.Errorf("%s (-want +got):\n%s", tail, d)
		}
	}
}

// Google's SDKs send the pieces of a stream back as contents of their own: what was
// thought, signed with the last of it, what was said, and what was called are one turn.
func TestPiecesOfATurnAreOneMessage(t *testing.T) {
	t.Parallel()
	_, chat := decode(t, `{"contents":[
		{"role":"user","parts":[{"text":"a"},{"text":"b"}]},
		{"role":"model","parts":[{"text":"I th","thought":true}]},
		{"role":"model","parts":[{"text":"ink","thought":true},{"text":" so","thought":true}]},
		{"role":"model","parts":[{"text":"","thought":true,"thoughtSignature":"`+carried(signatureMark, "SIGN")+`"},{"text":"again","thought":true}]},
		{"role":"model","parts":[{"text":"Hel"}]},
		{"role":"model","parts":[{"text":"lo"},{"text":"you"}]},
		{"role":"model","parts":[{"text":"!"},{"functionCall":{"id":"c","name":"f","args":{}}}]},
		{"role":"model","parts":[{"text":"."}]},
		{"role":"user","parts":[{"functionResponse":{"id":"c","name":"f","response":{"output":"1"}}}]},
		{"role":"user","parts":[{"text":"c"}]}]}`)
	text := func(s string) llm.Part { return llm.Part{Kind: llm.PartText, Text: s} }
	want := []llm.Message{
		{Role: llm.RoleUser, Parts: []llm.Part{text("a"), text("b")}},
		{Role: llm.RoleAssistant, Parts: []llm.Part{
			{Kind: llm.PartReasoning, Text: "I think so", Signature: "SIGN"},
			{Kind: llm.PartReasoning, Text: "again"},
			text("Hello"), text("you!"), // what one piece holds apart stays apart
			{Kind: llm.PartToolCall, ToolID: "c", ToolName: "f", Args: json.RawMessage(`{}`)},
			text("."),
		}},
		{Role: llm.RoleUser, Parts: []llm.Part{{Kind: llm.PartToolResult, ToolID: "c", Parts: []llm.Part{text("1")}}}},
		{Role: llm.RoleUser, Parts: []llm.Part{text("c")}},
	}
	if d := cmp.Diff(want, chat.Messages); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// State that another provider issued comes back as it was.
func TestStateComesBack(t *testing.T) {
	t.Parallel()
	w := partWriter{thoughts: true}
	for _, p := range []llm.Part{
		{Kind: llm.PartReasoning, Text: "hm", Signature: "raw+state=="},
		{Kind: llm.PartRedacted, Data: "blob"},
		{Kind: llm.PartToolCall, ToolID: "c", ToolName: "f", Args: json.RawMessage(`{"a":1}`), Signature: llm.Seal("google", "x")},
		{Kind: llm.PartText, Text: "Hi"},
	} {
		if err := w.add(&p); err != nil {
			t.Fatal(err)
		}
	}
	_, chat := decode(t, `{"contents":[{"role":"model","parts":[`+string(w.parts)+`]}]}`)
	want := []llm.Part{
		{Kind: llm.PartReasoning, Text: "hm", Signature: "raw+state=="},
		{Kind: llm.PartRedacted, Data: "blob"},
		{Kind: llm.PartToolCall, ToolID: "c", ToolName: "f", Args: json.RawMessage(`{"a":1}`), Signature: llm.Seal("google", "x")},
		{Text: "Hi"},
	}
	if diff := cmp.Diff(want, chat.Messages[0].Parts); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	var parts []struct{ ThoughtSignature []byte }
	if err := json.Unmarshal([]byte("["+string(w.parts)+"]"), &parts); err != nil {
		t.Errorf("Google's SDKs read signatures as base64: %v", err)
	}
}

// Google's schemas become JSON Schema, and what is JSON Schema stays.
func TestSchemasAreTranslated(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{"type":"STRING","nullable":true,"enum":["a"],"format":"enum"}`:                                                           `{"type":["string","null"],"enum":["a",null],"format":"enum"}`,
		`{"type":"ARRAY","items":{"type":"NUMBER"},"minItems":"1","max_items":3}`:                                                  `{"type":"array","items":{"type":"number"},"minItems":1,"maxItems":3}`,
		`{"type":"OBJECT","properties":{"a":{"type":"BOOLEAN"},"b":{"type":"INTEGER"}},"propertyOrdering":["b"],"required":["a"]}`: `{"type":"object","properties":{"b":{"type":"integer"},"a":{"type":"boolean"}},"required":["a"]}`,
		`{"any_of":[{"type":"STRING"},{"type":"NULL"}]}`:                                                                           `{"anyOf":[{"type":"string"},{"type":"null"}]}`,
		`{"anyOf":[{"type":"STRING"}],"nullable":true}`:                                                                            `{"anyOf":[{"type":"string"},{"type":"null"}]}`,
		`{"type":"TYPE_UNSPECIFIED","description":"type"}`:                                                                         `{"description":"type"}`,
		`{"type":["string","null"],"additionalProperties":false,"$ref":"#/$defs/a","$defs":{"a":{"type":"STRING"}}}`:               `{"type":["string","null"],"additionalProperties":false,"$ref":"#/$defs/a","$defs":{"a":{"type":"string"}}}`,
		`{"type":"OBJECT","properties":{"type":{"type":"STRING"},"nullable":{"type":"STRING"}}}`:                                   `{"type":"object","properties":{"type":{"type":"string"},"nullable":{"type":"string"}}}`,
	} {
		_, chat := decode(t, `{"contents":{"parts":{"text":"a"}},"tools":{"functionDeclarations":{"name":"f","parameters":`+in+`}}}`)
		if got := string(chat.Tools[0].Schema); got != want {
			t.Errorf("%s:\n%s, want\n%s", in, got, want)
		}
	}
}

func TestThinkingIsDecoded(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]llm.Reasoning{
		`{"thinkingBudget":0}`:                             {Disabled: true},
		`{"thinkingBudget":-1,"includeThoughts":false}`:    {Adaptive: true, Display: "omitted"},
		`{"thinkingLevel":"LOW"}`:                          {Effort: "low"},
		`{"thinkingLevel":"THINKING_LEVEL_UNSPECIFIED"}`:   {},
		`{"includeThoughts":true}`:                         {Display: "summarized"},
		`{"thinking_budget":9000,"include_thoughts":true}`: {Budget: 9000, Display: "summarized"},
	} {
		_, chat := decode(t, `{"contents":{"parts":{"text":"a"}},"generationConfig":{"thinkingConfig":`+in+`}}`)
		if diff := cmp.Diff(want, *chat.Reasoning); diff != "" {
			t.Errorf("%s (-want +got):\n%s", in, diff)
		}
	}
}

// TestEveryRecordedRequestDecodes: of each, every text is kept, and not a byte
// changes on its way to a provider of the same dialect.
func TestEveryRecordedRequestDecodes(t *testing.T) {
	t.Parallel()
	type path interface {
		DecodeFor(model string, body []byte, headers map[string][]string) (*llm.Request, error)
	}
	n := 0
	for api, d := range map[string]path{
		"gemini.generateContent": NewGenerate(), "gemini.streamGenerateContent": &Generate{schemas: NewGenerate().schemas, stream: true},
		"gemini.countTokens": NewCountTokens(), "gemini.embedContent": Embed{}, "gemini.batchEmbedContents": Embed{batch: true},
	} {
		for _, x := range testkit.Recorded(t, api) {
			body := x.Body()
			if body == nil || bytes.Contains(body, []byte(`"inputConfig"`)) {
				continue
			}
			n++
			model := x.Model
			r, err := d.DecodeFor(model, body, nil)
			if err != nil {
				t.Errorf("%s (%s, status %d): %v", x.ID, api, x.Response.Status, err)
				continue
			}
			if !bytes.Equal(r.Raw.Splice(), body) {
				t.Errorf("%s: the body changes without an edit", x.ID)
			}
			if r.DecodeChat == nil {
				continue
			}
			chat, err := r.DecodeChat()
			if err != nil {
				t.Errorf("%s: DecodeChat: %v", x.ID, err)
				continue
			}
			nothingIsLost(t, x.ID, body, chat)
		}
	}
	if n < 100 {
		t.Errorf("only %d requests", n)
	}
}

// nothingIsLost checks that every text of the contents is in the conversation.
func nothingIsLost(t *testing.T, id string, body []byte, chat *llm.Chat) {
	t.Helper()
	all, err := json.Marshal(chat)
	if err != nil {
		t.Fatal(err)
	}
	var have any
	if err := json.Unmarshal(all, &have); err != nil {
		t.Fatal(err)
	}
	texts := map[string]bool{}
	var long strings.Builder // results of functions are told as one text
	every(have, func(_, s string) { texts[s] = true; long.WriteString(s + "\n") })
	var in struct{ Contents, GenerateContentRequest any }
	if err := json.Unmarshal(body, &in); err != nil {
		t.Fatal(err)
	}
	every([]any{in.Contents, in.GenerateContentRequest}, func(name, s string) {
		switch name {
		case "text", "data", "fileUri", "file_uri", "name":
			if name == "data" {
				s = standard(s)
			}
			if !texts[s] && s != "" && !strings.Contains(long.String(), s) {
				t.Errorf("%s: %s %.100q is lost", id, name, s)
			}
		case "thoughtSignature":
			if !texts[llm.Seal(foreign, s)] {
				t.Errorf("%s: a signature is lost", id)
			}
		}
	})
}

// every calls f for each text in v, with the name of its member.
func every(v any, f func(name, s string)) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if s, ok := e.(string); ok {
				f(k, s)
			} else {
				every(e, f)
			}
		}
	case []any:
		for _, e := range v {
			every(e, f)
		}
	}
}

func TestBase64IsStandard(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"aGk_": "aGk/", "aA": "aA==", "aGk": "aGk=", "aA==": "aA==", "": "", "aGkh": "aGkh"} {
		if got := standard(in); got != want {
			t.Errorf("standard(%q) = %q, want %q", in, got, want)
		}
		if _, err := base64.StdEncoding.DecodeString(standard(in)); err != nil {
			t.Errorf("standard(%q): %v", in, err)
		}
	}
}

// Documents are weighed by their pages, and those that only a provider can look into
// as the longest that are taken.
func TestDocumentsAreWeighedByTheirPages(t *testing.T) {
	t.Parallel()
	const pdf = "JVBERi0xLjQgPDwvVHlwZS9QYWdlPj4gPDwvVHlwZS9QYWdlPj4gPDwvVHlwZS9QYWdlPj4g"
	for part, want := range map[string]int64{
		`{"inlineData":{"mimeType":"application/pdf","data":"` + pdf + `"}}`:      3,
		`{"fileData":{"mimeType":"application/pdf","fileUri":"https://x/y.pdf"}}`: 100,
		`{"fileData":{"mimeType":"image/png","fileUri":"https://x/y.png"}}`:       0,
	} {
		r, err := NewGenerate().DecodeFor("m", []byte(`{"contents":[{"parts":[`+part+`]}]}`), nil)
		if err != nil {
			t.Errorf("%s: %v", part, err)
			continue
		}
		if r.Size.Pages != want || r.Size.Images != 1 {
			t.Errorf("%s: %+v, want %d pages", part, r.Size, want)
		}
	}
}
