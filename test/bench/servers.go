//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"
)

const chunk = `data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1790000000,"model":"bench","choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}]}` + "\n\n"

const (
	streamStart = `data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1790000000,"model":"bench","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}` + "\n\n"
	streamEnd   = `data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1790000000,"model":"bench","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n" +
		`data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1790000000,"model":"bench","choices":[],"usage":{"prompt_tokens":250,"completion_tokens":50,"total_tokens":300}}` + "\n\n" +
		"data: [DONE]\n\n"
	whole = `{"id":"chatcmpl-bench","object":"chat.completion","created":1790000000,"model":"bench","choices":[{"index":0,"message":{"role":"assistant","content":"%s","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":250,"completion_tokens":50,"total_tokens":300}}`
)

// events is how many events with content a stream of the upstream has.
const events = 50

// serveUpstream answers chat completions at once: whole answers of about 1 KB,
// or streams. A request whose prompt starts with "hold" gets a first event and
// then silence, until the client leaves; one that starts with "pace", see sendPaced.
func serveUpstream(addr string) error {
	answer := fmt.Appendf(nil, whole, strings.Repeat("word ", 150))
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if !bytes.Contains(body, []byte(`"stream":true`)) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(answer)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		rc := http.NewResponseController(w)
		send := func(s string) {
			_, _ = io.WriteString(w, s)
			_ = rc.Flush()
		}
		send(streamStart)
		if bytes.Contains(body, []byte(`"pace `)) {
			sendPaced(body, send)
			send(streamEnd)
			return
		}
		send(chunk)
		if bytes.Contains(body, []byte(`"hold `)) {
			<-r.Context().Done()
			return
		}
		for range events - 1 {
			send(chunk)
		}
		send(streamEnd)
	})
	return (&http.Server{Addr: addr, Handler: h, ReadHeaderTimeout: 10 * time.Second}).ListenAndServe()
}

// serveProxy is the yardstick: a key check and httputil.ReverseProxy.
func serveProxy(addr, target string) error {
	u, err := url.Parse(target)
	if err != nil {
		return err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 10_000
	transport.MaxIdleConns = 10_000
	transport.DisableCompression = true
	rp := &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: -1,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(u)
			p.Out.Header.Set("Authorization", "Bearer upstream")
		},
	}
	keys := map[string]bool{"Bearer " + proxyKey: true}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !keys[r.Header.Get("Authorization")] {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		rp.ServeHTTP(w, r)
	})
	return (&http.Server{Addr: addr, Handler: h, ReadHeaderTimeout: 10 * time.Second}).ListenAndServe()
}

const proxyKey = "bench-key"
