package sim

import (
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// openaiResponse is POST /responses, by OpenAI's OpenAPI document.
type openaiResponse struct {
	Model             string          `json:"model"`
	Input             jsontext.Value  `json:"input"`
	Instructions      string          `json:"instructions"`
	MaxOutputTokens   *int64          `json:"max_output_tokens"`
	Stream            *bool           `json:"stream"`
	Tools             []responsesTool `json:"tools"`
	ToolChoice        jsontext.Value  `json:"tool_choice"`
	ParallelToolCalls *bool           `json:"parallel_tool_calls"`
	Text              struct {
		Format struct {
			Type   string         `json:"type"`
			Schema jsontext.Value `json:"schema"`
		} `json:"format"`
	} `json:"text"`
	Reasoning struct {
		Effort string `json:"effort"`
	} `json:"reasoning"`
	Include            []string `json:"include"`
	PreviousResponseID string   `json:"previous_response_id"`
}

type responsesTool struct {
	Type        string         `json:"type"`
	Name        string         `json:"name"`
	Description string         `json:"description"`
	Parameters  jsontext.Value `json:"parameters"`

	Tools []responsesTool `json:"tools"` // of a namespace
}

// responsesChoice is tool_choice where it is an object, and a tool that it allows.
type responsesChoice struct {
	Type      string            `json:"type"`
	Name      string            `json:"name"`
	Namespace string            `json:"namespace"`
	Mode      string            `json:"mode"`
	Tools     []responsesChoice `json:"tools"`
}

// means reports whether a choice means a tool; without a namespace, of any.
func (c responsesChoice) means(t tool) bool {
	return c.Name == t.name && (c.Namespace == "" || c.Namespace == t.space)
}

// responsesItem is an item of the input.
type responsesItem struct {
	Type      string         `json:"type"`
	Role      string         `json:"role"`
	Content   jsontext.Value `json:"content"`
	Arguments string         `json:"arguments"`
	Input     string         `json:"input"`
	Output    jsontext.Value `json:"output"`
}

// minOutput is the least limit of the output that the protocol knows, in tokens.
const minOutput = 16

// decodeResponses reads a request for a response. Its errors are *badRequest.
func decodeResponses(body []byte, count func(string) int64) (*ask, error) {
	var q openaiResponse
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, refuse(400, "", "", "We could not parse the JSON body of your request (simulated): %v", err)
	}
	a := &ask{family: familyResponses, model: q.Model, maxOutput: -1, choices: 1}
	switch {
	case q.Model == "":
		return nil, refuse(400, "model", "missing_required_parameter", "Missing required parameter: 'model'.")
	case q.Input.Kind() != '"' && q.Input.Kind() != '[':
		return nil, refuse(400, "input", "missing_required_parameter", "Missing required parameter: 'input'.")
	case q.PreviousResponseID != "":
		return nil, refuse(400, "previous_response_id", "previous_response_not_found", "Previous response with id '%s' not found.", q.PreviousResponseID)
	}
	if q.MaxOutputTokens != nil {
		if a.maxOutput = *q.MaxOutputTokens; a.maxOutput < minOutput {
			return nil, refuse(400, "max_output_tokens", "integer_below_min_value", "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= %d, but got %d instead.", minOutput, a.maxOutput)
		}
	}
	a.stream = q.Stream != nil && *q.Stream
	a.parallel = q.ParallelToolCalls == nil || *q.ParallelToolCalls
	a.json = q.Text.Format.Type == "json_object" || q.Text.Format.Type == "json_schema"
	a.schema = object(q.Text.Format.Schema)
	a.effort = effortTokens(q.Reasoning.Effort)
	a.sealed = slices.Contains(q.Include, "reasoning.encrypted_content")

	r := reader{meter: meter{count: count}}
	r.meter.text(q.Instructions)
	a.responsesTools(&r, q.Tools, "")
	if err := a.responsesToolChoice(q.ToolChoice); err != nil {
		return nil, err
	}
	messages, err := turns(q.Input)
	if err == nil {
		err = a.conversation(&r, messages)
	}
	if err != nil {
		return nil, refuse(400, "input", "invalid_type", "Invalid 'input' (simulated): %v", err)
	}
	a.seal(&r, body, nil)
	return a, nil
}

// responsesTools adds tools that stand in a namespace, or, if space is empty, in none.
func (a *ask) responsesTools(r *reader, list []responsesTool, space string) {
	for _, t := range list {
		r.meter.text(t.Name)
		r.meter.text(t.Description)
		r.meter.text(string(t.Parameters))
		switch {
		case t.Type == "function", t.Type == "custom":
			a.tools = append(a.tools, tool{name: t.Name, schema: object(t.Parameters), custom: t.Type == "custom", space: space})
		case t.Type == "namespace" && space == "":
			a.responsesTools(r, t.Tools, t.Name)
		}
	}
}

// responsesToolChoice reads tool_choice, whose objects are flat here.
func (a *ask) responsesToolChoice(v jsontext.Value) error {
	if v.Kind() != '{' {
		return a.openaiToolChoice(v)
	}
	var c responsesChoice
	if err := json.Unmarshal(v, &c); err != nil {
		return refuse(400, "tool_choice", "invalid_type", "Invalid 'tool_choice' (simulated): %v", err)
	}
	if c.Type == "allowed_tools" {
		a.must = c.Mode == "required"
		a.tools = slices.DeleteFunc(a.tools, func(t tool) bool {
			return !slices.ContainsFunc(c.Tools, func(w responsesChoice) bool { return w.means(t) })
		})
		return nil
	}
	i := slices.IndexFunc(a.tools, c.means)
	if i < 0 {
		return refuse(400, "tool_choice", "invalid_value", "Tool choice '%s' not found in 'tools' parameter.", c.Name)
	}
	a.must, a.tools = true, a.tools[i:i+1]
	return nil
}

// turns makes messages of the input.
func turns(v jsontext.Value) ([]message, error) {
	if v.Kind() == '"' {
		return []message{{Role: "user", Content: v}}, nil
	}
	var items []responsesItem
	if err := json.Unmarshal(v, &items); err != nil {
		return nil, err
	}
	var out []message
	for _, it := range items {
		switch it.Type {
		case "", "message":
			out = append(out, message{Role: it.Role, Content: it.Content})
		case "function_call", "custom_tool_call":
			args, err := jsontext.AppendQuote(nil, it.Arguments+it.Input)
			if err != nil {
				return nil, err
			}
			out = append(out, message{Role: "assistant", Content: args})
		case "function_call_output", "custom_tool_call_output":
			out = append(out, message{Role: "tool", Content: it.Output})
		}
	}
	return out, nil
}
