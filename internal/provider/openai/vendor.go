package openai

import (
	"net/url"
	"strings"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/vector"
)

// vendor is a row of the table of those who speak OpenAI's protocol, each a
// little differently. The zero value is a strict server that knows nothing but
// the oldest members.
type vendor struct {
	hosts  []string // ends of host names, with or without port
	family string   // of provider.Classify; empty: generic

	auth string // the header that takes the key; empty: Authorization with Bearer

	maxTokens string // the member that limits output; empty: max_tokens
	renames   bool   // knows maxTokens only, so a caller's other spelling is renamed
	noOptions bool   // refuses stream_options; reports usage without being asked

	drop   []string          // members that it refuses and that change nothing in an answer
	rename map[string]string // members that it knows under another name

	// What it takes besides plain text where OpenAI takes it.
	parts     bool // lists of parts in system, assistant and tool messages
	files     bool // parts of type file
	documents bool // parts of type document_url, inline or where they are
	cacheMark bool // cache_control on parts and tools
	topK      bool // top_k
	strict    bool // strict on tools
	allowed   bool // tool_choice of type allowed_tools
	custom    bool // custom tools, in responses, too
	oldStop   int  // how many stop sequences; 0: four

	reasoning string // the member of an assistant message that takes reasoning back; empty: none does
	thinking  bool   // thinking: {"type": "disabled"} switches thinking off
	effort    bool   // reasoning_effort none switches it off
	anyTool   string // how it spells tool_choice required; empty: as OpenAI

	formats   []string    // encodings of vectors that it knows by name; nil: float and base64
	form      vector.Form // of the numbers in its base64
	embedPath string      // of embeddings, at a host without a path; empty: as OpenAI

	hiddenThoughts bool // total_tokens counts thoughts that completion_tokens leaves out

	responses bool // serves the protocol of responses beside this one
	stateless bool // and gives out no sealed reasoning there
	counts    bool // and counts the tokens of requests there
	byPath    bool // takes the model's name in the path where the version stands in the query
}

// accounting are members that serve the vendor's own records, caches or
// dashboards. An answer is the same without them.
var accounting = []string{"store", "metadata", "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"}

