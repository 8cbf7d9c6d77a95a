// Package config reads the configuration: one YAML file, read strictly, judged
// as a whole, and reported with every error and its line.
//
// A member that is not known is an error, and so is a name that leads nowhere.
// ${NAME} in a value stands for an environment variable, which must be set;
// $${ stands for a plain ${. What is left out has the default that the tags
// here and docs/config.md give.
package config

import (
	"slices"
	"time"

	"github.com/pontage/pontage/internal/money"
)

// Config is a whole configuration, with all defaults filled in. It is not
// changed after it was loaded.
type Config struct {
	Server    Server              `yaml:"server" doc:"where the gateway listens, and bounds of every request"`
	Store     Store               `yaml:"store" doc:"where accounts, balances and receipts are kept"`
	Shared    Shared              `yaml:"shared" doc:"what several nodes share"`
	Providers map[string]Provider `yaml:"providers" doc:"who serves models, by a name of your own; a name such as openai or mistral also says where, and which models of the embedded catalogue come from there"`
	Models    map[string]Model    `yaml:"models" doc:"models by the name that callers use; members that are not given come from the embedded catalogue. Models without an entry come from there as well when one of their providers is configured"`
	Fallbacks map[string][]string `yaml:"fallbacks" doc:"models to try when all targets of the named one have failed, in order"`
	Plans     map[string]Plan     `yaml:"plans" doc:"what accounts of a plan may use"`
	Classes   []Class             `yaml:"classes" key:"name" doc:"classes of models, for plans; a model is of the first class, in the order written, with a pattern that matches. Without any match it is of class open or closed, as its weights are"`
	Sites     []Site              `yaml:"sites" doc:"hosts and the contract that each presents; none: every host, with the contract openai"`
	Routing   Routing             `yaml:"routing" doc:"how hard to try"`
	Egress    Egress              `yaml:"egress" doc:"what is fetched where callers say; see operating.md"`
	Webhooks  Webhooks            `yaml:"webhooks" doc:"who is told of events; see webhooks.md"`

	name  string         // of the file
	lines map[string]int // of every member that was written, by path
}

// Server is the process itself.
type Server struct {
	Listen      string        `yaml:"listen" default:"127.0.0.1:8080" doc:"address of the API"`
	AdminListen string        `yaml:"admin_listen" default:"127.0.0.1:8081" doc:"address of the admin API, health and metrics"`
	AdminToken  Secret        `yaml:"admin_token" doc:"bearer token of the admin API; empty: it refuses every request"`
	BodyLimit   Size          `yaml:"body_limit" default:"32MiB" doc:"largest body of a request"`
	BodyTimeout time.Duration `yaml:"body_timeout" default:"60s" doc:"time in which a body must arrive"`
	Heartbeat   time.Duration `yaml:"heartbeat" default:"15s" doc:"silence after which a stream is kept open with a sign of life, before its first event, too: what fails later is told within the stream"`
	Drain       time.Duration `yaml:"drain" default:"120s" doc:"how long answers may go on after SIGTERM"`
	Docs        bool          `yaml:"docs" default:"true" doc:"serve the error reference at /docs/errors of each site"`
}

// Store is where data is kept.
type Store struct {
	URL       string        `yaml:"url" default:"sqlite:data/pontage.db" secret:"url" doc:"sqlite:PATH, relative to this file"`
	Retention time.Duration `yaml:"retention" doc:"how long charges and receipts are kept one by one; then their sums of each day replace them. 0s: for ever; otherwise at least 840h, which is 35 days"`
	Responses time.Duration `yaml:"responses" default:"720h" doc:"how long responses are kept for their callers, to be read again and continued; who continues one keeps it longer, and who says for how long himself, where the contract has a member for that, keeps it for that time. 0s: none are kept, and what needs that is refused"`
}

// minRetention leaves time for refunds and disputes.
const (
	minRetention = 35 * 24 * time.Hour
	maxRetention = 100 * 365 * 24 * time.Hour
)

// Shared is what several nodes share.
type Shared struct {
	URL string `yaml:"url" secret:"url" doc:"empty: this is the only node, and nothing else is supported yet"`
}

