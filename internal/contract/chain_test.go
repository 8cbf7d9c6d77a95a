package contract

import (
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/fault"
)

func TestAnAnswerTellsWhatBecameOfItsChain(t *testing.T) {
	t.Parallel()
	c := load(t, "ninjachat")
	told := func(f Facts) string {
		for _, e := range c.Extras("chat", "flat", f) {
			if e.Name == "fallback" {
				return string(e.Value)
			}
		}
		return ""
	}
	if got := told(Facts{}); got != "" {
		t.Errorf("of a request for one model: %s", got)
	}
	f := Facts{Chain: []string{"a", "b", "c"}, Tried: []Tried{{Model: "a"}}}
	if got, want := told(f), `{"chain":["a","b","c"],"triggered":false,"attempts":[{"model":"a","success":true}]}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	f.Tried = []Tried{{"a", fault.UpstreamFailed}, {"b", fault.BalanceInsufficient}, {Model: "c"}}
	want := `{"chain":["a","b","c"],"triggered":true,"attempts":[{"model":"a","success":false,"error":"generation_failed"},{"model":"b","success":false,"error":"insufficient_credits"},{"model":"c","success":true}]}`
	if got := told(f); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestControlsThatNameModelsAndProvidersStandWhereTheyCan(t *testing.T) {
	t.Parallel()
	for control, want := range map[string]string{
		`models.a: {means: models}`:              "is a whole member of the body",
		`header.x-models: {means: models}`:       "is a whole member of the body",
		`provider.a: {means: providers}`:         "is a whole member of the body",
		`modell: {means: chain}`:                 "only model can be a chain",
		`model: {means: chain, value: true}`:     "chain has no value",
		`provider: {means: providers, value: 1}`: "providers has no value",
		`models: {means: models}`:                "",
		`model: {means: chain}`:                  "",
		`header.x-provider: {means: providers}`:  "",
	} {
		_, err := Parse("c.yaml", []byte(strings.Replace(small, "defaults:", "controls: {"+control+"}\ndefaults:", 1)))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", control, err, want)
		}
	}
}
