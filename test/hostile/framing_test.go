package hostile

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// headers sends headers that are odd, and some that are impossible.
func headers(t *testing.T, w *world) {
	good := chat.hello("good/chat", false)
	for name, lines := range map[string][]string{
		"many":             strings.Split(strings.Repeat("X-Filler: x\n", 400)+"X-Last: x", "\n"),
		"a long one":       {"X-Long: " + strings.Repeat("x", 50_000)},
		"no value":         {"X-Empty:"},
		"tabs":             {"X-Tab:\tx\ty\t"},
		"not ASCII":        {"X-Odd: \xff\xfe ключ"},
		"forged ids":       {"X-Request-ID: mine", "X-Forwarded-For: 1.2.3.4", "X-Pontage-Account: acc_0"},
		"a range":          {"Range: bytes=0-1"},
		"conditions":       {"If-None-Match: *", "If-Modified-Since: nonsense"},
		"an origin":        {"Origin: https://evil.example", "Cookie: a=b"},
		"encodings":        {"Accept-Encoding: gzip, br, zstd"},
		"an override":      {"X-HTTP-Method-Override: DELETE"},
		"impatience":       {"X-Stainless-Retry-Count: 999999999999999999999999"},
		"its own upgrade":  {"Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: x"},
		"an expired h2c":   {"Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"},
		"the body's names": {"Content-Language: tlh", "Content-Disposition: inline"},
	} {
		got, _ := w.raw(t, 1, w.text(chat, good, lines...))
		if len(got) != 1 || got[0].Status != 200 || got[0].ID == "mine" {
			t.Errorf("headers, %s: %+v", name, got)
			continue
		}
		for _, h := range []string{"Set-Cookie", "Server", "X-Powered-By", "Access-Control-Allow-Origin", "Content-Encoding"} {
			if v := got[0].Header.Get(h); v != "" {
				t.Errorf("headers, %s: the answer has %s: %s", name, h, v)
			}
		}
	}
	for id, echoed := range map[string]bool{
		"my-id-1": true, strings.Repeat("x", 128): true, strings.Repeat("x", 129): false, "a b": false, "\xff": false, "<script>": true,
	} {
		got, _ := w.raw(t, 1, w.text(chat, good, "X-Client-Request-Id: "+id))
		if len(got) != 1 || (got[0].Header.Get("X-Client-Request-Id") == id) != echoed {
			t.Errorf("client request id %.20q: %+v, echoed %v", id, got, echoed)
		}
	}
	w.quiet(t, new(big.Int))
}

