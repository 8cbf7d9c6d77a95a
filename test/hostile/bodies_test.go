package hostile

import (
	"bytes"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strings"
	"testing"
)

// syntax is wrong whatever is asked.
func syntax(good string) []bad {
	deep := strings.Repeat(`[`, 100_000) + strings.Repeat(`]`, 100_000)
	return []bad{
		{"nothing", "", "invalid_json", ""},
		{"space", " \n ", "invalid_json", ""},
		{"half", good[:len(good)/2], "invalid_json", ""},
		{"all but the brace", good[:len(good)-1], "invalid_json", ""},
		{"twice", good + good, "invalid_json", ""},
		{"rest", good + "x", "invalid_json", ""},
		{"a list", `[` + good + `]`, "invalid_json", ""},
		{"a text", `"hello"`, "invalid_json", ""},
		{"a number", `42`, "invalid_json", ""},
		{"null", `null`, "invalid_json", ""},
		{"not JSON", `model=good&messages=hello`, "invalid_json", ""},
		{"single quotes", strings.ReplaceAll(good, `"`, `'`), "invalid_json", ""},
		{"a comment", "/* hello */" + good, "invalid_json", ""},
		{"a comma more", good[:len(good)-1] + ",}", "invalid_json", ""},
		{"a name twice", good[:len(good)-1] + `,"model":"other"}`, "invalid_json", ""},
		{"a name twice, escaped", good[:len(good)-1] + `,"mode\u006c":"other"}`, "invalid_json", ""},
		{"a name twice, within", good[:len(good)-1] + `,"metadata":{"a":1,"a":2}}`, "invalid_json", ""},
		{"100,000 lists deep", good[:len(good)-1] + `,"metadata":` + deep + `}`, "invalid_json", ""},
		{"100,000 objects deep", good[:len(good)-1] + `,"metadata":` + strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat(`}`, 100_000) + `}`, "invalid_json", ""},
		{"open lists", strings.Repeat(`[`, 900_000), "invalid_json", ""},
		{"open objects", strings.Repeat(`{"a":`, 150_000), "invalid_json", ""},
		{"not UTF-8", strings.Replace(good, "Hello", "He\xff\xfello", 1), "invalid_json", ""},
		{"overlong UTF-8", strings.Replace(good, "Hello", "\xc0\x80", 1), "invalid_json", ""},
		{"half a character", strings.Replace(good, "Hello", "\xe2\x82", 1), "invalid_json", ""},
		{"UTF-8 of a surrogate", strings.Replace(good, "Hello", "\xed\xa0\x80", 1), "invalid_json", ""},
		{"a control character", strings.Replace(good, "Hello", "He\x01llo", 1), "invalid_json", ""},
		{"a NUL", good[:10] + "\x00" + good[10:], "invalid_json", ""},
		{"a bad escape", strings.Replace(good, "Hello", `\q`, 1), "invalid_json", ""},
		{"UTF-16", string(append([]byte{0xff, 0xfe}, []byte("{\x00}\x00")...)), "invalid_json", ""},
		{"NaN", good[:len(good)-1] + `,"temperature":NaN}`, "invalid_json", ""},
		{"a number with a zero", good[:len(good)-1] + `,"temperature":01}`, "invalid_json", ""},
		{"empty object", `{}`, "", ""},
	}
}

