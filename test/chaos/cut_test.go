package chaos

import (
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"

	"github.com/pontage/pontage/test/harness"
)

// cutEvery is the distance between the places at which an answer is cut, in
// bytes. It divides no length that stands out, so that frames, lines, chunks and
// runes are all cut somewhere.
const cutEvery = 71

// longest is above the length of every answer of the fallible provider, with
// its head.
const longest = 2400

// TestAnAnswerThatIsCutAnywhere cuts good answers behind each of many bytes, in
// every dialect. What was cut before content is a status; what was cut behind it
// ends with an error; only what came to its end looks like it, and is charged.
func TestAnAnswerThatIsCutAnywhere(t *testing.T) {
	t.Parallel()
	p := &fallible{asked: map[string]int{}}
	srv := harness.Serve(t, p, nil)
	w := newWorld(t, "", cutConfig(t, strings.TrimPrefix(srv.URL, "http://")))
	before, _ := w.goroutines(t)
	paid, ends := new(big.Int), map[string]int{}
	for at := cutEvery; at < longest; at += cutEvery {
		for _, by := range pairings {
			for _, stream := range []bool{false, true} {
				r := w.ask(t.Context(), by.by, cutModel(at, by), stream)
				end, wrong := by.by.cut(stream, r)
				if wrong != "" {
					t.Errorf("%s, stream %t: %s", cutModel(at, by), stream, wrong)
				}
				ends[fmt.Sprintf("%s %t", end, stream)]++
				if end == "ok" && r.charge.Cmp(answerCost) != 0 {
					// Every choice had finished, and the usage was cut off.
					rc := w.gw.Receipt(t, r.header.Get("X-Request-Id"), nil)
					if !rc.Estimated || by.family != "openai" && by.family != "bedrock" {
						t.Errorf("%s, stream %t: charged %v, want %v or an estimate: %+v", cutModel(at, by), stream, r.charge, answerCost, rc)
					}
				}
				if r.charge != nil {
					paid.Add(paid, r.charge)
				}
			}
		}
	}
	t.Logf("endings, and whether it was a stream: %v", ends)
	for _, end := range []string{"ok true", "ok false", "failed true", "failed false", "broken true"} {
		if ends[end] == 0 {
			t.Errorf("no answer was %s", end)
		}
	}
	w.paid(t, paid)
	w.nothingIsLeft(t, p.busy, before)
}

func cutModel(at int, by pairing) string {
	return fmt.Sprintf("cut_%d-%s-%s", at, by.by.name, by.family)
}

// cutConfig has a proxy for each place, and a model for each pairing behind it.
func cutConfig(t *testing.T, address string) string {
	t.Helper()
	var providers, models strings.Builder
	for at := cutEvery; at < longest; at += cutEvery {
		host := "http://" + toxic(t, address, fmt.Sprintf(`{"type":"limit_data","stream":"downstream","attributes":{"bytes":%d}}`, at))
		for family, kind := range kinds {
			fmt.Fprintf(&providers, "  %s-%d: {kind: %s, base_url: %q, api_key: %q, catalog: none}\n", family, at, kind, host+"/"+family+"/v1", providerSecret)
		}
		for _, by := range pairings {
			api := ""
			if by.family == "responses" {
				api = ", api: responses"
			}
			fmt.Fprintf(&models, "  %q: {targets: [{provider: %s-%d, model: %q%s}], context: 100000, max_output: 50000, price: %s}\n",
				cutModel(at, by), by.family, at, cutModel(at, by), api, price)
		}
	}
	return "routing: {attempts: 2, backoff: {base: 1ms, max: 1s}, breaker: {failures: 1000}}\nproviders:\n" + providers.String() + "models:\n" + models.String()
}

// cut tells how an answer ended that was cut somewhere: ok, failed before
// content, or broken behind it; and what is wrong with it.
func (s surface) cut(stream bool, r reply) (end, wrong string) {
	switch {
	case r.err != nil:
		return "lost", r.err.Error()
	case r.status != http.StatusOK:
		return "failed", s.wrong("failed", 0, r)
	case !stream:
		return "ok", s.judge("ok", false, r)
	case !s.finished(r.body):
		return "broken", s.broken(r)
	case r.charge.Sign() <= 0 || !strings.Contains(string(r.body), "😀"):
		return "ok", fmt.Sprintf("charged %v for %.600q", r.charge, r.body)
	}
	return "ok", ""
}
