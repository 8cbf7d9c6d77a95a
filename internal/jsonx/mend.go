package jsonx

import "github.com/go-json-experiment/json/jsontext"

// ParseEvent is [Parse] of one event of a provider's. A text in it may end within a
// character, and begin with the rest of one: such a part is read as U+FFFD, and the
// document that was parsed has that in its place.
func ParseEvent(data []byte) (*Doc, error) {
	d, err := Parse(data)
	if err == nil {
		return d, nil
	}
	mended, bad := jsontext.AppendFormat(nil, data, jsontext.AllowInvalidUTF8(true))
	if bad != nil {
		return nil, err
	}
	return Parse(mended)
}
