package egress

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
)

// Inline returns the conversation with the bytes of the parts that needs names in
// place of their URLs; c itself is not changed. So many files of it are fetched at
// once as the options say, within one deadline and one number of bytes. Its error is a
// *fault.Error that names the part, the first in the conversation of those that are
// known to have failed, and says nothing of networks that are not the caller's.
func (c *Client) Inline(ctx context.Context, chat *llm.Chat, needs func(*llm.Part) bool) (*llm.Chat, error) {
	out := *chat
	var f files
	out.System = f.parts("messages.0", chat.System, needs)
	out.Messages = slices.Clone(chat.Messages)
	for i := range out.Messages {
		m := &out.Messages[i]
		m.Parts = f.parts(fmt.Sprintf("messages.%d", i), m.Parts, needs)
	}
	if most := c.o.MaxFiles; len(f) > most {
		return nil, fault.New(fault.InvalidParameter, "At most %d files are fetched for a request; send the others inline.", most).At(f[most].at)
	}
	if err := c.all(ctx, f); err != nil {
		return nil, err
	}
	return &out, nil
}

// file is one to be fetched: the copy of its part, and where that stands.
type file struct {
	part *llm.Part
	at   string
}

// files are those of one request, in their order.
type files []file

// parts returns the parts, copied if there is anything to fetch, and adds what that is.
func (f *files) parts(path string, list []llm.Part, needs func(*llm.Part) bool) []llm.Part {
	before := len(*f)
	out := slices.Clone(list)
	for i := range out {
		p, at := &out[i], fmt.Sprintf("%s.content.%d", path, i)
		switch {
		case len(p.Parts) > 0: // of a tool's result
			p.Parts = f.parts(at, p.Parts, needs)
		case p.URL != "" && needs(p):
			*f = append(*f, file{p, at})
		}
	}
	if len(*f) == before {
		return list
	}
	return out
}

// all fetches the files.
func (c *Client) all(caller context.Context, list files) error {
	ctx, cancel := context.WithTimeout(caller, c.o.Deadline)
	defer cancel()
	left := atomic.Int64{}
	left.Store(c.o.MaxTotal)
	take := func(n int) error {
		if left.Add(-int64(n)) < 0 {
			return refusal(fmt.Sprintf("makes the files of the request longer than the %d bytes that they may have together", c.o.MaxTotal))
		}
		return nil
	}
	var (
		wg   sync.WaitGroup
		next atomic.Int64
		errs = make([]error, len(list))
	)
	for range min(c.o.AtOnce, len(list)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(list)) && ctx.Err() == nil; i = next.Add(1) - 1 {
				if errs[i] = c.file(ctx, list[i], take); errs[i] != nil {
					cancel() // nobody needs the others
				}
			}
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil && (!errors.Is(err, context.Canceled) || caller.Err() != nil) {
			return told(caller, err, list[i].at)
		}
	}
	if err := ctx.Err(); err != nil { // before the last ones were begun
		return told(caller, err, list[len(list)-1].at)
	}
	return nil
}

// file fetches one.
func (c *Client) file(ctx context.Context, f file, take func(n int) error) error {
	data, media, err := c.fetch(ctx, f.part.URL, take)
	switch {
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return late{refusal(fmt.Sprintf("was not there within the %v that all files of a request may take", c.o.Deadline)), err}
	case err != nil:
		return err
	case !takes[f.part.Kind][media]:
		return refusal("is not of a type that is taken: JPEG, PNG, GIF or WebP for images, PDF for documents")
	}
	f.part.URL, f.part.MediaType, f.part.Data = "", media, base64.StdEncoding.EncodeToString(data)
	return nil
}

// late is a refusal because of a time that is over.
type late struct {
	refusal
	cause error
}

// Unwrap returns the cause, and what may be told.
func (l late) Unwrap() []error { return []error{l.refusal, l.cause} }
