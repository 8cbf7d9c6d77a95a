package llm

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestSealIsReadByItsIssuer(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		issuer, state := rapid.String().Draw(t, "issuer"), rapid.StringN(1, -1, -1).Draw(t, "state")
		i, s, ok := Unseal(Seal(issuer, state))
		if !ok || i != issuer || s != state {
			t.Fatalf("Unseal(Seal(%q, %q)) = %q, %q, %v", issuer, state, i, s, ok)
		}
	})
}

func TestUnsealRefusesWhatIsNoSeal(t *testing.T) {
	t.Parallel()
	if s := Seal("openai", ""); s != "" {
		t.Errorf("no state gives the seal %q", s)
	}
	for _, s := range []string{"", "gAAAAAB", "pontage1", "pontage1.", "pontage1.b3BlbmFp", "pontage1.b3BlbmFp.", "pontage1.!.YQ", "pontage1.YQ.!", "pontage2.YQ.YQ"} {
		if i, st, ok := Unseal(s); ok {
			t.Errorf("Unseal(%q) = %q, %q", s, i, st)
		}
	}
}

func TestTheNewestIssuerIsFoundInABody(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"a":"` + Seal("one", "x") + `","b":"` + Seal("two", "y") + `"}`: "two",
		`{"a":"` + Seal("one", "x") + `"}`:                                "one",
		`{"a":"pontage1"}`:                                                "",
		`{"a":"pontage1.."}`:                                              "",
		`{"a":"pontage1.` + strings.Repeat("A", 2*maxIssuer) + `.x"}`:     "",
		`{"a":"pontage1.?.x"}`:                                            "",
		``:                                                                "",
	} {
		if got, ok := Issuer([]byte(body)); got != want || ok != (want != "") {
			t.Errorf("%.60s: %q, %v", body, got, ok)
		}
	}
}
