package fault

import (
	"errors"
	"fmt"
	"regexp"
	"testing"
)

func TestRegistryIsWhole(t *testing.T) {
	t.Parallel()
	snake := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	seen := map[string]bool{}
	for _, e := range All() {
		if !snake.MatchString(e.Name) || seen[e.Name] {
			t.Errorf("code %d: name %q is empty, ugly or taken", e.Code, e.Name)
		}
		seen[e.Name] = true
		if e.Public == "" || e.Advice == "" {
			t.Errorf("%s: has no public sentence or no advice", e.Name)
		}
		if c, ok := Lookup(e.Name); !ok || c != e.Code {
			t.Errorf("Lookup(%q) = %v, %v", e.Name, c, ok)
		}
	}
	if len(seen) != int(codeCount)-1 {
		t.Errorf("%d names for %d codes", len(seen), codeCount-1)
	}
}

func TestFrom(t *testing.T) {
	t.Parallel()
	cause := errors.New("disk on fire")
	if got := From(cause); got.Code != Internal || got.Public() != "An internal error occurred." {
		t.Errorf("From(%v) = %v, public %q: a stranger must not see the cause", cause, got, got.Public())
	}
	e := New(RateLimited, "slow down")
	if got := From(fmt.Errorf("take: %w", e)); got != e {
		t.Errorf("From(wrapped) = %v, want the same value", got)
	}
	if From(nil) != nil {
		t.Error("From(nil) is not nil")
	}
	if !Is(fmt.Errorf("x: %w", Wrap(NoTarget, cause)), NoTarget) || !errors.Is(Wrap(NoTarget, cause), cause) {
		t.Error("a wrapped code or cause is not found")
	}
}