// framing sends requests whose bounds are in doubt. What HTTP itself refuses is
// answered by the HTTP server, before there is a request: its answers are plain
// text, have no request id and close the connection.
func framing(t *testing.T, w *world) {
	good := chat.hello("good/chat", false)
	auth := "Host: gateway\r\nAuthorization: Bearer " + w.key + "\r\nContent-Type: application/json\r\n"
	start := "POST " + chat.path + " HTTP/1.1\r\n" + auth
	chunk := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(good), good)
	second := "GET /v1/models HTTP/1.1\r\n" + auth + "\r\n"
	for _, c := range []struct {
		name, text string
		status     int
	}{
		{"no HTTP", "hello\r\n\r\n", 400},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400},
		{"HTTP/3.0", "POST / HTTP/3.0\r\n" + auth + "\r\n", 505},
		{"no host", "POST " + chat.path + " HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 400},
		{"two hosts", "POST " + chat.path + " HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
		{"a bad host", "POST " + chat.path + " HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
		{"a folded header", start + "X-Fold: a\r\n b\r\n\r\n", 0},
		{"a space before the colon", start + "Content-Length : 3\r\n\r\nabc", 400},
		{"a NUL in a header", start + "X-Nul: a\x00b\r\n\r\n", 400},
		{"no colon", start + "nonsense\r\n\r\n", 400},
		{"two lengths", start + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400},
		{"a length below zero", start + "Content-Length: -3\r\n\r\n", 400},
		{"a length with a sign", start + "Content-Length: +3\r\n\r\nabc", 400},
		{"a length in hex", start + "Content-Length: 0x3\r\n\r\nabc", 400},
		{"a length beyond all", start + "Content-Length: 99999999999999999999\r\n\r\n", 400},
		{"an encoding nobody knows", start + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
		{"an encoding that is none", start + "Transfer-Encoding: xchunked\r\n\r\n", 501},
		{"too many headers", start + strings.Repeat("X-Filler: "+strings.Repeat("x", 1000)+"\r\n", 100) + "\r\n", 431},
	} {
		conn := w.dial(t)
		_, _ = io.WriteString(conn, c.text)
		_ = conn.CloseWrite()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		switch {
		case err != nil && c.status != 0:
			t.Errorf("framing, %s: %v, want %d", c.name, err, c.status)
		case err == nil && c.status != 0 && (resp.StatusCode != c.status || !resp.Close):
			t.Errorf("framing, %s: %d, closed %v, want %d and closed", c.name, resp.StatusCode, resp.Close, c.status)
		}
		_ = conn.Close()
	}
	// A chunked body that is broken is ours to refuse, and closes the connection.
	for name, body := range map[string]string{
		"a bad size":   "zz\r\n{}\r\n0\r\n\r\n",
		"a huge size":  "ffffffffffffffffff\r\n{}\r\n",
		"no line":      "2\r\n{}xx0\r\n\r\n",
		"cut":          "20\r\n{}",
		"half of size": "2",
	} {
		conn := w.dial(t)
		_, _ = io.WriteString(conn, start+"Transfer-Encoding: chunked\r\n\r\n"+body)
		if name == "cut" || name == "half of size" {
			_ = conn.CloseWrite()
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err == nil {
			r := w.take(t, resp)
			if r.Status != 400 || !resp.Close {
				t.Errorf("chunks, %s: %d %s, closed %v, want 400 and closed", name, r.Status, r.Body, resp.Close)
			}
		}
		_ = conn.Close()
	}
	// Two bounds of one body: proxies may take either, so neither is taken.
	for name, text := range map[string]string{
		"length first":        start + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + second,
		"encoding first":      start + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + chunk + second,
		"length that fits":    start + fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n", len(chunk)) + chunk + second,
		"names in other case": start + "content-LENGTH: 5\r\ntransfer-ENCODING: Chunked\r\n\r\n" + chunk + second,
		"of the second":       second + start + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + second,
	} {
		got, closed := w.raw(t, 3, text)
		first := 0
		if name == "of the second" {
			first = 1
		}
		if len(got) != first+1 || !closed || got[first].Status != 400 {
			t.Errorf("length and encoding, %s: %d answers, closed %v, want a refusal and the end: %+v", name, len(got), closed, got)
		}
	}
	pipelines(t, w, second)
	w.quiet(t, new(big.Int))
}

// pipelines sends several requests at once on one connection.
func pipelines(t *testing.T, w *world, models string) {
	good := chat.hello("good/chat", false)
	bad := chat.hello("none", false)
	got, _ := w.raw(t, 5, w.text(chat, good)+w.text(chat, bad)+models+w.text(messages, messages.hello("good/messages", true))+w.text(chat, good))
	want := []int{200, 404, 200, 200, 200}
	if len(got) != len(want) {
		t.Fatalf("pipeline: %d answers, want %d", len(got), len(want))
	}
	for i, r := range got {
		if r.Status != want[i] {
			t.Errorf("pipeline, answer %d: %d %.200s, want %d", i, r.Status, r.Body, want[i])
		}
	}
	// A refusal that leaves the body unread does not let it become a request.
	body := models + strings.Repeat(" ", 10)
	text := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer wrong\r\nContent-Length: %d\r\n\r\n%s", chat.path, len(body), body)
	if got, _ := w.raw(t, 2, text+models); len(got) > 0 && got[0].Status != 401 || len(got) > 1 && !bytes.Contains(got[1].Body, []byte(`"list"`)) {
		t.Errorf("a body that looks like a request: %+v", got)
	}
}

// leaving is callers who come slowly, or go.
func leaving(t *testing.T, w *world, up *upstream) {
	t.Run("slow bodies", func(t *testing.T) {
		var wg sync.WaitGroup
		for _, s := range surfaces {
			wg.Go(func() { slowBody(t, w, s) })
		}
		wg.Wait()
	})
	t.Run("half a body, then gone", func(t *testing.T) {
		for _, s := range surfaces {
			for _, half := range []bool{false, true} {
				conn := w.dial(t)
				text := w.text(s, s.hello("good/"+s.name, false))
				_, _ = io.WriteString(conn, text[:len(text)-5])
				if half {
					_ = conn.CloseWrite()
					if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
						refused(t, s, "half a body", w.take(t, resp), 400, "", "")
					}
				}
				_ = conn.Close()
			}
		}
	})
	t.Run("headers for ever", func(t *testing.T) {
		t.Parallel()
		conn := w.dial(t)
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\n")
		started := time.Now()
		_ = conn.SetReadDeadline(started.Add(15 * time.Second))
		if _, err := io.ReadAll(conn); err != nil || time.Since(started) > 13*time.Second {
			t.Errorf("a connection without the end of its headers is open after %v: %v", time.Since(started), err)
		}
	})
	for _, s := range speaking {
		for _, stream := range []bool{false, true} {
			t.Run(fmt.Sprintf("before content, %s, stream %v", s.name, stream), func(t *testing.T) {
				goneBeforeContent(t, w, up, s, stream)
			})
		}
		t.Run("midway, "+s.name, func(t *testing.T) { goneMidway(t, w, up, s) })
	}
	t.Run("does not read", func(t *testing.T) { doesNotRead(t, w, up) })
	t.Run("half closed", func(t *testing.T) { halfClosed(t, w, up) })
	w.quiet(t, charges(t, w))
}

// slowBody does not send the last bytes of a body.
func slowBody(t *testing.T, w *world, s surface) {
	conn := w.dial(t)
	defer func() { _ = conn.Close() }()
	text := w.text(s, s.hello("good/"+s.name, false))
	_, _ = io.WriteString(conn, text[:len(text)-5])
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Errorf("%s: %v, want 408", s.name, err)
		return
	}
	refused(t, s, "a slow body", w.take(t, resp), 408, "request_timeout", "")
	if !resp.Close {
		t.Errorf("%s: the connection of a slow body stays open", s.name)
	}
}

// charges sums up what was charged to callers who were not there to be told.
func charges(t *testing.T, w *world) *big.Int {
	sum := new(big.Int)
	eventually(t, func() (bool, string) {
		a := w.gw.AccountNow(t, w.account)
		return nano(t, a.HeldUSD).Sign() == 0, "held: " + a.HeldUSD
	})
	for next := ""; ; {
		var page struct {
			Data []struct {
				ID        string `json:"id"`
				Outcome   string `json:"outcome"`
				ChargeUSD string `json:"charge_usd"`
				HoldUSD   string `json:"hold_usd"`
			} `json:"data"`
			Next *string `json:"next"`
		}
		w.gw.MustAdmin(t, http.MethodGet, "/admin/v1/requests?outcome=client_left&account="+w.account+next, nil, &page)
		for _, r := range page.Data {
			c := nano(t, r.ChargeUSD)
			if c.Cmp(nano(t, r.HoldUSD)) > 0 {
				t.Errorf("%s: charged %s of a hold of %s", r.ID, r.ChargeUSD, r.HoldUSD)
			}
			sum.Add(sum, c)
		}
		if page.Next == nil || *page.Next == "" {
			return sum
		}
		next = "&cursor=" + *page.Next
	}
}

// goneBeforeContent leaves while the provider is silent: its work is cancelled,
// and nothing is charged.
func goneBeforeContent(t *testing.T, w *world, up *upstream, s surface, stream bool) {
	m := "hangs/" + s.name
	up.mu.Lock()
	delete(up.gone, m)
	n := up.seen[m]
	up.mu.Unlock()
	conn := w.dial(t)
	_, _ = io.WriteString(conn, w.text(s, s.hello(m, stream)))
	eventually(t, func() (bool, string) { return up.requests(m) > n, "the provider was not asked" })
	ended := up.ended(m)
	_ = conn.Close()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Error("the provider goes on for a caller who has left")
	}
}

