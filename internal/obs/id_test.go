package obs

import (
	"testing"
	"time"
)

func TestRequestIDsReadBackAndSortByTime(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_790_000_000_000)
	a, b := NewRequestID(now), NewRequestID(now.Add(time.Millisecond))
	if a == NewRequestID(now) {
		t.Error("two ids of one millisecond are the same")
	}
	if a.String() >= b.String() {
		t.Errorf("%s does not sort before %s, which is later", a, b)
	}
	if got, err := ParseRequestID(a.String()); err != nil || got != a {
		t.Errorf("ParseRequestID(%s) = %s, %v", a, got, err)
	}
	for _, bad := range []string{"", "req_", "req_short", a.String() + "0", "acc_" + a.String()[4:], "req_!!!!!!!!!!!!!!!!!!!!!!!!!!"} {
		if _, err := ParseRequestID(bad); err == nil {
			t.Errorf("ParseRequestID(%q): want an error", bad)
		}
	}
}
