package ledger

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/pontage/pontage/internal/money"
)

func TestEntryDetailsAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var got Entry
		for range 3 { // one after another
			before, want := got, drawDetail(t)
			kept := before
			kept.Classes = slices.Clone(before.Classes)
			if err := got.SetDetail(want.Detail()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(kept, before); diff != "" {
				t.Fatalf("the one before was changed:\n%s", diff)
			}
		}
	})
}

// drawDetail draws what is in a detail. Some are often the same.
func drawDetail(t *rapid.T) Entry {
	name := rapid.OneOf(rapid.SampledFrom([]string{"", "a", "b"}), rapid.String())
	e := Entry{
		Model: name.Draw(t, "model"), Tokens: drawTokens(t), Grant: rapid.Int64().Draw(t, "grant"),
		Reference: rapid.String().Draw(t, "reference"), Note: rapid.String().Draw(t, "note"), Actor: Actor(name.Draw(t, "actor")),
		Classes: rapid.SliceOfN(name, 0, 3).Draw(t, "classes"),
	}
	if rapid.Bool().Draw(t, "expires") {
		e.ExpiresAt = time.Unix(0, rapid.Int64Min(1).Draw(t, "at")).UTC()
	}
	copy(e.Seal[:], rapid.SliceOfN(rapid.Byte(), 0, 16).Draw(t, "seal"))
	return e
}

// What an older version wrote, of which the last member is the note.
func TestEntryDetailsOfLayout1AreRead(t *testing.T) {
	t.Parallel()
	old := []byte{
		1, 2, 'm', 2, 8, 'o', 'p', 'e', 'n', // layout, model, one class
		20, 8, 0, 0, 40, 10, 1, // tokens, and that they are estimated
		0, 0, // grant, expiry
		4, 'r', '1', 4, 'h', 'i', // reference, note
	}
	want := Entry{Model: "m", Classes: []string{"open"}, Tokens: Tokens{Input: 10, CachedInput: 4, Output: 20, Reasoning: 5, Estimated: true}, Reference: "r1", Note: "hi"}
	got := Entry{Actor: "somebody"}
	if err := got.SetDetail(old); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, bad := range [][]byte{append([]byte{0}, old[1:]...), append([]byte{3}, old[1:]...), append([]byte{2}, old[1:]...)} {
		if err := new(Entry).SetDetail(bad); err == nil {
			t.Errorf("layout %d of that reads", bad[0])
		}
	}
}

func drawTokens(t *rapid.T) Tokens {
	n := func() int64 { return rapid.Int64().Draw(t, "tokens") }
	return Tokens{n(), n(), n(), n(), n(), n(), rapid.Bool().Draw(t, "estimated")}
}

func TestReceiptsAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := func() string { return rapid.String().Draw(t, "text") }
		want := Receipt{
			Site: text(), Surface: text(), AnsweredBy: text(), Fault: text(), Status: rapid.Int().Draw(t, "status"), Stream: rapid.Bool().Draw(t, "stream"),
			Usage: drawTokens(t), Took: time.Duration(rapid.Int64().Draw(t, "took")), Price: text(),
		}
		for range rapid.IntRange(0, 3).Draw(t, "lines") {
			want.Lines = append(want.Lines, Line{text(), rapid.Int64().Draw(t, "units"), money.Amount(rapid.Int64().Draw(t, "amount")), money.Rate(rapid.Int64().Draw(t, "rate")), rapid.Bool().Draw(t, "rated")})
			want.Attempts = append(want.Attempts, Attempt{text(), text(), rapid.Int().Draw(t, "status"), time.Duration(rapid.Int64().Draw(t, "took"))})
		}
		for range rapid.IntRange(0, 2).Draw(t, "left out") {
			want.Dropped = append(want.Dropped, text())
		}
		for range rapid.IntRange(0, 2).Draw(t, "left out") {
			want.Left = append(want.Left, text())
		}
		doc := want.Doc()
		if leaves := len(want.Dropped)+len(want.Left) > 0; leaves != (doc[0] == leavingLayout) || !leaves && doc[0] != receiptLayout {
			t.Fatalf("layout %d of %q and %q", doc[0], want.Dropped, want.Left)
		}
		got := Receipt{Dropped: []string{"stale"}, Left: []string{"stale"}}
		if err := got.SetDoc(doc); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

