package kill

import (
	"strings"
	"testing"
)

// What the upstream asks for has one explanation, or is a finding.
func TestTheUpstreamsBillIsExplained(t *testing.T) {
	t.Parallel()
	used := usage{input: 10, cached: 3, output: 77}
	cost := tariffs["gpt"].of(used)
	charged := func(n, absorbed int64) *charge { return &charge{line: line{amount: n}, absorbed: absorbed} }
	for name, c := range map[string]struct {
		ending   ending
		reported int64
		saw      fate
		said     string
		cut      bool
		charge   *charge
		finding  string // part of it; empty: it is explained
	}{
		"charged":                            {answers, 1, acked, "", false, charged(cost, 0), ""},
		"charged as far as there is money":   {overruns, 1, acked, "", false, charged(cost-5, 5), ""},
		"charged too little":                 {answers, 1, acked, "", false, charged(cost-5, 0), "not explained"},
		"charged for nothing":                {answers, 0, acked, "", false, charged(cost, 0), "finished no answer"},
		"asked for twice":                    {answers, 2, acked, "", false, charged(cost, 0), "2 times"},
		"never finished":                     {fails, 0, refused, "a defect", false, nil, ""},
		"blocked":                            {blocks, 1, acked, "", false, nil, ""},
		"empty at both attempts":             {empty, 2, refused, "", false, nil, ""},
		"cut off by a kill":                  {answers, 1, broken, "", false, nil, ""},
		"left before it was worth anything":  {answers, 1, left, "", false, nil, ""},
		"left, and charged by guess":         {answers, 0, left, "", false, charged(7, 0), ""},
		"ended here, and charged by guess":   {answers, 0, acked, "", true, charged(7, 0), ""},
		"the same, and nobody heard of it":   {answers, 1, broken, "", true, charged(7, 0), ""},
		"refused for want of a journal":      {answers, 1, refused, "Charges cannot be recorded at the moment.", false, nil, ""},
		"refused, and nobody knows why":      {answers, 1, refused, "upstream failed", false, nil, "refused and not charged"},
		"refused at the end of the process":  {answers, 1, refused, "The gateway is restarting.", false, nil, ""},
		"charged once more than it was done": {stumbles, 0, broken, "", false, charged(cost, 0), "finished no answer"},
	} {
		j := &job{model: "gpt", key: &key{account: &payer{}}, ending: c.ending, used: used, reported: c.reported, said: c.said, cut: c.cut, stream: c.cut}
		var b bill
		f := &findings{}
		b.add(j, c.saw, c.charge, f)
		b.balance(f)
		switch {
		case c.finding == "" && f.any():
			t.Errorf("%s: %s", name, f.said)
		case c.finding != "" && !strings.Contains(strings.Join(f.said, " "), c.finding):
			t.Errorf("%s: found %q, want %q", name, f.said, c.finding)
		}
	}
}
