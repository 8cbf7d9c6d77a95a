package fidelity

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// readEmbeddingsRequest reads a request of embeddings.
func readEmbeddingsRequest(body value) talk {
	q := talk{}
	input := in(body, "input")
	if isText(input) {
		q.inputs = []string{text(input)}
	}
	for _, x := range items(input) {
		if isText(x) {
			q.inputs = append(q.inputs, text(x))
		} else {
			q.inputs = append(q.inputs, string(x))
		}
	}
	q.set("dimensions", in(body, "dimensions"))
	return q
}

func embeddingsCan(q talk) talk {
	if len(q.inputs) == 0 {
		q.inputs = []string{"Hello"}
	}
	return talk{inputs: q.inputs, sets: q.sets}
}

func writeEmbeddingsRequest(q talk, model string, _ bool) value {
	o := object{"model": model, "input": q.inputs}
	if d, ok := q.sets["dimensions"]; ok {
		o["dimensions"] = value(d)
	}
	return encode(o)
}

// readEmbeddings reads embeddings: vectors as numbers, whatever their encoding.
func readEmbeddings(vendor string, body []byte, _ bool) (a answer) {
	a.ended, a.model, a.failed = true, text(in(body, "model")), string(in(body, "error"))
	data := items(in(body, "data"))
	slices.SortStableFunc(data, func(x, y value) int { return cmp.Compare(count(in(x, "index")), count(in(y, "index"))) })
	for _, d := range data {
		if v := in(d, "embedding"); v != nil {
			a.vectors = append(a.vectors, vector(v))
		}
	}
	if members(body) == nil || len(a.vectors) == 0 {
		a.failed = "no embeddings"
	}
	a.usage = chatUsage(in(body, "usage"), vendor)
	return a
}

// vector writes a vector as 32-bit numbers, which is what base64 holds.
func vector(v value) value {
	var out []float32
	if raw, err := base64.StdEncoding.DecodeString(text(v)); isText(v) && err == nil {
		for ; len(raw) >= 4; raw = raw[4:] {
			out = append(out, math.Float32frombits(binary.LittleEndian.Uint32(raw)))
		}
	}
	for _, x := range items(v) {
		f, _ := strconv.ParseFloat(string(x), 64)
		out = append(out, float32(f))
	}
	return value(fmt.Sprint(out))
}

// readCount reads a count of tokens, which is the named member.
func readCount(name string) func(string, []byte, bool) answer {
	return func(_ string, body []byte, _ bool) answer {
		a := answer{ended: true, failed: string(in(body, "error")), total: count(in(body, name))}
		if a.total == 0 && a.failed == "" {
			a.failed = "no count"
		}
		return a
	}
}
