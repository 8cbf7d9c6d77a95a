package gemini

import (
	"errors"
	"net/http"
	"strings"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// maxBatch is how many texts AI Studio takes at once.
const maxBatch = 100

// embed translates a request for embeddings of OpenAI's dialect. AI Studio takes
// several texts at once; on Vertex AI the models before Gemini Embedding 2 have a
// protocol of their own, and all take one text at a time.
func (p *Provider) embed(c provider.Call) (sent, error) {
	if c.Request.Dialect != llm.OpenAIEmbeddings {
		return sent{}, fault.New(fault.UnsupportedParameter, "This model does not make embeddings here.").At("model")
	}
	texts, dimensions, err := inputs(c.Request.Raw.Body)
	if err != nil {
		return sent{}, err
	}
	most := maxBatch
	if p.vertex {
		most = 1
	}
	if len(texts) > most {
		return sent{}, fault.New(fault.UnsupportedParameter, "This model takes at most %d inputs at a time.", most).At("input")
	}
	var e provider.Encoding
	e.Open('{')
	method := "batchEmbedContents"
	switch {
	case !p.vertex:
		e.Name("requests")
		e.Open('[')
		for _, t := range texts {
			e.Element()
			e.Open('{')
			e.Text("model", resource(c.Model))
			content(&e, t)
			length(&e, dimensions)
			e.Close('}')
		}
		e.Close(']')
	case predicts(c.Model):
		method = "predict"
		predict(&e, texts[0], dimensions)
	default:
		method = "embedContent"
		content(&e, texts[0])
		if dimensions > 0 {
			e.Name("embedContentConfig")
			e.Open('{')
			length(&e, dimensions)
			e.Close('}')
		}
	}
	e.Close('}')
	return sent{method, e.Body}, nil
}

// predicts reports whether a model on Vertex AI makes embeddings by predict, as
// all did before Gemini Embedding 2.
func predicts(model string) bool {
	return !strings.HasPrefix(model, "gemini-embedding-") || model == "gemini-embedding-001"
}

// resource returns the full name of a model of AI Studio.
func resource(model string) string {
	if strings.Contains(model, "/") {
		return model
	}
	return "models/" + model
}

func content(e *provider.Encoding, text string) {
	e.Name("content")
	e.Open('{')
	e.Name("parts")
	e.Open('[')
	e.Element()
	e.Open('{')
	e.Text("text", text)
	e.Close('}')
	e.Close(']')
	e.Close('}')
}

// length writes how long the vector is to be. Vertex AI has it in the request's
// configuration, AI Studio beside the content.
func length(e *provider.Encoding, dimensions int64) {
	if dimensions > 0 {
		e.Int("outputDimensionality", dimensions)
	}
}

func predict(e *provider.Encoding, text string, dimensions int64) {
	e.Name("instances")
	e.Open('[')
	e.Element()
	e.Open('{')
	e.Text("content", text)
	e.Close('}')
	e.Close(']')
	if dimensions > 0 {
		e.Name("parameters")
		e.Open('{')
		length(e, dimensions)
		e.Close('}')
	}
}

// inputs reads a request of OpenAI's dialect, which was checked. Members that say
// nothing of the vectors are left out.
func inputs(body []byte) (texts []string, dimensions int64, err error) {
	doc, err := jsonx.Parse(body)
	if err != nil {
		return nil, 0, fault.From(err)
	}
	root := doc.Root()
	for name, v := range root.Members() {
		switch string(name) {
		case "model", "encoding_format", "user":
		case "input":
			list := []jsonx.Value{v}
			if v.Kind() == jsonx.Array {
				list = list[:0]
				for _, x := range v.Items() {
					list = append(list, x)
				}
			}
			for _, x := range list {
				if x.Kind() != jsonx.String {
					return nil, 0, fault.New(fault.UnsupportedParameter, "This model takes inputs as texts, not as tokens.").At("input")
				}
				texts = append(texts, x.Text())
			}
		case "dimensions":
			dimensions, _ = v.Int()
		default:
			if v.Exists() {
				return nil, 0, fault.New(fault.UnsupportedParameter, "%s cannot be honoured for this model.", name).At(string(name))
			}
		}
	}
	if len(texts) == 0 {
		return nil, 0, fault.New(fault.MissingParameter, "").At("input")
	}
	return texts, dimensions, nil
}

// vectors writes an answer with embeddings in OpenAI's form, which is that of the
// only other dialect that asks for them.
func (w *whole) vectors(body []byte) (llm.Event, error) {
	var n counts
	var lists [][]byte
	c := provider.Walk(body)
	if c.Kind() != '{' {
		return llm.Event{}, notWhole(body)
	}
	c.Enter('{')
	for {
		key, ok := c.Key()
		if !ok {
			break
		}
		switch string(key) {
		case "error":
			return llm.Event{}, provider.Classify(tables, http.StatusOK, w.x.Header, body)
		case "embedding":
			lists = append(lists, values(&c, &n))
		case "embeddings", "predictions":
			if c.Enter('[') {
				for c.More() {
					lists = append(lists, values(&c, &n))
				}
			}
		case "usageMetadata":
			n.read(&c)
		default:
			c.Skip()
		}
	}
	if !c.Done() || len(lists) != w.call.Request.Inputs {
		return llm.Event{}, provider.BadAnswer(http.StatusOK, body, errors.New("the answer has not one vector for each input"))
	}
	var e provider.Encoding
	e.Open('{')
	e.Text("object", "list")
	e.Name("data")
	e.Open('[')
	for i, v := range lists {
		if len(v) == 0 || v[0] != '[' {
			return llm.Event{}, provider.BadAnswer(http.StatusOK, body, errors.New("an embedding is no list of numbers"))
		}
		e.Element()
		e.Open('{')
		e.Text("object", "embedding")
		e.Int("index", int64(i))
		e.Raw("embedding", v)
		e.Close('}')
	}
	e.Close(']')
	e.Text("model", w.call.Request.Model)
	ev := llm.Event{Content: true, Last: true}
	if u, ok := n.usage(); ok {
		w.usage = llm.Usage{Input: u.Input}
		ev.Usage = &w.usage
		e.Name("usage")
		e.Open('{')
		e.Int("prompt_tokens", u.Input)
		e.Int("total_tokens", u.Input)
		e.Close('}')
	}
	e.Close('}')
	ev.Raw, ev.Data = e.Body, e.Body
	return ev, nil
}

// values returns the vector of an embedding, or of a prediction, which counts its
// tokens besides.
func values(c *provider.Cursor, n *counts) (list []byte) {
	if !c.Enter('{') {
		return nil
	}
	for {
		key, ok := c.Key()
		if !ok {
			return list
		}
		switch string(key) {
		case "values":
			list = c.Value()
		case "embeddings":
			list = values(c, n)
		case "statistics":
			n.statistics(c)
		default:
			c.Skip()
		}
	}
}

// statistics adds the tokens of one prediction.
func (n *counts) statistics(c *provider.Cursor) {
	if !c.Enter('{') {
		return
	}
	for {
		key, ok := c.Key()
		if !ok {
			return
		}
		if string(key) != "token_count" {
			c.Skip()
			continue
		}
		tokens := int64(0)
		n.set(&tokens, c)
		n.prompt += tokens
	}
}
