package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/config"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/provider"
	"github.com/pontage/pontage/internal/provider/bedrock"
	"github.com/pontage/pontage/internal/provider/gemini"
	"github.com/pontage/pontage/internal/provider/openai"
	"github.com/pontage/pontage/internal/testkit"
)

// listening counts connections to an address that no caller may reach.
func listening(t *testing.T) (address string, hits *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	hits = new(atomic.Int32)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			hits.Add(1)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String(), hits
}

const seeing = `{"model":"m","max_tokens":50,"messages":[{"role":"user","content":[{"type":"text","text":"see"},{"type":"image_url","image_url":{"url":"%s"}}]}]}`

// TestImagesAreFetchedOnlyIfTheOperatorSaysSo has the gateway between a caller who
// names images and a provider that takes none by their names: everything that
// cannot be had is refused, named, and free.
func TestImagesAreFetchedOnlyIfTheOperatorSaysSo(t *testing.T) {
	t.Parallel()
	address, hits := listening(t)
	for _, c := range []struct{ egress, url, code, words string }{
		{"", "https://files.example/a.png", "unsupported_parameter", "send the bytes as a data URL"},
		{"egress: {images: on}\n", "https://127.0.0.1/a.png", "invalid", "cannot be fetched"},
		{"egress: {images: on}\n", "https://[::ffff:169.254.169.254]/a.png", "invalid", "cannot be fetched"},
		{"egress: {images: on}\n", "https://" + address + "/a.png", "invalid", "port"},
		{"egress: {images: on}\n", "http://" + address + "/a.png", "invalid", "use https"},
		{"egress: {images: on, allow_hosts: [\"*.example.com\"]}\n", "https://files.example/a.png", "invalid", "host"},
	} {
		b := standOn(t, c.egress+strings.Replace(onBedrock, "us.x.model", "us.y.model", 1)) // of its own health
		resp, got := b.post(t, chatPath, fmt.Sprintf(seeing, c.url))
		var e struct {
			Error struct{ Code, Param, Message string }
		}
		if err := json.Unmarshal([]byte(got), &e); err != nil || resp.StatusCode != 400 || !strings.HasPrefix(e.Error.Code, c.code) ||
			e.Error.Param != "messages.0.content.1" || !strings.Contains(e.Error.Message, c.words) {
			t.Errorf("%s %s: %d %s", c.egress, c.url, resp.StatusCode, got)
		}
		if n := len(b.first.Received()) + len(b.second.Received()); n != 0 {
			t.Errorf("%s %s: %d requests went out", c.egress, c.url, n)
		}
		if free := b.ledger.Balance(int64(b.acc.ID)); free.Held != 0 || free.Posted != money.Dollar {
			t.Errorf("%s %s: %+v", c.egress, c.url, free)
		}
	}
	if n := hits.Load(); n != 0 {
		t.Errorf("the machine at home was reached %d times", n)
	}
}

// fetches stands for the one client that fetches.
type fetches struct{ n int }

func (f *fetches) Inline(_ context.Context, c *llm.Chat, needs func(*llm.Part) bool) (*llm.Chat, error) {
	f.n++
	p := c.Messages[0].Parts[1]
	if !needs(&p) {
		return nil, fault.New(fault.Internal, "")
	}
	p.URL, p.MediaType, p.Data = "", "image/png", "iVBORw=="
	return &llm.Chat{Messages: []llm.Message{{Role: llm.RoleUser, Parts: []llm.Part{c.Messages[0].Parts[0], p}}}}, nil
}

// TestFetchedImagesGoToEveryTargetInBytes has a first region that fails: the
// second is sent what was fetched for it.
func TestFetchedImagesGoToEveryTargetInBytes(t *testing.T) {
	t.Parallel()
	b := standOn(t, "egress: {images: on}\n"+onBedrock)
	f := &fetches{}
	for _, list := range b.current.Load().plans.Targets {
		for _, target := range list {
			target.Fetch = f
		}
	}
	b.first.Queue(testkit.JSON(500, `{"message":"x"}`))
	b.second.Queue(testkit.JSON(200, `{"output":{"message":{"role":"assistant","content":[{"text":"a cat"}]}},"stopReason":"end_turn","usage":{"inputTokens":5,"outputTokens":3,"totalTokens":8}}`))
	resp, got := b.post(t, chatPath, fmt.Sprintf(seeing, "https://files.example/a.png"))
	if resp.StatusCode != 200 || !strings.Contains(got, "a cat") {
		t.Errorf("%d %s", resp.StatusCode, got)
	}
	const want = `{"image":{"format":"png","source":{"bytes":"iVBORw=="}}}`
	for _, u := range []*testkit.Upstream{b.first, b.second} {
		if body := string(u.Request(0).Body); !strings.Contains(body, want) || strings.Contains(body, "files.example") {
			t.Errorf("sent %s", body)
		}
	}
	if f.n != 1 {
		t.Errorf("fetched %d times", f.n)
	}
}

// TestNobodyFetchesByDefault has what a configuration without the section makes.
func TestNobodyFetchesByDefault(t *testing.T) {
	t.Parallel()
	if f := fetcher(config.Egress{}); f != nil {
		t.Errorf("%T fetches", f)
	}
	if f := fetcher(config.Egress{Images: "off"}); f != nil {
		t.Errorf("%T fetches", f)
	}
}

