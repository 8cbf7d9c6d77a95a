package media

import (
	"testing"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// What a provider says of seconds is believed up to what was sent, however much
// it is.
func TestSecondsBeyondAllNumbersAreThoseThatWereSent(t *testing.T) {
	t.Parallel()
	for _, seconds := range []string{"61", "1e18", "1e19", "1e300"} {
		doc, err := jsonx.Parse([]byte(`{"seconds":` + seconds + `}`))
		if err != nil {
			t.Fatal(err)
		}
		u, ok := counts(doc.Root())
		if got := complete(&llm.Request{Task: llm.TaskTranscribe, Seconds: 60}, u, ok, 0, 0); got.Seconds != 60 {
			t.Errorf("%s seconds: %d are charged, want the 60 that were sent", seconds, got.Seconds)
		}
	}
}
