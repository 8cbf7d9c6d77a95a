package sim

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// anthropicMessages is POST /messages; /messages/count_tokens takes the same
// less what is about the answer.
type anthropicMessages struct {
	Model     string          `json:"model"`
	MaxTokens *int64          `json:"max_tokens"`
	System    jsontext.Value  `json:"system"`
	Messages  []message       `json:"messages"`
	Tools     []anthropicTool `json:"tools"`
	Choice    struct {
		Type            string `json:"type"`
		Name            string `json:"name"`
		DisableParallel bool   `json:"disable_parallel_tool_use"`
	} `json:"tool_choice"`
	Thinking struct {
		Type         string `json:"type"`
		BudgetTokens int64  `json:"budget_tokens"`
		Display      string `json:"display"`
	} `json:"thinking"`
	OutputConfig struct {
		Format struct {
			Type   string         `json:"type"`
			Schema jsontext.Value `json:"schema"`
		} `json:"format"`
	} `json:"output_config"`
	StopSequences []string      `json:"stop_sequences"`
	Stream        *bool         `json:"stream"`
	Cache         *cacheControl `json:"cache_control"`
}

type anthropicTool struct {
	Type        string         `json:"type"`
	Name        string         `json:"name"`
	Description string         `json:"description"`
	InputSchema jsontext.Value `json:"input_schema"`
	Cache       *cacheControl  `json:"cache_control"`
}

// decodeAnthropic reads a message request; counting says that it is one of
// count_tokens. Its errors are *badRequest.
func decodeAnthropic(body []byte, count func(string) int64, counting bool) (*ask, error) {
	var q anthropicMessages
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, refuse(400, "", "", "The request body is not valid (simulated): %v", err)
	}
	switch {
	case q.Model == "":
		return nil, refuse(400, "", "", "model: Field required")
	case len(q.Messages) == 0:
		return nil, refuse(400, "", "", "messages: Field required")
	case q.MaxTokens == nil && !counting:
		return nil, refuse(400, "", "", "max_tokens: Field required")
	case q.MaxTokens != nil && *q.MaxTokens < 0:
		return nil, refuse(400, "", "", "max_tokens: Input should be greater than or equal to 0")
	}
	a := &ask{
		family: familyAnthropic, model: q.Model, maxOutput: -1, choices: 1,
		stop: q.StopSequences, stream: q.Stream != nil && *q.Stream,
		parallel: !q.Choice.DisableParallel,
		json:     q.OutputConfig.Format.Type == "json_schema",
		schema:   object(q.OutputConfig.Format.Schema),
	}
	if q.MaxTokens != nil {
		a.maxOutput = *q.MaxTokens
	}
	if q.Thinking.Type == "enabled" || q.Thinking.Type == "adaptive" {
		a.thinking, a.budget = "summarized", q.Thinking.BudgetTokens
		if q.Thinking.Display == "omitted" {
			a.thinking = "omitted"
		}
	}
	r := reader{meter: meter{count: count}}
	if err := a.anthropicTools(&r.meter, &q); err != nil {
		return nil, err
	}
	if _, _, err := r.content(q.System, 0); err != nil {
		return nil, refuse(400, "", "", "system: %v", err)
	}
	if err := a.conversation(&r, q.Messages); err != nil {
		return nil, refuse(400, "", "", "messages: %v", err)
	}
	if q.Cache != nil {
		r.meter.mark(q.Cache.TTL)
	}
	a.seal(&r, body, nil)
	return a, nil
}

func (a *ask) anthropicTools(m *meter, q *anthropicMessages) error {
	for _, t := range q.Tools {
		m.text(t.Name)
		m.text(t.Description)
		m.text(string(t.InputSchema))
		if t.Cache != nil {
			m.mark(t.Cache.TTL)
		}
		// Tools with a version in their type run at the provider.
		if t.Type == "" || t.Type == "custom" {
			a.tools = append(a.tools, tool{name: t.Name, schema: object(t.InputSchema)})
		}
	}
	switch q.Choice.Type {
	case "none":
		a.tools = nil
	case "any":
		a.must = true
	case "tool":
		a.must, a.named = true, q.Choice.Name
		for _, t := range a.tools {
			if t.name == a.named {
				return nil
			}
		}
		return refuse(400, "", "", "tool_choice: tool '%s' not found in tools", a.named)
	}
	return nil
}
