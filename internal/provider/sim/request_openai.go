package sim

import (
	"bytes"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// badRequest is a request that the provider would refuse.
type badRequest struct{ api apiError }

func (e *badRequest) Error() string { return e.api.message }

func refuse(status int, param, code, format string, args ...any) *badRequest {
	return &badRequest{apiError{status, "invalid_request_error", code, param, fmt.Sprintf(format, args...)}}
}

// openaiChat is POST /chat/completions, protocols: OpenAI's OpenAPI document.
type openaiChat struct {
	Model               string         `json:"model"`
	Messages            []message      `json:"messages"`
	MaxTokens           *int64         `json:"max_tokens"`
	MaxCompletionTokens *int64         `json:"max_completion_tokens"`
	N                   *int           `json:"n"`
	Stop                jsontext.Value `json:"stop"`
	Seed                *int64         `json:"seed"`
	Stream              *bool          `json:"stream"`
	StreamOptions       struct {
		IncludeUsage *bool `json:"include_usage"`
	} `json:"stream_options"`
	Tools             []openaiTool   `json:"tools"`
	ToolChoice        jsontext.Value `json:"tool_choice"`
	ParallelToolCalls *bool          `json:"parallel_tool_calls"`
	ResponseFormat    struct {
		Type       string `json:"type"`
		JSONSchema struct {
			Schema jsontext.Value `json:"schema"`
		} `json:"json_schema"`
	} `json:"response_format"`
	ReasoningEffort string `json:"reasoning_effort"`
}

type openaiTool struct {
	Type     string `json:"type"`
	Function struct {
		Name        string         `json:"name"`
		Description string         `json:"description"`
		Parameters  jsontext.Value `json:"parameters"`
	} `json:"function"`
	Custom struct {
		Name string `json:"name"`
	} `json:"custom"`
	Cache *cacheControl `json:"cache_control"`
}

// openaiChoice is tool_choice where it is an object.
type openaiChoice struct {
	Type     string `json:"type"`
	Function struct {
		Name string `json:"name"`
	} `json:"function"`
	Custom struct {
		Name string `json:"name"`
	} `json:"custom"`
	AllowedTools struct {
		Mode  string         `json:"mode"`
		Tools []openaiChoice `json:"tools"`
	} `json:"allowed_tools"`
}

func (c openaiChoice) name() string { return c.Function.Name + c.Custom.Name }

// maxChoices is the protocol's bound of n.
const maxChoices = 128

// decodeOpenAI reads a chat request. Its errors are *badRequest.
func decodeOpenAI(body []byte, count func(string) int64) (*ask, error) {
	var q openaiChat
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, refuse(400, "", "", "We could not parse the JSON body of your request (simulated): %v", err)
	}
	a := &ask{family: familyOpenAI, model: q.Model, maxOutput: -1, choices: 1, parallel: true}
	switch {
	case q.Model == "":
		return nil, refuse(400, "model", "missing_required_parameter", "Missing required parameter: 'model'.")
	case len(q.Messages) == 0:
		return nil, refuse(400, "messages", "missing_required_parameter", "Missing required parameter: 'messages'.")
	}
	if q.N != nil {
		if a.choices = *q.N; a.choices < 1 || a.choices > maxChoices {
			return nil, refuse(400, "n", "integer_below_min_value", "Invalid 'n': expected a value from 1 to %d.", maxChoices)
		}
	}
	if limit := either(q.MaxCompletionTokens, q.MaxTokens); limit != nil {
		if a.maxOutput = *limit; a.maxOutput < 1 {
			return nil, refuse(400, "max_completion_tokens", "integer_below_min_value", "Invalid 'max_completion_tokens': expected a value of at least 1.")
		}
	}
	var err error
	if a.stop, err = stops(q.Stop); err != nil {
		return nil, refuse(400, "stop", "invalid_type", "Invalid 'stop': expected a string or a list of strings.")
	}
	a.stream = q.Stream != nil && *q.Stream
	a.includeUsage = a.stream && q.StreamOptions.IncludeUsage != nil && *q.StreamOptions.IncludeUsage
	a.parallel = q.ParallelToolCalls == nil || *q.ParallelToolCalls
	a.json = q.ResponseFormat.Type == "json_object" || q.ResponseFormat.Type == "json_schema"
	a.schema = object(q.ResponseFormat.JSONSchema.Schema)
	a.effort = effortTokens(q.ReasoningEffort)

	r := reader{meter: meter{count: count}}
	for _, t := range q.Tools {
		a.openaiTool(&r.meter, t)
	}
	if err := a.openaiToolChoice(q.ToolChoice); err != nil {
		return nil, err
	}
	if err := a.conversation(&r, q.Messages); err != nil {
		return nil, refuse(400, "messages", "invalid_type", "Invalid 'messages' (simulated): %v", err)
	}
	a.seal(&r, body, q.Seed)
	return a, nil
}

func (a *ask) openaiTool(m *meter, t openaiTool) {
	name := t.Function.Name
	if t.Type == "custom" {
		name = t.Custom.Name
	}
	m.text(name)
	m.text(t.Function.Description)
	m.text(string(t.Function.Parameters))
	if t.Cache != nil {
		m.mark(t.Cache.TTL)
	}
	a.tools = append(a.tools, tool{name: name, schema: object(t.Function.Parameters), custom: t.Type == "custom"})
}

func (a *ask) openaiToolChoice(v jsontext.Value) error {
	switch v.Kind() {
	case '"':
		switch literal(v) {
		case "none":
			a.tools = nil
		case "required":
			a.must = true
		}
		return nil
	case '{':
	default:
		return nil
	}
	var c openaiChoice
	if err := json.Unmarshal(v, &c); err != nil {
		return refuse(400, "tool_choice", "invalid_type", "Invalid 'tool_choice' (simulated): %v", err)
	}
	if c.Type != "allowed_tools" {
		a.must, a.named = true, c.name()
		for _, t := range a.tools {
			if t.name == a.named {
				return nil
			}
		}
		return refuse(400, "tool_choice", "invalid_value", "Tool choice '%s' not found in 'tools' parameter.", a.named)
	}
	a.must = c.AllowedTools.Mode == "required"
	var allowed []tool
	for _, t := range a.tools {
		for _, w := range c.AllowedTools.Tools {
			if w.name() == t.name {
				allowed = append(allowed, t)
				break
			}
		}
	}
	a.tools = allowed
	return nil
}

// effortTokens is how many hidden tokens of reasoning an effort costs.
func effortTokens(effort string) int64 {
	switch effort {
	case "low":
		return 16
	case "medium":
		return 48
	case "high":
		return 96
	case "xhigh", "max":
		return 160
	default:
		return 0
	}
}

func either(p, q *int64) *int64 {
	if p != nil {
		return p
	}
	return q
}

// object returns a copy of v if it is a JSON object, and nil otherwise.
func object(v jsontext.Value) jsontext.Value {
	if v.Kind() != '{' {
		return nil
	}
	return bytes.Clone(v)
}

// stops reads a stop sequence, or a list of them.
func stops(v jsontext.Value) ([]string, error) {
	switch v.Kind() {
	case 'n', 0:
		return nil, nil
	case '"':
		return []string{literal(v)}, nil
	}
	var list []string
	err := json.Unmarshal(v, &list)
	return list, err
}

// openaiEmbed is POST /embeddings.
type openaiEmbed struct {
	Model          string         `json:"model"`
	Input          jsontext.Value `json:"input"`
	EncodingFormat string         `json:"encoding_format"`
	Dimensions     *int           `json:"dimensions"`
}
