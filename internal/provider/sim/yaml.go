package sim

import (
	"errors"
	"fmt"
	"math"

	"github.com/go-json-experiment/json/jsontext"
	"go.yaml.in/yaml/v4"
)

// maxYAMLDepth bounds the nesting of a script.
const maxYAMLDepth = 128

// toJSON returns src if it is JSON, and the same data as JSON if it is YAML,
// with the members of objects in their order. An empty document is null.
func toJSON(src []byte) (jsontext.Value, error) {
	if v := jsontext.Value(src); v.IsValid() {
		return v, nil
	}
	var docs []yaml.Node
	if err := yaml.Load(src, &docs, yaml.WithAllDocuments()); err != nil {
		return nil, err
	}
	switch len(docs) {
	case 0:
		return jsontext.Value("null"), nil
	case 1:
		return appendNode(nil, &docs[0], 0)
	default:
		return nil, errors.New("holds more than one document")
	}
}

// appendNode appends a YAML node as JSON.
func appendNode(dst []byte, n *yaml.Node, depth int) ([]byte, error) {
	if depth > maxYAMLDepth {
		return nil, fmt.Errorf("line %d: nests deeper than %d", n.Line, maxYAMLDepth)
	}
	switch n.Kind {
	case yaml.DocumentNode:
		if len(n.Content) != 1 {
			return append(dst, "null"...), nil
		}
		return appendNode(dst, n.Content[0], depth)
	case yaml.SequenceNode:
		return appendSequence(dst, n, depth)
	case yaml.MappingNode:
		return appendMapping(dst, n, depth)
	case yaml.ScalarNode:
		return appendScalar(dst, n)
	default:
		// An alias can make a small file of any size large.
		return nil, fmt.Errorf("line %d: aliases are not allowed", n.Line)
	}
}

func appendSequence(dst []byte, n *yaml.Node, depth int) ([]byte, error) {
	dst = append(dst, '[')
	for i, c := range n.Content {
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = appendNode(dst, c, depth+1); err != nil {
			return nil, err
		}
	}
	return append(dst, ']'), nil
}

func appendMapping(dst []byte, n *yaml.Node, depth int) ([]byte, error) {
	dst = append(dst, '{')
	seen := make(map[string]bool, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if k.Kind != yaml.ScalarNode || k.ShortTag() == "!!merge" {
			return nil, fmt.Errorf("line %d: a field's name must be plain text", k.Line)
		}
		if seen[k.Value] {
			return nil, fmt.Errorf("line %d: %s: is there twice", k.Line, k.Value)
		}
		seen[k.Value] = true
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = jsontext.AppendQuote(dst, k.Value); err != nil {
			return nil, fmt.Errorf("line %d: %w", k.Line, err)
		}
		dst = append(dst, ':')
		if dst, err = appendNode(dst, n.Content[i+1], depth+1); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

func appendScalar(dst []byte, n *yaml.Node) ([]byte, error) {
	var err error
	switch n.ShortTag() {
	case "!!null":
		return append(dst, "null"...), nil
	case "!!bool":
		var b bool
		if err = n.Decode(&b); err == nil {
			return fmt.Appendf(dst, "%t", b), nil
		}
	case "!!int":
		var i int64
		if err = n.Decode(&i); err == nil {
			return fmt.Appendf(dst, "%d", i), nil
		}
	case "!!float":
		var f float64
		if err = n.Decode(&f); err == nil {
			if math.IsNaN(f) || math.IsInf(f, 0) {
				return nil, fmt.Errorf("line %d: %s is not a number in JSON", n.Line, n.Value)
			}
			return append(dst, jsontext.Float(f).String()...), nil
		}
	default:
		if dst, err = jsontext.AppendQuote(dst, n.Value); err == nil {
			return dst, nil
		}
	}
	return nil, fmt.Errorf("line %d: %w", n.Line, err)
}
