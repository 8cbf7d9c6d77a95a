package client

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"
)

// The pauses between tries when the server asks for none: a random part of
// firstPause, doubled with every try, up to maxPause.
const (
	firstPause = 500 * time.Millisecond
	maxPause   = 8 * time.Second
)

// waitFor tells how long to wait before the try after try number n (from 0),
// or false if there is to be none.
//
// A pause that the server asked for is kept in full, and a random part is added
// so that many clients do not come back at the same moment.
func (c *Client) waitFor(err error, n int) (time.Duration, bool) {
	var e *Error
	if !errors.As(err, &e) || !e.Retryable || e.Delivered {
		return 0, false
	}
	if e.RetryAfter > c.options.MaxWait {
		return 0, false
	}
	pause := min(firstPause<<min(n, 10), maxPause)
	jitter := time.Duration(c.random() * float64(pause))
	if e.RetryAfter > 0 {
		return e.RetryAfter + min(jitter, max(e.RetryAfter/4, 10*time.Millisecond)), true
	}
	return jitter, true
}

// fallsBack reports whether another model may do what this one could not.
func fallsBack(err error) bool {
	var e *Error
	if !errors.As(err, &e) || e.Delivered || e.Status == 0 {
		return false // nobody was reached, so nobody else will be
	}
	return e.Retryable || errors.Is(e, ErrUpstream)
}

// retryable tells whether a status can be helped by trying again; the header
// x-should-retry overrides it.
func retryable(status int, h http.Header) (yes bool, said *bool) {
	switch h.Get("X-Should-Retry") {
	case "true":
		yes = true
		return true, &yes
	case "false":
		return false, new(bool)
	}
	switch status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
		return true, nil
	}
	return status >= 500, nil
}

// retryAfter returns the pause that an answer asks for, or 0. The finer header
// wins; a date counts from the server's own clock, if it shows it.
func retryAfter(h http.Header, now time.Time) time.Duration {
	if ms, ok := positive(h.Get("Retry-After-Ms")); ok {
		return scaled(ms, time.Millisecond)
	}
	text := h.Get("Retry-After")
	if s, ok := positive(text); ok {
		return scaled(s, time.Second)
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return max(at.Sub(now), 0)
}

func positive(text string) (float64, bool) {
	v, err := strconv.ParseFloat(text, 64)
	return v, err == nil && v > 0 && !math.IsInf(v, 0)
}

// scaled returns v units, at most about 292 years.
func scaled(v float64, unit time.Duration) time.Duration {
	if d := v * float64(unit); d < math.MaxInt64/2 {
		return time.Duration(d)
	}
	return math.MaxInt64 / 2
}
