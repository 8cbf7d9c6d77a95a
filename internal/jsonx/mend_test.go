package jsonx

import "testing"

func TestAnEventMayEndWithinACharacter(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"n": 1.00, "d":"a\ud83d"}`: "a\ufffd",
		"{\"d\":\"\xa2 b\"}":         "\ufffd b",
		`{"d":"whole \ud83d\ude00"}`: "whole 😀",
	} {
		d, err := ParseEvent([]byte(body))
		if err != nil || d.Root().Get("d").Text() != want {
			t.Errorf("%s: %v", body, err)
		}
	}
	for _, body := range []string{`{"d":"a\ud83d"`, `{"d":1,"d":2}`, ``, `[DONE]`} {
		if _, err := ParseEvent([]byte(body)); err == nil {
			t.Errorf("%s is taken for an event", body)
		}
	}
}
