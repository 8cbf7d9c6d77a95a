// Package provider is the outbound seam: what a provider of models must be able
// to do, how its failures are classified, and the HTTP client and SSE reader
// that all providers share. One package below it speaks one protocol family.
package provider

import (
	"context"
	"log/slog"
	"time"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
)

// Provider speaks one family of upstream protocols. It is used by many
// goroutines at once.
type Provider interface {
	// Supports reports, before anything is spent, whether r can be honoured by
	// this family without losing something the caller asked for. It returns a
	// *fault.Error of the request class (unsupported_parameter naming the
	// field, tool_choice_unsupported, …), or nil.
	Supports(r *llm.Request) error

	// Open sends the request and returns once response headers of success have
	// come. Every error it returns is a *Failure, and so is every error but
	// io.EOF of the stream's Next. The stream ends when ctx ends. Once Open has
	// failed, or the stream was closed, nothing reads the request any more.
	Open(ctx context.Context, c Call) (llm.Stream, error)
}

// Call is one attempt at one target.
type Call struct {
	Request *llm.Request
	Model   string // the provider's name of the model
	Key     Secret // credential; empty: none is sent

	CapOutput int64 // output tokens to allow, where the caller set no limit of its own; 0: no cap
	MaxOutput int64 // the model's own maximum, for protocols that require a limit; 0: unknown
	Reasons   bool  // the model may think, so the state of its thoughts is worth asking for
	Gathers   bool  // the stream is asked for on the gateway's own account: an answer in one piece will do as well

	RequestID string // ours, sent along as X-Request-ID
	Timeouts  Timeouts
}

// Named returns the name that a parameter has in the caller's dialect: by default that
// of chat completions, or that of Anthropic's messages.
func (c Call) Named(chat, messages string) string {
	switch c.Request.Dialect {
	case llm.AnthropicMessages, llm.AnthropicCountTokens:
		return messages
	}
	return chat
}

// Timeouts are the timers of one attempt. Zero means the default of
// [DefaultTimeouts]; a negative value switches the timer off.
type Timeouts struct {
	Connect    time.Duration // DNS, TCP and TLS
	Headers    time.Duration // from the request being sent to response headers
	FirstEvent time.Duration // to the first event with content
	Idle       time.Duration // between bytes of a stream
	IdleEvents time.Duration // between events that mean something: a provider can ping for ever
	Total      time.Duration // the whole attempt
}

// DefaultTimeouts returns the timers for a request: longer for streams in
// total, and longer before the first event for a model that thinks.
func DefaultTimeouts(stream, reasoning bool) Timeouts {
	t := Timeouts{
		Connect:    5 * time.Second,
		Headers:    60 * time.Second,
		FirstEvent: 120 * time.Second,
		Idle:       120 * time.Second,
		IdleEvents: 600 * time.Second,
		Total:      3600 * time.Second,
	}
	if reasoning {
		t.FirstEvent, t.Idle = 600*time.Second, 300*time.Second
	}
	if !stream {
		t.Headers, t.Total = 600*time.Second, 600*time.Second
	}
	return t
}

// Or returns t with its zero values taken from d.
func (t Timeouts) Or(d Timeouts) Timeouts {
	for _, p := range []struct{ v, d *time.Duration }{
		{&t.Connect, &d.Connect},
		{&t.Headers, &d.Headers},
		{&t.FirstEvent, &d.FirstEvent},
		{&t.Idle, &d.Idle},
		{&t.IdleEvents, &d.IdleEvents},
		{&t.Total, &d.Total},
	} {
		if *p.v == 0 {
			*p.v = *p.d
		}
	}
	return t
}

// Secret is a credential. It prints as a placeholder wherever it is printed;
// only Reveal gives it away.
type Secret string

// String returns a placeholder.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "[redacted]"
}

// GoString, LogValue and MarshalText return the placeholder too.
func (s Secret) GoString() string { return s.String() }

// LogValue returns the placeholder.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText returns the placeholder.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Reveal returns the credential itself.
func (s Secret) Reveal() string { return string(s) }

// Failure is what came of an attempt that failed: the fault for the caller,
// should this be the last attempt, and what the router may do instead.
type Failure struct {
	Fault *fault.Error

	Retry      bool          // the same target may be tried again
	Failover   bool          // another target may be tried
	Quarantine bool          // our credential was refused or is out of money: keep it out of use
	Breaker    bool          // counts against the target's health
	Cooldown   time.Duration // the provider asked for this much quiet; 0: it did not say

	Sent bool // the request had been written, so the provider may have worked, and may bill us

	Added string // the member of the gateway's own to which the provider objects; empty: it does not
}

// Error returns the fault's text, for the log.
func (f *Failure) Error() string { return f.Fault.Error() }

// Unwrap returns the fault.
func (f *Failure) Unwrap() error { return f.Fault }