// Provider is one provider of models.
type Provider struct {
	Kind     string   `yaml:"kind" default:"openai" shown:"that of the company that the provider is named after, else openai" doc:"protocol: openai (and all that speak like it), azure (OpenAI's models at Azure; a target's model is the name of a deployment), anthropic, gemini (AI Studio), vertex (Vertex AI), bedrock (models at AWS; a target's model is the id or ARN of a model or inference profile), or sim for the built-in simulator"`
	BaseURL  string   `yaml:"base_url" secret:"url" doc:"root of its API, up to and with the version; a query is kept. Empty: that of the company that the provider is named after, else the kind's own"`
	Version  string   `yaml:"api_version" shown:"none" doc:"azure only: date of the API, such as 2024-10-21, which then has the deployments in its paths; none: the v1 API. base_url may be the resource alone, such as https://name.openai.azure.com"`
	Region   string   `yaml:"region" shown:"none" doc:"bedrock only, and needed there: region, such as us-east-1"`
	APIKey   Secret   `yaml:"api_key" doc:"credential; none: it needs none. bedrock: an API key of Bedrock, in place of access_key_id"`
	APIKeys  []Secret `yaml:"api_keys" doc:"several credentials, each a target of its own, in place of api_key"`
	AccessID Secret   `yaml:"access_key_id" doc:"bedrock only: what requests are signed with, together with secret_access_key"`
	Access   Secret   `yaml:"secret_access_key" doc:"bedrock only: belongs to access_key_id"`
	Session  Secret   `yaml:"session_token" doc:"bedrock only: belongs to access keys that are temporary; none is renewed"`
	Timeouts Timeouts `yaml:"timeouts" doc:"timers of one attempt"`
	Quirks   string   `yaml:"quirks" doc:"vendor whose ways this provider has; empty: by the host of base_url"`
	Catalog  string   `yaml:"catalog" doc:"whose models of the embedded catalogue it serves, none for nobody's; empty: by the host of base_url, else by the provider's name"`
	Script   string   `yaml:"script" doc:"sim only: file that says how it behaves, relative to this one"`

	KeyFile   string `yaml:"key_file" doc:"vertex only: JSON key of a service account, relative to this file, in place of api_key"`
	Project   string `yaml:"project" doc:"vertex only: id of the project; needed with key_file. Empty: express mode, where api_key tells"`
	Location  string `yaml:"location" shown:"global" doc:"vertex only: region such as us-central1, us, eu, or global"`
	Publisher string `yaml:"publisher" shown:"google" doc:"vertex only: whose models, google or anthropic"`

	HealthCheck HealthCheck `yaml:"health_check" doc:"looks at whether it is there, beside the requests that go there; see routing.md"`
}

// HealthCheck is a look at a provider that costs nothing.
type HealthCheck struct {
	Interval time.Duration `yaml:"interval" shown:"0s" doc:"time between two looks, from 1s to 1h; 0s: nobody looks"`
	Path     string        `yaml:"path" shown:"models" doc:"what is read with GET, behind base_url; 2xx and whatever else is no failure of the provider or the credential is well"`
}

// Timeouts are the timers of one attempt. Zero: the default, which depends on
// whether the answer is streamed and the model thinks. Negative: off.
type Timeouts struct {
	Connect    Timeout `yaml:"connect" shown:"5s" doc:"DNS, TCP and TLS"`
	Headers    Timeout `yaml:"headers" shown:"60s; not streamed: 600s" doc:"from the request to response headers"`
	FirstEvent Timeout `yaml:"first_event" shown:"120s; reasoning: 600s" doc:"to the first event with content"`
	Idle       Timeout `yaml:"idle" shown:"120s; reasoning: 300s" doc:"between bytes of a stream"`
	IdleEvents Timeout `yaml:"idle_events" shown:"600s" doc:"between events that mean something: a provider can ping for ever"`
	Total      Timeout `yaml:"total" shown:"3600s; not streamed: 600s" doc:"the whole attempt"`
}

