package wire

import (
	"strconv"
	"strings"

	"github.com/pontage/pontage/internal/contract"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
)

// simulateHeader asks, with a test key, for a fault: "code" before the answer,
// "code;after=N" after its Nth event with content.
const simulateHeader = "X-Pontage-Simulate"

// maxAfter bounds how far into a stream a simulated fault may lie.
const maxAfter = 10_000

// simulation is a fault on demand.
type simulation struct {
	code  fault.Code
	after int // events with content; 0: before the answer
}

// simulate reads the header. It refuses one that a live key sends, and one that
// names no fault.
func (x *exchange) simulate() *fault.Error {
	v := x.r.Header.Get(simulateHeader)
	if v == "" {
		return nil
	}
	if !x.caller.Test() {
		return fault.New(fault.InvalidParameter, "Only test keys may ask for simulated faults.").At(simulateHeader)
	}
	name, rest, more := strings.Cut(v, ";")
	code, known := fault.Lookup(strings.TrimSpace(name))
	if !known {
		return fault.New(fault.InvalidParameter, "There is no fault of this name.").At(simulateHeader)
	}
	s := simulation{code: code}
	if more {
		n, found := strings.CutPrefix(strings.TrimSpace(rest), "after=")
		after, err := strconv.Atoi(n)
		if !found || err != nil || after < 0 || after > maxAfter {
			return fault.New(fault.InvalidParameter, "Want code or code;after=N, with N from 0 to %d.", maxAfter).At(simulateHeader)
		}
		s.after = after
	}
	x.wanted = &s
	return nil
}

// simulated is an answer that breaks off on demand.
type simulated struct {
	Call
	s    simulation
	seen int
}

// Next breaks off in place of the event after the last one wanted, or of the
// end if there are not so many.
func (c *simulated) Next() (llm.Event, error) {
	if c.seen >= c.s.after {
		return llm.Event{}, contract.Sample(c.s.code)
	}
	ev, err := c.Call.Next()
	if err != nil {
		return ev, contract.Sample(c.s.code)
	}
	if ev.Content {
		c.seen++
	}
	ev.More = false
	return ev, nil
}
