package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// Request is a chat request. Members that it lacks go into Extra.
type Request struct {
	Model          string          `json:"model"`
	Messages       []Message       `json:"messages"`
	MaxTokens      int64           `json:"max_tokens,omitempty"` // 0: as much as the model and the balance allow
	Temperature    *float64        `json:"temperature,omitempty"`
	TopP           *float64        `json:"top_p,omitempty"`
	Stop           []string        `json:"stop,omitempty"`
	Tools          json.RawMessage `json:"tools,omitempty"`
	ToolChoice     json.RawMessage `json:"tool_choice,omitempty"`
	ResponseFormat json.RawMessage `json:"response_format,omitempty"`

	// Extra are further members of the body by name. They win over the fields.
	Extra map[string]json.RawMessage `json:"-"`

	// IdempotencyKey makes repeating the request safe: it is done and charged
	// once. A gateway then also finishes what its caller no longer waits for.
	IdempotencyKey string `json:"-"`

	// Simulate asks a gateway for a fault, by its name in the registry, such as
	// "rate_limited" or "stream_interrupted;after=3". Only test keys may.
	Simulate string `json:"-"`
}

// Message is one turn of a conversation.
type Message struct {
	Role       string
	Content    string
	Parts      json.RawMessage // content as a JSON array of parts; Content is not used then
	Reasoning  string          // of answers: what the model thought, where it is shown
	Refusal    string          // of answers
	Name       string
	ToolCalls  json.RawMessage // JSON array
	ToolCallID string          // of role tool
}

// wireMessage is the form of a Message in JSON.
type wireMessage struct {
	Role       string          `json:"role"`
	Content    json.RawMessage `json:"content"`
	Reasoning  string          `json:"reasoning_content,omitempty"`
	Thought    string          `json:"reasoning,omitempty"`
	Refusal    string          `json:"refusal,omitempty"`
	Name       string          `json:"name,omitempty"`
	ToolCalls  json.RawMessage `json:"tool_calls,omitempty"`
	ToolCallID string          `json:"tool_call_id,omitempty"`
}

// MarshalJSON writes the message as the API wants it.
func (m Message) MarshalJSON() ([]byte, error) {
	w := wireMessage{Role: m.Role, Content: m.Parts, Name: m.Name, ToolCalls: m.ToolCalls, ToolCallID: m.ToolCallID}
	switch {
	case m.Parts != nil:
	case m.Content == "" && m.ToolCalls != nil:
		w.Content = json.RawMessage("null")
	default:
		text, err := json.Marshal(m.Content)
		if err != nil {
			return nil, err
		}
		w.Content = text
	}
	return json.Marshal(w)
}

// UnmarshalJSON reads a message. Content that is no string goes to Parts.
func (m *Message) UnmarshalJSON(b []byte) error {
	var w wireMessage
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	*m = Message{Role: w.Role, Reasoning: w.Reasoning, Refusal: w.Refusal, Name: w.Name, ToolCalls: present(w.ToolCalls), ToolCallID: w.ToolCallID}
	if m.Reasoning == "" {
		m.Reasoning = w.Thought
	}
	if raw := present(w.Content); raw != nil && json.Unmarshal(raw, &m.Content) != nil {
		m.Parts = raw
	}
	return nil
}

// present returns raw, or nil if it is null.
func present(raw json.RawMessage) json.RawMessage {
	if string(raw) == "null" {
		return nil
	}
	return raw
}

// Completion is a whole answer to a chat request.
type Completion struct {
	ID      string   `json:"id"`
	Model   string   `json:"model"` // that answered: another one than asked if the chain fell back
	Choices []Choice `json:"choices"`
	Usage   Usage    `json:"usage"`

	Response Response `json:"-"` // as it came
}

// Choice is one of the alternatives of an answer.
type Choice struct {
	Index        int     `json:"index"`
	Message      Message `json:"message"`
	FinishReason string  `json:"finish_reason"`
}

// Text returns the text of the first choice, or "".
func (c *Completion) Text() string {
	if len(c.Choices) == 0 {
		return ""
	}
	return c.Choices[0].Message.Content
}

// Usage is what an answer used, in tokens.
type Usage struct {
	PromptTokens        int64 `json:"prompt_tokens"`
	CompletionTokens    int64 `json:"completion_tokens"`
	TotalTokens         int64 `json:"total_tokens"`
	PromptTokensDetails struct {
		CachedTokens int64 `json:"cached_tokens"`
	} `json:"prompt_tokens_details"`
	CompletionTokensDetails struct {
		ReasoningTokens int64 `json:"reasoning_tokens"`
	} `json:"completion_tokens_details"`
}

// ChatCompletions sends a chat request and returns the whole answer.
func (c *Client) ChatCompletions(ctx context.Context, r Request) (*Completion, error) {
	body, err := r.encode(false)
	if err != nil {
		return nil, err
	}
	resp, err := c.post(ctx, "chat/completions", r.Model, body, r.header())
	if err != nil {
		return nil, err
	}
	return decode(resp, &Completion{Response: *resp})
}

