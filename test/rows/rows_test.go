package rows

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// proofs say of each row how it comes about.
var proofs = merged(openaiRefusals, openaiUpstreams, openaiMessages, ninjaRefusals, ninjaAnswers,
	llmtuneRows, nanogptRows, modelswitchRows, samuraiRows)

// fiveModels are the models that rows break, of the gateway with all five services.
func fiveModels(t testing.TB) []model {
	t.Helper()
	return slices.Concat(ninjaFive(t), llmtuneModels(t), nanogptModels(t), modelswitchModels(t), samuraiModels(t))
}

func merged(parts ...map[string]func(*proof)) map[string]func(*proof) {
	out := map[string]func(*proof){}
	for _, m := range parts {
		maps.Copy(out, m)
	}
	return out
}

func TestRows(t *testing.T) {
	docs := documents(t)
	w := &world{report: newReport(t, docs)}
	w.openai = start(t, "openai", openaiModels(t))
	w.ninja = start(t, "ninjachat", ninjaModels(t))
	w.five = startFive(t, fiveModels(t))
	t.Run("row", func(t *testing.T) {
		for _, d := range docs {
			for _, r := range d.Rows {
				t.Run(r.ID, func(t *testing.T) {
					t.Parallel()
					p := &proof{TB: t, row: r, world: w}
					t.Cleanup(func() { w.report.add(t, p.line()) })
					if reason, waits := later[r.ID]; waits {
						p.note("deferred: %s", reason)
						t.Skip(reason)
					}
					prove := proofs[r.ID]
					if prove == nil {
						p.Fatalf("nobody says how this row comes about: %s", r.When)
					}
					prove(p)
				})
			}
		}
	})
	w.openai.settled(t)
	w.ninja.settled(t)
	w.five.settled(t)
	n := w.report.counts()
	t.Logf("%d rows passed, %d failed, %d deferred: %s", n[passed], n[failed], n[deferred], w.report.path)
}

// --- bodies of requests -----------------------------------------------------

// chat is a request for a model, with more members.
func chat(model string, more ...string) string {
	return body(model, `"messages":[{"role":"user","content":"Is the bridge open?"}]`, more)
}

// message is the same as Anthropic's clients say it.
func message(model string, more ...string) string {
	return chat(model, append([]string{`"max_tokens":50`}, more...)...)
}

func body(model, messages string, more []string) string {
	return fmt.Sprintf(`{"model":%q,%s}`, model, strings.Join(slices.Concat([]string{messages}, more), ","))
}

const streamed = `"stream":true`

// The paths of the surfaces.
const (
	chatPath     = "/v1/chat/completions"
	messagesPath = "/v1/messages"
	simplePath   = "/v1/chat"
	ninjaPath    = "/api/v1/chat"
)
