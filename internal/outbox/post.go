package outbox

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/pontage/pontage/internal/account"
	"github.com/pontage/pontage/internal/ledger"
	"github.com/pontage/pontage/internal/money"
	"github.com/pontage/pontage/internal/obs"
)

// SignatureHeader carries the time and the signature of a try.
const SignatureHeader = "Pontage-Signature"

// Sign returns the value of the signature's header: the time in seconds, and the
// HMAC-SHA256 under the secret of time, dot and body, in hexadecimal. It is the
// scheme that Stripe made common.
func Sign(secret string, at time.Time, body []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(t + "."))
	mac.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

// message is what is sent.
type message struct {
	ID        string    `json:"id"`
	Type      string    `json:"type"`
	CreatedAt time.Time `json:"created_at"`
	Data      data      `json:"data"`
}

// data tells the event; what its kind does not have is left out.
type data struct {
	Account     string        `json:"account"`
	Key         string        `json:"key"`
	Request     string        `json:"request"`
	BalanceUSD  *money.Amount `json:"balance_usd,omitempty"`
	BelowUSD    *money.Amount `json:"below_usd,omitempty"`
	Model       string        `json:"model,omitempty"`
	Target      string        `json:"target,omitempty"`
	ChargeUSD   *money.Amount `json:"charge_usd,omitempty"`
	AbsorbedUSD *money.Amount `json:"absorbed_usd,omitempty"`
}

// Body returns what is sent of an event. It is the same for every try.
func Body(v *ledger.Event) ([]byte, error) {
	m := message{ID: ID(v.ID), Type: string(v.Kind), CreatedAt: v.Time.UTC().Truncate(time.Millisecond), Data: data{
		Account: account.ID(v.Account).String(), Key: account.KeyID(v.Key).String(), Request: obs.RequestID(v.Request).String(),
	}}
	switch v.Kind {
	case ledger.EventBalanceWarning:
		m.Data.BalanceUSD, m.Data.BelowUSD = &v.Balance, &v.Below
	case ledger.EventAbsorbed:
		m.Data.Model, m.Data.Target, m.Data.ChargeUSD, m.Data.AbsorbedUSD = v.Model, v.Target, &v.Charge, &v.Absorbed
	default:
		return nil, fmt.Errorf("an event of no known kind %q", v.Kind)
	}
	return json.Marshal(m)
}

// post makes one try. Its error says in few words why it failed, and holds
// nothing of the URL, which may have a secret in it.
func (o *Outbox) post(ctx context.Context, to Endpoint, v *ledger.Event) error {
	body, err := Body(v)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.URL, bytes.NewReader(body))
	if err != nil {
		return errors.New("the URL cannot be used")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set(SignatureHeader, Sign(to.Secret, o.o.Now(), body))
	resp, err := o.client.Do(req)
	if err != nil {
		var inside *url.Error
		if errors.As(err, &inside) {
			err = inside.Err
		}
		return errors.New(clip(err.Error()))
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer)) // so that the connection can be used again
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return errors.New(strings.TrimSpace("it answered " + strconv.Itoa(resp.StatusCode) + " " + http.StatusText(resp.StatusCode)))
	}
	return nil
}

func clip(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) > maxError {
		return strings.ToValidUTF8(s[:maxError], "") + "…"
	}
	return s
}
