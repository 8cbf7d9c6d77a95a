package fidelity

import (
	"bytes"
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/testkit"
)

// requestFiles hold requests that nobody recorded, with what the official schemas
// and the vendors allow: a name and a body to a line. The name of a file is the
// dialect.
const requestFiles = "testdata/requests/*.txt"

// outcomesFile says of each of them what becomes of it at a provider of another
// protocol, if it does not arrive as it is: by which rule it is refused, or what the
// caller is told that it goes without.
const outcomesFile = "testdata/requests/outcomes.tsv"

// ask is a request in a dialect.
type ask struct {
	name string
	d    *dialect
	body value
	made bool // and not recorded
}

// TestRequestsReachEveryProvider sends every recorded request, and those of the
// files, as it is to a provider of each protocol. It must arrive, but for what the
// caller is told; or be refused by name. Nothing else may become of it.
func TestRequestsReachEveryProvider(t *testing.T) {
	asks := append(madeRequests(t), recordedRequests(t)...)
	var all []*testkit.Fixture
	for api, provider := range map[string]string{"openai.chat": "openai", "openai.responses": "openai", "anthropic.messages": "anthropic", "gemini.generateContent": "gemini"} {
		f := &testkit.Fixture{ID: "hello." + api, Provider: provider, API: api}
		f.Response.Status, f.Response.Kind, f.Response.Text = 200, "json", greetings[api]
		f.Response.Headers = map[string]string{"Content-Type": "application/json"}
		all = append(all, f)
	}
	w := newWorld(t, all)
	outcomes := map[string][]string{}
	for _, f := range all {
		for _, a := range asks {
			if a.d == speaks(apis[f.API].dialect) && !a.made {
				continue // TestNothingIsLostInTranslation has it
			}
			if key := w.reaches(t, f, a); key != "" && a.made {
				outcomes[a.d.name+"\t"+f.API+"\t"+key] = append(outcomes[a.d.name+"\t"+f.API+"\t"+key], a.name)
			}
		}
	}
	checkOutcomes(t, outcomes)
}

// reaches sends one request to one provider, and returns what became of it if it did
// not simply arrive.
func (w *world) reaches(t *testing.T, f *testkit.Fixture, a ask) string {
	own, name := speaks(apis[f.API].dialect), modelFor(f, a.d)
	w.up.take(f.ID)
	r, err := w.post(t, a.d, a.d.path(name, false), "application/json", withModel(a.body, name))
	if err != nil {
		t.Fatal(err)
	}
	sent, reached := w.up.take(f.ID)
	p := play{w: w, f: f, d: a.d, own: own}
	switch {
	case r.status == 400 && !reached:
		p.refused(t, r)
		for _, d := range p.differences {
			t.Errorf("%s in %s to %s: %s", a.name, a.d.name, f.API, d)
		}
		return "refused: " + p.rule
	case r.status != 200 || !reached:
		t.Errorf("%s in %s to %s: status %d, reached %t: %.300s", a.name, a.d.name, f.API, r.status, reached, r.body)
		return ""
	}
	if oddRequests[a.name] == "" {
		q := a.d.heard(a.body)
		if a.d != own {
			q = q.aims(own)
		}
		for _, l := range q.hear().lost(own.heard(value(sent.body)).hear(), r.dropped) {
			if !moved(l, a.d, r.dropped, sent.body) {
				t.Errorf("%s in %s to %s, told %v: %s\n\tsent as %.600s", a.name, a.d.name, f.API, r.dropped, l, sent.body)
			}
		}
	}
	if len(r.dropped) == 0 {
		return ""
	}
	told := slices.Clone(r.dropped)
	for i := range told {
		told[i] = digits.ReplaceAllString(told[i], ".#")
	}
	slices.Sort(told)
	return "without " + strings.Join(slices.Compact(told), ", ")
}

// oddRequests are requests of which the readers here read something else than there
// is, and what.
var oddRequests = map[string]string{
	"anthropic.anthropic-messages.93956b0c2a": "a result of a call that was not made",
	"anthropic.anthropic-messages.794df99ddd": "an image by its address is a file to Gemini",
	"perplexity.openai-chat.7cc7c9d044":       "file_url, which is Perplexity's own",
}

var middle = regexp.MustCompile(`^(messages\.\d+\.role|input\.\d+)$`)

// moved reports whether a difference is that an instruction in the middle of a
// conversation, which most protocols lack, was put to the user, as the caller was
// told; or one of wishes that say the same: a penalty of 0, and none; and of a caller
// of Gemini's protocol, to be shown the thoughts that there are, and nothing.
func moved(line string, d *dialect, dropped []string, sent []byte) bool {
	if line == "lost: frequency: 0" || line == "lost: presence: 0" || line == "lost: thinks: some" && d.name == "gemini.generate" {
		return true
	}
	if !slices.ContainsFunc(dropped, middle.MatchString) {
		return false
	}
	_, text, lost := strings.Cut(line, "text of system is lost: ")
	return lost && bytes.Contains(sent, bytes.Trim([]byte(text), `"`)) || strings.HasPrefix(line, "text of user grew by 22 bytes") // <system></system>
}

func madeRequests(t *testing.T) (out []ask) {
	t.Helper()
	files, err := filepath.Glob(requestFiles)
	if err != nil || len(files) == 0 {
		t.Fatalf("no requests: %v", err)
	}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		d := speaks(strings.TrimSuffix(filepath.Base(file), ".txt"))
		for line := range strings.SplitSeq(strings.TrimSpace(string(src)), "\n") {
			name, body, _ := strings.Cut(line, " ")
			if d == nil || members(value(body)) == nil {
				t.Fatalf("%s: %s is no request", file, name)
			}
			out = append(out, ask{name, d, value(body), true})
		}
	}
	return out
}

func recordedRequests(t *testing.T) (out []ask) {
	t.Helper()
	corpus := testkit.Fixtures(t)
	for _, e := range corpus.Entries {
		a, ok := apis[e.API]
		if !ok || speaks(a.dialect).family != "chat" || e.Status != 200 {
			continue
		}
		f := corpus.Load(t, e)
		o := members(value(f.Body()))
		if o == nil || yes(o["background"]) { // nobody waits for that
			continue
		}
		delete(o, "stream") // the providers here answer as a whole
		delete(o, "stream_options")
		out = append(out, ask{f.ID, speaks(a.dialect), encode(o), false})
	}
	return out
}

// checkOutcomes fails the test where something else became of a request than the
// file says.
func checkOutcomes(t *testing.T, outcomes map[string][]string) {
	t.Helper()
	var lines []string
	for k, names := range outcomes {
		slices.Sort(names)
		lines = append(lines, k+"\t"+strings.Join(names, " "))
	}
	slices.Sort(lines)
	got := "dialect\tapi\toutcome\trequests\n" + strings.Join(lines, "\n") + "\n"
	if *update {
		if err := os.WriteFile(outcomesFile, []byte(got), 0o644); err != nil {
			t.Error(err)
		}
		return
	}
	src, err := os.ReadFile(outcomesFile)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(string(src), "\n")
	for _, l := range strings.Split(got, "\n") {
		if i := slices.Index(want, l); i >= 0 {
			want = slices.Delete(want, i, i+1)
		} else {
			t.Errorf("not in %s: %s", outcomesFile, l)
		}
	}
	for _, l := range want {
		t.Errorf("only in %s: %s", outcomesFile, cmp.Or(l, "an empty line"))
	}
}
