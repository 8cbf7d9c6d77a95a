package provider

import "testing"

func TestNamesOfModelsThatLeadElsewhere(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"m", "gpt-4.1", "a.b..c", "tunedModels/x", "publishers/meta/models/llama@1", "us.x.y-v1:0", "arn:aws:bedrock:us-east-1:1:inference-profile/a", "..."} {
		if err := CheckPlace(s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range []string{"", ".", "..", "../x", "x/..", "x/./y", "/x", "x/", "//h/x", "http://h/x", "x?y", "x#y", "x%2fy", `x\y`, "x y", "x\n"} {
		if CheckPlace(s) == nil {
			t.Errorf("%q can stand in a path", s)
		}
	}
}
