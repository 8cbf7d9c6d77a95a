package sim

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// body is a response body that is made while it is read. As with net/http, a
// read fails once the request's context has ended, and Close may come from
// another goroutine and ends a read that waits.
type body struct {
	ctx   context.Context // the request's: it is what ends a body in net/http, too
	src   source
	left  func() // called once if the body is closed before its end
	close sync.Once
	done  chan struct{}
	over  atomic.Bool // everything has been handed out

	buf []byte
	off int
	err error // to be returned once buf is empty
}

func newBody(ctx context.Context, src source, left func()) *body {
	return &body{ctx: ctx, src: src, left: left, done: make(chan struct{})}
}

// Read returns at most what is due by now: it waits for the first event only.
func (b *body) Read(p []byte) (int, error) {
	if err := b.ended(); err != nil {
		return 0, err
	}
	n := 0
	for n < len(p) {
		if b.off < len(b.buf) {
			k := copy(p[n:], b.buf[b.off:])
			b.off += k
			n += k
			b.settle(b.err)
			continue
		}
		if b.err != nil {
			return b.finish(n)
		}
		wait := b.src.pause()
		if wait > 0 {
			if n > 0 {
				return n, nil
			}
			if err := b.sleep(wait); err != nil {
				return 0, err
			}
		}
		b.off = 0
		var err error
		b.buf, err = b.src.next(b.buf[:0])
		b.settle(err)
	}
	return n, nil
}

// settle notes how the body ends once buf is empty; nil: it goes on.
func (b *body) settle(err error) {
	b.err = err
	if err != nil && err != errHang && b.off == len(b.buf) {
		b.over.Store(true)
	}
}

// finish ends a read that found n bytes before the end of everything.
func (b *body) finish(n int) (int, error) {
	if n > 0 {
		return n, nil
	}
	if b.err == errHang {
		return 0, b.sleep(0)
	}
	return 0, b.err
}

// sleep waits for d, or for ever if d is 0. It returns an error if the body
// ended first.
func (b *body) sleep(d time.Duration) error {
	var timer <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-timer:
		return nil
	case <-b.ctx.Done():
		return context.Cause(b.ctx)
	case <-b.done:
		return http.ErrBodyReadAfterClose
	}
}

// ended reports whether nothing may be read any more.
func (b *body) ended() error {
	select {
	case <-b.done:
		return http.ErrBodyReadAfterClose
	default:
	}
	if b.ctx.Err() != nil && !b.over.Load() {
		return context.Cause(b.ctx)
	}
	return nil
}

// Close gives the body up. It may be called any number of times.
func (b *body) Close() error {
	b.close.Do(func() {
		if !b.over.Load() {
			b.left()
		}
		close(b.done)
	})
	return nil
}

// brokenEnd is the error of an answer that is not streamed and breaks off.
func brokenEnd(k faultKind) error {
	switch k {
	case faultCut:
		return io.ErrUnexpectedEOF
	case faultHangStream:
		return errHang
	default:
		return io.EOF
	}
}

// wait sleeps before the response headers.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// hang waits for the context to end.
func hang(ctx context.Context) error {
	if ctx.Done() == nil {
		return errors.New("a simulated hang needs a context that can end")
	}
	<-ctx.Done()
	return context.Cause(ctx)
}
