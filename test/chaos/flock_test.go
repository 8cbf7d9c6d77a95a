package chaos

import (
	"context"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pontage/pontage/test/harness"
)

// flock is three providers in OpenAI's protocol, of which some fail.
type flock struct {
	serial  atomic.Int64
	failing [3]atomic.Pointer[failing]
	asked   [3]atomic.Int64
	failed  [3]atomic.Int64

	mu   sync.Mutex
	bill map[string]*big.Int // nano-dollars, by the text of the answer
}

// failing is how a provider fails.
type failing struct {
	name string
	do   func(w http.ResponseWriter, stream bool)
}

// ways are how a provider fails before content: the rows of the table after
// which another target is asked, and what a table of statuses has no place for.
func ways(t *testing.T) []*failing {
	t.Helper()
	var out []*failing
	for _, r := range of(readTable(t), "openai") {
		if !r.next || r.state == "quarantine" || r.after > 1 {
			continue // it ends with minutes, not with what ails the provider
		}
		out = append(out, &failing{name: fmt.Sprint(r.status, r.says), do: func(w http.ResponseWriter, _ bool) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(r.status)
			_, _ = io.WriteString(w, r.body("openai"))
		}})
	}
	body := func(media, text string) func(http.ResponseWriter, bool) {
		return func(w http.ResponseWriter, _ bool) {
			w.Header().Set("Content-Type", media)
			_, _ = io.WriteString(w, text)
		}
	}
	return append(out,
		&failing{"closes", func(http.ResponseWriter, bool) { panic(http.ErrAbortHandler) }},
		&failing{"resets", func(w http.ResponseWriter, _ bool) {
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				(&exchange{conn: conn}).reset()
			}
		}},
		&failing{"breaks before content", func(w http.ResponseWriter, stream bool) {
			body("text/event-stream", goodRole)(w, stream)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}},
		&failing{"page", body("text/html", page)},
		&failing{"error in a 200", body("application/json", protocols["openai"].fail)},
		&failing{"error in a stream", body("text/event-stream", goodRole+protocols["openai"].event())},
		&failing{"nothing", body("application/json", `{"id":"c1","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":0}}`)},
	)
}

// handler is the i-th provider.
func (f *flock) handler(i int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		f.asked[i].Add(1)
		_, stream := requested(body)
		if how := f.failing[i].Load(); how != nil {
			f.failed[i].Add(1)
			how.do(w, stream)
			return
		}
		answer := f.answer(stream)
		w.Header().Set("Content-Type", "application/json")
		if stream {
			w.Header().Set("Content-Type", "text/event-stream")
		}
		_, _ = io.WriteString(w, answer)
	})
}

// answer makes an answer with a text of its own and a use of tokens of its own,
// and puts it on the bill.
func (f *flock) answer(stream bool) string {
	n := f.serial.Add(1)
	text := fmt.Sprintf("answer-%d.", n)
	in, out := 1+n%97, 1+n%31
	f.mu.Lock()
	f.bill[text] = big.NewInt(in*1000 + out*2000)
	f.mu.Unlock()
	usage := fmt.Sprintf(`"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d`, in, out, in+out)
	body := strings.Replace(goodWhole, "Hello", text, 1)
	if stream {
		body = goodRole + strings.Replace(goodText, "Hello", text, 1) + goodEnd
	}
	return strings.Replace(body, `"prompt_tokens":10,"completion_tokens":2,"total_tokens":12`, usage, 1)
}

// owed is the bill for the answer in a body, and whether there is one.
func (f *flock) owed(body []byte) (*big.Int, bool) {
	_, rest, _ := strings.Cut(string(body), "answer-")
	number, _, _ := strings.Cut(rest, ".")
	f.mu.Lock()
	defer f.mu.Unlock()
	b, ok := f.bill["answer-"+number+"."]
	return b, ok
}

// total is how often the providers were asked.
func (f *flock) total() (n int64) {
	for i := range f.asked {
		n += f.asked[i].Load()
	}
	return n
}

// newFlock starts three providers and a gateway in front of them, whose breakers
// open after so many failures in a row.
func newFlock(t *testing.T, failures int) (*flock, *world) {
	t.Helper()
	f := &flock{bill: map[string]*big.Int{}}
	var b strings.Builder
	fmt.Fprintf(&b, "routing: {attempts: 6, backoff: {base: 5ms, max: 1s}, breaker: {failures: %d, open: %v, max_open: %v}}\nproviders:\n", failures, openFor, mostOpen)
	var targets []string
	for i := range f.failing {
		url := harness.Serve(t, f.handler(i), nil).URL
		fmt.Fprintf(&b, "  p%d: {kind: openai, quirks: vllm, base_url: %q, api_key: %q, catalog: none}\n", i, url+"/v1", providerSecret)
		targets = append(targets, fmt.Sprintf("{provider: p%d, model: m, weight: 1}", i))
	}
	fmt.Fprintf(&b, "models:\n  m: {targets: [%s], context: 100000, max_output: 50000, price: %s}\n", strings.Join(targets, ", "), price)
	return f, newWorld(t, "", b.String())
}

// vary makes one of the providers fail at a time, another one and in another way
// after each turn, until ctx ends; then all are well.
func (f *flock) vary(ctx context.Context, r *rand.Rand, how []*failing, turn time.Duration) (turns int) {
	for ; ; turns++ {
		i := r.IntN(len(f.failing))
		f.failing[i].Store(how[r.IntN(len(how))])
		select {
		case <-ctx.Done():
		case <-time.After(turn):
		}
		f.failing[i].Store(nil)
		if ctx.Err() != nil {
			return turns
		}
	}
}