// goneMidway leaves in the middle of a stream.
func goneMidway(t *testing.T, w *world, up *upstream, s surface) {
	m := "endless/" + s.name
	conn := w.dial(t)
	_, _ = io.WriteString(conn, w.text(s, s.hello(m, true)))
	buf := make([]byte, 64<<10)
	if n, err := io.ReadFull(conn, buf); err != nil {
		t.Fatalf("after %d bytes: %v", n, err)
	}
	_ = conn.Close()
	select {
	case <-up.ended(m):
	case <-time.After(5 * time.Second):
		t.Error("the provider goes on for a caller who has left")
	}
}

// doesNotRead asks for an endless answer and reads none of it: the provider is
// not read either, and memory does not grow.
func doesNotRead(t *testing.T, w *world, up *upstream) {
	const m = "endless/flood"
	conn := w.dial(t)
	_ = conn.SetReadBuffer(4 << 10)
	_, _ = io.WriteString(conn, w.text(chat, chat.hello(m, true)))
	wrote := func() int {
		up.mu.Lock()
		defer up.mu.Unlock()
		return up.wrote[m]
	}
	last, since := 0, time.Now()
	eventually(t, func() (bool, string) {
		if n := wrote(); n != last || n == 0 {
			last, since = n, time.Now()
		}
		return time.Since(since) > 400*time.Millisecond, fmt.Sprintf("the provider still writes, %d bytes so far", last)
	})
	if last > 32<<20 {
		t.Errorf("%d MiB were taken for a caller who reads nothing", last>>20)
	}
	_ = conn.Close()
	select {
	case <-up.ended(m):
	case <-time.After(5 * time.Second):
		t.Error("the provider goes on for a caller who has left")
	}
}

