package openai

import (
	"slices"
	"testing"
)

func TestSamplingOfOpenModelsIsChecked(t *testing.T) {
	t.Parallel()
	d := NewChat(Options{})
	members := []struct {
		name      string
		good, bad []string
	}{
		{"top_k", []string{"-1", "0", "1", "40", "40.0", "100000"}, []string{"-2", "1.5", `"40"`, "true", "[]"}},
		{"min_p", []string{"0", "0.05", "1"}, []string{"-0.1", "1.1", `"0.1"`, "false"}},
		{"top_a", []string{"0", "0.2", "1.0"}, []string{"-1", "2", "{}"}},
		{"tfs", []string{"0", "1"}, []string{"-0.5", "1.5", `"1"`}},
		{"typical_p", []string{"0", "1"}, []string{"-0.5", "1.5", `"1"`}},
		{"repetition_penalty", []string{"0.01", "1", "1.0", "1.15", "2"}, []string{"0", "-1", "2.1", `"1"`, "1e999"}},
		{"eta_cutoff", []string{"0", "3.5"}, []string{"-1", `"1"`, "1e999"}},
		{"epsilon_cutoff", []string{"0", "900"}, []string{"-1", "[1]"}},
		{"mirostat_tau", []string{"0", "5.0"}, []string{"-1", "true"}},
		{"mirostat_eta", []string{"0", "0.1"}, []string{"-0.1", `"0.1"`}},
		{"mirostat_mode", []string{"0", "1", "2"}, []string{"-1", "3", "0.5", "true"}},
		{"min_tokens", []string{"0", "16"}, []string{"-1", "1.5", `"1"`}},
		{"no_repeat_ngram_size", []string{"0", "3"}, []string{"-1", "1.5", `"1"`}},
		{"include_stop_str_in_output", []string{"true", "false"}, []string{"1", `"true"`}},
		{"ignore_eos", []string{"true", "false"}, []string{"0", `"no"`}},
		{"stop_token_ids", []string{"[]", "[1,151645]"}, []string{"5", `"5"`}},
		{"custom_token_bans", []string{"[]", "[1,2]", `"1,2"`, `""`}, []string{"5", "{}"}},
		{"prompt_logprobs", []string{"0", "5", "-1", "true", "false"}, []string{"-2", "0.5", `"5"`}},
	}
	for _, m := range members {
		for _, v := range append(m.good, "null") {
			if got := details(t, d, minimal(m.name, v)); got != nil {
				t.Errorf("%s %s: %v", m.name, v, got)
			}
		}
		for _, v := range m.bad {
			if got := details(t, d, minimal(m.name, v)); len(got) != 1 {
				t.Errorf("%s %s: %v, want one bad field", m.name, v, got)
			}
		}
	}
	for v, want := range map[string][]string{
		`"top_k":-2`:                   {"top_k invalid_parameter Must be at least -1"},
		`"top_k":0.5`:                  {"top_k invalid_type Must be a whole number"},
		`"repetition_penalty":0`:       {"repetition_penalty invalid_parameter Must be above 0 and at most 2"},
		`"mirostat_tau":-1`:            {"mirostat_tau invalid_parameter Must be at least 0"},
		`"mirostat_tau":1e999`:         {"mirostat_tau invalid_parameter Is too large"},
		`"stop_token_ids":[1,null,-1]`: {"stop_token_ids.1 invalid_type Must be a whole number", "stop_token_ids.2 invalid_parameter Must be at least 0"},
	} {
		if got := details(t, d, `{"model":"m","messages":[{"role":"user","content":"x"}],`+v+`}`); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", v, got, want)
		}
	}
}

func minimal(name, value string) string {
	return `{"model":"m","messages":[{"role":"user","content":"x"}],"` + name + `":` + value + `}`
}

func TestTopKThatIsOffIsNotTranslated(t *testing.T) {
	t.Parallel()
	for v, want := range map[string]int64{"-1": 0, "0": 0, "null": 0, "40": 40, "40.0": 40} {
		r, err := NewChat(Options{}).Decode([]byte(minimal("top_k", v)), nil)
		if err != nil {
			t.Fatal(err)
		}
		chat, err := r.DecodeChat()
		if err != nil || len(chat.Extra) > 0 {
			t.Fatal(err, chat.Extra)
		}
		if got := chat.TopK; (got == nil) != (want == 0) || got != nil && *got != want {
			t.Errorf("%s: %v, want %d", v, got, want)
		}
	}
}
