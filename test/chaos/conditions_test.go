package chaos

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
)

// attempts is how often a request is tried at its only target.
const attempts = 2

// condition is one way in which an exchange with a provider can go.
type condition struct {
	do     func(x *exchange) // once the request has been read; nil: it answers well
	toxic  string            // of the connection, in JSON
	host   string            // where the provider seems to be, in place of its address; see places
	whole  string            // face of what is asked for in one piece, or two with | between; ok: an answer; empty: not asked for
	stream string            // the same of a stream; midway: it breaks after content
	only   string            // the family that can come to it; empty: any
	tries  int               // 0: any
	late   bool              // it is that the provider takes too long
	cuts   bool              // the provider is asked more often than it sees
}

// both is a condition that looks the same whole and streamed, before content.
func both(face string, tries int, do func(x *exchange)) condition {
	return condition{do: do, whole: face, stream: face, tries: tries}
}

// midway breaks after content.
func midway(do func(x *exchange)) condition { return condition{do: do, stream: "midway", tries: 1} }

// late is the same condition, that takes too long.
func late(c condition) condition {
	c.late = true
	return c
}

// link is a provider that answers well over a connection that does not work.
func link(face, toxic string) condition {
	return condition{toxic: toxic, whole: face, stream: face, cuts: true}
}

// nowhere is a provider that cannot be reached.
func nowhere(host string) condition {
	return condition{host: host, whole: "unreachable", stream: "unreachable", cuts: true}
}

