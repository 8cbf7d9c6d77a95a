package provider

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"

	"github.com/pontage/pontage/internal/fault"
)

// Interrupted is the failure of a stream that broke off before its end.
func Interrupted(cause error) *Failure {
	return &Failure{
		Fault: fault.Wrap(fault.StreamInterrupted, cause),
		Retry: true, Failover: true, Breaker: true, Sent: true,
	}
}

// BadAnswer is the failure of an answer that cannot be used: of the wrong kind,
// cut, too long or not what the protocol says. status is the answer's, words
// are what came of it; both are for the log.
func BadAnswer(status int, words []byte, cause error) *Failure {
	return &Failure{
		Fault: &fault.Error{
			Code: fault.UpstreamFailed, Cause: cause,
			UpstreamStatus: status, Upstream: clip(Redact(string(head(words)))),
		},
		Retry: true, Failover: true, Breaker: true, Sent: true,
	}
}

// Untold is the failure of an answer with an image or a sound, which has no place
// in the caller's dialect.
func Untold() *Failure {
	return &Failure{
		Fault: fault.New(fault.UnsupportedParameter, "This model answered with an image or a sound, which cannot be told here.").At("model"),
		Sent:  true,
	}
}

// Refusal wraps a fault of the request class that was found before anything was
// sent.
func Refusal(err error) *Failure { return &Failure{Fault: fault.From(err)} }

// failure tells why an exchange failed with err, before the headers of the
// answer or after them.
func (w *watch) failure(caller context.Context, err error, before bool) *Failure {
	sent := w.wasSent(err, before)
	var over *TimeoutError
	if errors.As(context.Cause(w.ctx), &over) {
		if over.Phase == "connect" {
			return unreachable(over)
		}
		return &Failure{
			Fault:    fault.Wrap(fault.UpstreamTimeout, over).With("phase", over.Phase),
			Failover: true, Breaker: true, Sent: sent,
		}
	}
	switch cause := caller.Err(); {
	case errors.Is(cause, context.DeadlineExceeded):
		return &Failure{Fault: fault.Wrap(fault.UpstreamTimeout, cause).With("phase", "deadline"), Sent: sent}
	case cause != nil:
		return &Failure{Fault: fault.Wrap(fault.StreamInterrupted, cause), Sent: sent}
	}
	switch {
	case !sent:
		return unreachable(err)
	case before || !w.stream:
		return BadAnswer(0, nil, err)
	}
	return Interrupted(err)
}

// unreachable is the failure to get a connection. A certificate that is refused
// will be refused again.
func unreachable(err error) *Failure {
	var cert *tls.CertificateVerificationError
	return &Failure{
		Fault: fault.Wrap(fault.NoTarget, err),
		Retry: !errors.As(err, &cert), Failover: true, Breaker: true,
	}
}

// wasSent reports whether the provider may have the whole request.
func (w *watch) wasSent(err error, before bool) bool {
	if !before || w.sent.Load() > 0 {
		return true
	}
	if w.reported.Load() {
		return false
	}
	var (
		op   *net.OpError
		name *net.DNSError
		cert *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect"), errors.As(err, &name), errors.As(err, &cert):
		return false
	}
	return !strings.Contains(err.Error(), "TLS handshake")
}