// fields are wrong members, by surface: what replaces or is added to a good
// request, and the parameter that the refusal must name.
var fields = map[string][]struct{ name, value, at string }{
	"chat": {
		{"model", `7`, "model"},
		{"model", `""`, "model"},
		{"model", `null`, "model"},
		{"model", `"` + strings.Repeat("m", 5000) + `"`, "model"},
		{"messages", `null`, "messages"},
		{"messages", `[]`, "messages"},
		{"messages", `{}`, "messages"},
		{"messages", `"Hello"`, "messages"},
		{"messages", `[7]`, "messages.0"},
		{"messages", `[[]]`, "messages.0"},
		{"messages", `[{"content":"x"}]`, "messages.0.role"},
		{"messages", `[{"role":"alien","content":"x"}]`, "messages.0.role"},
		{"messages", `[{"role":7,"content":"x"}]`, "messages.0.role"},
		{"messages", `[{"role":"user"}]`, "messages.0.content"},
		{"messages", `[{"role":"user","content":7}]`, "messages.0.content"},
		{"messages", `[{"role":"user","content":[]}]`, "messages.0.content"},
		{"messages", `[{"role":"user","content":[{"type":"text"}]}]`, "messages.0.content.0.text"},
		{"messages", `[{"role":"user","content":[{"type":"image_url","image_url":{}}]}]`, "messages.0.content.0.image_url.url"},
		{"messages", `[{"role":"tool","content":"x"}]`, "messages.0.tool_call_id"},
		{"temperature", `"hot"`, "temperature"},
		{"temperature", `3`, "temperature"},
		{"temperature", `-1`, "temperature"},
		{"temperature", `1e999`, "temperature"},
		{"top_p", `2`, "top_p"},
		{"max_tokens", `0`, "max_tokens"},
		{"max_tokens", `-1`, "max_tokens"},
		{"max_tokens", `1.5`, "max_tokens"},
		{"max_tokens", `"many"`, "max_tokens"},
		{"max_tokens", `99999999999999999999`, "max_tokens"},
		{"stream", `"yes"`, "stream"},
		{"stream", `1`, "stream"},
		{"stream_options", `7`, "stream_options"},
		{"n", `0`, "n"},
		{"n", `1000`, "n"},
		{"stop", `7`, "stop"},
		{"stop", `["a","b","c","d","e"]`, "stop"},
		{"stop", `[1]`, "stop.0"},
		{"tools", `{}`, "tools"},
		{"tools", `[7]`, "tools.0"},
		{"tools", `[{"type":"function"}]`, "tools.0.function"},
		{"tools", `[{"type":"function","function":{}}]`, "tools.0.function.name"},
		{"tools", `[{"type":"function","function":{"name":"bad name!"}}]`, "tools.0.function.name"},
		{"tool_choice", `7`, "tool_choice"},
		{"response_format", `"json"`, "response_format"},
		{"response_format", `{"type":"yaml"}`, "response_format.type"},
		{"response_format", `{"type":"json_schema"}`, "response_format.json_schema"},
		{"top_logprobs", `50`, "top_logprobs"},
		{"logit_bias", `[]`, "logit_bias"},
		{"frequency_penalty", `9`, "frequency_penalty"},
		{"seed", `"x"`, "seed"},
		{"user", `7`, "user"},
	},
	"messages": {
		{"model", `7`, "model"},
		{"model", `null`, "model"},
		{"messages", `null`, "messages"},
		{"messages", `[]`, "messages"},
		{"messages", `"Hello"`, "messages"},
		{"messages", `[7]`, "messages.0"},
		{"messages", `[{"role":"alien","content":"x"}]`, "messages.0.role"},
		{"messages", `[{"role":"user"}]`, "messages.0.content"},
		{"messages", `[{"role":"user","content":7}]`, "messages.0.content"},
		{"messages", `[{"role":"user","content":[{"type":"text"}]}]`, "messages.0.content.0.text"},
		{"max_tokens", `null`, "max_tokens"},
		{"max_tokens", `-1`, "max_tokens"},
		{"max_tokens", `"many"`, "max_tokens"},
		{"temperature", `"hot"`, "temperature"},
		{"temperature", `2`, "temperature"},
		{"stream", `"yes"`, "stream"},
		{"system", `7`, "system"},
		{"stop_sequences", `"x"`, "stop_sequences"},
		{"tools", `{}`, "tools"},
		{"tools", `[{"name":"f"}]`, "tools.0.input_schema"},
		{"tool_choice", `"auto"`, "tool_choice"},
		{"thinking", `{"type":"enabled"}`, "thinking.budget_tokens"},
		{"metadata", `7`, "metadata"},
		{"top_k", `-2`, "top_k"},
	},
	"simple": {
		{"model", `7`, "model"},
		{"model", `null`, "model"},
		{"messages", `null`, "messages"},
		{"messages", `[]`, "messages"},
		{"messages", `[{"role":"user","content":7}]`, "messages.0.content"},
		{"messages", `[{"role":"tool","content":"x"}]`, "messages.0.role"},
		{"message", `"both"`, "message"},
		{"temperature", `"hot"`, "temperature"},
		{"max_tokens", `-1`, "max_tokens"},
		{"stream", `"yes"`, "stream"},
		{"something", `1`, "something"},
	},
	"embeddings": {
		{"model", `7`, "model"},
		{"model", `null`, "model"},
		{"input", `null`, "input"},
		{"input", `""`, "input"},
		{"input", `[]`, "input"},
		{"input", `[""]`, "input.0"},
		{"input", `[1.5]`, "input.0"},
		{"input", `["a",1]`, "input.1"},
		{"input", `{}`, "input"},
		{"encoding_format", `"hex"`, "encoding_format"},
		{"dimensions", `0`, "dimensions"},
	},
	"count": {
		{"model", `7`, "model"},
		{"messages", `null`, "messages"},
		{"messages", `[]`, "messages"},
		{"messages", `[{"role":"alien","content":"x"}]`, "messages.0.role"},
		{"system", `7`, "system"},
	},
}

