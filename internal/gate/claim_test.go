package gate

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/catalog"
	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/money"
)

func TestOneGenerationForAnIdempotencyKey(t *testing.T) {
	t.Parallel()
	c := chained(t, money.Dollar, catalog.Input{}, catalog.Overlay{})
	key := c.key(account.NewKey{})
	ctx := context.Background()
	// once asks with the key k, and answers like the edge does.
	once := func(digest byte, fails bool) (*ledger.Stored, error) {
		t.Helper()
		caller, err := c.enter(key)
		if err != nil {
			t.Fatal(err)
		}
		defer caller.Leave()
		stored, err := caller.Claim(ctx, "k", [32]byte{digest}, 0)
		if stored != nil || err != nil {
			return stored, err
		}
		c.up["extra"].open = nil
		if fails {
			c.up["extra"].open = down(fault.UpstreamFailed)
		}
		call, err := caller.Open(ctx, asks("extra", ""), Wishes{})
		if err != nil {
			return nil, err
		}
		defer call.Close()
		if !call.Drains() {
			t.Error("an answer that can be asked for again ends with its caller")
		}
		for {
			if _, err := call.Next(); err != nil {
				break
			}
		}
		_, err = call.Finish(func(b Bill) (*ledger.Stored, error) {
			return &ledger.Stored{Status: 200, Body: []byte(b.Charge.String()), Kept: true}, nil
		})
		return nil, err
	}
	if _, err := once(1, true); !fault.Is(err, fault.UpstreamFailed) {
		t.Fatal(err)
	}
	if got, err := once(1, false); got != nil || err != nil {
		t.Fatalf("a failure is no answer: %v, %v", got, err)
	}
	got, err := once(1, false)
	if err != nil || got == nil || string(got.Body) != "0.00004" {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := once(2, false); !fault.Is(err, fault.IdempotencyMismatch) {
		t.Errorf("another request: %v", err)
	}
	if n := len(c.up["extra"].calls); n != 2 || c.posted() != money.Dollar-10*4*1000 {
		t.Errorf("the provider was asked %d times, %s is left", n, c.posted())
	}
}

func TestAKeyInFlightIsInProgress(t *testing.T) {
	t.Parallel()
	c := chained(t, money.Dollar, catalog.Input{}, catalog.Overlay{})
	key := c.key(account.NewKey{})
	ctx := context.Background()
	first, err := c.enter(key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.Claim(ctx, "k", [32]byte{}, 0); err != nil {
		t.Fatal(err)
	}
	second, err := c.enter(key)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Leave()
	if _, err := second.Claim(ctx, "k", [32]byte{}, 0); !fault.Is(err, fault.IdempotencyInProgress) || fault.From(err).RetryAfter == 0 {
		t.Errorf("%v", err)
	}
	leaving, leave := context.WithCancel(ctx)
	leave()
	if _, err := second.Claim(leaving, "k", [32]byte{}, time.Minute); fault.Is(err, fault.Internal) || !errors.Is(err, context.Canceled) {
		t.Errorf("who leaves while he waits is our mistake: %v", err)
	}
	first.Leave()
	if stored, err := second.Claim(ctx, "k", [32]byte{}, 0); stored != nil || err != nil {
		t.Errorf("the key was given up: %v, %v", stored, err)
	}
}

// Who was told how a request ended may ask again at once.
func TestAKeyIsGivenUpBeforeItsCallerIsTold(t *testing.T) {
	t.Parallel()
	c := chained(t, money.Dollar, catalog.Input{}, catalog.Overlay{})
	key := c.key(account.NewKey{})
	ctx := context.Background()
	c.up["extra"].open = nil
	claims := func() *Caller {
		t.Helper()
		caller, err := c.enter(key)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(caller.Leave)
		if _, err := caller.Claim(ctx, "k", [32]byte{}, 0); err != nil {
			t.Error(err)
		}
		return caller
	}
	opens := func() *Call {
		t.Helper()
		call, err := claims().Open(ctx, asks("extra", ""), Wishes{})
		if err != nil {
			t.Fatal(err)
		}
		return call
	}
	claims().Refused(fault.New(fault.BalanceInsufficient, ""), 402)
	opens().Fail(fault.New(fault.StreamInterrupted, ""), 0)
	blocked := opens()
	blocked.finish = llm.FinishContentFilter
	if _, err := blocked.Finish(nil); err != nil {
		t.Error(err)
	}
	claims()
}
