package sim

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// quote appends s as a JSON string. What is not UTF-8 is replaced.
func quote(dst []byte, s string) []byte {
	dst, _ = jsontext.AppendQuote(dst, s)
	return dst
}

func quoteOrNull(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, "null"...)
	}
	return quote(dst, s)
}

func appendInt(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) }

// member appends name and a number.
func member(dst []byte, name string, n int64) []byte {
	dst = append(dst, name...)
	return appendInt(dst, n)
}
