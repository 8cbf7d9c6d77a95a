package fidelity

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/pontage/pontage/internal/testkit"
)

// dialect is a way in which callers may ask: one entry for each.
type dialect struct {
	name string
	// family is what is asked for: a dialect of the same family can ask for
	// whatever another can.
	family string
	path   func(model string, stream bool) string
	header func(h http.Header, key string)

	named func(body value, model string) value // names the model in a recorded request; nil: at its top
	small func(model string) value             // asks where no request was kept and there is no write
	fits  func(f *testkit.Fixture) bool        // whether a recording of another dialect can answer; nil: always
	whole bool                                 // an answer must pass byte for byte

	heard  func(body value) talk                                  // reads a request
	can    func(q talk) talk                                      // leaves what can be said
	write  func(q talk, model string, stream bool) value          // nil: only recorded requests are sent
	answer func(vendor string, body []byte, sse bool) answer      // reads an answer
	usage  func(u tokens, sse bool) tokens                        // leaves the classes that an answer tells
	ends   func(s *said) string                                   // what becomes of the end of a choice; nil: as it was
	schema func(s *schemas, body []byte, sse bool) (out []string) // what the official schemas refuse
	fail   func(body value) (kind, code string)                   // reads an error
	face   func(f face) (status int, kind, code string)           // how an error looks

	images   bool // has a place for images in an answer
	linked   bool // also for those that are elsewhere
	objects  bool // arguments of calls are objects
	oneText  bool // has no place for refusals beside the text
	oneAlone bool // has no place for several choices
}

// dialects are all that callers may speak.
var dialects = []dialect{
	{
		name: "openai.chat", family: "chat", path: fixed("/v1/chat/completions"), header: bearer,
		heard: readChatRequest, can: chatCan, write: writeChatRequest, answer: readChat, usage: chatTells,
		schema: whole("openai.json#CreateChatCompletionResponse", "openai.json#CreateChatCompletionStreamResponse"), fail: openAIFailure, face: openAIFace,
		images: true, linked: true,
	},
	{
		name: "anthropic.messages", family: "chat", path: fixed("/v1/messages"), header: anthropicKey,
		heard: readMessagesRequest, can: messagesCan, write: writeMessagesRequest, answer: readMessages, usage: messagesTell,
		ends: messagesEnd, schema: whole("anthropic.Message.json", "anthropic.RawMessageStreamEvent.json"), fail: anthropicFailure, face: anthropicFace,
		objects: true, oneText: true, oneAlone: true,
	},
	{
		name: "openai.responses", family: "chat", path: fixed("/v1/responses"), header: bearer,
		heard: readResponsesRequest, can: responsesCan, write: writeResponsesRequest, answer: readResponses, usage: chatTells,
		schema: responsesSchema, fail: openAIFailure, face: openAIFace, oneAlone: true, images: true,
	},
	{
		name: "gemini.generate", family: "chat", path: geminiPath, header: googleKey,
		heard: readGeminiRequest, can: geminiCan, write: writeGeminiRequest, answer: readGemini, usage: geminiTells, ends: messagesEnd,
		fail: geminiFailure, face: geminiFace, objects: true, oneText: true, images: true, linked: true,
	},
	{
		name: "chat", family: "chat", path: fixed("/v1/chat"), header: bearer,
		heard: readChatRequest, can: simpleCan, write: writeSimpleRequest, answer: readChat, usage: chatTells,
		schema: simpleSchema, fail: flatFailure, face: flatFace,
		images: true, linked: true,
	},
	{
		name: "openai.embeddings", family: "embeddings", path: fixed("/v1/embeddings"), header: bearer,
		heard: readEmbeddingsRequest, can: embeddingsCan, write: writeEmbeddingsRequest, answer: readEmbeddings, usage: chatTells,
		schema: whole("openai.json#CreateEmbeddingResponse", ""), fail: openAIFailure, face: openAIFace,
	},
	{
		name: "gemini.batch_embed", family: "embeddings", path: geminiMethod("batchEmbedContents"), header: googleKey, named: geminiNamed, fits: listed,
		heard: readGeminiEmbed, can: embeddingsCan, write: writeGeminiEmbed, answer: readGeminiEmbeddings, usage: geminiTells,
		fail: geminiFailure, face: geminiFace,
	},
	{
		name: "gemini.embed", family: "gemini.embed", path: geminiMethod("embedContent"), header: googleKey, named: geminiNamed,
		heard: readGeminiEmbed, small: smallGeminiEmbed, answer: readGeminiEmbeddings, fail: geminiFailure, face: geminiFace,
	},
	{
		name: "anthropic.count_tokens", family: "anthropic.count_tokens", path: fixed("/v1/messages/count_tokens"), header: anthropicKey,
		heard: readMessagesRequest, small: smallMessages, answer: readCount("input_tokens"), fail: anthropicFailure, face: anthropicFace,
	},
	{
		name: "openai.responses.input_tokens", family: "openai.responses.input_tokens", path: fixed("/v1/responses/input_tokens"), header: bearer,
		heard: readResponsesRequest, small: small("input", "Hello"), answer: readCount("input_tokens"), fail: openAIFailure, face: openAIFace,
	},
	{
		name: "gemini.count_tokens", family: "gemini.count_tokens", path: geminiMethod("countTokens"), header: googleKey, named: geminiNamed,
		heard: readGeminiRequest, small: smallGemini, answer: readCount("totalTokens"), fail: geminiFailure, face: geminiFace,
	},
	{
		name: "openai.completions", family: "openai.completions", path: fixed("/v1/completions"), header: bearer,
		named: modelAdded,
		heard: readCompletionsRequest, small: small("prompt", "Hello"), answer: readCompletions, fail: openAIFailure, face: openAIFace,
	},
	{
		name: "openai.moderations", family: "openai.moderations", path: fixed("/v1/moderations"), header: bearer, named: modelAdded, whole: true,
		heard: readNothing, small: small("input", "Hello"), answer: readPassed("results"), fail: openAIFailure, face: openAIFace,
	},
	{
		name: "openai.images.generations", family: "openai.images.generations", path: fixed("/v1/images/generations"), header: bearer, named: modelAdded, whole: true,
		heard: readNothing, small: small("prompt", "Hello"), answer: readImages, fail: openAIFailure, face: openAIFace,
	},
	{
		name: "openai.images.edits", family: "openai.images.edits", path: fixed("/v1/images/edits"), header: bearer, whole: true,
		heard: readNothing, answer: readImages, fail: openAIFailure, face: openAIFace,
	},
	{
		name: "openai.images.variations", family: "openai.images.variations", path: fixed("/v1/images/variations"), header: bearer, whole: true,
		heard: readNothing, answer: readImages, fail: openAIFailure, face: openAIFace,
	},
	{
		name: "openai.audio.speech", family: "openai.audio.speech", path: fixed("/v1/audio/speech"), header: bearer, whole: true,
		heard: readNothing, answer: readSound, fail: openAIFailure, face: openAIFace,
	},
	{
		name: "openai.audio.transcriptions", family: "openai.audio.transcriptions", path: fixed("/v1/audio/transcriptions"), header: bearer, whole: true,
		heard: readNothing, answer: readTranscript, fail: openAIFailure, face: openAIFace,
	},
}

