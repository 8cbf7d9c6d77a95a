package provider

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
)

// tiny is a protocol of events that say in one word what they are.
type tiny struct {
	ended  bool
	silent bool // nothing marks the end
}

func (p *tiny) Event(r *Reader, f Frame, data []byte) (llm.Event, error) {
	ev := llm.Event{Name: f.Name, Raw: r.Clean(f), Data: f.Data}
	switch string(data) {
	case "content":
		ev.Content = true
	case "end":
		ev.Finish, p.ended = llm.FinishStop, true
	case "usage":
		ev.Usage = new(llm.Usage)
	case "last":
		ev.Last = true
	case "nothing":
		return llm.Event{}, ErrSkip
	default:
		return llm.Event{}, ErrNotObject
	}
	return ev, nil
}

func (p *tiny) End() (llm.Event, error) {
	switch {
	case !p.ended:
		return llm.Event{}, Interrupted(io.ErrUnexpectedEOF)
	case p.silent:
		return llm.Event{}, io.EOF
	}
	return llm.Event{Raw: []byte("made up"), Last: true}, nil
}

func (p *tiny) Complete() bool { return p.ended }

func (p *tiny) Blame(err error) error {
	var f *Failure
	if errors.As(err, &f) {
		f.Fault.Param = "blamed"
	}
	return err
}

// breaking is a body that breaks off behind what it says.
type breaking struct{ io.Reader }

func (b breaking) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// open opens a stream of tiny events.
func open(t *testing.T, p *tiny, body io.Reader, passes bool) *Stream {
	t.Helper()
	x, err := Post(t.Context(), fake(func(*http.Request) (*http.Response, error) { return answer(200, body), nil }), outgoing(limits, true))
	if err != nil {
		t.Fatal(err)
	}
	s := NewEvents(x, p, passes)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// told is what a stream told: the bytes of its events, and how it ended, which it
// must say again.
func told(t *testing.T, s *Stream) (events []string, end string) {
	t.Helper()
	for {
		ev, err := s.Next()
		if err == nil {
			events = append(events, string(ev.Raw))
			continue
		}
		if _, again := s.Next(); again != err { // the very same
			t.Errorf("the end is %v, and then %v", err, again)
		}
		var f *Failure
		if !errors.As(err, &f) {
			return events, err.Error()
		}
		if f.Fault.Param != "blamed" {
			t.Errorf("nobody was blamed for %v", err)
		}
		return events, f.Fault.Code.String()
	}
}

func TestAStreamOfEvents(t *testing.T) {
	t.Parallel()
	const content, end, last = "data: content\n\n", "data: end\n\n", "data: last\n\n"
	for _, c := range []struct {
		name, body string
		breaks     bool
		silent     bool
		events     []string
		end        string
	}{
		{"an end of its own", content + last + content, false, false, []string{content, last}, "EOF"},
		{"no end of its own", content + end, false, false, []string{content, end, "made up"}, "EOF"},
		{"no end that is told", content + end, false, true, []string{content, end}, "EOF"},
		{"no end", content, false, false, []string{content}, "stream_interrupted"},
		{"nothing", "", false, false, nil, "stream_interrupted"},
		{"broken off", content, true, false, []string{content}, "stream_interrupted"},
		{"broken off behind the end", content + end, true, false, []string{content, end, "made up"}, "EOF"},
		{"half an event", content + "data: con", false, false, []string{content}, "stream_interrupted"},
		{"half an event behind the end", end + "data: con", false, false, []string{end, "made up"}, "EOF"},
		{"an event that is none", end + "data: con\n\n", false, false, []string{end}, "upstream_failed"},
		{"an event that is skipped", "data: nothing\n\n" + last, false, false, []string{last}, "EOF"},
		{"a comment", ": x\n\n" + last, false, false, []string{": x\n\n", last}, "EOF"},
		{"a line that says nothing", "id: 1\n\n   \n\n" + last, false, false, []string{last}, "EOF"},
		{"JSON", content + `{"choices":[]}`, false, false, []string{content}, "upstream_failed"},
		{"a page", "<html>\n", false, false, nil, "upstream_failed"},
		{"an error", content + `{"error":{"code":"rate_limit_exceeded"}}`, false, false, []string{content}, "upstream_rate_limited"},
		{"an error in a list", content + `[{"error":{"code":"rate_limit_exceeded"}}]`, false, false, []string{content}, "upstream_rate_limited"},
		{"an event of an error in a list", `data: [{"error":{"code":"rate_limit_exceeded"}}]` + "\n\n", false, false, nil, "upstream_rate_limited"},
		{"an event of a list", "data: []\n\n", false, false, nil, "upstream_failed"},
		{"too long an event", content + "data: " + strings.Repeat("x", MaxFrame) + "\n\n", false, false, []string{content}, "upstream_failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var body io.Reader = strings.NewReader(c.body)
			if c.breaks {
				body = breaking{body}
			}
			events, end := told(t, open(t, &tiny{silent: c.silent}, body, true))
			if diff := cmp.Diff(c.events, events); diff != "" {
				t.Error(diff)
			}
			if end != c.end {
				t.Errorf("it ended with %s, want %s", end, c.end)
			}
		})
	}
}

