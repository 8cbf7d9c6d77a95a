package egress

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/fault"
)

// Files of a request are fetched side by side, and never more than so many: each waits
// here until as many others have come as may.
func TestFilesAreFetchedSideBySide(t *testing.T) {
	t.Parallel()
	const atOnce = 3
	var under, most atomic.Int32
	var round sync.Map // of three: closed when all of them are here
	var came atomic.Int32
	for i := range 3 {
		round.Store(int32(i), make(chan struct{}))
	}
	w := newWorld(t, Options{AtOnce: atOnce}, func(rw http.ResponseWriter, r *http.Request) {
		n := under.Add(1)
		defer under.Add(-1)
		for {
			if m := most.Load(); n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		at := came.Add(1) - 1
		all, _ := round.Load(at / atOnce)
		if at%atOnce == atOnce-1 {
			close(all.(chan struct{}))
		}
		select {
		case <-all.(chan struct{}):
		case <-r.Context().Done():
		}
		_, _ = fmt.Fprint(rw, png, r.URL.Path)
	})
	chat := user()
	for i := range 9 {
		chat.Messages[0].Parts = append(chat.Messages[0].Parts, image(fmt.Sprintf("https://files.example/%d", i)))
	}
	out, err := w.Inline(t.Context(), chat, everything)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range out.Messages[0].Parts {
		if got, _ := base64.StdEncoding.DecodeString(p.Data); string(got) != fmt.Sprintf("%s/%d", png, i) || p.URL != "" {
			t.Errorf("part %d has %q", i, got)
		}
		if chat.Messages[0].Parts[i].Data != "" {
			t.Error("the conversation that was given has changed")
		}
	}
	if most.Load() != atOnce {
		t.Errorf("%d at once, want %d", most.Load(), atOnce)
	}
}

// One deadline is for all files together, however many there are.
func TestAllFilesShareOneDeadline(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{AtOnce: 1, Timeout: time.Minute, Deadline: 100 * time.Millisecond}, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	slow := image("https://files.example/slow") // the second is not begun
	var f *fault.Error
	_, err := w.Inline(t.Context(), user(slow, slow), everything)
	if !errors.As(err, &f) || f.Code != fault.InvalidParameter || f.Param != "messages.0.content.0" || !strings.Contains(f.Message, "within the 100ms") || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// The first that fails ends the others, and is the one that is told.
func TestOneThatFailsEndsTheOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{AtOnce: 2, Timeout: time.Minute, Deadline: time.Minute}, func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
			return
		}
		rw.WriteHeader(404)
	})
	var f *fault.Error
	_, err := w.Inline(t.Context(), user(image("https://files.example/slow"), image("https://files.example/none"), image("https://files.example/slow")), everything)
	if !errors.As(err, &f) || f.Param != "messages.0.content.1" || !strings.Contains(f.Message, "status 404") {
		t.Errorf("%v", err)
	}
}

// proxy is one that connects to where it is told, and notes what it was.
type proxy struct {
	address string
	refuses bool
	mu      sync.Mutex
	asked   []string
}

func newProxy(t *testing.T) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{address: l.Addr().String()}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return p
}

func (p *proxy) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	req, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	p.mu.Lock()
	p.asked = append(p.asked, req.Method+" "+req.RequestURI+" "+req.Header.Get("Proxy-Authorization"))
	refuses := p.refuses
	p.mu.Unlock()
	if refuses {
		_, _ = io.WriteString(conn, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
		return
	}
	there, err := net.Dial("tcp", req.RequestURI)
	if err != nil {
		return
	}
	_, _ = io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n")
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(there, conn)
		_ = there.Close()
	}()
	_, _ = io.Copy(conn, there)
	_ = conn.Close()
	<-done
}

// A proxy is told the address that was judged, never a name, and of none that is not
// public.
func TestAProxyIsToldTheAddressThatWasJudged(t *testing.T) {
	t.Parallel()
	p := newProxy(t)
	w := newWorld(t, Options{Proxy: &url.URL{Scheme: "http", Host: p.address, User: url.UserPassword("me", "secret")}}, static(png))
	out, err := w.Inline(t.Context(), user(image("https://files.example/x")), everything)
	if err != nil || out.Messages[0].Parts[0].Data == "" {
		t.Fatalf("%+v, %v", out, err)
	}
	want := "CONNECT " + net.JoinHostPort(outside.String(), w.port) + " Basic " + base64.StdEncoding.EncodeToString([]byte("me:secret"))
	if len(p.asked) != 1 || p.asked[0] != want {
		t.Errorf("asked %q, want %q", p.asked, want)
	}
	if _, err := w.Inline(t.Context(), user(image("https://home.example/x")), everything); err == nil || len(p.asked) != 1 {
		t.Errorf("%v; the proxy was asked %q", err, p.asked)
	}
	p.mu.Lock()
	p.refuses = true
	p.mu.Unlock()
	var f *fault.Error
	if _, err := w.Inline(t.Context(), user(image("https://files.example/x")), everything); !errors.As(err, &f) || strings.Contains(f.Message, "proxy") || !strings.Contains(f.Cause.Error(), "the proxy answered 403") {
		t.Errorf("a proxy that refuses: %v", err)
	}
}
