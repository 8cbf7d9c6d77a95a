package testkit

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheIndexAndTheFilesAgree(t *testing.T) {
	t.Parallel()
	c := Fixtures(t)
	if len(c.Entries) < 1000 {
		t.Fatalf("the index has %d entries", len(c.Entries))
	}
	for i, e := range c.Entries {
		if i%25 != 0 {
			continue // a sample is enough to see that the formats fit
		}
		f := c.Load(t, e)
		if f.ID != e.ID || f.API != e.API || f.Response.Status != e.Status || (f.Request != nil) != e.HasRequest {
			t.Errorf("%s: the file says %s %s %d, the index %s %d", e.ID, f.ID, f.API, f.Response.Status, e.API, e.Status)
		}
	}
}

func TestFilterChoosesByEveryField(t *testing.T) {
	t.Parallel()
	streamed := true
	e := Entry{API: "openai.chat", Provider: "openai", Status: 200, Kind: "sse", Stream: true, Tags: []string{"a", "b"}}
	for _, c := range []struct {
		name   string
		filter Filter
		fits   bool
	}{
		{"zero", Filter{}, true},
		{"all", Filter{API: "openai.chat", Provider: "openai", Status: 200, Kind: "sse", Streamed: &streamed, Tags: []string{"a"}, Recorded: true}, true},
		{"api", Filter{API: "openai.embeddings"}, false},
		{"provider", Filter{Provider: "groq"}, false},
		{"status", Filter{Status: 400}, false},
		{"kind", Filter{Kind: "json"}, false},
		{"one of two tags", Filter{Tags: []string{"a", "c"}}, false},
		{"without", Filter{Without: []string{"b"}}, false},
		{"request", Filter{HasRequest: true}, false},
	} {
		if got := c.filter.fits(e); got != c.fits {
			t.Errorf("%s: fits = %v, want %v", c.name, got, c.fits)
		}
	}
	if (Filter{Recorded: true}).fits(Entry{Provenance: "modelled"}) {
		t.Error("Recorded lets a modelled fault through")
	}
}

func TestAFixtureIsServedByteForByte(t *testing.T) {
	t.Parallel()
	c := Fixtures(t)
	for _, e := range []Entry{
		c.Filter(Filter{API: "openai.chat", Kind: "sse", Recorded: true})[0],
		c.Filter(Filter{API: "anthropic.messages", Status: 400})[0],
	} {
		f := c.Load(t, e)
		resp, err := http.Get(ServeFixture(t, f).URL)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != e.Status {
			t.Errorf("%s: got %s, %v", e.ID, resp.Status, err)
		}
		if diff := cmp.Diff(string(f.Response.Body()), string(body)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", e.ID, diff)
		}
	}
}

func TestAnUpstreamRecordsWhatItReceives(t *testing.T) {
	t.Parallel()
	u := NewUpstream(t, JSON(http.StatusTeapot, `{"a":1}`))
	resp, err := http.Post(u.URL+"/v1/x?y=z", "application/json", strings.NewReader(`{"q":1}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusTeapot || string(body) != `{"a":1}` || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("got %s %s", resp.Status, body)
	}
	r := u.Request(0)
	if r.Method != "POST" || r.Path != "/v1/x" || r.Query != "y=z" || string(r.Body) != `{"q":1}` || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("received %+v", r)
	}
	Wait(t, r.Done, "the end of the answer")
}

func TestAnUpstreamHangsUntilTheClientLeaves(t *testing.T) {
	t.Parallel()
	for _, a := range []Answer{{HangHeaders: true}, {Hang: true, Frames: []Frame{{Data: "data: 1\n\n"}}}, {Gate: make(chan struct{})}} {
		u := NewUpstream(t, a)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			u.Request(0)
			cancel()
		}()
		req, _ := http.NewRequestWithContext(ctx, "GET", u.URL, nil)
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%+v: error = %v, want context.Canceled", a, err)
		}
		Wait(t, u.Request(0).Gone, "the end of the request")
	}
}

func TestAnUpstreamStreamsAndBreaks(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	a := SSE("1", "2")
	a.Frames[1].Gate, a.Cut = gate, true
	u := NewUpstream(t, a)
	resp, err := http.Get(u.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	in := bufio.NewReader(resp.Body)
	if line, err := in.ReadString('\n'); line != "data: 1\n" || err != nil {
		t.Fatalf("first line = %q, %v", line, err)
	}
	close(gate)
	rest, err := io.ReadAll(in)
	if string(rest) != "\ndata: 2\n\n" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("rest = %q, %v, want a cut", rest, err)
	}
}

func TestAnUpstreamTalksGarbage(t *testing.T) {
	t.Parallel()
	u := NewUpstream(t, Answer{Garbage: []byte("SSH-2.0-nonsense\r\n\r\n")})
	if resp, err := http.Get(u.URL); err == nil {
		resp.Body.Close()
		t.Errorf("got %s, want an error", resp.Status)
	}
}
