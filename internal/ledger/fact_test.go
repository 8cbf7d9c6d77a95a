package ledger_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/ledger"
)

// A key can stand for what costs nothing and may be done only once. That is on
// disk before it is done.
func TestAFactIsKeptBeforeItsDeed(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c, id := h.claim(keyA, one), request()
	f, err := h.KeepFact(background, c, id)
	if err != nil {
		t.Fatal(err)
	}
	c.Release() // does nothing any more
	for range 2 {
		if st := h.replay(keyA, one); st.Kept || st.Request != id || len(st.Body) != 0 {
			t.Errorf("the key stands for %+v", st)
		}
		h.refused(keyA, other, ledger.ErrIdemMismatch)
		h.reopen()
	}
	h.verify()
	if f == nil || !h.Idle() {
		t.Error("something is held")
	}
}

func TestAFactIsForgottenWithItsDeed(t *testing.T) {
	t.Parallel()
	h := setup(t)
	f, err := h.KeepFact(background, h.claim(keyA, one), request())
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Forget(background); err != nil {
		t.Fatal(err)
	}
	again := h.claim(keyA, other)
	again.Release()
	h.reopen()
	h.claim(keyA, one).Release()
	h.verify()
}

// Who waits for the key gets it when the fact is forgotten, and is told of it if
// it stands.
func TestWhoWaitsForAFactIsTold(t *testing.T) {
	t.Parallel()
	h := setup(t)
	first := h.claim(keyA, one)
	told := make(chan *ledger.Stored, 1)
	go func() {
		_, st, err := h.Claim(background, keyA, one, 20*time.Second)
		if err != nil {
			t.Error(err)
		}
		told <- st
	}()
	id := request()
	if _, err := h.KeepFact(background, first, id); err != nil {
		t.Fatal(err)
	}
	if st := <-told; st == nil || st.Request != id {
		t.Errorf("told of %+v", st)
	}
}

// A fact of which nobody learned that it is on disk does not stand.
func TestAFactThatComesTooLateIsForgotten(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ctx, cancel := context.WithCancel(background)
	cancel()
	for range 50 {
		f, err := h.KeepFact(ctx, h.claim(keyA, one), request())
		if err == nil { // it was on disk sooner than anybody looked
			if err := f.Forget(background); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		c, st, err := h.Claim(background, keyA, one, 20*time.Second)
		if err != nil || st != nil {
			t.Fatalf("the key stands for %+v, %v", st, err)
		}
		c.Release()
	}
	h.verify()
	h.reopen()
	h.claim(keyA, one).Release()
}
