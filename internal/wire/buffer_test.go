package wire

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/obs"
)

func TestBuffersAreWipedBeforeTheyAreUsedAgain(t *testing.T) {
	for _, c := range []struct {
		size int
		kept bool
	}{{0, false}, {1000, false}, {llm.OwnBody, false}, {minBuffer, true}, {100_000, true}, {maxBuffer, true}, {maxBuffer + 1, false}} {
		b := takeBuffer(c.size)
		if len(b) != c.size {
			t.Fatalf("takeBuffer(%d) gives %d bytes", c.size, len(b))
		}
		for i := range b {
			b[i] = 'A'
		}
		giveBack(b)
		if wiped := c.size > 0 && b[0] == 0 && b[c.size-1] == 0; wiped != c.kept {
			t.Errorf("a buffer of %d bytes was wiped: %v, want %v", c.size, wiped, c.kept)
		}
	}
	small := make([]byte, llm.OwnBody, maxBuffer) // of a body whose size was not known
	small[0] = 'A'
	if giveBack(small); small[0] != 'A' {
		t.Error("a small body was given to somebody else")
	}
	giveBack(nil)
	giveBack(make([]byte, 15_000))
	giveBack(make([]byte, maxBuffer))
	for size := 1; size < 50_000; size += 77 {
		if b := takeBuffer(size); len(b) != size || cap(b) > max(2*size, minBuffer) {
			t.Fatalf("takeBuffer(%d) gives %d bytes of %d", size, len(b), cap(b))
		}
	}
}

// keeper is a dialect that, as it must not, keeps a body.
type keeper struct {
	plain
	kept *[]byte
}

func (k keeper) Decode(b []byte, h map[string][]string) (*llm.Request, error) {
	*k.kept = b
	return k.plain.Decode(b, h)
}

// It is not parallel, so that no other test is given the buffer.
func TestABodyIsGivenBackWhenItsRequestHasEnded(t *testing.T) {
	c, err := contract.Load("openai")
	if err != nil {
		t.Fatal(err)
	}
	body := `{"text":"` + strings.Repeat("A", minBuffer) + `"}`
	for name, test := range map[string]struct {
		steps []any
		wiped bool
	}{
		"an answer": {[]any{last("{}")}, true},
		"a failure": {[]any{context.DeadlineExceeded}, true},
		"a panic":   {[]any{func() { panic("who knows who still refers to it") }}, false},
	} {
		var kept []byte
		during := byte(0)
		f := &fake{open: func(ctx context.Context) (*fakeCall, error) {
			during = kept[len(kept)/2]
			return &fakeCall{ctx: ctx, steps: test.steps}, nil
		}}
		s := NewServer(Options{
			Gateway:     f,
			Dialects:    map[string]Dialect{"openai.chat": keeper{kept: &kept}},
			Done:        func(*obs.Event) {},
			BodyTimeout: -1, // the recorder has no deadlines
		}, NewSites([]*Site{{Name: "*", Hosts: []string{"*"}, Contract: c}}))
		s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(body)))
		if during != 'A' {
			t.Errorf("%s: the gate saw %q of the body", name, during)
		}
		if wiped := kept[len(kept)/2] == 0; wiped != test.wiped {
			t.Errorf("%s: the body was given back: %v, want %v", name, wiped, test.wiped)
		}
	}
}
