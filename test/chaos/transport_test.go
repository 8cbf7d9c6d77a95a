package chaos

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/pontage/pontage/test/harness"
)

// pairing is a caller's surface, and the family of the provider behind it.
type pairing struct {
	by     surface
	family string
}

var pairings = []pairing{
	{chat, "openai"},
	{chat, "anthropic"},
	{chat, "responses"},
	{messages, "anthropic"},
	{messages, "openai"},
	{respond, "responses"},
	{respond, "openai"},
	{generate, "gemini"},
	{generate, "openai"},
	{chat, "gemini"},
	{chat, "bedrock"},
	{messages, "bedrock"},
}

// kinds are the providers of the families, in YAML.
var kinds = map[string]string{
	"openai": "openai, quirks: vllm", "anthropic": "anthropic", "responses": "openai, quirks: openai", "gemini": "gemini", "bedrock": "bedrock, region: us-east-1",
}

// places are where a provider can seem to be that cannot be reached.
func places(t *testing.T, address string) map[string]string {
	t.Helper()
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that fail
	untrusted.StartTLS()
	t.Cleanup(untrusted.Close)
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = gone.Close() // nobody listens there now
	return map[string]string{
		"refused":   "http://" + gone.Addr().String(),
		"full":      "http://" + full(t),
		"plain":     "https://" + address,
		"untrusted": untrusted.URL,
		"resets":    "http://" + resets(t),
	}
}

// resets listens, and resets what connects.
func resets(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		}
	}()
	return l.Addr().String()
}

// full listens with a queue that is full, so that who connects hears nothing.
func full(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	conn, err := net.Dial("tcp", address) // the one that the queue has room for
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return address
}

const (
	short = "timeouts: {connect: 1s, headers: 1500ms, first_event: 1500ms, idle: 1s, idle_events: 1500ms, total: 4s}"
	long  = "timeouts: {connect: 20s}"
)

// transportConfig has a provider for each condition and family, and a model for
// each cell.
func transportConfig(t *testing.T, address string) string {
	t.Helper()
	known := places(t, address)
	var b strings.Builder
	b.WriteString("routing: {attempts: 2, backoff: {base: 1ms, max: 1s}, breaker: {failures: 1000}}\nproviders:\n")
	for _, name := range slices.Sorted(maps.Keys(conditions)) {
		c := conditions[name]
		host, timers := "http://"+address, long
		switch {
		case strings.Contains(c.host, "://"):
			host = c.host
		case c.host != "":
			host = known[c.host]
		case c.toxic != "":
			host = "http://" + toxic(t, address, c.toxic)
		}
		if c.late {
			timers = short
		}
		for family, kind := range kinds {
			fmt.Fprintf(&b, "  %q: {kind: %s, base_url: %q, api_key: %q, catalog: none, %s}\n", name+"-"+family, kind, host+"/"+family+"/v1", providerSecret, timers)
		}
	}
	b.WriteString("models:\n")
	for _, x := range transportCells() {
		api := ""
		if x.family == "responses" {
			api = ", api: responses"
		}
		fmt.Fprintf(&b, "  %q: {targets: [{provider: %q, model: %q%s}], context: 100000, max_output: 50000, price: %s}\n", x.model(), x.name+"-"+x.family, x.model(), api, price)
	}
	return b.String()
}

// transportCell is a condition as one caller sees it.
type transportCell struct {
	condition
	pairing
	name   string
	stream bool
}

func (x transportCell) model() string {
	mode := "whole"
	if x.stream {
		mode = "stream"
	}
	return x.name + "_" + x.by.name + "-" + x.family + "-" + mode
}

func (x transportCell) want() string {
	if x.stream {
		return x.condition.stream
	}
	return x.condition.whole
}

func transportCells() []transportCell {
	var out []transportCell
	for _, name := range slices.Sorted(maps.Keys(conditions)) {
		for _, p := range pairings {
			for _, stream := range []bool{false, true} {
				if x := (transportCell{conditions[name], p, name, stream}); x.want() != "" && (x.only == "" || x.only == p.family) {
					out = append(out, x)
				}
			}
		}
	}
	return out
}

// TestEveryWayThatAConnectionBreaks asks over every kind of broken connection,
// in every dialect, whole and streamed.
func TestEveryWayThatAConnectionBreaks(t *testing.T) {
	t.Parallel()
	p := &fallible{asked: map[string]int{}}
	srv := harness.Serve(t, p, nil)
	w := newWorld(t, "", transportConfig(t, strings.TrimPrefix(srv.URL, "http://")))
	before, _ := w.goroutines(t)
	cells := transportCells()
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		paid = new(big.Int)
	)
	slots := make(chan struct{}, 24)
	for _, x := range cells {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			charge := x.run(t, w, p)
			mu.Lock()
			defer mu.Unlock()
			paid.Add(paid, charge)
		})
	}
	wg.Wait()
	t.Logf("%d conditions, %d cells", len(conditions), len(cells))
	w.paid(t, paid)
	w.nothingIsLeft(t, p.busy, before)
}