// Model is what an operator says of one model. What is nil, empty or zero is
// not said.
type Model struct {
	Targets     []Target `yaml:"targets" doc:"where it is served, in order; empty: by the first configured provider that serves it in the embedded catalogue"`
	Attempts    int      `yaml:"attempts" shown:"routing.attempts" doc:"most tries over all targets, 1 to 10"`
	Order       string   `yaml:"order" shown:"priority" doc:"which target is asked first: priority, as they are listed; least_latency, which lately gave the first content soonest; least_cost, which costs least for a request of this size"`
	Affinity    string   `yaml:"affinity" shown:"prefer; with order: least_latency, off" doc:"where requests of one conversation go, for the sake of the provider's prompt cache: prefer, to the same of several equal targets while that is in use; strict, the same, and if that one fails, so does the request; off"`
	Class       string   `yaml:"class" shown:"by classes" doc:"class, for plans"`
	Kind        string   `yaml:"kind" shown:"chat" doc:"chat, completion, embedding, moderation, image, speech or transcription"`
	OwnedBy     string   `yaml:"owned_by" doc:"shown in lists of models"`
	Context     int64    `yaml:"context" doc:"tokens of prompt and answer together"`
	MaxOutput   int64    `yaml:"max_output" doc:"most tokens of one answer"`
	Price       *Price   `yaml:"price" doc:"what callers pay; replaces the catalogue's price as a whole. A model that is named here and has no price, neither here nor in the catalogue, is a mistake: the file is not loaded. enabled: false says that it is not offered"`
	Input       []string `yaml:"input" shown:"[text]" doc:"what a prompt may hold: text, image, audio, file, video"`
	Tools       *bool    `yaml:"tools" shown:"true" doc:"can call tools"`
	ForcedTool  *bool    `yaml:"forced_tool" shown:"as tools" doc:"can be made to call a tool"`
	Reasoning   *bool    `yaml:"reasoning" shown:"true" doc:"takes a reasoning effort or a thinking budget. Streams without a limit hold only a share of the balance if this is false, or if all providers are known to think only when asked"`
	JSONSchema  *bool    `yaml:"json_schema" shown:"true" doc:"can answer to a JSON schema"`
	Temperature *bool    `yaml:"temperature" shown:"true" doc:"takes a temperature other than the default"`
	BatchInput  *bool    `yaml:"batch_input" shown:"true" doc:"embeddings: takes an array of inputs"`
	Enabled     *bool    `yaml:"enabled" shown:"true" doc:"false: known, and refused"`
}

// Target is one place where a model is served.
type Target struct {
	Provider string `yaml:"provider" doc:"name of a provider; needed"`
	Model    string `yaml:"model" shown:"the same name" doc:"the provider's name of the model"`
	API      string `yaml:"api" shown:"by the provider" doc:"responses: it is asked in OpenAI's protocol of responses, whatever the caller speaks. Without it, callers of that protocol alone are, where the vendor is known to serve it"`
	Weight   int    `yaml:"weight" shown:"0" doc:"neighbouring targets with a weight share the requests by it; 0: its place in the list decides"`
	Cost     *Cost  `yaml:"cost" shown:"the provider's price in the embedded catalogue" doc:"what you pay there, for order: least_cost; callers pay the model's price wherever it is answered"`
}

// Cost is what a target costs the operator. What is nil is nothing.
type Cost struct {
	Input   *money.Rate   `yaml:"input" doc:"dollars per million tokens of the prompt"`
	Output  *money.Rate   `yaml:"output" doc:"dollars per million tokens of the answer"`
	Request *money.Amount `yaml:"request" doc:"dollars for each request"`
}

