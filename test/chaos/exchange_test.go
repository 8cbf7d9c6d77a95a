package chaos

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// exchange is one request to the fallible provider, and the connection that it
// came on.
type exchange struct {
	words
	stream bool
	conn   net.Conn
	in     *bufio.Reader
}

// fallible is a provider of every family that does what the model that is asked
// for is called after: CONDITION_…. It writes each byte of its answers itself,
// and closes the connection behind each.
type fallible struct {
	mu    sync.Mutex
	asked map[string]int // requests, by model
	open  int            // connections, idle ones left out
}

func (p *fallible) count(model string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[model]
}

// busy is how many connections have a request under way.
func (p *fallible) busy() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open
}

func (p *fallible) add(model string, asked, open int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked[model] += asked
	p.open += open
}

func (p *fallible) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x, model := take(w, r)
	if x == nil {
		return
	}
	defer func() { _ = x.conn.Close() }()
	name, _, _ := strings.Cut(model, "_")
	c, ok := conditions[name]
	if !ok {
		panic(fmt.Sprintf("no condition %q", name))
	}
	p.add(model, 1, 1)
	defer p.add(model, 0, -1)
	if c.do == nil {
		x.good()
		return
	}
	c.do(x)
}

// take takes a request, and its connection, which the caller closes. There is no
// exchange where the request broke off.
func take(w http.ResponseWriter, r *http.Request) (x *exchange, model string) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, ""
	}
	model, streams := requested(body)
	family, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if family == "gemini" {
		method := ""
		model, method, _ = strings.Cut(strings.TrimPrefix(path, "v1/models/"), ":")
		streams = method == "streamGenerateContent"
	}
	if family == "bedrock" {
		method := ""
		model, method, _ = strings.Cut(strings.TrimPrefix(path, "v1/model/"), "/")
		streams = method == "converse-stream"
	}
	conn, in, err := http.NewResponseController(w).Hijack()
	if protocols[family].text == "" || err != nil {
		panic(fmt.Sprintf("no family %q: %v", family, err))
	}
	return &exchange{words: protocols[family], stream: streams, conn: conn, in: in.Reader}, model
}

// send writes bytes as they are.
func (x *exchange) send(parts ...string) {
	_, _ = io.WriteString(x.conn, strings.Join(parts, ""))
}

// head writes the head of an answer, and nothing else.
func (x *exchange) head(status, media string, headers ...string) {
	x.send("HTTP/1.1 ", status, "\r\nContent-Type: ", media, "\r\n", strings.Join(append(headers, ""), "\r\n"), "Connection: close\r\n\r\n")
}

// media is the type of what was asked for.
func (x *exchange) media() string {
	if x.stream {
		return x.words.events()
	}
	return "application/json"
}

// chunk is one chunk of a chunked body; nothing is none, where it would be the
// end.
func chunk(s string) string {
	if s == "" {
		return ""
	}
	return fmt.Sprintf("%x\r\n%s\r\n", len(s), s)
}

const (
	chunked = "Transfer-Encoding: chunked"
	last    = "0\r\n\r\n"
)

// reply is a full answer of some text, as it was asked for.
func (x *exchange) reply(text string) string {
	if x.stream {
		return x.begin + x.say(text) + x.end
	}
	return x.full(text)
}

// good answers well.
func (x *exchange) good() {
	x.head("200 OK", x.media(), chunked)
	x.send(chunk(x.reply("Hello")), last)
}

// events begins a stream, and says something.
func (x *exchange) events(texts ...string) {
	x.head("200 OK", x.media(), chunked)
	x.send(chunk(x.begin))
	for _, t := range texts {
		x.send(chunk(x.say(t)))
	}
}

// body answers with a status and a body.
func (x *exchange) body(status, media, body string, headers ...string) {
	x.head(status, media, append(headers, fmt.Sprintf("Content-Length: %d", len(body)))...)
	x.send(body)
}

// hang waits until the gateway has closed the connection.
func (x *exchange) hang() { _, _ = io.Copy(io.Discard, x.in) }

// gone returns a channel that is closed when the gateway has closed the
// connection.
func (x *exchange) gone() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		x.hang()
		close(done)
	}()
	return done
}

// drip sends what means nothing, a byte at a time, until the gateway has gone.
func (x *exchange) drip() {
	beat := x.alive()
	x.repeat(func(i int) string { return chunk(beat[i%len(beat) : i%len(beat)+1]) })
}

// repeat sends what next gives, every 20 ms, until the gateway has gone.
func (x *exchange) repeat(next func(i int) string) {
	gone := x.gone()
	for i := 0; ; i++ {
		x.send(next(i))
		select {
		case <-gone:
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// reset closes the connection with an RST.
func (x *exchange) reset() {
	if tcp, ok := x.conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = x.conn.Close()
}
