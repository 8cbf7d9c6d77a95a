// Package gather asks a provider for a stream where the caller wants an answer
// in one piece that may take long, and puts the pieces together. So the timers
// of streams see a provider that has fallen silent, and nothing between here and
// there cuts a connection on which nothing seems to happen.
//
// The answer has what the answer in one piece would have had, member by member,
// those that nobody here knows among them.
package gather

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// LongOutput is how many tokens of output make an answer one that may take long:
// some minutes at the speed of the slower models.
const LongOutput = 8192

// Provider is a provider whose long answers are gathered. It is used by many
// goroutines at once.
type Provider struct{ under provider.Provider }

var (
	_ provider.Provider = (*Provider)(nil)
	_ provider.Dropper  = (*Provider)(nil)
	_ provider.Thinker  = (*Provider)(nil)
	_ provider.Inliner  = (*Provider)(nil)
)

// Over returns p with its long answers gathered. Its streams must be those of
// chat completions, messages, responses or generateContent, or be translated.
func Over(p provider.Provider) *Provider { return &Provider{under: p} }

// Supports implements provider.Provider.
func (p *Provider) Supports(r *llm.Request) error { return p.under.Supports(r) }

// Dropped implements provider.Dropper.
func (p *Provider) Dropped(r *llm.Request) []string {
	if d, ok := p.under.(provider.Dropper); ok {
		return d.Dropped(r)
	}
	return nil
}

// ThinksOnlyWhenAsked implements provider.Thinker.
func (p *Provider) ThinksOnlyWhenAsked(model string) bool {
	t, ok := p.under.(provider.Thinker)
	return ok && t.ThinksOnlyWhenAsked(model)
}

// Inlines implements provider.Inliner.
func (p *Provider) Inlines(r *llm.Request) func(*llm.Part) bool {
	if i, ok := p.under.(provider.Inliner); ok {
		return i.Inlines(r)
	}
	return nil
}

// Open implements provider.Provider. A model that cannot stream is asked again
// for an answer in one piece: it has refused before it did anything.
func (p *Provider) Open(ctx context.Context, c provider.Call) (llm.Stream, error) {
	q, ok := streamed(c.Request)
	if !ok {
		return p.under.Open(ctx, c)
	}
	long := c
	long.Request, long.Gathers = q, true
	s, err := p.under.Open(ctx, long)
	if refusesStream(err) {
		return p.under.Open(ctx, c)
	}
	if err != nil {
		return nil, err
	}
	return &gathered{stream: s, dialect: q.Dialect, several: q.Choices > 1}, nil
}

// takesLong reports whether the answer may take long: who asks for reasoning, or
// for much output, has it. Who sets no limit mostly gets a short one.
func takesLong(r *llm.Request) bool {
	if r.Stream || r.Task != llm.TaskChat || r.Needs.Has(llm.NeedAudioOutput) {
		return false // sound is streamed in another format than the one that was asked for
	}
	if r.Dialect == llm.OpenAICompact {
		return false // nobody streams it
	}
	return r.Needs.Has(llm.NeedReasoning) ||
		r.HasMaxOutput && r.MaxOutput*int64(max(r.Choices, 1)) > LongOutput
}

// streamed returns the same request for a stream, if the answer may take long.
func streamed(r *llm.Request) (*llm.Request, bool) {
	if !takesLong(r) {
		return nil, false
	}
	q := *r
	q.Stream, q.IncludeUsage = true, true
	if r.Dialect == llm.GeminiGenerate { // where the path says so
		return &q, !streamsOtherwise(r.Raw.Body)
	}
	raw, err := jsonx.Scan(r.Raw.Splice(llm.Edit{Name: "stream", Value: []byte("true")}))
	if err != nil {
		return nil, false // the dialect has checked it
	}
	q.Raw = raw
	return &q, true
}

// refusesStream reports whether a provider refused to stream.
func refusesStream(err error) bool {
	var f *provider.Failure
	if !errors.As(err, &f) || f.Sent {
		return false
	}
	// Google says which method there is not, for models that are not there as well.
	return strings.HasPrefix(f.Fault.Param, "stream") || strings.HasPrefix(f.Added, "stream") || strings.Contains(f.Fault.Said, "streamGenerateContent")
}

