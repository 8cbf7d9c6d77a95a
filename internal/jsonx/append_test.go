package jsonx

import "testing"

func TestArgumentsGoIntoAnObject(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		``: `{}`, `null`: `{}`, `{"a": 1}`: `{"a": 1}`, `[1]`: `{"_raw":"[1]"}`, `"x{"`: `{"_raw":"x{"}`, `x`: `{"_raw":"x"}`,
	} {
		if got := string(AppendObject(nil, []byte(args))); got != want {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
	}
}
