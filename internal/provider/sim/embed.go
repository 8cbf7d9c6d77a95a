package sim

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The bounds of an embeddings request; the first is the protocol's.
const (
	maxInputs  = 2048
	maxNumbers = 4 << 20 // vectors times dimensions of one answer
)

// defaultDimensions is the length of a vector where the request does not say.
const defaultDimensions = 1536

// embedding answers a request for embeddings: one unit vector for each input,
// which depends on nothing but the input and its length. Its errors are
// *badRequest.
func (s *Sim) embedding(raw []byte, st *Step) ([]byte, error) {
	var q openaiEmbed
	if err := json.Unmarshal(raw, &q); err != nil {
		return nil, refuse(400, "", "", "We could not parse the JSON body of your request (simulated): %v", err)
	}
	if q.Model == "" {
		return nil, refuse(400, "model", "missing_required_parameter", "Missing required parameter: 'model'.")
	}
	dims := defaultDimensions
	if q.Dimensions != nil {
		dims = *q.Dimensions
	}
	inputs, tokens, err := s.inputs(q.Input)
	if err != nil {
		return nil, err
	}
	if dims < 1 || dims > maxNumbers/len(inputs) {
		return nil, refuse(400, "dimensions", "invalid_value", "Invalid 'dimensions': expected from 1 to %d (simulated).", maxNumbers/len(inputs))
	}
	switch q.EncodingFormat {
	case "", "float", "base64":
	default:
		return nil, refuse(400, "encoding_format", "invalid_value", "Invalid 'encoding_format': expected float or base64.")
	}
	if st.Fault == "empty" || st.Fault == "no_choices" {
		inputs = nil
	}
	dst := []byte(`{"object":"list","data":[`)
	for i, seed := range inputs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = member(dst, `{"object":"embedding","index":`, int64(i))
		dst = append(dst, `,"embedding":`...)
		dst = append(appendVector(dst, vector(seed, dims), q.EncodingFormat), '}')
	}
	dst = append(dst, `],"model":`...)
	dst = quote(dst, q.Model)
	if st.Fault != "no_usage" {
		if st.Usage != nil && st.Usage.Input != nil {
			tokens = *st.Usage.Input
		}
		if st.Fault == "wrong_usage" {
			tokens = absurdTokens
		}
		dst = member(dst, `,"usage":{"prompt_tokens":`, tokens)
		dst = member(dst, `,"total_tokens":`, tokens)
		dst = append(dst, '}')
	}
	return append(dst, '}'), nil
}

// inputs returns a seed for each input, and the tokens of all.
func (s *Sim) inputs(v jsontext.Value) (seeds []uint64, tokens int64, err error) {
	bad := func(reason string) (_ []uint64, _ int64, err error) {
		return nil, 0, refuse(400, "input", "invalid_value", "Invalid 'input': %s", reason)
	}
	list := []jsontext.Value{v}
	switch v.Kind() {
	case '"':
	case '[':
		list = nil
		if err := json.Unmarshal(v, &list); err != nil {
			return bad(err.Error())
		}
		if len(list) > 0 && list[0].Kind() == '0' {
			list = []jsontext.Value{v} // one input of tokens
		}
	default:
		return nil, 0, refuse(400, "input", "missing_required_parameter", "Missing required parameter: 'input'.")
	}
	if len(list) == 0 || len(list) > maxInputs {
		return bad("expected from 1 to " + strconv.Itoa(maxInputs) + " inputs.")
	}
	for _, in := range list {
		switch in.Kind() {
		case '"':
			text := literal(in)
			if text == "" {
				return bad("input cannot be an empty string.")
			}
			tokens += s.count(text)
			seeds = append(seeds, hash(hashStart, text))
		case '[':
			var ids []int64
			if err := json.Unmarshal(in, &ids); err != nil || len(ids) == 0 {
				return bad("expected a list of token numbers.")
			}
			h := hashStart
			for _, id := range ids {
				h = hash(h, string(binary.LittleEndian.AppendUint64(nil, uint64(id))))
			}
			tokens += int64(len(ids))
			seeds = append(seeds, h)
		default:
			return bad("expected strings or lists of token numbers.")
		}
	}
	return seeds, tokens, nil
}

// vector makes a vector of length 1.
func vector(seed uint64, dims int) []float32 {
	r := rng{state: seed}
	out := make([]float32, dims)
	sum := 0.0
	for i := range out {
		// The top 53 bits as a number in [-1, 1).
		x := float64(int64(r.next())>>10) / (1 << 53)
		out[i] = float32(x)
		sum += x * x
	}
	if sum == 0 {
		out[0], sum = 1, 1
	}
	norm := float32(1 / math.Sqrt(sum))
	for i := range out {
		out[i] *= norm
	}
	return out
}

// appendVector appends a vector as a list of numbers, or as OpenAI's base64:
// 32-bit floats, least significant byte first.
func appendVector(dst []byte, v []float32, format string) []byte {
	if format == "base64" {
		raw := make([]byte, 0, 4*len(v))
		for _, x := range v {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
		}
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, raw)
		return append(dst, '"')
	}
	dst = append(dst, '[')
	for i, x := range v {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendFloat(dst, float64(x), 'g', -1, 32)
	}
	return append(dst, ']')
}
