package responses

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// What a server answers that was asked how many tokens there are is a number, or a
// failure.
func TestWhatIsCountedIsANumber(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]fault.Code{
		` {"object":"response.input_tokens","input_tokens":321}`: 0,
		`{"input_tokens":321,"error":null}`:                      0,
		`{"input_tokens":321`:                                    fault.UpstreamFailed,
		`{"input_tokens":0}`:                                     fault.UpstreamFailed,
		`{"input_tokens":"321"}`:                                 fault.UpstreamFailed,
		`{}`:                                                     fault.UpstreamFailed,
		`[321]`:                                                  fault.UpstreamFailed,
		``:                                                       fault.UpstreamFailed,
		`{"error":{"message":"This model's maximum context length is 8 tokens","code":"context_length_exceeded"}}`:   fault.ContextLengthExceeded,
		`{"input_tokens":9,"error":{"message":"Rate limit reached","type":"requests","code":"rate_limit_exceeded"}}`: fault.UpstreamRateLimited,
	} {
		p := New(Options{Name: "up", Counts: true, Transport: canned{200, http.Header{"Content-Type": {jsonType}}, func() io.Reader { return strings.NewReader(body) }}})
		q := asked(t, `{"model":"m","input":"hi"}`)
		q.Task, q.Dialect = llm.TaskCountTokens, llm.OpenAIInputTokens
		evs, err := run(p, provider.Call{Request: q, Model: "theirs"})
		switch {
		case want != 0:
			if err == nil || fault.From(err).Code != want {
				t.Errorf("%s: %v, want %s", body, err, want)
			}
		case err != nil || len(evs) != 1 || evs[0].Usage == nil || evs[0].Usage.Input != 321 || string(evs[0].Raw) != strings.TrimSpace(body):
			t.Errorf("%s: %+v, %v", body, evs, err)
		}
	}
}
