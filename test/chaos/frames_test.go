package chaos

import (
	"encoding/binary"
	"hash/crc32"
	"maps"
	"strings"
)

// packed writes one frame of AWS's event streams: how long it is, how long its
// headers are, a checksum of both, the headers, the payload, and a checksum of
// all that.
func packed(headers, payload string) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(16+len(headers)+len(payload)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(headers)))
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	b = append(append(b, headers...), payload...)
	return string(binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b)))
}

// tags writes headers of a frame that are texts, from names and values in turn.
func tags(pairs ...string) string {
	var b []byte
	for i := 0; i < len(pairs); i += 2 {
		b = append(append(b, byte(len(pairs[i]))), pairs[i]...)
		b = append(b, 7) // a text
		b = binary.BigEndian.AppendUint16(b, uint16(len(pairs[i+1])))
		b = append(b, pairs[i+1]...)
	}
	return string(b)
}

// framed is the frame of an event.
func framed(name, payload string) string {
	return packed(tags(":event-type", name, ":content-type", "application/json", ":message-type", "event"), payload)
}

// thrown is the frame of an exception.
func thrown(name, payload string) string {
	return packed(tags(":exception-type", name, ":content-type", "application/json", ":message-type", "exception"), payload)
}

// spoiled is s with one byte that is not what was sent, counted from the end if
// at is below zero.
func spoiled(s string, at int) string {
	b := []byte(s)
	b[(at+len(b))%len(b)] ^= 1
	return string(b)
}

// sized is a frame that says that it has n bytes, with the right checksum of that.
func sized(n uint32) string {
	b := binary.BigEndian.AppendUint32(nil, n)
	b = binary.BigEndian.AppendUint32(b, 40)
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return string(b) + strings.Repeat("\x00", 100)
}

// exceptions are what a stream can throw, with the face of each before content,
// and how often the request is tried.
var exceptions = map[string]struct {
	face  string
	tries int
}{
	"internalServerException":     {"failed", attempts},
	"modelStreamErrorException":   {"failed", attempts},
	"throttlingException":         {"rate", attempts},
	"serviceUnavailableException": {"overloaded", attempts},
	"modelTimeoutException":       {"timeout", 1},
	"validationException":         {"invalid", 1},
	"somethingNewException":       {"failed", attempts},
}

// frames are conditions that only streams of AWS's frames can be in: what is
// wrong comes in place of content, and behind some.
func frames() map[string]condition {
	all := map[string]condition{}
	add := func(name, face string, tries int, bad string) {
		all["frame-"+name] = condition{only: "bedrock", stream: face, tries: tries, do: func(x *exchange) {
			x.events()
			x.send(chunk(bad), last)
		}}
		all["frame-"+name+"-midway"] = condition{only: "bedrock", stream: "midway", tries: 1, do: func(x *exchange) {
			x.events("one")
			x.send(chunk(bad), last)
		}}
	}
	text := framed("contentBlockDelta", `{"contentBlockIndex":0,"delta":{"text":"two"}}`)
	for name, bad := range map[string]string{
		"cut-in-its-length":       text[:3],
		"cut-in-the-prelude":      text[:10],
		"cut-in-the-headers":      text[:30],
		"cut-in-the-checksum":     text[:len(text)-1],
		"wrong-checksum":          spoiled(text, -1),
		"wrong-byte":              spoiled(text, -9),
		"wrong-prelude-checksum":  spoiled(text, 11),
		"wrong-length":            spoiled(text, 3),
		"wrong-headers-length":    spoiled(text, 7),
		"wrong-header":            spoiled(text, 13),
		"giant":                   sized(0xffffffff),
		"25-mib":                  sized(25 << 20),
		"23-mib-that-do-not-come": sized(23 << 20),
		"too-short":               sized(15),
		"headers-beyond-it":       sized(50),
		"no-json":                 framed("contentBlockDelta", `{"delta":`),
		"no-object":               framed("contentBlockDelta", `"two"`),
		"nothing-in-it":           framed("contentBlockDelta", ""),
		"of-no-kind":              packed(tags(":event-type", "contentBlockDelta", ":message-type", "rumour"), `{"delta":{"text":"two"}}`),
		"without-headers":         packed("", `{"delta":{"text":"two"}}`),
		"server-sent":             "data: {}\n\n",
	} {
		add(name, "failed", attempts, bad)
	}
	for name, x := range exceptions {
		add(name, x.face, x.tries, thrown(name, `{"message":"words of the provider"}`))
	}
	add("exception-without-payload", "failed", attempts, thrown("internalServerException", ""))
	add("error", "failed", attempts, packed(tags(":message-type", "error", ":error-code", "InternalFailure", ":error-message", "words of the provider"), ""))
	maps.Copy(all, map[string]condition{
		"frames-of-unknown-events": {only: "bedrock", stream: "ok", tries: 1, do: func(x *exchange) {
			odd := framed("initial-response", "") + framed("somethingNew", `{"stopReason":"max_tokens","usage":{"inputTokens":7}}`) +
				framed("somethingNew", "no JSON") + packed(tags(":event-type", "audio", ":content-type", "application/octet-stream", ":message-type", "event"), "\x00\xff")
			x.head("200 OK", x.media(), chunked)
			x.send(chunk(odd+x.begin+odd+x.say("Hello")+odd+x.end), last)
		}},
		"frames-byte-by-byte": {only: "bedrock", stream: "ok", tries: 1, do: func(x *exchange) {
			x.head("200 OK", x.media(), chunked)
			for _, b := range []byte(x.reply("Hello")) {
				x.send(chunk(string([]byte{b})))
			}
			x.send(last)
		}},
		"frames-of-a-mebibyte": {only: "bedrock", stream: "ok", tries: 1, do: func(x *exchange) {
			x.head("200 OK", x.media(), chunked)
			x.send(chunk(x.begin+framed("somethingNew", `{"p":"`+strings.Repeat("x", 1<<20)+`"}`)+x.say("Hello")+x.end), last)
		}},
		"frames-of-unknown-events-for-ever": late(condition{only: "bedrock", stream: "timeout", tries: 1, do: func(x *exchange) {
			x.events()
			x.repeat(func(int) string { return chunk(framed("somethingNew", "{}")) })
		}}),
	})
	return all
}