// provider is how a provider is configured that callers of a dialect are to
// reach.
type provider struct {
	name   string
	config string // the members of its entry but for its address and key
	path   string // under which the upstream serves it
	target string // more members of a target at it
}

// speaks returns the dialect of that name.
func speaks(name string) *dialect {
	for i := range dialects {
		if dialects[i].name == name {
			return &dialects[i]
		}
	}
	return nil
}

// api is a kind of recordings: whose dialect it is, and how its provider is
// configured.
type api struct {
	dialect  string
	provider func(f *testkit.Fixture, d *dialect) provider
	kind     string // of its models; empty: chat
	price    string // of its models besides that for a request; empty: by tokens
	free     bool   // costs nothing
}

// apis are the kinds of recordings that something can be asked of.
var apis = map[string]api{
	"openai.chat":            {dialect: "openai.chat", provider: vendor},
	"openai.embeddings":      {dialect: "openai.embeddings", provider: vendor, kind: "embedding"},
	"anthropic.messages":     {dialect: "anthropic.messages", provider: claude},
	"anthropic.count_tokens": {dialect: "anthropic.count_tokens", provider: claude, free: true},

	"openai.responses":              {dialect: "openai.responses", provider: responder},
	"openai.responses.input_tokens": {dialect: "openai.responses.input_tokens", provider: responder, free: true},
	"gemini.generateContent":        {dialect: "gemini.generate", provider: google},
	"gemini.streamGenerateContent":  {dialect: "gemini.generate", provider: google},
	"gemini.countTokens":            {dialect: "gemini.count_tokens", provider: google, free: true},
	"gemini.embedContent":           {dialect: "gemini.embed", provider: google, kind: "embedding"},
	"gemini.batchEmbedContents":     {dialect: "gemini.batch_embed", provider: google, kind: "embedding"},
	"openai.completions":            {dialect: "openai.completions", provider: vendor, kind: "completion"},
	"openai.moderations":            {dialect: "openai.moderations", provider: vendor, kind: "moderation"},
	"openai.images.generations":     {dialect: "openai.images.generations", provider: vendor, kind: "image", price: imagePrice},
	"openai.images.edits":           {dialect: "openai.images.edits", provider: vendor, kind: "image", price: imagePrice},
	"openai.images.variations":      {dialect: "openai.images.variations", provider: vendor, kind: "image", price: imagePrice},
	"openai.audio.speech":           {dialect: "openai.audio.speech", provider: vendor, kind: "speech", price: speechPrice},
	"openai.audio.transcriptions":   {dialect: "openai.audio.transcriptions", provider: vendor, kind: "transcription", price: soundPrice},
}

