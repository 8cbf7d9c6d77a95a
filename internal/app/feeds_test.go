package app

import (
	"testing"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/response"
)

// Who comes for a response that waits, when nothing more is begun, is told so at
// once: else the process would wait for him, and he for it.
func TestWhatWaitsWhenTheProcessGoesDownIsBrokenOff(t *testing.T) {
	t.Parallel()
	fs := feeds{open: map[string]*feed{}}
	waiting := &response.Response{ID: "resp_1", Object: []byte(`{"id":"resp_1","status":"queued"}`)}
	early := fs.join(waiting)
	works := fs.begin(&response.Response{ID: "resp_2", Object: waiting.Object})
	fs.stop()
	late := fs.join(&response.Response{ID: "resp_3", Object: waiting.Object})
	for name, f := range map[string]*feed{"who waited": early, "who came": late} {
		if _, last, _, err := f.Read(-1); last != 1 || err != nil {
			t.Fatalf("%s: event %d, %v", name, last, err)
		}
		if _, _, _, err := f.Read(1); !fault.Is(err, fault.Draining) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if works.Ended() || fs.join(&response.Response{ID: "resp_2"}).Ended() {
		t.Error("what is answered is broken off, too")
	}
}
