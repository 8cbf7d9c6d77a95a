package rows

import (
	"bufio"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// late sends the headers of a request and only a part of its body, in one go or
// a byte each drip, and expects the row's answer while it is still sending.
func (p *proof) late(c caller, path, how, part string, drip time.Duration) {
	p.Helper()
	const length = 500
	before := c.ledger(p)
	conn, err := net.Dial("tcp", strings.TrimPrefix(c.gw.URL, "http://"))
	if err != nil {
		p.Fatalf("%v", err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		p.Fatalf("%v", err)
	}
	host := c.host
	if host == "" {
		host = conn.RemoteAddr().String()
	}
	a := &answer{sent: time.Now(), request: shownRequest{
		Method: "POST", URL: c.gw.URL + path,
		Headers: p.world.report.headers(http.Header{
			"Authorization": {"Bearer " + c.key.Key}, "Content-Type": {"application/json"}, "Content-Length": {fmt.Sprint(length)}, "Host": {host},
		}),
		Body: part,
	}}
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
		path, host, c.key.Key, length)
	if err != nil {
		p.Fatalf("%v", err)
	}
	go trickle(conn, part, drip)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		p.Fatalf("%s: no answer after %v: %v", how, time.Since(a.sent), err)
	}
	defer func() { _ = resp.Body.Close() }()
	p.read(a, resp)
	a.ledger = &ledgers{Before: before, After: c.ledger(p)}
	if *a.ledger.Before != *a.ledger.After {
		p.Errorf("%s: it was to be free: %+v became %+v", how, *a.ledger.Before, *a.ledger.After)
	}
	p.holds(a)
	took := a.came.Sub(a.sent)
	if took < time.Second || took > 6*time.Second {
		p.Errorf("%s: the answer came after %v, and not after body_timeout", how, took)
	}
	if !resp.Close {
		p.Errorf("%s: the connection is to be used again, though a body may still come", how)
	}
	p.note("%s: answered after %d ms", how, took.Milliseconds())
}

// trickle writes part, in one go or byte by byte for ever, until the connection
// is closed.
func trickle(w io.Writer, part string, drip time.Duration) {
	if drip == 0 {
		_, _ = io.WriteString(w, part)
		return
	}
	tick := time.NewTicker(drip)
	defer tick.Stop()
	for i := 0; ; i = (i + 1) % len(part) {
		if _, err := io.WriteString(w, part[i:i+1]); err != nil {
			return
		}
		<-tick.C
	}
}

// wellFormed gives a text that looks like a key the checksum of one, so that it
// can only be told from a key by looking it up.
func wellFormed(text string) string {
	const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	n := crc32.ChecksumIEEE([]byte(text))
	sum := make([]byte, 6)
	for i := len(sum) - 1; i >= 0; i-- {
		sum[i] = base62[n%62]
		n /= 62
	}
	return text + string(sum)
}