func badBodies(t *testing.T, w *world) {
	for _, s := range surfaces {
		good := s.hello("good/"+s.name, false)
		if r := w.post(t, s, good); r.Status != 200 {
			t.Errorf("%s: a good request gives %d %s", s.name, r.Status, r.Body)
		}
		for _, b := range syntax(good) {
			refused(t, s, b.name, w.post(t, s, b.body), 400, b.code, b.at)
		}
		// Odd, and right.
		for name, body := range map[string]string{
			"space around":    "\r\n\t " + good + " \n",
			"escaped names":   strings.Replace(good, `"model"`, `"mod\u0065l"`, 1),
			"127 lists deep":  good[:len(good)-1] + `,"metadata":` + strings.Repeat(`[`, 120) + strings.Repeat(`]`, 120) + `}`,
			"a big number":    good[:len(good)-1] + `,"metadata":123456789012345678901234567890}`,
			"an unknown name": good[:len(good)-1] + `,"surprise":{"a":[1,2]}}`,
		} {
			r := w.post(t, s, body)
			if s.name == "simple" && (strings.Contains(body, "surprise") || strings.Contains(body, "metadata")) {
				refused(t, s, name, r, 400, "unknown_parameter", "")
				continue
			}
			if r.Status != 200 && !strings.Contains(body, "metadata") {
				t.Errorf("%s, %s: %d %s", s.name, name, r.Status, r.Body)
			}
			if r.Status != 200 && r.Status != 400 {
				t.Errorf("%s, %s: %d %s", s.name, name, r.Status, r.Body)
			}
		}
	}
	w.quiet(t, new(big.Int))
}

// set returns a good body with one member replaced or added.
func set(good, name, value string) string {
	var b strings.Builder
	b.WriteString(`{`)
	found := false
	for _, m := range topLevel(good) {
		if b.Len() > 1 {
			b.WriteString(`,`)
		}
		v := m[1]
		if m[0] == name {
			v, found = value, true
		}
		fmt.Fprintf(&b, "%q:%s", m[0], v)
	}
	if !found {
		fmt.Fprintf(&b, ",%q:%s", name, value)
	}
	return b.String() + `}`
}

func badFields(t *testing.T, w *world) {
	n := 0
	for _, s := range surfaces {
		good := s.hello("good/"+s.name, false)
		for _, f := range fields[s.name] {
			n++
			r := w.post(t, s, set(good, f.name, f.value))
			refused(t, s, f.name+" "+f.value[:min(len(f.value), 60)], r, 400, "", f.at)
		}
		for _, name := range []string{"no-such-model", "good/" + s.name + "\u0000", "../../etc/passwd", "good/chat/../chat"} {
			r := w.post(t, s, set(good, "model", fmt.Sprintf("%q", name)))
			if strings.Contains(name, "\u0000") {
				r = w.post(t, s, set(good, "model", `"good\u0000"`))
			}
			refused(t, s, "model "+name, r, 404, "model_not_found", "")
		}
	}
	if n < 90 {
		t.Errorf("only %d fields", n)
	}
	w.quiet(t, new(big.Int))
}

func sizes(t *testing.T, w *world) {
	bomb := zipped(bytes.Repeat([]byte(" "), 32<<20))
	if len(bomb) > bodyLimit {
		t.Fatal("the bomb is too large")
	}
	for _, s := range surfaces {
		good := s.hello("good/"+s.name, false)
		big := good + strings.Repeat(" ", bodyLimit)
		refused(t, s, "too large", w.post(t, s, big), 413, "request_too_large", "")
		chunked := w.do(t, http.MethodPost, s.path, io.MultiReader(strings.NewReader(big)), http.Header{"Content-Type": {"application/json"}})
		refused(t, s, "too large, in chunks", chunked, 413, "request_too_large", "")
		fits := good + strings.Repeat(" ", bodyLimit-len(good))
		if r := w.post(t, s, fits); r.Status != 200 {
			t.Errorf("%s: a body of exactly the limit gives %d %s", s.name, r.Status, r.Body)
		}
		zip := func(b []byte, encoding string) reply {
			return w.do(t, http.MethodPost, s.path, bytes.NewReader(b), http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {encoding}})
		}
		if r := zip(zipped([]byte(good)), "gzip"); r.Status != 200 {
			t.Errorf("%s: gzip gives %d %s", s.name, r.Status, r.Body)
		}
		refused(t, s, "a gzip bomb", zip(bomb, "gzip"), 413, "request_too_large", "")
		refused(t, s, "not gzip", zip([]byte(good), "gzip"), 400, "", "")
		refused(t, s, "half of gzip", zip(zipped([]byte(good))[:20], "gzip"), 400, "", "")
		refused(t, s, "gzip in gzip", zip(zipped(zipped([]byte(good))), "gzip"), 400, "", "")
		refused(t, s, "gzip, gzip", zip(zipped(zipped([]byte(good))), "gzip, gzip"), 415, "", "")
		for _, encoding := range []string{"br", "deflate", "zstd", "compress", "x"} {
			refused(t, s, encoding, zip([]byte(good), encoding), 415, "unsupported_media_type", "")
		}
	}
	if rss := w.metric(t, "process_resident_memory_bytes"); rss > 400<<20 {
		t.Errorf("the process takes %.0f MiB", rss/(1<<20))
	}
	w.quiet(t, new(big.Int))
}