func TestWhoSpeaksAnotherProtocolGetsNoBytes(t *testing.T) {
	t.Parallel()
	s := open(t, &tiny{}, strings.NewReader(": x\n\ndata: content\n\ndata: end\n\n"), false)
	for range 4 {
		if ev, err := s.Next(); err != nil || ev.Raw != nil || ev.Data != nil {
			t.Errorf("%+v, %v", ev, err)
		}
	}
	if _, err := s.Next(); err != io.EOF {
		t.Errorf("it ended with %v", err)
	}
}

func TestAClosedStreamIsOver(t *testing.T) {
	t.Parallel()
	s := open(t, &tiny{}, strings.NewReader("data: content\n\n"), true)
	_ = s.Close()
	if ev, err := s.Next(); err != io.EOF {
		t.Errorf("%+v, %v, want the end", ev, err)
	}
}

func TestMoreIsToldOfWhatHasCome(t *testing.T) {
	t.Parallel()
	s := open(t, &tiny{}, strings.NewReader("data: content\n\n: x\n\ndata: last\n\ndata: content\n\n"), true)
	for _, want := range []bool{true, true, false} {
		if ev, err := s.Next(); err != nil || ev.More != want {
			t.Errorf("%q: more is %v, %v", ev.Raw, ev.More, err)
		}
	}
}

// What means something puts the timer of events off, and what does not does not.
func TestWhatMeansSomethingToTheTimers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		says       string
		usageMeans bool
		want       time.Duration
	}{
		{"data: content\n\n", false, limits.Total},
		{"data: end\n\n", false, limits.Total},
		{"data: usage\n\n", true, limits.Total},
		{"data: usage\n\n", false, time.Second + limits.IdleEvents},
		{": x\n\n", true, time.Second + limits.IdleEvents},
	} {
		synctest.Test(t, func(t *testing.T) {
			steps := []step{{time.Second, "data: content\n\n"}}
			for range 100 {
				steps = append(steps, step{100 * time.Second, c.says})
			}
			began := time.Now()
			x, err := Post(t.Context(), fake(func(r *http.Request) (*http.Response, error) {
				return answer(200, &script{ctx: r.Context(), steps: steps}), nil
			}), outgoing(limits, true))
			if err != nil {
				t.Fatal(err)
			}
			s := NewEvents(x, &endless{}, true)
			s.UsageMeans = c.usageMeans
			for err == nil {
				_, err = s.Next()
			}
			var f *Failure
			if !errors.As(err, &f) || f.Fault.Code != fault.UpstreamTimeout || time.Since(began) != c.want {
				t.Errorf("%q, usage %v: %v after %v, want a timeout after %v", c.says, c.usageMeans, err, time.Since(began), c.want)
			}
		})
	}
}

// endless is tiny, but no break is the end.
type endless struct{ tiny }

func (*endless) Complete() bool { return false }

func TestEdit(t *testing.T) {
	t.Parallel()
	r := &Reader{src: strings.NewReader("event: a\ndata:  {1,\ndata: 2}\n\ndata: {1}\nid: 3\n\n"), max: MaxFrame}
	for _, c := range []struct {
		patches      []Patch
		raw, payload string
	}{
		{[]Patch{{Span{1, 2}, []byte("one")}, {Span{4, 5}, nil}}, "event: a\ndata: {one, }\n\n", "{one, }"},
		{nil, "data: {1}\n\n", "{1}"},
	} {
		f, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		raw, payload := r.Edit(f, []byte(strings.TrimSpace(string(f.Data))), c.patches)
		if string(raw) != c.raw || string(payload) != c.payload {
			t.Errorf("%q of %q, want %q of %q", payload, raw, c.payload, c.raw)
		}
	}
}

func TestRename(t *testing.T) {
	t.Parallel()
	data := []byte(`{"model":"theirs"}`)
	for _, c := range []struct {
		at         Span
		name, want string
	}{
		{Span{9, 17}, `"ours"`, `{"model":"ours"}`},
		{Span{9, 17}, `"theirs"`, string(data)},
		{Span{9, 17}, "", string(data)},
		{Span{}, `"ours"`, string(data)},
	} {
		var name []byte
		if c.name != "" {
			name = []byte(c.name)
		}
		if got := Patched(data, Rename(nil, data, c.at, name)); string(got) != c.want {
			t.Errorf("%v, %s: %s, want %s", c.at, c.name, got, c.want)
		}
	}
}