var conditions = merged(frames(), map[string]condition{
	"good": both("ok", 1, nil),
	"cut":  {do: func(x *exchange) { x.inChunks() }}, // see TestAnAnswerThatIsCutAnywhere

	// No connection.
	"no-such-name":    nowhere("http://provider.invalid"),
	"refused":         nowhere("refused"),
	"never-connects":  late(nowhere("full")),
	"not-tls":         nowhere("plain"),
	"bad-certificate": nowhere("untrusted"),

	// A connection that breaks, before an answer or within it.
	"reset-at-once":    {host: "resets", whole: "failed|unreachable", stream: "failed|unreachable", cuts: true},
	"reset-on-request": link("failed|unreachable", `{"type":"reset_peer","stream":"upstream","attributes":{"timeout":0}}`),
	"reset-on-answer":  link("failed", `{"type":"reset_peer","stream":"downstream","attributes":{"timeout":0}}`),
	"request-is-lost":  late(link("timeout", `{"type":"timeout","stream":"upstream","attributes":{"timeout":0}}`)),
	"answer-is-lost": late(condition{
		toxic: `{"type":"timeout","stream":"downstream","attributes":{"timeout":0}}`,
		do:    func(x *exchange) { x.good(); x.hang() },
		whole: "timeout", stream: "timeout", tries: 1,
	}),
	"head-drips":         late(link("timeout", `{"type":"slicer","stream":"downstream","attributes":{"average_size":1,"size_variation":0,"delay":20000}}`)),
	"slices":             link("ok", `{"type":"slicer","stream":"downstream","attributes":{"average_size":3,"size_variation":2,"delay":0}}`),
	"closed-after-read":  both("failed", attempts, func(*exchange) {}),
	"reset-after-read":   both("failed", attempts, func(x *exchange) { x.reset() }),
	"closed-in-the-head": both("failed", attempts, func(x *exchange) { x.send("HTTP/1.1 200 OK\r\nContent-Ty") }),
	"hangs":              late(both("timeout", 1, func(x *exchange) { x.hang() })),
	"hangs-in-the-head":  late(both("timeout", 1, func(x *exchange) { x.send("HTTP/1.1 200 OK\r\nContent-Ty"); x.hang() })),
	"hangs-after-head":   late(both("timeout", 1, func(x *exchange) { x.head("200 OK", x.media(), chunked); x.hang() })),
	"hangs-in-the-error": late(both("failed", attempts, func(x *exchange) { x.head("500 Oh", "application/json", "Content-Length: 500"); x.send("{"); x.hang() })),
	"hangs-in-the-body": late(condition{do: func(x *exchange) {
		x.head("200 OK", "application/json", "Content-Length: 5000")
		x.send(x.full("Hello"))
		x.hang()
	}, whole: "timeout", tries: 1}),
	"hangs-before-text": late(condition{do: func(x *exchange) { x.events(); x.hang() }, stream: "timeout", tries: 1}),
	"hangs-midway":      late(midway(func(x *exchange) { x.events("one", "two"); x.hang() })),
	"lost-midway": late(condition{toxic: `{"type":"mute","stream":"downstream"}`, do: func(x *exchange) {
		x.events("one")
		x.repeat(func(int) string { return chunk(x.say(muteWord)) })
	}, stream: "midway", tries: 1}),
	// What was not read is lost with a reset, so that content may not have come.
	"resets-midway":  {do: func(x *exchange) { x.events("one", "two"); x.reset() }, stream: "midway|failed"},
	"closes-midway":  midway(func(x *exchange) { x.events("one", "two") }),
	"ends-midway":    midway(func(x *exchange) { x.events("one", "two"); x.send(last) }),
	"cut-in-a-frame": midway(func(x *exchange) { x.events("one"); x.send(chunk(x.say("two")[:20])) }),
	"cut-in-a-rune":  midway(func(x *exchange) { x.events("one"); x.send(chunk(before(x.say("two 漢"), "漢") + "\xe6\xbc")) }),
	"ends-in-a-rune": midway(func(x *exchange) { x.events("one"); x.send(chunk(before(x.say("two 漢"), "漢")+"\xe6\xbc"), last) }),

	"a-rune-in-two-events": {do: func(x *exchange) { x.inPieces("Hello \xe6\xbc", "\xa2 \xf0\x9f", "\x98\x80!") }, stream: "ok", tries: 1},
	"a-pair-in-two-events": {do: func(x *exchange) { x.inPieces(`Hello \ud83d`, `\ude00!`) }, stream: "ok", tries: 1},

	// It is alive, and says nothing.
	"drips-comments": late(condition{do: func(x *exchange) {
		x.head("200 OK", x.media(), chunked)
		x.drip()
	}, stream: "timeout", tries: 1}),
	"drips-midway": late(midway(func(x *exchange) {
		x.events("one")
		x.drip()
	})),
	"drips-an-event": late(midway(func(x *exchange) {
		x.events("one")
		x.send(chunk(x.opened()))
		x.repeat(func(int) string { return chunk("x") })
	})),
	"drips-a-body": late(condition{do: func(x *exchange) {
		x.head("200 OK", "application/json", chunked)
		x.send(chunk(`{"id":"`))
		x.repeat(func(int) string { return chunk("x") })
	}, whole: "timeout", tries: 1}),

	// Its framing is wrong.
	"shorter-than-said": {do: func(x *exchange) {
		x.head("200 OK", "application/json", "Content-Length: 9999")
		x.send(x.full("Hello"))
	}, whole: "failed", tries: attempts},
	"longer-than-said": {do: func(x *exchange) {
		x.head("200 OK", "application/json", "Content-Length: 20")
		x.send(x.full("Hello"))
	}, whole: "failed", tries: attempts},
	"stream-longer-than-said": midway(func(x *exchange) {
		x.head("200 OK", x.media(), fmt.Sprintf("Content-Length: %d", len(x.begin+x.say("one"))))
		x.send(x.begin, x.say("one"), x.say("two"), x.end)
	}),
	"two-lengths": both("failed", attempts, func(x *exchange) { x.head("200 OK", x.media(), "Content-Length: 5", "Content-Length: 6"); x.send("{}") }),
	"bad-chunks":  both("failed", attempts, func(x *exchange) { x.head("200 OK", x.media(), chunked); x.send("zz\r\n", x.reply("Hello")) }),
	"huge-chunk": both("failed", attempts, func(x *exchange) {
		x.head("200 OK", x.media(), chunked)
		x.send("fffffffffffffffff\r\n", x.reply("Hello"))
	}),
	"bad-chunk-midway": midway(func(x *exchange) { x.events("one"); x.send("zz\r\n") }),
	"not-http":         both("failed", attempts, func(x *exchange) { x.send("SSH-2.0-OpenSSH_9.9\r\n\r\n") }),
	"bad-status":       both("failed", attempts, func(x *exchange) { x.send("HTTP/1.1 2x0 OK\r\n\r\n") }),
	"enormous-headers": both("failed", attempts, func(x *exchange) { x.head("200 OK", x.media(), "X-Much: "+strings.Repeat("x", 1<<20)) }),
	"many-headers": both("failed", attempts, func(x *exchange) {
		x.head("200 OK", x.media(), strings.Repeat("X-Much: xxxxxxxxxxxxxxxx\r\n", 1<<15)+"X: y")
	}),
	"http-1.0": both("ok", 1, func(x *exchange) {
		x.send("HTTP/1.0 200 OK\r\nContent-Type: ", x.media(), "\r\n\r\n", x.reply("Hello"))
	}),
	"http-1.0-cut": {do: func(x *exchange) {
		text := x.full("Hello")
		x.send("HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n", text[:len(text)-9])
	}, whole: "failed", tries: attempts},
	"http-1.0-midway": midway(func(x *exchange) {
		x.send("HTTP/1.0 200 OK\r\nContent-Type: ", x.media(), "\r\n\r\n", x.begin, x.say("one"))
	}),

	// 1xx that nobody asked for.
	"continue":         both("ok", 1, func(x *exchange) { x.send("HTTP/1.1 100 Continue\r\n\r\n"); x.good() }),
	"early-hints":      both("ok", 1, func(x *exchange) { x.send("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"); x.good() }),
	"continues":        late(both("timeout", 1, func(x *exchange) { x.send("HTTP/1.1 100 Continue\r\n\r\n"); x.hang() })),
	"continues-always": both("failed", attempts, func(x *exchange) { x.flood("HTTP/1.1 100 Continue\r\nX: " + strings.Repeat("x", 1000) + "\r\n\r\n") }),
	"switches": both("failed", 0, func(x *exchange) {
		x.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
	}),
	"expects": both("failed", 1, func(x *exchange) { x.body("417 Expectation Failed", "text/plain", "no") }),

	// It says something else.
	"html":         both("failed", attempts, func(x *exchange) { x.body("200 OK", "text/html", page) }),
	"html-as-said": both("failed", attempts, func(x *exchange) { x.body("200 OK", x.media(), page) }),
	"error-in-200": both("failed", attempts, func(x *exchange) { x.body("200 OK", "application/json", x.fail) }),
	"error-event": {do: func(x *exchange) {
		x.head("200 OK", x.media(), chunked)
		x.send(chunk(x.event()), last)
	}, stream: "failed", tries: attempts},
	"error-midway":  midway(func(x *exchange) { x.events("one"); x.send(chunk(x.event()), last) }),
	"whole-as-sse":  {do: func(x *exchange) { x.body("200 OK", x.media(), x.full("Hello")) }, stream: "failed", tries: attempts},
	"events-asked":  {do: func(x *exchange) { x.body("200 OK", "text/plain", x.reply("Hello")) }, stream: "failed", tries: attempts},
	"gzip":          both("failed", attempts, func(x *exchange) { x.body("200 OK", x.media(), zipped(x.reply("Hello")), "Content-Encoding: gzip") }),
	"gzip-unsaid":   both("failed", attempts, func(x *exchange) { x.body("200 OK", x.media(), zipped(x.reply("Hello"))) }),
	"redirect":      both("failed", 1, func(x *exchange) { x.body("302 Found", "text/plain", "", "Location: http://127.0.0.1:1/") }),
	"redirect-back": both("failed", 1, func(x *exchange) { x.body("307 Temporary Redirect", "text/plain", "", "Location: /") }),
	"no-content":    both("failed", attempts, func(x *exchange) { x.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n") }),
	"nothing":       both("failed", attempts, func(x *exchange) { x.body("200 OK", x.media(), "") }),
})

func merged(maps ...map[string]condition) map[string]condition {
	all := map[string]condition{}
	for _, m := range maps {
		for name, c := range m {
			all[name] = c
		}
	}
	return all
}

// before is what stands before a part of s.
func before(s, part string) string {
	head, _, _ := strings.Cut(s, part)
	return head
}

// inChunks answers well, in several chunks.
func (x *exchange) inChunks() {
	x.head("200 OK", x.media(), chunked)
	if !x.stream {
		x.send(chunk(x.full("Hello")), last)
		return
	}
	x.send(chunk(x.begin), chunk(x.say("one")), chunk(x.say("漢字 é 😀")), chunk(x.end), last)
}

// inPieces answers well with a stream whose events hold texts as they are, of which
// each alone need be none.
func (x *exchange) inPieces(texts ...string) {
	x.head("200 OK", x.media(), chunked)
	x.send(chunk(x.begin))
	for _, t := range texts {
		x.send(chunk(x.piece(t)))
	}
	x.send(chunk(x.end), last)
}

// flood repeats bytes until the gateway has gone.
func (x *exchange) flood(s string) {
	for {
		if _, err := x.conn.Write([]byte(s)); err != nil {
			return
		}
	}
}

func zipped(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(s))
	_ = z.Close()
	return b.String()
}