// halfClosed is a caller who sends its request and then shuts its side of the
// connection. The HTTP server cannot tell that from one who has left: there is
// an answer or the end of the connection, and soon.
func halfClosed(t *testing.T, w *world, _ *upstream) {
	for _, s := range speaking {
		for _, stream := range []bool{false, true} {
			conn := w.dial(t)
			_, _ = io.WriteString(conn, w.text(s, s.hello("good/"+s.name, stream)))
			_ = conn.CloseWrite()
			_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
			b, err := io.ReadAll(conn)
			if err != nil {
				t.Errorf("%s: %v after %.200q", s.name, err, b)
			}
			t.Logf("%s, stream %v: %d bytes of an answer", s.name, stream, len(b))
			if resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(b)), nil); err == nil {
				r := w.take(t, resp)
				if r.Status != 200 {
					t.Errorf("%s: %d %s", s.name, r.Status, r.Body)
				}
			}
			_ = conn.Close()
		}
	}
}

// protocols is HTTP/1.0, HTTP/2 without TLS, and 100-continue.
func protocols(t *testing.T, w *world) {
	t.Run("HTTP/1.0", func(t *testing.T) {
		for _, stream := range []bool{false, true} {
			text := strings.Replace(w.text(chat, chat.hello("good/chat", stream)), " HTTP/1.1", " HTTP/1.0", 1)
			got, closed := w.raw(t, 2, text)
			if len(got) != 1 || got[0].Status != 200 || !closed || got[0].Header.Get("Trailer") != "" || stream && !finished(chat, got[0].Body) {
				t.Errorf("stream %v: %+v, closed %v", stream, got, closed)
			}
			if len(got) == 1 && stream { // no trailer can tell
				w.mu.Lock()
				w.paid.Add(w.paid, big.NewInt(14_000))
				w.mu.Unlock()
			}
		}
	})
	t.Run("HTTP/2", func(t *testing.T) { http2(t, w) })
	t.Run("100-continue", func(t *testing.T) { expect(t, w) })
	w.quiet(t, charges(t, w))
}

func http2(t *testing.T, w *world) {
	var p http.Protocols
	p.SetUnencryptedHTTP2(true)
	tr := &http.Transport{Protocols: &p}
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr, Timeout: 10 * time.Second}
	post := func(s surface, body, key string) reply {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, w.gw.URL+s.path, strings.NewReader(body))
		req.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + key}}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.ProtoMajor != 2 {
			t.Errorf("%s was answered by %s", s.name, resp.Proto)
		}
		return w.take(t, resp)
	}
	for _, s := range speaking {
		for _, stream := range []bool{false, true} {
			r := post(s, s.hello("good/"+s.name, stream), w.key)
			if r.Status != 200 || r.Err != nil || r.charged(t).Sign() <= 0 || stream && !finished(s, r.Body) {
				t.Errorf("%s, stream %v: %d %v charged %v", s.name, stream, r.Status, r.Err, r.charged(t))
			}
		}
		refused(t, s, "HTTP/2, half", post(s, "{", w.key), 400, "invalid_json", "")
		refused(t, s, "HTTP/2, too large", post(s, "{"+strings.Repeat(" ", bodyLimit), w.key), 413, "request_too_large", "")
		refused(t, s, "HTTP/2, wrong key", post(s, "{}", "wrong"), 401, "invalid_api_key", "")
	}
}

// expect asks before it sends a body: who is refused need not send it.
func expect(t *testing.T, w *world) {
	ask := func(s surface, key string, length int) (string, *bufio.Reader, io.ReadWriteCloser) {
		conn := w.dial(t)
		_, _ = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", s.path, key, length)
		in := bufio.NewReader(conn)
		line, err := in.Peek(12)
		if err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
		return string(line), in, conn
	}
	for _, s := range surfaces {
		for _, c := range []struct {
			key    string
			length int
			want   int
			code   string
		}{{"wrong", 100, 401, "invalid_api_key"}, {w.key, bodyLimit + 1, 413, "request_too_large"}} {
			line, in, conn := ask(s, c.key, c.length)
			if line != fmt.Sprintf("HTTP/1.1 %d", c.want) {
				t.Errorf("%s: %s, want %d without a body", s.name, line, c.want)
			}
			if resp, err := http.ReadResponse(in, nil); err == nil {
				refused(t, s, "asked before", w.take(t, resp), c.want, c.code, "")
			}
			_ = conn.Close()
		}
		good := s.hello("good/"+s.name, false)
		line, in, conn := ask(s, w.key, len(good))
		if line != "HTTP/1.1 100" {
			t.Errorf("%s: %s, want 100", s.name, line)
		}
		_, _ = io.WriteString(conn, good)
		_, _ = in.ReadString('\n') // 100 Continue and its blank line
		_, _ = in.ReadString('\n')
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Errorf("%s: %v", s.name, err)
			continue
		}
		if r := w.take(t, resp); r.Status != 200 {
			t.Errorf("%s: %d %s", s.name, r.Status, r.Body)
		}
		_ = conn.Close()
	}
}
