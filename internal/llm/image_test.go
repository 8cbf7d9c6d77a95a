package llm

import "testing"

func TestDialectsThatTellImages(t *testing.T) {
	t.Parallel()
	inline, linked := Part{Kind: PartImage, Data: "iVBORw", MediaType: "image/png"}, Part{Kind: PartImage, URL: "https://a.example/b.png"}
	for d, want := range map[Dialect][2]bool{
		OpenAIChat: {true, true}, Simple: {true, true}, GeminiGenerate: {true, true}, OpenAIResponses: {true, false},
		AnthropicMessages: {}, OpenAICompletions: {}, Prompt: {}, "": {},
	} {
		if got := [2]bool{d.TellsImage(&inline), d.TellsImage(&linked)}; got != want {
			t.Errorf("%s: %v, want %v", d, got, want)
		}
		if d.TellsImage(&Part{Kind: PartImage, Data: "AAAA"}) || d.TellsImage(&Part{Kind: PartImage}) {
			t.Errorf("%s tells an image of no type, or none", d)
		}
	}
}

func TestMediaTypesByHowTheyBegin(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{"iVBORw0KGgo": "image/png", "/9j/4AAQ": "image/jpeg", "UklGRuIW": "image/webp", "JVBERi0x": "application/pdf", "AAAA": "", "": ""} {
		if got := MediaTypeOf(data); got != want {
			t.Errorf("%s is %q, want %q", data, got, want)
		}
	}
}

func TestDataURLsAreTakenApart(t *testing.T) {
	t.Parallel()
	for s, want := range map[string][3]string{
		"https://x/y.png":             {"https://x/y.png", "", ""},
		"data:image/png;base64,AAAA":  {"", "image/png", "AAAA"},
		"data:text/plain,hello":       {"data:text/plain,hello", "", ""},
		"data:broken":                 {"data:broken", "", ""},
		"AAAA":                        {"", "", "AAAA"},
		"":                            {"", "", ""},
		"gs://bucket/object":          {"gs://bucket/object", "", ""},
		"data:;base64,AA":             {"", "", "AA"},
		"data:a/b;charset=x;base64,A": {"", "a/b;charset=x", "A"},
	} {
		u, m, d := SplitData(s)
		if got := [3]string{u, m, d}; got != want {
			t.Errorf("SplitData(%q) = %q, want %q", s, got, want)
		}
	}
}
