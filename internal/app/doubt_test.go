package app

import (
	"testing"
	"time"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/provider"
	"github.com/pontage/pontage/internal/route"
)

// A credential that is refused is out of use for all targets that use it if the
// provider has another one, and else for the one target alone.
func TestTheOnlyCredentialIsDoubtedForEachTargetAlone(t *testing.T) {
	t.Parallel()
	for _, only := range []bool{true, false} {
		b := healthBoard{now: time.Now}
		c := credentialOf("p", 0, "key")
		one, other := b.get("p/a", "p", "a", c, only, route.Norms{}), b.get("p/b", "p", "b", c, only, route.Norms{})
		one.Checked(&provider.Failure{Fault: fault.New(fault.UpstreamAuth, ""), Quarantine: true})
		if one.Fit() {
			t.Errorf("only %v: the target whose credential was refused is fit", only)
		}
		if other.Fit() != only {
			t.Errorf("only %v: the other target is fit: %v", only, other.Fit())
		}
	}
}