// Price is what a model costs its callers. A nil price is unknown.
type Price struct {
	Input        *money.Rate   `yaml:"input" doc:"tokens of the prompt; needed for a price by tokens. Every price is above 0, and by tokens from 0.0001 to 10000"`
	Output       *money.Rate   `yaml:"output" doc:"tokens of the answer; needed with input, but for embeddings"`
	CachedInput  *money.Rate   `yaml:"cached_input" shown:"as input" doc:"tokens read from the provider's cache"`
	CacheWrite   *money.Rate   `yaml:"cache_write" shown:"as input" doc:"tokens written to it"`
	CacheWrite1h *money.Rate   `yaml:"cache_write_1h" shown:"as input; 2 × input where cache_write is given" doc:"tokens written to it for an hour"`
	ImageInput   *money.Rate   `yaml:"image_input" shown:"as input" doc:"tokens of images in the prompt, where the provider tells them apart"`
	AudioInput   *money.Rate   `yaml:"audio_input" shown:"as input" doc:"tokens of sound in the prompt, likewise"`
	Reasoning    *money.Rate   `yaml:"reasoning" shown:"as output" doc:"tokens of thoughts in the answer, where the provider tells them apart"`
	AudioOutput  *money.Rate   `yaml:"audio_output" shown:"as output" doc:"tokens of sound in the answer, likewise. A chat model without it does not speak: modalities with audio are refused"`
	ImageOutput  *money.Rate   `yaml:"image_output" shown:"as output" doc:"tokens of images in the answer, likewise"`
	WebSearch    *money.Amount `yaml:"web_search" shown:"the tokens alone" doc:"kind chat: dollars for each search of the web that the provider runs, besides its tokens"`
	FileSearch   *money.Amount `yaml:"file_search" shown:"the tokens alone" doc:"kind chat: dollars for each search of files that the provider runs"`
	CodeExec     *money.Amount `yaml:"code_execution" shown:"the tokens alone" doc:"kind chat: dollars for each container in which the provider runs code, once an answer"`
	Long         []LongPrice   `yaml:"long" doc:"prices of all tokens of a request whose prompt is longer, in up to 4 steps, the shortest first. Model lists show the price of short prompts"`
	Flex         *Factor       `yaml:"flex" shown:"1" doc:"what all prices by tokens are multiplied by in answers that their provider says it served in its tier flex, 0.1 to 1"`
	Priority     *Factor       `yaml:"priority" shown:"2.5" doc:"the same in tier priority, which OpenAI also calls fast, where the caller asked for it, 1 to 10"`
	Fast         *Factor       `yaml:"fast" shown:"6" doc:"the same at Anthropic's speed fast, and in OpenAI's tier ultrafast, 1 to 10"`
	Regional     *Factor       `yaml:"regional" shown:"1.1" doc:"the same where Anthropic ran the model in the region that the caller asked for by inference_geo, 1 to 10; multiplied with fast where both are so"`
	Request      *money.Amount `yaml:"request" doc:"dollars for each request, above 0 and at most 1000; alone, or besides the price by tokens"`
	Image        *money.Amount `yaml:"image" doc:"kind image: dollars for each image that is made"`
	Characters   *money.Rate   `yaml:"characters" doc:"kind speech: per million characters that are spoken"`
	Minute       *money.Amount `yaml:"minute" doc:"kind transcription: dollars for a minute of sound, charged by each second begun"`
	Free         bool          `yaml:"free" doc:"true: the model costs nothing; stands alone"`
}

// LongPrice is what a model costs with a longer prompt. A nil price is unknown.
type LongPrice struct {
	Above        int64       `yaml:"above" doc:"tokens of the prompt, cached ones included, above which it holds; needed, and above that of the step before"`
	Input        *money.Rate `yaml:"input" doc:"as in the price itself; needed. No price may be below that of the step before"`
	Output       *money.Rate `yaml:"output" doc:"needed, but for embeddings"`
	CachedInput  *money.Rate `yaml:"cached_input" shown:"as the step's input" doc:"likewise"`
	CacheWrite   *money.Rate `yaml:"cache_write" shown:"as the step's input" doc:"likewise"`
	CacheWrite1h *money.Rate `yaml:"cache_write_1h" shown:"as the step's input; 2 × that where its cache_write is given" doc:"likewise"`
	ImageInput   *money.Rate `yaml:"image_input" shown:"as the step's input" doc:"likewise"`
	AudioInput   *money.Rate `yaml:"audio_input" shown:"as the step's input" doc:"likewise"`
	Reasoning    *money.Rate `yaml:"reasoning" shown:"as the step's output" doc:"likewise"`
	AudioOutput  *money.Rate `yaml:"audio_output" shown:"as the step's output" doc:"likewise"`
	ImageOutput  *money.Rate `yaml:"image_output" shown:"as the step's output" doc:"likewise"`
}

// Plan is what accounts of it may use.
type Plan struct {
	Classes map[string]Quota `yaml:"classes" doc:"by name of the class; a class that is absent is not in the plan"`
}

