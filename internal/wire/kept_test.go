package wire

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/obs"
)

// edgeServer is the HTTP edge as the process has it: connections that are
// watched, and HTTP/2 beside HTTP/1.
func edgeServer(t *testing.T, f *fake) string {
	t.Helper()
	c, err := contract.Load("openai")
	if err != nil {
		t.Fatal(err)
	}
	d := plain{}
	s := NewServer(Options{
		Gateway:   f,
		Dialects:  map[string]Dialect{"openai.chat": d, "anthropic.messages": d, "chat": d},
		Listers:   map[string]ModelLister{"openai.models": d},
		Done:      func(*obs.Event) {},
		BodyLimit: 400 << 10,
	}, NewSites([]*Site{{Name: "*", Hosts: []string{"*"}, Contract: c}}))
	srv := httptest.NewUnstartedServer(s.RefuseTwoBounds(s))
	srv.Listener = Bounded(srv.Listener, "")
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	srv.Config.Protocols = &protocols
	srv.Config.ConnContext = ConnContext
	srv.Config.ReadHeaderTimeout, srv.Config.IdleTimeout = HeadTimeout, 120*time.Second
	srv.Start()
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

// sender sends requests of all shapes over one connection after another.
type sender struct {
	t    *testing.T
	addr string
	rnd  *rand.Rand
	conn net.Conn
	in   *bufio.Reader

	answers int
}

// send writes p, perhaps in pieces that the server sees one by one.
func (s *sender) send(p string) {
	for s.rnd.IntN(4) == 0 && len(p) > 1 {
		n := 1 + s.rnd.IntN(len(p)-1)
		_, _ = io.WriteString(s.conn, p[:n])
		p = p[n:]
		time.Sleep(time.Duration(s.rnd.IntN(3)) * time.Millisecond)
	}
	_, _ = io.WriteString(s.conn, p) // who is refused may be cut off
}

// request is one request of a random shape.
func (s *sender) request() (text string) {
	kind := []string{"good", "bad", "late", "none"}[s.rnd.IntN(4)]
	path := "/v1/chat/completions"
	if kind == "none" {
		path = "/v1/nothing"
	}
	size := []int{0, 1, 2, 40, 4000, 4096, 64 << 10, 255 << 10, 256 << 10, 300 << 10}[s.rnd.IntN(10)]
	if s.rnd.IntN(3) > 0 {
		size = min(size, 5000)
	}
	body := strings.Repeat("x", size)
	head := "POST " + path + " HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer " + kind + "\r\n"
	switch s.rnd.IntN(4) {
	case 0: // chunked
		head += "Transfer-Encoding: chunked\r\n\r\n"
		for len(body) > 0 {
			n := 1 + s.rnd.IntN(len(body))
			head += fmt.Sprintf("%x\r\n%s\r\n", n, body[:n])
			body = body[n:]
		}
		return head + "0\r\n\r\n"
	case 1:
		zipped := string(zip([]byte(body)))
		if s.rnd.IntN(2) == 0 {
			zipped = zipped[:len(zipped)-3] + "and no more of it"
		}
		return head + fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n", len(zipped)) + zipped
	case 2:
		head += "Content-Type: text/plain\r\n"
	}
	return head + fmt.Sprintf("Content-Length: %d\r\n\r\n", size) + body
}

// round sends up to three requests without waiting, and reads their answers.
func (s *sender) round() {
	if s.conn == nil {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			s.t.Fatal(err)
		}
		s.conn, s.in = conn, bufio.NewReader(conn)
	}
	_ = s.conn.SetDeadline(time.Now().Add(time.Minute))
	n := 1
	if s.rnd.IntN(3) == 0 {
		n += s.rnd.IntN(3)
	}
	var all strings.Builder
	for range n {
		all.WriteString(s.request())
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		s.send(all.String())
	}()
	drop := false
	for range n {
		resp, err := http.ReadResponse(s.in, nil)
		if err != nil {
			drop = true // he was to close, and was so slow that he was reset
			break
		}
		s.answers++
		b, err := io.ReadAll(resp.Body)
		if resp.Header.Get("X-Request-Id") == "" || err != nil {
			s.t.Errorf("%s %v %q: %v", resp.Status, resp.Header, b, err)
		}
		if resp.StatusCode != 200 && !json.Valid(b) {
			s.t.Errorf("%s %q", resp.Status, b)
		}
		if resp.Close {
			drop = true
			break
		}
	}
	if drop {
		_ = s.conn.Close()
	}
	<-sent
	if drop {
		s.conn = nil
	}
}

// Whoever is refused before his body was read keeps his connection, or is told
// that it ends; what is left of a body is never taken for the next request.
func TestNoBodyIsTakenForTheNextRequest(t *testing.T) {
	t.Parallel()
	addr := edgeServer(t, &fake{
		enter: func(v Visit) error {
			switch v.Credential {
			case "bad":
				return fault.New(fault.KeyInvalid, "")
			case "late":
				return fault.New(fault.RateLimited, "")
			}
			return nil
		},
		open: func(context.Context) (*fakeCall, error) {
			return &fakeCall{}, nil
		},
	})
	var all sync.WaitGroup
	for i := range 24 {
		all.Add(1)
		go func() {
			defer all.Done()
			s := &sender{t: t, addr: addr, rnd: rand.New(rand.NewPCG(uint64(i), 7))}
			for range 12 {
				s.round()
			}
			if s.conn != nil {
				_ = s.conn.Close()
			}
			if s.answers == 0 {
				t.Error("nothing was answered")
			}
		}()
	}
	all.Wait()
}