func TestReceiptsOfLayout1AreRead(t *testing.T) {
	t.Parallel()
	old := []byte{
		1, 2, 's', 2, 'u', 0, 0, 144, 3, 1, // layout, site, surface, answered by, fault, status 200, streamed
		20, 0, 0, 0, 40, 0, 0, // tokens
		2, 10, 'i', 'n', 'p', 'u', 't', 20, 6, // one line
		2, 2, 't', 4, 'o', 'k', 144, 3, 2, // one attempt
		14, // took
	}
	want := Receipt{
		Site: "s", Surface: "u", Status: 200, Stream: true, Usage: Tokens{Input: 10, Output: 20}, Lines: []Line{{Kind: "input", Units: 10, Amount: 3}},
		Attempts: []Attempt{{"t", "ok", 200, 1}}, Took: 7,
	}
	got := Receipt{Price: "stale"}
	if err := got.SetDoc(old); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := new(Receipt).SetDoc(append([]byte{leavingLayout + 1}, old[1:]...)); err == nil {
		t.Error("a layout that there is not reads")
	}
}

func TestWhatAReceiptSaysWasLeftOutIsBounded(t *testing.T) {
	t.Parallel()
	if got := Names(nil); got != nil {
		t.Errorf("of nothing %q", got)
	}
	long := strings.Repeat("x", MaxLeftName-1) + "é"
	if got := Names([]string{"seed", long, "a\xffb"}); fmt.Sprint(got) != fmt.Sprint([]string{"seed", long[:MaxLeftName-1], "ab"}) {
		t.Errorf("%q", got)
	}
	if got := Names(slices.Repeat([]string{"a"}, MaxLeft)); len(got) != MaxLeft || got[MaxLeft-1] != "a" {
		t.Errorf("as many as may be: %q", got)
	}
	if got := Names(slices.Repeat([]string{"a"}, MaxLeft+7)); len(got) != MaxLeft+1 || got[MaxLeft] != "and 7 more" {
		t.Errorf("more: %q", got)
	}
}

// Whatever the disk gives back, reading it ends, allocates no more than it was
// given, and what it accepts can be written and read again.
func FuzzSetDoc(f *testing.F) {
	f.Add((&Receipt{Site: "s", Price: "0123abcd", Lines: []Line{{"input", 1, 2, 3, true}}, Attempts: []Attempt{{"t", "ok", 200, 1}}}).Doc())
	f.Add((&Receipt{Site: "s", Dropped: []string{"seed"}, Left: []string{"web_search_call"}}).Doc())
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var r, again Receipt
		if r.SetDoc(b) != nil {
			return
		}
		if err := again.SetDoc(r.Doc()); err != nil || !cmp.Equal(r, again) {
			t.Fatalf("%x reads as %+v, which reads back as %+v, %v", b, r, again, err)
		}
	})
}

func FuzzSetDetail(f *testing.F) {
	f.Add((&Entry{Model: "m", Classes: []string{"open"}, Reference: "r", Actor: ActorKey}).Detail())
	f.Add([]byte{1, 2, 'm'})
	f.Fuzz(func(t *testing.T, b []byte) {
		var e, again Entry
		if e.SetDetail(b) != nil {
			return
		}
		if err := again.SetDetail(e.Detail()); err != nil || !bytes.Equal(e.Detail(), again.Detail()) {
			t.Fatalf("%x reads as %+v, which reads back as %+v, %v", b, e, again, err)
		}
	})
}

func TestKindsKeepTheirNumbers(t *testing.T) {
	t.Parallel()
	// These numbers are on disk.
	for kind, n := range map[Kind]int64{KindUsage: 1, KindTopup: 2, KindGrant: 3, KindRefund: 4, KindAdjust: 5, KindExpire: 6, KindAbsorbed: 7, KindReduce: 9, "": 0, "gift": 0} {
		if got := kind.Number(); got != n {
			t.Errorf("%q.Number() = %d, want %d", kind, got, n)
		}
		if n != 0 && KindOf(n) != kind {
			t.Errorf("KindOf(%d) = %q, want %q", n, KindOf(n), kind)
		}
	}
	for _, n := range []int64{-1, 0, 8, 10} {
		if got := KindOf(n); got != "" {
			t.Errorf("KindOf(%d) = %q, want none", n, got)
		}
	}
}

func TestDaysAreThoseOfUTC(t *testing.T) {
	t.Parallel()
	for at, want := range map[string]Day{
		"1970-01-01T00:00:00Z":      0,
		"1969-12-31T23:59:59Z":      -1,
		"1970-01-01T23:59:59Z":      0,
		"2026-03-14T23:00:00-05:00": 20527,
	} {
		when, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := DayOf(when); got != want {
			t.Errorf("DayOf(%s) = %d, want %d", at, got, want)
		}
	}
	if got := Day(20527).String(); got != "2026-03-15" {
		t.Errorf("Day = %s", got)
	}
}