// Quota is what a plan gives of one class.
type Quota struct {
	RequestsPerDay *int64 `yaml:"requests_per_day" shown:"no limit" doc:"requests from 00:00 to 24:00 UTC; 0: the class is not in the plan"`
	Billing        string `yaml:"billing" default:"included" doc:"included, or metered: paid from credits as well"`
}

// Class is a class of models.
type Class struct {
	Name   string            `yaml:"-"`
	Models []string          `yaml:"models" doc:"patterns of model names; * stands for anything"`
	When   map[string]string `yaml:"when" doc:"members of a request that put it in this class whatever its model"`
}

// Site binds hosts to a contract.
type Site struct {
	Hosts               []string         `yaml:"hosts" shown:"[\"*\"]" doc:"names without port; * for all that no other site has"`
	Listen              string           `yaml:"listen" shown:"server.listen" doc:"an address of its own"`
	URL                 string           `yaml:"url" shown:"by hosts and listen" doc:"where callers reach it, for the error reference"`
	Contract            string           `yaml:"contract" default:"openai" doc:"name of a contract, or the path of a contract file, relative to this one"`
	Role                string           `yaml:"role" default:"api" doc:"api; or dashboard: the host of the account pages, which serves what the contract keeps for them and refuses everything else. Keys of every site with the same contract are known there; its own are refused elsewhere, with 403"`
	Models              map[string]Model `yaml:"models" doc:"what differs here from the models above"`
	Plans               SitePlans        `yaml:"plans" doc:"names of the plans that are sold here; or plans, in place of those above with the same name"`
	DefaultPlan         string           `yaml:"default_plan" shown:"none" doc:"plan of accounts that have none of those sold here; none: they pay for everything from their balance"`
	Classes             []Class          `yaml:"classes" key:"name" doc:"classes that are looked at before those above"`
	Fallbacks           Fallbacks        `yaml:"fallbacks" doc:"in place of those above for the same model"`
	Limits              Limits           `yaml:"limits" doc:"for each key that has none of its own"`
	MaxKeys             int              `yaml:"max_keys" shown:"10000" doc:"most active keys of an account that it may make itself"`
	KeyBalance          money.Amount     `yaml:"key_balance" shown:"0" doc:"dollars of balance that an account needs to make a key itself"`
	Selection           *Percent         `yaml:"provider_selection_surcharge" shown:"the contract's" doc:"what it costs if a caller chooses among the providers of a model that has several, such as 5%, on top of the price and rounded up to a nano-dollar; it is held, a line of its own in the receipt, and paid from the balance, whatever plan there is. 0%: nothing"`
	BalanceWarningBelow money.Amount     `yaml:"balance_warning_below" shown:"the contract's" doc:"dollars of balance below which answers carry the contract's warning"`
}

// Fallbacks are the models to try after each named one.
type Fallbacks = map[string][]string

// SitePlans are the plans of one site: names out of those at the top, or plans
// of its own over them, or neither.
type SitePlans struct {
	Names []string // nil: all
	Own   map[string]Plan
}

// Limits bound the throughput of one key. Zero: no limit.
type Limits struct {
	Requests    int64         `yaml:"requests" doc:"at most so many requests in any window of length per"`
	Per         time.Duration `yaml:"per" doc:"the window"`
	RPS         float64       `yaml:"rps" doc:"requests a second, on average"`
	Burst       int64         `yaml:"burst" shown:"rps, rounded up" doc:"requests at once"`
	Concurrency int64         `yaml:"concurrency" doc:"requests in flight"`

	TokensPerMinute int64 `yaml:"tokens_per_minute" doc:"tokens of prompts and answers; a minute's worth may come at once"`
}

// Routing says how hard to try.
type Routing struct {
	Attempts int     `yaml:"attempts" default:"3" doc:"most tries of one request over all targets of a model, 1 to 10"`
	Backoff  Backoff `yaml:"backoff" doc:"waits between rounds of tries, with full jitter"`
	Breaker  Breaker `yaml:"breaker" doc:"when a target is left alone"`

	RetryBudget int `yaml:"retry_budget" default:"10" doc:"percent of a target's requests of the last ten seconds that may be tries again at the same target, 1 to 1000; 10 tries are allowed in any case"`

	Affinity Affinity `yaml:"affinity" doc:"how long conversations stay where they are; see routing.md"`

	Deadline time.Duration `yaml:"deadline" default:"600s" doc:"from the start of a request: no try begins later, and no wait ends later, over all targets and fallbacks. A caller whose client says that it waits less is not served beyond that either"`
}