// ChatCompletionsRaw sends body, which is a whole JSON object, and returns the
// answer as it came. Only where a fallback model is tried is the member model
// replaced.
func (c *Client) ChatCompletionsRaw(ctx context.Context, body []byte) (*Response, error) {
	var r struct {
		Model string `json:"model"`
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	return c.post(ctx, "chat/completions", r.Model, body, nil)
}

// ChatRequest is a request to the simple surface: one message, or several.
type ChatRequest struct {
	Model    string    `json:"model"`
	Message  string    `json:"message,omitempty"` // shorthand for one message of role user
	Messages []Message `json:"messages,omitempty"`

	MaxTokens      int64  `json:"max_tokens,omitempty"`
	IdempotencyKey string `json:"-"`
}

// ChatAnswer is the answer of the simple surface.
type ChatAnswer struct {
	Message      Message `json:"message"`
	Model        string  `json:"model"`
	FinishReason string  `json:"finish_reason"`
	Usage        Usage   `json:"usage"`

	Response Response `json:"-"`
}

// Chat asks the simple surface.
func (c *Client) Chat(ctx context.Context, r ChatRequest) (*ChatAnswer, error) {
	if (r.Message == "") == (len(r.Messages) == 0) {
		return nil, errors.New("chat: want either message or messages")
	}
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	resp, err := c.post(ctx, "chat", r.Model, body, Request{IdempotencyKey: r.IdempotencyKey}.header())
	if err != nil {
		return nil, err
	}
	return decode(resp, &ChatAnswer{Response: *resp})
}

// EmbeddingRequest asks for the embeddings of texts.
type EmbeddingRequest struct {
	Model      string   `json:"model"`
	Input      []string `json:"input"`
	Dimensions int64    `json:"dimensions,omitempty"` // 0: the model's own
}

// Embeddings are the vectors of an [EmbeddingRequest], in its order.
type Embeddings struct {
	Model string      `json:"model"`
	Data  []Embedding `json:"data"`
	Usage Usage       `json:"usage"`

	Response Response `json:"-"`
}

// Embedding is the vector of one text.
type Embedding struct {
	Index     int       `json:"index"`
	Embedding []float64 `json:"embedding"`
}

// Embeddings turns texts into vectors. Fallback models are not used: their
// vectors would mean something else.
func (c *Client) Embeddings(ctx context.Context, r EmbeddingRequest) (*Embeddings, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	resp, err := c.Do(ctx, http.MethodPost, "embeddings", body)
	if err != nil {
		return nil, err
	}
	return decode(resp, &Embeddings{Response: *resp})
}

// Model is one entry of the list of models.
type Model struct {
	ID      string `json:"id"`
	OwnedBy string `json:"owned_by"`
	Created int64  `json:"created"` // Unix seconds

	Raw json.RawMessage `json:"-"` // the entry as it came
}

// Models lists the models that the key may use.
func (c *Client) Models(ctx context.Context) ([]Model, error) {
	resp, err := c.Do(ctx, http.MethodGet, "models", nil)
	if err != nil {
		return nil, err
	}
	list, err := decode(resp, &struct {
		Data []json.RawMessage `json:"data"`
	}{})
	if err != nil {
		return nil, err
	}
	models := make([]Model, len(list.Data))
	for i, raw := range list.Data {
		if err := json.Unmarshal(raw, &models[i]); err != nil {
			return nil, fmt.Errorf("model %d: %w", i, err)
		}
		models[i].Raw = raw
	}
	return models, nil
}

// post sends a body that names a model, with retries and fallbacks.
func (c *Client) post(ctx context.Context, path, model string, body []byte, header http.Header) (*Response, error) {
	var resp Response
	err := c.do(ctx, call{
		method: http.MethodPost, path: path, model: model, header: header,
		body:   func(m string) ([]byte, error) { return withModel(body, model, m) },
		accept: c.whole(ctx, &resp),
	})
	if err != nil {
		return nil, err
	}
	return &resp, nil
}

// decode reads a whole answer. What is no JSON, or not of the shape that was
// promised, is the fault of whoever answered.
func decode[T any](resp *Response, to *T) (*T, error) {
	if err := json.Unmarshal(resp.Body, to); err != nil {
		return nil, &Error{
			Status: resp.Status, Code: "unreadable_answer", Message: "the answer is not what was expected: " + err.Error(),
			RequestID: resp.RequestID, Charge: resp.ChargeUSD, Delivered: true, kind: ErrUpstream, cause: err,
		}
	}
	return to, nil
}

// encode makes the body.
func (r Request) encode(stream bool) ([]byte, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	extra := r.Extra
	if stream {
		extra = map[string]json.RawMessage{"stream_options": json.RawMessage(`{"include_usage":true}`)}
		for k, v := range r.Extra {
			extra[k] = v
		}
		extra["stream"] = json.RawMessage("true")
	}
	return withMembers(body, extra)
}

func (r Request) header() http.Header {
	h := http.Header{}
	if r.IdempotencyKey != "" {
		h.Set("Idempotency-Key", r.IdempotencyKey)
	}
	if r.Simulate != "" {
		h.Set("X-Pontage-Simulate", r.Simulate)
	}
	return h
}

// withModel returns body for the model to, leaving it untouched if that is the
// model it names.
func withModel(body []byte, from, to string) ([]byte, error) {
	if from == to {
		return body, nil
	}
	name, err := json.Marshal(to)
	if err != nil {
		return nil, err
	}
	return withMembers(body, map[string]json.RawMessage{"model": name})
}

// withMembers returns the object body with members set. The values of the
// others are kept to the byte.
func withMembers(body []byte, members map[string]json.RawMessage) ([]byte, error) {
	if len(members) == 0 {
		return body, nil
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(body, &all); err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	if all == nil {
		return nil, errors.New("body: not an object")
	}
	for k, v := range members {
		all[k] = v
	}
	return json.Marshal(all)
}
