package openai

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// embedding is a call of Google's dialect.
func embedding(t *testing.T, body string, inputs int) provider.Call {
	t.Helper()
	raw, err := jsonx.Scan([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return provider.Call{Request: &llm.Request{Task: llm.TaskEmbed, Dialect: llm.GeminiEmbed, Model: "mine", Raw: raw, Inputs: inputs, Choices: 1}, Model: "theirs"}
}

func TestEmbeddingsOfGooglesDialectAreTranslated(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		body, want, dropped, param string
	}{
		{`{"content":{"parts":[{"text":"a"},{"text":"b"}]},"outputDimensionality":3}`, `{"model":"theirs","input":["ab"],"encoding_format":"float","dimensions":3}`, "", ""},
		{`{"requests":[{"model":"models/mine","content":{"parts":{"text":"a"}},"taskType":"X"},{"content":"b","title":"T"}]}`, `{"model":"theirs","input":["a","b"],"encoding_format":"float"}`, "requests.0.taskType requests.1.title", ""},
		{`{"requests":[{"content":"a","output_dimensionality":2},{"content":"b"}]}`, "", "", "requests.1"},
		{`{"content":{"parts":[{"inlineData":{"mimeType":"image/png","data":"x"}}]}}`, "", "", "content.parts.0.inlineData"},
		{`{"content":"a","autoTruncate":true}`, "", "", "autoTruncate"},
		{`{"content":"a","autoTruncate":false}`, `{"model":"theirs","input":["a"],"encoding_format":"float"}`, "", ""},
		{`{"requests":[{"content":"a","embedContentConfig":{"outputDimensionality":3}},{"content":"b","embed_content_config":{"output_dimensionality":3,"taskType":"X"}}]}`, `{"model":"theirs","input":["a","b"],"encoding_format":"float","dimensions":3}`, "requests.1.embed_content_config.taskType", ""},
		{`{"content":"a","outputDimensionality":5,"embedContentConfig":{"outputDimensionality":3,"documentOcr":true}}`, `{"model":"theirs","input":["a"],"encoding_format":"float","dimensions":3}`, "embedContentConfig.documentOcr", ""},
		{`{"content":"a","embedContentConfig":{"outputDimensionality":3},"outputDimensionality":5}`, `{"model":"theirs","input":["a"],"encoding_format":"float","dimensions":3}`, "", ""},
		{`{"content":"a","outputDimensionality":5,"embedContentConfig":{}}`, `{"model":"theirs","input":["a"],"encoding_format":"float","dimensions":5}`, "", ""},
		{`{"requests":[{"content":"a","embedContentConfig":{"outputDimensionality":2}},{"content":"b"}]}`, "", "", "requests.1"},
		{`{"content":"a","embedContentConfig":{"autoTruncate":true}}`, "", "", "embedContentConfig.autoTruncate"},
		{`{"content":"a","embedContentConfig":{"pooling":"mean"}}`, "", "", "embedContentConfig.pooling"},
		{`{"requests":[{"content":"a"}],"other":1}`, "", "", "other"},
	} {
		call := embedding(t, c.body, 1)
		got, err := New(Options{}).fromGoogle(call)
		var fe *fault.Error
		switch {
		case c.param != "":
			if !errors.As(err, &fe) || fe.Code != fault.UnsupportedParameter || fe.Param != c.param {
				t.Errorf("%s: %v, want it refused at %s", c.body, err, c.param)
			}
		case err != nil:
			t.Errorf("%s: %v", c.body, err)
		case string(got.Body) != c.want || strings.Join(got.Dropped, " ") != c.dropped:
			t.Errorf("%s:\n%s, without %v, want\n%s, without %s", c.body, got.Body, got.Dropped, c.want, c.dropped)
		}
		if refused := New(Options{}).Supports(call.Request) != nil; refused != (c.param != "") {
			t.Errorf("%s: refused before it is sent: %v", c.body, refused)
		}
	}
}

func TestVectorsOfGooglesDialect(t *testing.T) {
	t.Parallel()
	const one, two = `{"content":"a"}`, `{"requests":[{"content":"a"},{"content":"b"}]}`
	for _, c := range []struct {
		body   string
		inputs int
		answer string
		want   string // empty: a failure
	}{
		{one, 1, `{"data":[{"index":0,"embedding":[0.5, 1e-3]}],"usage":{"prompt_tokens":3}}`, `{"embedding":{"values":[0.5, 1e-3]},"usageMetadata":{"promptTokenCount":3}}`},
		{two, 2, `{"data":[{"index":1,"embedding":[2]},{"index":0,"embedding":[1]}]}`, `{"embeddings":[{"values":[1]},{"values":[2]}]}`},
		{two, 2, `{"data":[{"embedding":[1]},{"embedding":[2]}]}`, `{"embeddings":[{"values":[1]},{"values":[2]}]}`},
		{two, 2, `{"data":[{"index":0,"embedding":[1]}]}`, ""},
		{one, 1, `{"data":[{"index":7,"embedding":[1]}]}`, ""},
		{one, 1, `{"data":[{"index":0,"embedding":"AAAA"}]}`, ""},
	} {
		p := New(Options{Transport: canned{status: 200, header: http.Header{"Content-Type": {"application/json"}}, body: func() io.Reader { return strings.NewReader(c.answer) }}})
		got, err := run(p, embedding(t, c.body, c.inputs))
		switch {
		case c.want == "" && err == nil:
			t.Errorf("%s gives %s", c.answer, joined(got))
		case c.want != "" && (err != nil || joined(got) != c.want):
			t.Errorf("%s gives %s, %v, want %s", c.answer, joined(got), err, c.want)
		}
	}
}
