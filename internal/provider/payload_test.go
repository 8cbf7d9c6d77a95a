package provider

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/llm"
)

// slow is a connection on which a write takes a while.
type slow struct {
	begun chan struct{}
	over  func() bool
	t     *testing.T
}

func (s slow) Write(p []byte) (int, error) {
	close(s.begun)
	time.Sleep(20 * time.Millisecond) // Close must wait for that
	if s.over() || bytes.IndexByte(p, 'B') >= 0 {
		s.t.Error("the exchange had ended while its request was being written")
	}
	return len(p) / 2, errors.New("closed")
}

// The bytes of a request may be somebody else's as soon as its exchange has
// ended, even if the answer came before the request was written.
func TestNothingReadsARequestAfterItsExchange(t *testing.T) {
	t.Parallel()
	begun, written := make(chan struct{}), make(chan struct{})
	var over atomic.Bool
	var body, again io.ReadCloser
	o := outgoing(limits, false)
	o.Body = make([]byte, llm.OwnBody+1)
	x, err := Post(t.Context(), fake(func(r *http.Request) (*http.Response, error) {
		body = r.Body
		again, _ = r.GetBody()
		go func() {
			defer close(written)
			_, _ = body.(io.WriterTo).WriteTo(slow{begun, over.Load, t})
		}()
		<-begun
		return answer(200, &script{ctx: r.Context()}), nil
	}), o)
	if err != nil {
		t.Fatal(err)
	}
	_ = x.Close()
	over.Store(true)
	<-written
	for _, r := range []io.Reader{body, again} {
		if n, err := r.Read(make([]byte, 10)); n != 0 || !errors.Is(err, errWithdrawn) {
			t.Errorf("after the exchange %d bytes could be read, %v", n, err)
		}
	}
}

func TestNothingReadsARequestThatFailed(t *testing.T) {
	t.Parallel()
	var body io.Reader
	o := outgoing(limits, false)
	o.Body = make([]byte, llm.OwnBody+1)
	_, err := Post(t.Context(), fake(func(r *http.Request) (*http.Response, error) {
		body = r.Body
		return nil, errors.New("refused")
	}), o)
	if err == nil {
		t.Fatal("Post succeeded")
	}
	if n, err := body.Read(make([]byte, 10)); n != 0 || !errors.Is(err, errWithdrawn) {
		t.Errorf("after the failure %d bytes could be read, %v", n, err)
	}
}

// A server that answers early, and never reads the request, must not hold up
// whoever has the answer.
func TestARequestThatIsNeverReadHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprintf("http%d", version), func(t *testing.T) {
			t.Parallel()
			leave := make(chan struct{})
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				rc := http.NewResponseController(w)
				_ = rc.EnableFullDuplex()
				_, _ = io.WriteString(w, "early")
				_ = rc.Flush()
				<-leave
			}))
			transport := NewTransport(time.Second)
			defer transport.CloseIdleConnections()
			if version == 2 {
				srv.EnableHTTP2 = true
				srv.StartTLS()
				transport.TLSClientConfig = srv.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
			} else {
				srv.Start()
			}
			defer srv.Close()
			defer close(leave)
			o := outgoing(limits, false)
			o.URL, _ = url.Parse(srv.URL)
			o.Body = make([]byte, 32<<20) // more than fits between
			x, err := Post(t.Context(), transport, o)
			if err != nil {
				t.Fatal(err)
			}
			early := make([]byte, 5)
			if _, err := io.ReadFull(x, early); err != nil || string(early) != "early" {
				t.Fatalf("read %q, %v", early, err)
			}
			begun := time.Now()
			_ = x.Close()
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("Close took %v", took)
			}
			clear(o.Body) // the race detector sees who still reads
		})
	}
}

func TestAPayloadIsReadWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	prompt := bytes.Repeat([]byte("prompt"), llm.OwnBody)
	p := newPayload(prompt)
	r := p.reader().(*payloadReader)
	half := make([]byte, len(prompt)/2)
	if n, err := r.Read(half); n != len(half) || err != nil {
		t.Fatal(n, err)
	}
	whole, late := p.reader().(*payloadReader), p.reader()
	var to bytes.Buffer
	if n, err := whole.WriteTo(&to); n != int64(len(prompt)) || err != nil || !bytes.Equal(to.Bytes(), prompt) {
		t.Fatal(n, err)
	}
	p.withdraw()
	if n, err := whole.Read(half); n != 0 || err != io.EOF {
		t.Errorf("read to its end, then withdrawn: %d, %v, want the end: the connection is as good as before", n, err)
	}
	if n, err := r.WriteTo(&to); n != 0 || !errors.Is(err, errWithdrawn) {
		t.Errorf("the rest: %d, %v", n, err)
	}
	if n, err := late.Read(half); n != 0 || !errors.Is(err, errWithdrawn) {
		t.Errorf("withdrawn before it was read: %d, %v", n, err)
	}
}

// spy tells what a connection is given to read from.
type spy struct {
	conn
	given *atomic.Pointer[io.LimitedReader]
}

func (s spy) ReadFrom(r io.Reader) (int64, error) {
	if l, ok := r.(*io.LimitedReader); ok {
		s.given.Store(l)
	}
	return s.conn.ReadFrom(r)
}

// counted counts the writes of a connection.
type counted struct {
	net.Conn
	n *atomic.Int64
}

func (c counted) Write(p []byte) (int, error) {
	c.n.Add(1)
	return c.Conn.Write(p)
}

func TestASmallRequestLeavesInOneWriteWithItsHeaders(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	transport := NewTransport(time.Second)
	defer transport.CloseIdleConnections()
	var writes atomic.Int64
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		return counted{c, &writes}, err
	}
	o := outgoing(limits, false)
	o.URL, _ = url.Parse(srv.URL)
	o.Body = make([]byte, 1<<10)
	x, err := Post(t.Context(), transport, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.ReadAll(100); err != nil {
		t.Fatal(err)
	}
	if n := writes.Load(); n != 1 {
		t.Errorf("%d writes", n)
	}
}

// It depends on net/http how a payload reaches the connection.
func TestALargePayloadReachesTheConnectionAsItIs(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprint(w, n)
	}))
	defer srv.Close()
	transport := NewTransport(time.Second)
	defer transport.CloseIdleConnections()
	var given atomic.Pointer[io.LimitedReader]
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		return spy{c.(conn), &given}, err
	}
	o := outgoing(limits, false)
	o.URL, _ = url.Parse(srv.URL)
	o.Body = make([]byte, 100<<10)
	x, err := Post(t.Context(), transport, o)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := x.ReadAll(100); err != nil || string(got) != fmt.Sprint(len(o.Body)) {
		t.Fatalf("the server read %s, %v", got, err)
	}
	l := given.Load()
	if l == nil {
		t.Fatal("the connection was asked for no ReadFrom")
	}
	if _, ok := l.R.(*payloadReader); !ok || l.N != 0 {
		t.Errorf("%d bytes are left of a %T", l.N, l.R)
	}
}