// vendors is the one table of their differences. Sources: protocols.md §2.3,
// §3 and §10, the vendors' documentation, and recorded traffic.
var vendors = map[string]vendor{
	"openai": {
		hosts: []string{"api.openai.com"}, family: "openai",
		maxTokens: "max_completion_tokens", parts: true, files: true, strict: true, allowed: true, custom: true, effort: true, responses: true, counts: true,
	},
	"azure": {
		hosts: []string{".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com"}, family: "azure",
		auth: "Api-Key", maxTokens: "max_completion_tokens", parts: true, files: true, strict: true, allowed: true, custom: true, effort: true, responses: true, byPath: true,
	},
	"openrouter": {
		hosts: []string{"openrouter.ai"}, family: "openrouter",
		maxTokens: "max_tokens", parts: true, files: true, cacheMark: true, topK: true, strict: true, effort: true,
		reasoning: "reasoning", responses: true,
	},
	"groq": {
		hosts: []string{"api.groq.com"}, family: "groq",
		maxTokens: "max_completion_tokens", parts: true, reasoning: "reasoning", responses: true, stateless: true,
	},
	"mistral": {
		hosts: []string{"api.mistral.ai", "codestral.mistral.ai"}, family: "mistral",
		renames: true, noOptions: true, strict: true, documents: true,
		drop: accounting, rename: map[string]string{"seed": "random_seed", "dimensions": "output_dimension"}, anyTool: "any",
	},
	"deepseek": {
		hosts: []string{"api.deepseek.com"}, family: "deepseek",
		renames: true, thinking: true, reasoning: "reasoning_content", oldStop: 16, responses: true, stateless: true,
	},
	"xai": {
		hosts: []string{"api.x.ai"}, family: "xai",
		maxTokens: "max_completion_tokens", parts: true, reasoning: "reasoning_content", responses: true,
	},
	"together": {
		hosts: []string{"api.together.xyz", "api.together.ai"}, family: "together",
		renames: true, parts: true, topK: true,
	},
	"fireworks": {
		hosts: []string{"api.fireworks.ai"}, family: "fireworks",
		renames: true, parts: true, topK: true, reasoning: "reasoning_content",
	},
	"perplexity": {
		hosts: []string{"api.perplexity.ai"}, renames: true, topK: true, drop: accounting,
		formats: []string{"base64_int8", "base64_binary"}, form: vector.Int8, embedPath: "v1/embeddings",
	},
	"cohere": {
		hosts: []string{"api.cohere.ai", "api.cohere.com"}, renames: true, drop: accounting,
	},
	"cerebras": {
		hosts: []string{"api.cerebras.ai"}, family: "cerebras",
		maxTokens: "max_completion_tokens", strict: true, drop: []string{"store", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"},
	},
	"moonshot": {
		hosts: []string{"api.moonshot.ai", "api.moonshot.cn"}, renames: true, thinking: true, reasoning: "reasoning_content",
	},
	"zai": {
		hosts: []string{"api.z.ai", "open.bigmodel.cn"}, renames: true, thinking: true, reasoning: "reasoning_content",
	},
	"alibaba": {
		hosts: []string{".aliyuncs.com"}, renames: true, parts: true, topK: true, reasoning: "reasoning_content",
	},
	"venice": {
		hosts: []string{"api.venice.ai"}, maxTokens: "max_completion_tokens", parts: true, topK: true,
	},
	"huggingface": {
		hosts: []string{"router.huggingface.co", "api-inference.huggingface.co"}, renames: true, parts: true,
	},
	"ollama": {
		hosts: []string{":11434", "ollama.com"}, family: "ollama", renames: true, parts: true, reasoning: "reasoning",
	},
	"llamacpp": {
		family: "llamacpp", renames: true, parts: true, topK: true, reasoning: "reasoning_content", oldStop: 64,
	},
	"vllm": {
		family: "vllm", maxTokens: "max_tokens", parts: true, topK: true, reasoning: "reasoning", oldStop: 64,
	},
	"gemini": {
		hosts: []string{"generativelanguage.googleapis.com", "aiplatform.googleapis.com"}, family: "gemini",
		maxTokens: "max_completion_tokens", parts: true, hiddenThoughts: true,
		drop: []string{"store", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"},
	},
	"anthropic": {
		hosts: []string{"api.anthropic.com"}, family: "anthropic", maxTokens: "max_completion_tokens", parts: true,
	},
	"copilot":        {hosts: []string{"api.githubcopilot.com", ".githubcopilot.com"}, parts: true, responses: true},
	"vercel-gateway": {hosts: []string{"ai-gateway.vercel.sh"}, parts: true, topK: true, cacheMark: true, reasoning: "reasoning"},
	"voyage":         {hosts: []string{"api.voyageai.com"}, noOptions: true, drop: accounting, formats: []string{"base64"}, rename: map[string]string{"dimensions": "output_dimension"}},
	"nvidia":         {hosts: []string{"integrate.api.nvidia.com"}, renames: true, parts: true, topK: true},
	"deepinfra":      {hosts: []string{"api.deepinfra.com"}, renames: true, parts: true, topK: true},
	"novita":         {hosts: []string{"api.novita.ai"}, renames: true, parts: true, topK: true, reasoning: "reasoning_content"},
	"doubleword":     {hosts: []string{"api.doubleword.ai"}, renames: true, parts: true, topK: true},
	"crusoe":         {hosts: []string{".crusoecloud.com"}, renames: true, parts: true, topK: true},
	"avian":          {hosts: []string{"api.avian.io"}, renames: true, parts: true},
	"generic":        {maxTokens: "max_tokens", parts: true, topK: true, strict: true, files: true},
}

// Vendors lists the names that [Options].Vendor may have.
func Vendors() []string {
	names := make([]string, 0, len(vendors))
	for name := range vendors {
		names = append(names, name)
	}
	return names
}

// vendorOf returns the row by name; an empty name means by host, and a host
// that nobody knows is some server of the operator's own.
func vendorOf(name string, base *url.URL) (vendor, bool) {
	if name != "" {
		v, ok := vendors[name]
		return v, ok
	}
	host := strings.ToLower(base.Host)
	for _, v := range vendors {
		for _, h := range v.hosts {
			if host == h || strings.HasSuffix(host, h) && (h[0] == '.' || h[0] == ':') ||
				base.Port() != "" && strings.EqualFold(base.Hostname(), h) {
				return v, true
			}
		}
	}
	return vendors["generic"], true
}

// limit returns the member that limits output.
func (v *vendor) limit() string {
	if v.maxTokens == "" {
		return "max_tokens"
	}
	return v.maxTokens
}

// stops returns how many stop sequences the vendor takes.
func (v *vendor) stops() int { return max(v.oldStop, 4) }

// refuses returns what of a chat in OpenAI's own dialect the vendor is known not to
// take, of what others do; nil: nothing.
func (v *vendor) refuses(r *llm.Request) error {
	if r.Task != llm.TaskChat {
		return nil
	}
	if n, _ := stops(r); n > v.stops() {
		return tooManyStops("stop", v.stops())
	}
	return nil
}

// stops returns how many stop sequences are listed, if there is a list.
func stops(r *llm.Request) (n int, list bool) {
	v := r.Raw.Value("stop")
	if len(v) == 0 || v[0] != '[' {
		return 0, false
	}
	doc, err := jsonx.Parse(v)
	if err != nil {
		return 0, false // cannot be: it was checked
	}
	return doc.Root().Len(), true
}

func tooManyStops(name string, most int) *fault.Error {
	return fault.New(fault.UnsupportedParameter, "This model takes at most %d stop sequences.", most).At(name)
}

// Traits are what other protocols of the same server have in common with this
// one.
type Traits struct {
	Responses bool   // it serves OpenAI's protocol of responses under the same base URL
	Stateless bool   // and gives out no sealed reasoning there
	Counts    bool   // and counts the tokens of requests there, and compacts conversations
	Custom    bool   // it knows custom tools
	Family    string // of provider.Classify
	ByPath    bool   // the model is named in the path
	KeyHeader string // the header that takes the key; empty: Authorization with Bearer
}

// Traits returns those of the vendor; with options that [Options.Validate]
// refuses, those of nobody.
func (o Options) Traits() Traits {
	u, v, err := o.resolve()
	if err != nil {
		return Traits{}
	}
	if dated(u, &v) && u.Query().Get("api-version") < firstResponses {
		v.responses = false
	}
	return Traits{Responses: v.responses, Stateless: v.stateless, Counts: v.counts, Custom: v.custom, Family: v.class(), ByPath: dated(u, &v), KeyHeader: v.auth}
}

// firstResponses is the first of Azure's dated versions that has responses.
const firstResponses = "2025-03-01"

// dated reports whether the base URL is that of a dated version, in which the
// name of a deployment stands in the path.
func dated(base *url.URL, v *vendor) bool {
	return v.byPath && strings.HasSuffix(strings.TrimSuffix(base.Path, "/"), "/openai") && base.Query().Has("api-version")
}

// class returns the family of error tables.
func (v *vendor) class() string {
	if v.family == "" {
		return "generic"
	}
	return v.family
}