// TestNoCallerChoosesAnUpstream tries the ways in which callers of other gateways
// have sent a request, with the operator's key, to a server of their own.
func TestNoCallerChoosesAnUpstream(t *testing.T) {
	t.Parallel()
	address, hits := listening(t)
	evil := "http://" + address
	answer := testkit.JSON(200, fromOther)
	b := stand(t)
	b.first.Always(answer)
	b.second.Always(answer)
	for _, members := range []string{
		`"base_url":"` + evil + `"`, `"api_base":"` + evil + `"`, `"api_url":"` + evil + `"`, `"endpoint":"` + evil + `"`, `"url":"` + evil + `"`,
		`"provider":{"base_url":"` + evil + `"}`, `"provider":"` + evil + `"`, `"extra_body":{"base_url":"` + evil + `"}`, `"litellm_params":{"api_base":"` + evil + `"}`,
		`"proxy":"` + evil + `"`, `"aws_bedrock_runtime_endpoint":"` + evil + `"`, `"fallbacks":[{"model":"m","api_base":"` + evil + `"}]`, `"user_config":{"model_list":[{"api_base":"` + evil + `"}]}`,
	} {
		b.post(t, chatPath, `{"model":"m","messages":[{"role":"user","content":"hi"}],`+members+`}`)
	}
	for _, model := range []string{
		evil, evil + "/m", "openai/" + evil, "m?base_url=" + evil, "//" + address + "/m", "m@" + address, "../../../m", "..", "m/../../x", `m\u002f..\u002f..`, "http:" + address,
	} {
		if resp, got := b.post(t, chatPath, `{"model":"`+model+`","messages":[{"role":"user","content":"hi"}]}`); resp.StatusCode < 400 {
			t.Errorf("model %s: %d %s", model, resp.StatusCode, got)
		}
	}
	for _, name := range []string{
		"X-Base-Url", "X-Api-Base", "X-Upstream", "X-Upstream-Url", "X-Target-Url", "X-Forwarded-Host", "X-Original-Url", "X-Rewrite-Url", "X-Portkey-Custom-Host", "X-Proxy-Url",
		"Helicone-Target-Url", "Helicone-OpenAI-Api-Base", "Forwarded",
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+b.Addr()+chatPath, strings.NewReader(plain))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+b.key)
		req.Header.Set(name, evil)
		tr := &http.Transport{}
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		tr.CloseIdleConnections()
		if resp.StatusCode != 200 {
			t.Errorf("%s: %d", name, resp.StatusCode)
		}
	}
	if n := hits.Load(); n != 0 {
		t.Errorf("a caller has sent the gateway to a server of its own %d times", n)
	}
	for _, r := range append(b.first.Received(), b.second.Received()...) {
		if r.Path != chatPath {
			t.Errorf("a caller has chosen the path %s", r.Path)
		}
		for name, v := range r.Header {
			if strings.Contains(strings.Join(v, " "), address) {
				t.Errorf("a caller's %s was passed on", name)
			}
		}
	}
}

// TestAModelIsOneSegmentOfAPath has names of models that would lead elsewhere, at
// every provider that has them in its paths.
func TestAModelIsOneSegmentOfAPath(t *testing.T) {
	t.Parallel()
	paths := make(chan string, 1) // as they stood in the request
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		paths <- r.RequestURI
		w.WriteHeader(http.StatusTeapot)
	}))
	defer srv.Close()
	tr := provider.NewTransport(5 * time.Second)
	defer tr.CloseIdleConnections()
	azure, _ := speaksOpenAI(openai.Options{Name: "a", BaseURL: srv.URL + "/openai?api-version=2024-10-21", Vendor: "azure", Transport: tr})
	for name, c := range map[string]struct {
		p             provider.Provider
		before, after string
	}{
		"azure":   {azure, "/openai/deployments/", "/chat/completions?api-version=2024-10-21"},
		"bedrock": {bedrock.New(bedrock.Options{Name: "b", Region: "us-east-1", BaseURL: srv.URL, Transport: tr}), "/model/", "/converse"},
		"gemini":  {gemini.New(gemini.Options{Name: "g", BaseURL: srv.URL + "/v1beta", Transport: tr}), "/v1beta/models/", ":generateContent"},
		"vertex": {
			gemini.New(gemini.Options{Name: "v", BaseURL: srv.URL, Vertex: &gemini.Vertex{Project: "p", Location: "l"}, Transport: tr}),
			"/projects/p/locations/l/publishers/google/models/", ":generateContent",
		},
	} {
		for _, model := range []string{"../../../admin", "..", ".", "m/../../x", "m?key=1", "m#x", "m%2f..%2fx", "//evil.example/m", "http://evil.example/", "m:countTokens?x=", "@evil.example"} {
			_, err := c.p.Open(t.Context(), provider.Call{Request: calling(t, llm.OpenAIChat), Model: model, Key: "k"})
			if err == nil {
				t.Fatalf("%s, %s: it is a teapot", name, model)
			}
			select {
			case got := <-paths:
				_, rest, found := strings.Cut(got, c.before)
				segment, ok := strings.CutSuffix(rest, c.after)
				if !found || !ok || segment == "" || segment == "." || segment == ".." || strings.ContainsAny(segment, "/?#") {
					t.Errorf("%s, %s: went to %s", name, model, got)
				}
			default: // refused before anything was sent, which is as well
			}
		}
	}
}