// run asks once. It returns the charge.
func (x transportCell) run(t *testing.T, w *world, p *fallible) *big.Int {
	r := w.ask(t.Context(), x.by, x.model(), x.stream)
	var wrong []string
	for want := range strings.SplitSeq(x.want(), "|") {
		why := x.by.judge(want, x.stream, r)
		if why == "" {
			wrong = nil
			break
		}
		wrong = append(wrong, why)
	}
	if wrong != nil {
		t.Errorf("%s: want %s: %s", x.model(), x.want(), strings.Join(wrong, "; or: "))
	}
	if asked := p.count(x.model()); !x.cuts && x.tries > 0 && asked != x.tries {
		t.Errorf("%s: the provider was asked %d times, want %d", x.model(), asked, x.tries)
	}
	if r.charge == nil {
		return new(big.Int)
	}
	return r.charge
}

// judge says what is wrong with a reply that ought to have a face, or to be ok,
// or to break midway.
func (s surface) judge(want string, stream bool, r reply) string {
	switch {
	case want == "midway":
		return s.broken(r)
	case want != "ok":
		return s.wrong(want, 0, r)
	case r.err != nil:
		return r.err.Error()
	case r.status != http.StatusOK, !s.says(r.body, "Hello"), stream && !s.finished(r.body):
		return fmt.Sprintf("%d %.300s, want a whole answer", r.status, r.body)
	case bytes.Contains(r.body, []byte("\ufffd")), bytes.Contains(r.body, []byte(`\ufffd`)):
		return fmt.Sprintf("characters are lost: %.900s", r.body)
	case r.charge.Cmp(answerCost) != 0:
		return fmt.Sprintf("charged %v, want %v", r.charge, answerCost)
	}
	return ""
}

// clean are what only a stream holds that came to its end.
var clean = map[string][]string{
	"chat":      {"data: [DONE]\n\n", `"finish_reason":"`},
	"messages":  {"event: message_stop\n", `"stop_reason":"`},
	"generate":  {`"finishReason":"`},
	"responses": {"event: response.completed\n", "event: response.incomplete\n"},
}

// texts are those of an answer of Google's.
var texts = regexp.MustCompile(`"text": ?"((?:[^"\\]|\\.)*)"`)

// says reports whether an answer holds a word, however it is cut: in a stream of
// Google's the last character of a text waits.
func (s surface) says(body []byte, word string) bool {
	if s != generate && s != array {
		return bytes.Contains(body, []byte(`"`+word))
	}
	var all strings.Builder
	for _, text := range texts.FindAllSubmatch(body, -1) {
		all.Write(text[1])
	}
	return strings.Contains(all.String(), word)
}

// finished reports whether a stream has the clean end of its surface.
func (s surface) finished(body []byte) bool {
	return bytes.Contains(body, []byte(clean[s.name][0])) && bytes.HasSuffix(body, []byte("\n\n"))
}

// broken says what is wrong with a stream that ought to have broken off after
// content: the error of its dialect comes last, and nothing looks like an end.
func (s surface) broken(r reply) string {
	events := strings.Split(strings.TrimSuffix(string(r.body), "\n\n"), "\n\n")
	lastly := events[len(events)-1]
	if s == respond {
		if !strings.HasPrefix(lastly, "event: response.failed\n") || len(events) < 2 {
			return fmt.Sprintf("the stream ends with %.300q, want response.failed", lastly)
		}
		lastly = events[len(events)-2]
	}
	if s == generate { // an older SDK fails only at what is no event
		if lastly != ": broken off" || len(events) < 2 {
			return fmt.Sprintf("the stream ends with %.300q, want : broken off", lastly)
		}
		lastly = events[len(events)-2]
	}
	name, data, _ := strings.Cut(lastly, "data: ")
	_, ok := s.read([]byte(data))
	switch {
	case r.err != nil:
		return r.err.Error()
	case r.status != http.StatusOK || !s.says(r.body, "one"):
		return fmt.Sprintf("%d %.300s, want content", r.status, r.body)
	case !ok, !bytes.HasSuffix(r.body, []byte("\n\n")), (name == "") != (s == chat || s == generate), name != "" && name != "event: error\n":
		return fmt.Sprintf("the stream ends with %.300q, want an error", lastly)
	case r.charge.Sign() != 0:
		return fmt.Sprintf("charged %v", r.charge)
	case bytes.Contains(r.body, []byte("words of the provider")), bytes.Contains(r.body, []byte(providerSecret)):
		return fmt.Sprintf("the stream tells what the provider said of itself: %.300q", lastly)
	}
	for _, c := range clean[s.name] {
		if bytes.Contains(r.body, []byte(c)) {
			return fmt.Sprintf("the broken stream holds %q", c)
		}
	}
	return ""
}

// nothingIsLeft checks that no request goes on, at the provider or here.
func (w *world) nothingIsLeft(t *testing.T, busy func() int, before int) {
	t.Helper()
	w.client.CloseIdleConnections()
	eventually(t, func() string {
		n, stacks := w.goroutines(t)
		switch {
		case busy() > 0:
			return fmt.Sprintf("%d connections have a request under way", busy())
		case n > before+10:
			return fmt.Sprintf("%d goroutines, before there were %d:\n%.4000s", n, before, stacks)
		}
		return ""
	})
}
