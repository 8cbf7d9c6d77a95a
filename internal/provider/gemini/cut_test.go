package gemini

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

func TestRecordedStreamsCutAnywhereAreNeverWell(t *testing.T) {
	t.Parallel()
	up := newReplayer(t)
	for id, body := range up.streams(t, 8_000) {
		sep := "\n\n"
		if strings.Contains(body, "\r\n\r\n") {
			sep = "\r\n\r\n"
		}
		frames := strings.SplitAfter(body, sep)
		ended := false
		for i := range frames {
			part := strings.Join(frames[:i], "")
			ended = ended || strings.Contains(part, `"finishReason"`)
			for _, tail := range []string{"", frames[i][:len(frames[i])/2]} {
				q := foreign(request(t, up.fixtures[id]))
				_, err := run(cutAt(part+tail), provider.Call{Request: q, Model: q.Model})
				switch {
				case ended && err != nil:
					t.Errorf("%s cut before event %d, after its finish: %v", id, i, err)
				case !ended && verdict(err) != "stream_interrupted RFBS":
					t.Errorf("%s cut before event %d with %.20q: %v", id, i, tail, err)
				}
			}
		}
	}
}

// print writes events down so that they can be compared, but for More, which
// tells how the bytes came.
func print(evs []llm.Event) string {
	var b strings.Builder
	for _, e := range evs {
		e.More, e.Usage = false, nil
		fmt.Fprintf(&b, "%+v\n", e)
	}
	return b.String()
}

func TestRecordedStreamsSplitAnywhereAreTheSame(t *testing.T) {
	t.Parallel()
	up := newReplayer(t)
	short := up.streams(t, 2500)
	ids := slices.Sorted(maps.Keys(short))
	if len(ids) < 5 {
		t.Fatalf("only %d short streams", len(ids))
	}
	for _, id := range ids[:3] {
		body := short[id]
		for _, q := range []*llm.Request{request(t, up.fixtures[id]), foreign(request(t, up.fixtures[id]))} {
			c := provider.Call{Request: q, Model: q.Model}
			evs, err := run(cutAt(body), c)
			if err != nil {
				t.Fatalf("%s: %v", id, err)
			}
			want := print(evs)
			for at := range body {
				p := saying("text/event-stream", func() io.Reader {
					return io.MultiReader(strings.NewReader(body[:at]), strings.NewReader(body[at:]))
				})
				evs, err := run(p, c)
				if got := print(evs); err != nil || got != want {
					t.Fatalf("%s split at %d: %v (-want +got):\n%s", id, at, err, cmp.Diff(want, got))
				}
			}
		}
	}
}

// FuzzAnswers checks that whatever an upstream says is an answer or a failure,
// the same to callers of every dialect, and that arguments are JSON.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte(candidate(`{"text":"a","thought":true},{"functionCall":{"name":"f","args":{"x":1}},"thoughtSignature":"s"},{"inlineData":{}}`)))
	f.Add([]byte(candidate(`{"functionCall":{"name":"f","willContinue":true}},{"functionCall":{"partialArgs":[{"jsonPath":"$.a[0]['b']","stringValue":"x"}]}}`)))
	f.Add([]byte(ended))
	f.Add([]byte(`{"promptFeedback":{"blockReason":"X"}}`))
	f.Add([]byte(`[{"error":{"code":503}}]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, kind := range []string{"application/json", "text/event-stream"} {
			for _, own := range []bool{true, false} {
				q := &llm.Request{Dialect: llm.GeminiGenerate, Model: "m", Choices: 1, Stream: kind != "application/json"}
				if !own {
					q = foreign(q)
				}
				text := string(body)
				if q.Stream {
					text = "data: " + text + "\n\n"
				}
				evs, err := run(saying(kind, func() io.Reader { return strings.NewReader(text) }), provider.Call{Request: q, Model: "g"})
				if err != nil && strings.HasPrefix(verdict(err), " ") {
					t.Errorf("%s: %v is no failure", body, err)
				}
				for _, e := range evs {
					for _, d := range e.Deltas {
						if d.Kind == llm.DeltaToolArgs && !json.Valid([]byte(strings.ToValidUTF8(d.Text, "?"))) {
							t.Errorf("%s: arguments %s", body, d.Text)
						}
					}
				}
			}
		}
	})
}
