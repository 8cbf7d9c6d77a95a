package sim

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
)

// Sound is 8 bits, mono, a fortieth of a second for each character.
const (
	samples      = 8000
	perCharacter = samples / 40
)

// speech is a tone as long as the text.
func (x *exchange) speech(a mediaAsk, empty bool) *http.Response {
	var text string
	_ = json.Unmarshal(a.Input, &text) // what is no text is silence
	n := utf8.RuneCountInString(text) * perCharacter
	dst := append([]byte("RIFF"), 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(dst[4:], uint32(36+n))
	dst = append(dst, "WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00"...)
	dst = binary.LittleEndian.AppendUint32(dst, samples)
	dst = binary.LittleEndian.AppendUint32(dst, samples)
	dst = append(dst, "\x01\x00\x08\x00data"...)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(n))
	for i := range n {
		dst = append(dst, byte(96+64*(i/9%2))) // some 440 Hz
	}
	if empty {
		dst = nil
	}
	if a.StreamFormat == "sse" {
		return x.spoken(dst, x.sim.count(text), int64(n/perCharacter))
	}
	var end error = io.EOF
	if x.fault.kind == faultCut || x.fault.kind == faultHangStream {
		dst, end = dst[:len(dst)/2], brokenEnd(x.fault.kind)
	}
	return x.response(http.StatusOK, "audio/wav", &endSource{err: end}, dst)
}

// spoken is the same in events, one of sound and the last.
func (x *exchange) spoken(sound []byte, in, out int64) *http.Response {
	var dst []byte
	if len(sound) > 0 {
		dst = append(quote([]byte("data: {\"type\":\"speech.audio.delta\",\"audio\":"), base64.StdEncoding.EncodeToString(sound)), "}\n\n"...)
	}
	dst = member(dst, "data: {\"type\":\"speech.audio.done\",\"usage\":{\"input_tokens\":", in)
	dst = member(dst, ",\"output_tokens\":", out)
	dst = append(member(dst, ",\"total_tokens\":", in+out), "}}\n\n"...)
	return x.response(http.StatusOK, "text/event-stream", &endSource{err: io.EOF}, dst)
}

// soundTokens are those of a second of sound.
const soundTokens = 10

// heard is what every file says.
const heard = "This is a simulated transcript."

// transcript hears the same in every file.
func (x *exchange) transcript(a mediaAsk) *http.Response {
	seconds := int64(max(a.file/samples, 1))
	usage := append(member([]byte(`{"type":"duration","seconds":`), "", seconds), '}')
	plain := func(s string) *http.Response {
		return sized(x.response(http.StatusOK, "text/plain; charset=utf-8", &endSource{err: io.EOF}, []byte(s)), len(s))
	}
	end := fmt.Sprintf("%02d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
	task := "transcribe"
	if strings.HasSuffix(x.req.URL.Path, "/translations") {
		task = "translate"
	}
	switch {
	case a.Stream && task == "transcribe":
		dst := []byte("data: {\"type\":\"transcript.text.delta\",\"delta\":\"" + heard[:10] + "\"}\n\ndata: {\"type\":\"transcript.text.delta\",\"delta\":\"" + heard[10:] + "\"}\n\n")
		in, out := soundTokens*seconds, x.sim.count(heard) // models that stream count tokens
		dst = fmt.Appendf(dst, "data: {\"type\":\"transcript.text.done\",\"text\":%q,\"usage\":{\"type\":\"tokens\",\"input_tokens\":%d,\"input_token_details\":{\"text_tokens\":0,\"audio_tokens\":%d},\"output_tokens\":%d,\"total_tokens\":%d}}\n\n", heard, in, in, out, in+out)
		return x.response(http.StatusOK, "text/event-stream", &endSource{err: io.EOF}, dst)
	case a.ResponseFormat == "text":
		return plain(heard + "\n")
	case a.ResponseFormat == "srt":
		return plain("1\n00:00:00,000 --> " + end + ",000\n" + heard + "\n\n")
	case a.ResponseFormat == "vtt":
		return plain("WEBVTT\n\n00:00:00.000 --> " + end + ".000\n" + heard + "\n\n")
	case a.ResponseFormat == "verbose_json":
		return x.broken(fmt.Appendf(nil, `{"task":%q,"language":"english","duration":%d,"text":%q,"segments":[],"usage":%s}`, task, seconds, heard, usage), nil)
	case a.ResponseFormat == "diarized_json":
		return x.broken(fmt.Appendf(nil, `{"task":"transcribe","duration":%d,"text":%q,"segments":[{"type":"transcript.text.segment","id":"seg_0","start":0,"end":%d,"text":%q,"speaker":"A"}],"usage":%s}`,
			seconds, heard, seconds, heard, usage), nil)
	}
	return x.broken(fmt.Appendf(nil, `{"text":%q,"usage":%s}`, heard, usage), nil)
}
