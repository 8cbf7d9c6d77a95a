package responses

import (
	"context"
	"testing"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
	"github.com/pontage/pontage/internal/testkit"
)

// A compaction is charged in the tier that served it. OpenAI's answer has no place for
// that: then it is the one that was asked for, which OpenAI bills.
func TestACompactionTellsItsTier(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		asked, told string
		want        llm.Tier
	}{
		{`"priority"`, ``, llm.TierPriority},
		{`"flex"`, `"service_tier":null,`, llm.TierFlex},
		{`"priority"`, `"service_tier":"default",`, llm.TierStandard},
		{`"auto"`, `"service_tier":"priority",`, llm.TierPriority},
		{`null`, ``, llm.TierStandard},
	} {
		u := testkit.NewUpstream(t)
		u.Queue(testkit.JSON(200, `{"object":"response.compaction",`+c.told+`"output":[{"type":"compaction","id":"c","encrypted_content":"xxxx"}],"usage":{"input_tokens":7,"output_tokens":3,"total_tokens":10}}`))
		body := []byte(`{"model":"m","input":"hi","service_tier":` + c.asked + `}`)
		raw, err := jsonx.Scan(body)
		if err != nil {
			t.Fatal(err)
		}
		p := New(Options{Name: "up", BaseURL: u.URL, Compacts: true})
		s, err := p.Open(context.Background(), provider.Call{Request: &llm.Request{Dialect: llm.OpenAICompact, Model: "m", Raw: raw}, Model: "m"})
		if err != nil {
			t.Fatal(err)
		}
		ev, err := s.Next()
		if err != nil || ev.Tier != c.want || testkit.Used(ev).Tier != c.want {
			t.Errorf("asked %s, told %s: %+v, %v", c.asked, c.told, ev, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
