package wire

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
)

// tune is a dialect whose streams are sound, which has no room for an error.
type tune struct{ plain }

func (d tune) Encoder(*llm.Request) Encoder { return &tuneEncoder{} }

type tuneEncoder struct {
	plainEncoder
	media string
}

func (e *tuneEncoder) Event(dst []byte, ev llm.Event) ([]byte, error) {
	if ev.MediaType != "" {
		e.media = ev.MediaType
	}
	return e.plainEncoder.Event(dst, ev)
}

func (e *tuneEncoder) MediaType() string                          { return e.media }
func (e *tuneEncoder) Break(dst, _ []byte, _ *fault.Error) []byte { return dst }
func (e *tuneEncoder) Heartbeat(dst []byte) []byte                { return dst }

// What fails within a stream that is not of events is never told as an event:
// where the dialect has no room for it, the connection breaks.
func TestAStreamThatIsNotOfEventsBreaksWithoutOne(t *testing.T) {
	t.Parallel()
	sound := llm.Event{Raw: []byte("la "), Content: true, MediaType: "audio/mpeg"}
	for name, c := range map[string]struct {
		path, media, sent string
		steps             []any
	}{
		"sound that fails":      {"/v1/audio/speech", "audio/mpeg", "la ", []any{sound, fault.New(fault.UpstreamFailed, "")}},
		"sound and a defect":    {"/v1/audio/speech", "audio/mpeg", "la ", []any{sound, func() { panic("defect") }}},
		"an array and a defect": {"/v1beta/models/m:streamGenerateContent", "application/json", "[1", []any{event("[1"), func() { panic("defect") }}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var call *fakeCall
			h := build(t, &fake{open: func(ctx context.Context) (*fakeCall, error) {
				call = &fakeCall{ctx: ctx, steps: c.steps}
				return call, nil
			}}, func(o *Options) {
				o.Dialects["gemini.generate"] = inPath{}
				o.Dialects["openai.speech"] = tune{plain{stream: true}}
			})
			resp, err := http.Post(h.srv.URL+c.path, "application/json", strings.NewReader(`{}`))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			sent, err := io.ReadAll(resp.Body)
			if string(sent) != c.sent || err == nil || resp.Header.Get("Content-Type") != c.media {
				t.Errorf("%s: %q, %v; want %q and a broken connection", resp.Header.Get("Content-Type"), sent, err, c.sent)
			}
			<-h.events
			if !strings.HasPrefix(call.outcome(), "fail ") {
				t.Errorf("the call ended %q", call.outcome())
			}
		})
	}
}

// An answer that is neither JSON nor events is kept as what it is, whole or streamed.
func TestAKeptAnswerHasItsMediaType(t *testing.T) {
	t.Parallel()
	for _, stream := range []bool{false, true} {
		var call *fakeCall
		h := build(t, &fake{open: func(ctx context.Context) (*fakeCall, error) {
			call = &fakeCall{ctx: ctx, steps: []any{llm.Event{Raw: []byte("la "), MediaType: "text/vtt"}, last("la")}}
			return call, nil
		}}, func(o *Options) { o.Dialects["openai.chat"] = tune{plain{stream: stream}} })
		req, _ := http.NewRequest(http.MethodPost, h.srv.URL+"/v1/chat/completions", strings.NewReader(`{}`))
		req.Header.Set("Idempotency-Key", "k")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		want := [2]string{"Content-Type", "text/vtt"}
		if call.kept == nil || len(call.kept.Header) == 0 || call.kept.Header[0] != want || resp.Header.Get("Content-Type") != want[1] {
			t.Errorf("stream %v: kept %+v, sent as %q", stream, call.kept, resp.Header.Get("Content-Type"))
		}
	}
}
