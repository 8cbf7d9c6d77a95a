package llm

import (
	"encoding/json"
	"testing"
)

func TestLogProbabilitiesOfPiecesAreThoseOfTheWhole(t *testing.T) {
	t.Parallel()
	var c Choice
	for _, tokens := range []string{"", "[]", `[{"token":"a"}]`, "null", ` [ {"token":"b"}, {"token":"c"} ] `, "[]", `[{"token":"d"}]`} {
		c.Log(json.RawMessage(tokens))
	}
	const want = `{"content":[{"token":"a"},{"token":"b"}, {"token":"c"},{"token":"d"}],"refusal":null}`
	if got := string(c.Logprobs); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestLogProbabilitiesAreNotCopiedWithEveryToken(t *testing.T) {
	const tokens = 4096
	token := json.RawMessage(`[{"token":"a","logprob":-1,"bytes":null,"top_logprobs":[]}]`)
	if n := testing.AllocsPerRun(1, func() {
		var c Choice
		for range tokens {
			c.Log(token)
		}
	}); n > tokens/8 {
		t.Errorf("%.0f allocations for %d tokens", n, tokens)
	}
}
