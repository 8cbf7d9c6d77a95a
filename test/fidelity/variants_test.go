package fidelity

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/pontage/pontage/internal/testkit"
)

// variantFiles hold interactions that nobody recorded, with what the official
// schemas and protocols.md allow and the recordings show seldom or never. The name
// of a file begins with the API. A line that begins with === names a variant, its provider
// and its words: sse for a stream, a status, open for a stream without its marker
// at the end, what kind of failure an error means, and how it may be refused, as
// dialect:rule with _ for blanks. A line
// that begins with >>> is the request; what follows is the answer, of a stream one
// event to a line. Without an answer the provider says hello.
const variantFiles = "testdata/variants/*.txt"

// TestVariants plays every variant in every dialect, as TestNothingIsLostInTranslation
// does with recordings.
func TestVariants(t *testing.T) {
	files, err := filepath.Glob(variantFiles)
	if err != nil || len(files) == 0 {
		t.Fatalf("no variants: %v", err)
	}
	var all []*testkit.Fixture
	may := map[string]string{} // rules by id and dialect
	for _, file := range files {
		for _, v := range readVariants(t, file) {
			all = append(all, v.fixture)
			for _, r := range v.refused {
				dialect, rule, _ := strings.Cut(r, ":")
				may[v.fixture.ID+" "+dialect] = strings.ReplaceAll(rule, "_", " ")
			}
		}
	}
	w := newWorld(t, all)
	var v verdicts
	var wg sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for _, f := range all {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			w.everyDialect(t, f, &v)
		})
	}
	wg.Wait()
	for _, x := range v.all {
		rule, known := may[x.ID+" "+x.Dialect]
		delete(may, x.ID+" "+x.Dialect)
		switch {
		case x.Result == failed:
			t.Errorf("%s asked in %s:\n\t%s", x.ID, x.Dialect, strings.Join(x.Differences, "\n\t"))
		case x.Result == refused && (!known || rule != x.Rule):
			t.Errorf("%s asked in %s is refused: %s", x.ID, x.Dialect, x.Rule)
		case x.Result == passed && known:
			t.Errorf("%s asked in %s is not refused", x.ID, x.Dialect)
		}
	}
	for k := range may {
		t.Errorf("%s: nobody asked", k)
	}
	w.settle(t)
	fmt.Printf("%d variants, %d plays\n", len(all), len(v.all))
}

// aVariant is one variant.
type aVariant struct {
	fixture *testkit.Fixture
	refused []string
}

func readVariants(t *testing.T, file string) (out []aVariant) {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	api := strings.TrimSuffix(strings.TrimSuffix(filepath.Base(file), ".txt"), ".errors")
	for section := range strings.SplitSeq("\n"+string(src), "\n=== ") {
		if strings.TrimSpace(section) == "" {
			continue
		}
		head, body, _ := strings.Cut(section, "\n")
		out = append(out, newVariant(t, api, strings.Fields(head), strings.Split(body, "\n")))
	}
	return out
}

// newVariant makes a recording of a section: its name, its provider and its other
// words, and the lines below.
func newVariant(t *testing.T, api string, words, lines []string) (v aVariant) {
	t.Helper()
	f := &testkit.Fixture{ID: "variant." + api + "." + words[0], Provider: words[1], API: api}
	f.Response.Status, f.Response.Kind = 200, "json"
	f.Response.Headers = map[string]string{"Content-Type": "application/json"}
	open := false
	for _, word := range words[2:] {
		switch n, err := strconv.Atoi(word); {
		case err == nil:
			f.Response.Status = n
		case word == "sse":
			f.Response.Kind = word
			f.Response.Headers["Content-Type"] = "text/event-stream"
		case word == "open":
			open = true
		case strings.HasPrefix(word, "means="):
			oddErrors[f.ID] = strings.TrimPrefix(word, "means=")
		case strings.Contains(word, ":"):
			v.refused = append(v.refused, word)
		default:
			t.Fatalf("%s: %s means nothing", f.ID, word)
		}
	}
	lines = slices.DeleteFunc(lines, func(s string) bool { return strings.TrimSpace(s) == "" || strings.HasPrefix(s, "# ") })
	if len(lines) > 0 && strings.HasPrefix(lines[0], ">>> ") {
		f.Request = &testkit.RecordedRequest{JSON: []byte(strings.TrimPrefix(lines[0], ">>> "))}
		lines = lines[1:]
	}
	if len(lines) == 0 && f.Response.Status == 200 {
		lines = []string{greetings[api]}
	}
	for _, l := range lines {
		if isObject(value(l)) && members(value(l)) == nil {
			t.Fatalf("%s: no JSON: %s", f.ID, l)
		}
	}
	f.Response.Text = strings.Join(lines, "\n")
	if f.Response.Kind == "sse" {
		f.Response.Text = framed(api, lines, open)
	}
	v.fixture = f
	return v
}

// framed writes events as the API does: with their names, and with the marker at
// the end unless it is left open.
func framed(api string, lines []string, open bool) string {
	var b strings.Builder
	for _, l := range lines {
		if !isObject(value(l)) { // in its own form
			b.WriteString(strings.ReplaceAll(l, `\n`, "\n") + "\n\n")
			continue
		}
		if api == "anthropic.messages" || api == "openai.responses" {
			b.WriteString("event: " + text(in(value(l), "type")) + "\n")
		}
		b.WriteString("data: " + l + "\n\n")
	}
	if api == "openai.chat" && !open {
		b.WriteString("data: [DONE]\n\n")
	}
	return b.String()
}

// greetings are answers of providers that were asked something unusual and say
// nothing unusual.
var greetings = map[string]string{
	"openai.chat":            `{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hello","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":5,"total_tokens":14}}`,
	"openai.responses":       `{"id":"resp_1","object":"response","created_at":1,"status":"completed","model":"m","output":[{"type":"message","id":"msg_1","status":"completed","role":"assistant","content":[{"type":"output_text","text":"Hello","annotations":[]}]}],"usage":{"input_tokens":9,"input_tokens_details":{"cached_tokens":0},"output_tokens":5,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":14}}`,
	"anthropic.messages":     `{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":5}}`,
	"gemini.generateContent": `{"candidates":[{"content":{"parts":[{"text":"Hello"}],"role":"model"},"finishReason":"STOP","index":0}],"modelVersion":"m","responseId":"r","usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":5,"totalTokenCount":14}}`,
}
