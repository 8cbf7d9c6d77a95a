package gemini

import "strings"

// family is what Google documents of a generation of models, as far as requests
// depend on it. The catalogue knows whether a model thinks at all; only the form
// of the request stands here.
type family struct {
	prefix string // of the name

	// Thinking: by levels, by a budget in tokens, or not at all.
	levels   string // of MINIMAL LOW MEDIUM HIGH, with spaces
	least    int64  // budget; with most: the range
	most     int64
	off      bool // a budget of 0 switches thinking off
	unasked  bool // thinks where nothing is said of it
	signs    bool // calls of the turn under way must carry their signatures
	media    bool // results of functions may hold images and documents
	formTool bool // a response format goes with functions
}

// families are looked through in order. Sources, as of November 2026: for levels
// and budgets docs.cloud.google.com/gemini-enterprise-agent-platform/models/thinking
// and the guides to 3.7 and 3.8 Flash there, firebase.google.com/docs/ai-logic/thinking;
// for signatures ai.google.dev/gemini-api/docs/thought-signatures; for results
// that hold media, and for formats beside functions,
// ai.google.dev/gemini-api/docs/gemini-3.
var families = []family{
	{prefix: "gemma-"},
	{prefix: "gemini-1."},
	{prefix: "gemini-2.0-"},
	{prefix: "gemini-2.5-flash-image"},
	{prefix: "gemini-2.5-pro", least: 128, most: 32768, unasked: true},
	{prefix: "gemini-2.5-flash-lite", least: 512, most: 24576, off: true},
	{prefix: "gemini-2.5-flash", least: 1, most: 24576, off: true, unasked: true},
	{prefix: "gemini-3-pro", levels: "LOW HIGH", unasked: true, signs: true, media: true, formTool: true},
	{prefix: "gemini-3-flash", levels: "MINIMAL LOW MEDIUM HIGH", unasked: true, signs: true, media: true, formTool: true},
	{prefix: "gemini-3.1-flash", levels: "MINIMAL LOW MEDIUM HIGH", unasked: true, signs: true, media: true, formTool: true},
	{prefix: "gemini-3.5-flash", levels: "MINIMAL LOW MEDIUM HIGH", unasked: true, signs: true, media: true, formTool: true},
	{prefix: "gemini-3.6-flash", levels: "MINIMAL LOW MEDIUM HIGH", unasked: true, signs: true, media: true, formTool: true},
	// Those that are not named, and the -latest names, are taken for the latest.
	{prefix: "gemini-", levels: "LOW MEDIUM HIGH", unasked: true, signs: true, media: true, formTool: true},
	// Names of tuned models and of our own tell nothing: the provider decides.
	{levels: "MINIMAL LOW MEDIUM HIGH", unasked: true, signs: true, media: true, formTool: true},
}

// familyOf returns what is known of a model, by its name with or without the
// resource that it belongs to.
func familyOf(model string) family {
	name := model[strings.LastIndexByte(model, '/')+1:]
	for _, f := range families {
		if strings.HasPrefix(name, f.prefix) {
			return f
		}
	}
	return families[len(families)-1]
}

// thinks reports whether the model can be told how much to think.
func (f family) thinks() bool { return f.levels != "" || f.most > 0 }

// has reports whether the model knows a level.
func (f family) has(level string) bool {
	return strings.Contains(" "+f.levels+" ", " "+level+" ")
}

// ThinksOnlyWhenAsked reports whether the model thinks for nobody who does not
// ask for it; see provider.Thinker.
func (p *Provider) ThinksOnlyWhenAsked(model string) bool { return !familyOf(model).unasked }
