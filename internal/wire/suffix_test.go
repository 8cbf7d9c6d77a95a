package wire

import (
	"reflect"
	"slices"
	"testing"

	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// knower is a caller who knows these models.
type knower struct {
	fake
	models []string
}

func (k *knower) Knows(model string) bool { return slices.Contains(k.models, model) }

func TestSuffixesOfAModelAreHeededAndTakenOff(t *testing.T) {
	t.Parallel()
	by := func(suffix string, w Wishes) Wishes {
		w.Suffix, w.Selects = suffix, true
		return w
	}
	models := []string{"zai-org/glm-5", "llama3:8b", "o1:thinking", "own:fast"}
	for _, c := range []struct {
		contract, model string
		before          Wishes
		base            string
		wishes          Wishes
		code            fault.Code
	}{
		{"nanogpt", "zai-org/glm-5", Wishes{}, "zai-org/glm-5", Wishes{}, 0},
		{"nanogpt", "zai-org/glm-5:speed", Wishes{}, "zai-org/glm-5", by("speed", Wishes{Sort: "least_latency"}), 0},
		{"nanogpt", "zai-org/glm-5:FAST", Wishes{}, "zai-org/glm-5", by("FAST", Wishes{Sort: "least_latency"}), 0},
		{"nanogpt", "zai-org/glm-5:throughput", Wishes{}, "zai-org/glm-5", by("throughput", Wishes{Sort: "least_latency"}), 0},
		{"nanogpt", "zai-org/glm-5:latency", Wishes{}, "zai-org/glm-5", by("latency", Wishes{Sort: "least_latency"}), 0},
		{"nanogpt", "zai-org/glm-5:floor", Wishes{}, "zai-org/glm-5", by("floor", Wishes{Sort: "least_cost"}), 0},
		{"nanogpt", "zai-org/glm-5:cached", Wishes{}, "zai-org/glm-5", by("cached", Wishes{Caching: true}), 0},
		{"nanogpt", "zai-org/glm-5:tools", Wishes{}, "zai-org/glm-5", by("tools", Wishes{}), 0},
		{"nanogpt", "zai-org/glm-5:Cerebras", Wishes{}, "zai-org/glm-5", by("Cerebras", Wishes{Only: []string{"Cerebras"}, OnlyAt: "model"}), 0},
		{"nanogpt", "llama3:8b", Wishes{}, "llama3:8b", Wishes{}, 0},
		{"nanogpt", "llama3:8b:cheap", Wishes{}, "llama3:8b", by("cheap", Wishes{Sort: "least_cost"}), 0},
		{"nanogpt", "o1:thinking:fast", Wishes{}, "o1:thinking", by("fast", Wishes{Sort: "least_latency"}), 0},
		{"nanogpt", "own:fast", Wishes{}, "own:fast", Wishes{}, 0},
		{"nanogpt", "nobody:fast", Wishes{}, "nobody:fast", Wishes{}, 0},
		{"nanogpt", "zai-org/glm-5:", Wishes{}, "zai-org/glm-5:", Wishes{}, 0},
		{"nanogpt", "zai-org/glm-5::fast", Wishes{}, "zai-org/glm-5::fast", Wishes{}, 0},

		{"nanogpt", "zai-org/glm-5:fast:cheap", Wishes{}, "", Wishes{}, fault.SuffixConflict},
		{"nanogpt", "zai-org/glm-5:tools:fast", Wishes{}, "", Wishes{}, fault.SuffixConflict},
		{"nanogpt", "zai-org/glm-5:cerebras:cache", Wishes{}, "", Wishes{}, fault.SuffixConflict},
		{"nanogpt", "zai-org/glm-5:cerebras:groq", Wishes{}, "", Wishes{}, fault.SuffixConflict},
		{"nanogpt", "zai-org/glm-5:fast", Wishes{Only: []string{"x"}, OnlyAt: "X-Provider", Selects: true}, "", Wishes{}, fault.SuffixConflict},
		{"nanogpt", "zai-org/glm-5:cerebras", Wishes{Sort: "least_cost", Selects: true}, "", Wishes{}, fault.SuffixConflict},
		{"nanogpt", "zai-org/glm-5:tools", Wishes{Caching: true}, "", Wishes{}, fault.SuffixConflict},
		{"nanogpt", "zai-org/glm-5:caching", Wishes{Caching: true}, "", Wishes{}, fault.SuffixConflict},
		{"nanogpt", "zai-org/glm-5:fast", Wishes{Caching: true}, "zai-org/glm-5", by("fast", Wishes{Sort: "least_latency", Caching: true}), 0},

		{"nanogpt", "zai-org/glm-5:online", Wishes{}, "", Wishes{}, fault.UnsupportedParameter},
		{"nanogpt", "zai-org/glm-5:Online/linkup-deep", Wishes{}, "", Wishes{}, fault.UnsupportedParameter},
		{"nanogpt", "zai-org/glm-5:fast:memory-30", Wishes{}, "", Wishes{}, fault.UnsupportedParameter},
		{"nanogpt", "zai-org/glm-5:PIIRedaction", Wishes{}, "", Wishes{}, fault.UnsupportedParameter},
		{"nanogpt", "zai-org/glm-5:reasoning-exclude", Wishes{}, "", Wishes{}, fault.UnsupportedParameter},

		{"openai", "zai-org/glm-5:fast", Wishes{}, "zai-org/glm-5:fast", Wishes{}, 0},
		{"samurai", "zai-org/glm-5:online", Wishes{}, "zai-org/glm-5:online", Wishes{}, 0},
	} {
		con, err := contract.Load(c.contract)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := jsonx.Scan(append(jsonx.AppendString([]byte(`{"x":1,"model":`), c.model), 125))
		if err != nil {
			t.Fatal(err)
		}
		x := &exchange{site: &Site{Contract: con}, caller: &knower{models: models}}
		asked := &llm.Request{Model: c.model, Raw: raw}
		got, err := x.suffixed(asked, &c.before)
		if c.code != 0 {
			if e := fault.From(err); !fault.Is(err, c.code) || e.Param != "model" {
				t.Errorf("%s %s: %v, want %v at model", c.contract, c.model, err, c.code)
			}
			continue
		}
		if err != nil || got.Model != c.base || string(got.Raw.Value("model")) != `"`+c.base+`"` || !reflect.DeepEqual(c.before, c.wishes) {
			t.Errorf("%s %s: %s with %+v (%v), want %s with %+v", c.contract, c.model, got.Raw.Body, c.before, err, c.base, c.wishes)
		}
		if tools := got.Needs.Has(llm.NeedTools); err == nil && tools != (c.wishes.Suffix == "tools") || asked.Model != c.model {
			t.Errorf("%s: needs tools: %v; the request that came is %q", c.model, tools, asked.Model)
		}
	}
}
