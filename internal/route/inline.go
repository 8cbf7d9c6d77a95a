package route

import (
	"context"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// Fetcher fetches what callers name by a URL. Its error is a *fault.Error that
// names the part. The conversation that it is given does not change.
type Fetcher interface {
	Inline(ctx context.Context, c *llm.Chat, needs func(*llm.Part) bool) (*llm.Chat, error)
}

// Fetched is what was fetched for one request, once for all targets and models
// that need it. The zero Fetched is that of a request of which nothing was.
type Fetched struct {
	chat *llm.Chat
	err  *fault.Error
}

// fit returns the request as the target takes it: with the bytes of what it does
// not take by its URL. What cannot be fetched is the fault of the request.
func (l *loop) fit(ctx context.Context, t *Target) (*llm.Request, *fault.Error) {
	var needs func(*llm.Part) bool
	if in, ok := t.Provider.(provider.Inliner); ok && t.Fetch != nil && l.req.DecodeChat != nil {
		needs = in.Inlines(l.req)
	}
	if needs == nil {
		return l.req, nil
	}
	f := l.p.Fetched
	if f == nil {
		f = new(Fetched)
		l.p.Fetched = f
	}
	if f.err != nil {
		return nil, f.err
	}
	chat := f.chat
	if chat == nil {
		var err error
		if chat, err = l.req.DecodeChat(); err != nil {
			return nil, fault.From(err)
		}
	}
	if lacks(chat.System, needs) || lacksAny(chat.Messages, needs) {
		var err error
		if chat, err = t.Fetch.Inline(ctx, chat, needs); err != nil {
			e := fault.From(err)
			if ctx.Err() == nil {
				f.err = e
			}
			return nil, e
		}
		f.chat = chat
	} else if f.chat == nil {
		return l.req, nil
	}
	own := *l.req
	own.DecodeChat = func() (*llm.Chat, error) { return chat, nil }
	return &own, nil
}

// lacksAny reports whether a part of a message lacks its bytes.
func lacksAny(list []llm.Message, needs func(*llm.Part) bool) bool {
	for i := range list {
		if lacks(list[i].Parts, needs) {
			return true
		}
	}
	return false
}

func lacks(parts []llm.Part, needs func(*llm.Part) bool) bool {
	for i := range parts {
		if p := &parts[i]; p.URL != "" && needs(p) || lacks(p.Parts, needs) {
			return true
		}
	}
	return false
}