// merger puts the payloads of a dialect's stream together.
type merger interface {
	add(data []byte) error
	whole() ([]byte, error)
}

func mergerOf(d llm.Dialect) merger {
	switch d {
	case llm.AnthropicMessages:
		return &messages{}
	case llm.OpenAIResponses:
		return &response{}
	case llm.GeminiGenerate:
		return &contents{}
	}
	return &chat{}
}

// gathered is an answer in one piece that comes in many. It is read by the first
// call of Next.
type gathered struct {
	stream  llm.Stream
	dialect llm.Dialect
	several bool // answers were asked for, side by side
	usage   llm.Usage
	calls   llm.Calls
	over    error // what every further call of Next returns
}

var _ llm.Stream = (*gathered)(nil)

// Next returns the answer; see llm.Stream.
func (g *gathered) Next() (llm.Event, error) {
	if g.over != nil {
		return llm.Event{}, g.over
	}
	ev, err := g.read()
	if g.over = io.EOF; err != nil {
		g.over = cut(err)
		_ = g.stream.Close()
		return llm.Event{}, g.over
	}
	return ev, nil
}

// cut returns the failure as that of an answer in one piece, of which the caller
// has had nothing yet.
func cut(err error) error {
	var f *provider.Failure
	if !errors.As(err, &f) || f.Fault.Code != fault.StreamInterrupted || !f.Failover {
		return err
	}
	return provider.BadAnswer(http.StatusOK, nil, f.Fault)
}

func (g *gathered) read() (llm.Event, error) {
	var (
		out    = llm.Event{Last: true}
		said   bool // besides refusals
		merge  merger
		answer pieces
		size   int
	)
	for {
		ev, err := g.stream.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return llm.Event{}, err
		}
		if ev.Last && (ev.Whole != nil || len(ev.Raw) > 0 && len(ev.Raw) == len(ev.Data)) {
			ev.Weight = 0
			return ev, nil // the provider has not streamed: it is whole, and not a frame around it
		}
		out.Content = out.Content || ev.Content
		said = said || ev.Content && !ev.Refusal
		out.OutputBytes, out.Bytes = out.OutputBytes+ev.OutputBytes, out.Bytes.Add(ev.Bytes)
		if !g.several && ev.Finish != "" {
			out.Finish = ev.Finish // some say stop with every piece: the last word counts
		} else {
			out.Finish = out.Finish.And(ev.Finish)
		}
		out.Tier = max(out.Tier, ev.Tier)
		if ev.Usage != nil {
			g.usage = *ev.Usage
			out.Usage = &g.usage
		}
		if ev.Calls != nil {
			g.calls = *ev.Calls
			out.Calls = &g.calls
		}
		if size += sizeOf(ev); size > provider.MaxWhole {
			return llm.Event{}, provider.BadAnswer(http.StatusOK, nil, fmt.Errorf("answer is longer than %d bytes", provider.MaxWhole))
		}
		answer.add(ev.Deltas)
		out.Left = append(out.Left, ev.Left...)
		if len(ev.Data) == 0 {
			continue
		}
		if merge == nil {
			merge = mergerOf(g.dialect)
		}
		if err := merge.add(ev.Data); err != nil {
			return llm.Event{}, provider.BadAnswer(http.StatusOK, ev.Data, err)
		}
	}
	out.Refusal = out.Content && !said
	if merge == nil {
		out.Whole = answer.whole()
		return out, nil
	}
	body, err := merge.whole()
	if err != nil {
		return llm.Event{}, provider.BadAnswer(http.StatusOK, nil, err)
	}
	out.Raw, out.Data = body, body
	return out, nil
}

// sizeOf is how many bytes of an event are kept, but for images, which have a bound
// of their own; see provider.Images.
func sizeOf(ev llm.Event) int {
	n := len(ev.Data) + ev.OutputBytes
	for i := range ev.Deltas {
		n += len(ev.Deltas[i].Logprobs) + len(ev.Deltas[i].Value)
	}
	return n
}

// Close ends the stream; see llm.Stream.
func (g *gathered) Close() error {
	if g.over == nil {
		g.over = io.EOF
	}
	return g.stream.Close()
}
