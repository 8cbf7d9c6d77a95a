package contract

import (
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/fault"
)

func TestSuffixesAreRead(t *testing.T) {
	t.Parallel()
	src := strings.Replace(small, "defaults:", `suffixes:
  fast: {means: sort, sort: speed}
  tools: {means: tools}
  cache: {means: caching}
  online*: {means: refuse, fault: unsupported_parameter}
  online/own: {means: tools}
  "*": {means: provider}
provider_selection: {surcharge: 2.5%}
defaults:`, 1)
	c, err := Parse("c.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	if c.Surcharge() != 25_000 || !c.Suffixes() {
		t.Errorf("surcharge %d, suffixes %v", c.Surcharge(), c.Suffixes())
	}
	for name, want := range map[string]Suffix{
		"FAST":           {Name: "fast", Means: SuffixSort, Sort: "speed"},
		"tools":          {Name: "tools", Means: SuffixTools},
		"cache":          {Name: "cache", Means: SuffixCaching},
		"online":         {Name: "online*", Means: SuffixRefuse, Fault: fault.UnsupportedParameter},
		"Online/linkup":  {Name: "online*", Means: SuffixRefuse, Fault: fault.UnsupportedParameter},
		"online/own":     {Name: "online/own", Means: SuffixTools},
		"cerebras":       {Name: "*", Means: SuffixProvider},
		"online-ish/own": {Name: "online*", Means: SuffixRefuse, Fault: fault.UnsupportedParameter},
	} {
		got, ok := c.Suffix(name)
		got.prefix = false
		if !ok || got != want {
			t.Errorf("%s is %+v (%v), want %+v", name, got, ok, want)
		}
	}
}

func TestBadSuffixesAreNamed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ section, says string }{
		{"suffixes: {}", "there is none"},
		{"suffixes: {Fast: {means: tools}}", "suffix Fast"},
		{"suffixes: {a*b: {means: tools}}", "suffix a*b"},
		{"suffixes: {fast: {}}", "suffix fast: means is missing"},
		{"suffixes: {fast: {means: quick}}", "suffix fast.means"},
		{"suffixes: {fast: {means: sort}}", "suffix fast: sort has a sort"},
		{"suffixes: {fast: {means: sort, sort: best}}", "suffix fast.sort"},
		{"suffixes: {fast: {means: tools, sort: price}}", "suffix fast: sort has a sort"},
		{"suffixes: {x: {means: refuse}}", "suffix x: refuse has a fault"},
		{"suffixes: {x: {means: refuse, fault: nope}}", "unknown fault"},
		{"suffixes: {x: {means: provider}}", "* is a provider"},
		{`suffixes: {"*": {means: tools}}`, "* is a provider"},
		{"provider_selection: {}", "surcharge is missing"},
		{"provider_selection: {surcharge: 5}", "is not a share from"},
		{"provider_selection: {surcharge: 101%}", "is not a share"},
	} {
		_, err := Parse("c.yaml", []byte(strings.Replace(small, "defaults:", c.section+"\ndefaults:", 1)))
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.section, err)
		}
	}
}