// Affinity says how conversations stay where their prompts are cached.
type Affinity struct {
	TTL        time.Duration `yaml:"ttl" default:"5m" doc:"how long after its last request a conversation stays at the target that answered it, among equal ones; 0s: it goes where hashing puts it, whatever happened before"`
	LongTTL    time.Duration `yaml:"long_ttl" default:"1h" doc:"the same for requests that ask for an hour's cache, at least ttl"`
	StrictFrom int64         `yaml:"strict_from" default:"1024" doc:"tokens of a prompt from which affinity: strict holds; below it a lost cache costs less than a refusal, and it is as prefer. 0: always"`
}

// Backoff is the wait between rounds of tries.
type Backoff struct {
	Base time.Duration `yaml:"base" default:"250ms" doc:"most to wait before the second round; doubles each round"`
	Max  time.Duration `yaml:"max" default:"8s" doc:"most to wait at all"`
}

// Webhooks says who is told of events.
type Webhooks struct {
	URL    string   `yaml:"url" secret:"url" doc:"where events are posted to; empty: nobody is told, and no event is kept"`
	Secret Secret   `yaml:"secret" doc:"what they are signed with, 16 bytes at least; needed with url"`
	Events []string `yaml:"events" shown:"all" doc:"which: balance_warning, absorbed"`
}

// Egress says what is fetched from where callers say.
type Egress struct {
	Images      string        `yaml:"images" default:"off" doc:"on: images and PDF documents that a request names by a URL are fetched for providers that take only their bytes (bedrock); off: such requests are refused"`
	AllowHosts  []string      `yaml:"allow_hosts" shown:"all" doc:"names of the hosts that may be reached; *.example.com is every name below example.com. Only public addresses are reached in any case"`
	HTTP        bool          `yaml:"http" default:"false" doc:"fetch by http, too, at port 80; https is always at port 443"`
	MaxBytes    Size          `yaml:"max_bytes" default:"10MiB" doc:"largest file"`
	MaxTotal    Size          `yaml:"max_total" default:"30MiB" doc:"most bytes of all files of a request"`
	MaxFiles    int           `yaml:"max_files" default:"16" doc:"most files of a request, 1 to 100"`
	Timeout     time.Duration `yaml:"timeout" default:"10s" doc:"time in which a file must arrive"`
	Deadline    time.Duration `yaml:"deadline" shown:"30s, or timeout if that is more" doc:"time in which all files of a request must arrive, up to 10m"`
	Concurrency int           `yaml:"concurrency" default:"32" doc:"most files at once, of all requests"`
	AtOnce      int           `yaml:"at_once" default:"4" doc:"most files at once, of one request, 1 to 100"`
	Proxy       string        `yaml:"proxy" shown:"none" secret:"url" doc:"URL of an HTTP proxy, such as http://user:password@proxy:3128, through which files are fetched: it is asked with CONNECT for the address that was found and judged here, never for a name. HTTPS_PROXY and the like count for providers and webhooks, and not here: such a proxy would resolve names by itself, and reach what no caller may"`
}

// Tells reports whether somebody is told of events of that kind.
func (w Webhooks) Tells(kind string) bool {
	return w.URL != "" && (w.Events == nil || slices.Contains(w.Events, kind))
}

// Breaker says when a target is left alone.
type Breaker struct {
	Failures int           `yaml:"failures" default:"5" doc:"failures in a row that open it, 1 to 1000"`
	Window   time.Duration `yaml:"window" default:"30s" doc:"time in which requests are counted for share, from 1s to 1h"`
	Requests int           `yaml:"requests" default:"20" doc:"least requests within window for share to count, 2 to 1000000"`
	Share    int           `yaml:"share" default:"50" doc:"percent of the requests within window that open it if they fail, 1 to 100"`
	Open     time.Duration `yaml:"open" default:"30s" doc:"how long it stays open the first time; doubles"`
	MaxOpen  time.Duration `yaml:"max_open" default:"5m" doc:"longest it stays open"`
}