// outside are the kinds of recordings that ask nothing of a model, and why the
// gateway does not pass them on.
var outside = map[string]string{
	"anthropic.batches":        "state in the provider's account",
	"anthropic.files":          "state in the provider's account",
	"gemini.cachedContents":    "state in the provider's account",
	"gemini.files":             "state in the provider's account",
	"openai.batches":           "state in the provider's account",
	"openai.conversations":     "state in the provider's account",
	"openai.files":             "state in the provider's account",
	"openai.responses.item":    "answered from the gateway's own store",
	"openai.responses.compact": "continues what its provider stored; played by test/operate",
	"anthropic.models":         "answered from the gateway's own catalogue",
	"gemini.models":            "answered from the gateway's own catalogue",
	"openai.models":            "answered from the gateway's own catalogue",
	"openai.models.item":       "answered from the gateway's own catalogue",
	"gemini.interactions":      "no surface",
	"gemini.predict":           "no surface",
	"rerank":                   "no surface",

	"openai.images.variations": "no surface",
}

// alsoResponses are the vendors that serve Responses beside chat completions, so
// that callers of Responses are not translated.
var alsoResponses = []string{"azure", "copilot", "deepseek", "groq", "openai", "openrouter", "xai"}

// vendor configures a provider of OpenAI's protocol. One that would not translate
// what callers of Responses ask is some server that nobody knows.
func vendor(f *testkit.Fixture, d *dialect) provider {
	quirks := f.Provider
	if d.name == "openai.responses" && slices.Contains(alsoResponses, quirks) {
		quirks = "generic"
	}
	return provider{name: "chat-" + quirks, config: "kind: openai, quirks: " + quirks, path: "/v1"}
}

// responder configures a provider that is asked for Responses whatever the caller
// speaks.
func responder(f *testkit.Fixture, _ *dialect) provider {
	quirks := f.Provider
	if quirks == "chatgpt" || quirks == "llamacpp" {
		quirks = "openai"
	}
	return provider{name: "responses-" + f.Provider, config: "kind: openai, quirks: " + quirks, path: "/v1", target: ", api: responses"}
}

// claude configures Anthropic.
func claude(*testkit.Fixture, *dialect) provider {
	return provider{name: "claude", config: "kind: anthropic"}
}

// google configures AI Studio, or Vertex AI.
func google(f *testkit.Fixture, _ *dialect) provider {
	if f.Provider == "vertex" {
		return provider{name: "vertex", config: "kind: vertex, project: fidelity, location: global", path: "/v1"}
	}
	return provider{name: "gemini", config: "kind: gemini", path: "/v1beta"}
}

func fixed(path string) func(string, bool) string {
	return func(string, bool) string { return path }
}

func geminiPath(model string, stream bool) string {
	if stream {
		return fmt.Sprintf("/v1beta/models/%s:streamGenerateContent?alt=sse", model)
	}
	return fmt.Sprintf("/v1beta/models/%s:generateContent", model)
}

func geminiMethod(method string) func(string, bool) string {
	return func(model string, _ bool) string { return "/v1beta/models/" + model + ":" + method }
}

func bearer(h http.Header, key string)    { h.Set("Authorization", "Bearer "+key) }
func googleKey(h http.Header, key string) { h.Set("X-Goog-Api-Key", key) }

func anthropicKey(h http.Header, key string) {
	h.Set("X-Api-Key", key)
	h.Set("Anthropic-Version", "2023-06-01")
}

// chatTells: one number for all that was written to a cache.
func chatTells(u tokens, _ bool) tokens {
	u.Write, u.Write1h = u.Write+u.Write1h, 0
	return u
}

// messagesTell: the last event of a stream has one number, too.
func messagesTell(u tokens, sse bool) tokens {
	if sse {
		return chatTells(u, sse)
	}
	return u
}

// geminiTells: nothing of what was written to a cache.
func geminiTells(u tokens, _ bool) tokens {
	u.Write, u.Write1h = 0, 0
	return u
}

// messagesEnd: a refusal is a reason to end.
func messagesEnd(s *said) string {
	if end := s.ends(); end != "stop" || s.refusal == "" {
		return end
	}
	return "content_filter"
}
