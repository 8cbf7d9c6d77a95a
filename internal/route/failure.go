package route

import (
	"errors"
	"time"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
)

// failure is how an attempt at t failed, as the caller is told and as it counts.
func (p *Plan) failure(req *llm.Request, t *Target, err error) *provider.Failure {
	f := once(req, beforeContent(asFailure(err, t.Key)))
	if f.Fault.Code == fault.UpstreamTimeout && p.Patience > 0 && p.late(0) {
		f.Breaker = false // it was the caller who was in a hurry
	}
	if f.Fault.Code == fault.ModelNotFound {
		// The provider means its own name of the model, which is not the caller's.
		f.Fault.With("model", req.Model[:min(len(req.Model), 200)])
	}
	if f.Fault.Param == "messages" {
		f.Fault.Param = req.PromptName()
	}
	return f
}

// beforeContent turns a stream that broke off before it had said anything into
// an attempt that failed, and can be made again.
func beforeContent(f *provider.Failure) *provider.Failure {
	if f.Fault.Code != fault.StreamInterrupted {
		return f
	}
	e := *f.Fault
	e.Code = fault.UpstreamFailed
	return &provider.Failure{Fault: &e, Retry: true, Failover: true, Breaker: true, Sent: true}
}

// once makes a failure final where making an image, or sound, or a transcript may
// have begun: it is slow and dear, and nobody wants to pay for it twice. A status
// below 500 proves that nothing was done, and so do those of a server that has too
// much to do.
func once(req *llm.Request, f *provider.Failure) *provider.Failure {
	switch req.Task {
	case llm.TaskImage, llm.TaskSpeech, llm.TaskTranscribe:
	default:
		return f
	}
	switch s := f.Fault.UpstreamStatus; {
	case !f.Sent, s >= 400 && s < 500, s == unavailable, s == overloaded:
		return f
	}
	g := *f
	g.Retry, g.Failover = false, false
	return &g
}

// Statuses of a server with too much to do; the second is Anthropic's, and others
// have taken it over.
const (
	unavailable = 503
	overloaded  = 529
)

func judge(f *provider.Failure) verdict {
	v := verdict{code: f.Fault.Code, breaker: f.Breaker, quarantine: f.Quarantine}
	v.forbidden = forbidden(f)
	if f.Fault.Code == fault.UpstreamRateLimited {
		v.cooldown = max(f.Cooldown, time.Second)
	}
	return v
}

// asFailure makes a Failure of whatever a provider returned that was asked with
// the key.
func asFailure(err error, key provider.Secret) *provider.Failure {
	var f *provider.Failure
	if errors.As(err, &f) {
		f.Hide(key)
		return f
	}
	return &provider.Failure{Fault: fault.Wrap(fault.UpstreamFailed, err), Failover: true, Breaker: true, Sent: true}
}

func gone(err error) *fault.Error {
	return fault.Wrap(fault.UpstreamFailed, err)
}

// outOfUse is the fault of a target that is kept out of use because of why.
func outOfUse(why fault.Code, wait time.Duration) *fault.Error {
	switch why {
	case fault.UpstreamRateLimited, fault.UpstreamAuth, fault.UpstreamQuota:
	default:
		why = fault.NoTarget
	}
	e := fault.New(why, "")
	e.RetryAfter = wait
	return e
}

// telling ranks the faults of several attempts: the one that tells the caller
// most wins, and among equals the last. What can be mended by waiting is worth
// more than what cannot, and a provider that answered more than one that did not.
var telling = map[fault.Code]int{
	fault.NoTarget:            1,
	fault.UpstreamAuth:        2,
	fault.UpstreamQuota:       3,
	fault.UpstreamTimeout:     4,
	fault.EmptyResponse:       5,
	fault.UpstreamFailed:      5,
	fault.UpstreamOverloaded:  6,
	fault.UpstreamRateLimited: 7,
}

// Weigh returns which of the faults of two attempts tells the caller more. a may
// be nil.
func Weigh(a, b *fault.Error) *fault.Error {
	if a == nil || telling[b.Code] >= telling[a.Code] {
		return b
	}
	return a
}

// forbidden reports whether the provider knows the credential, which may not do what
// was asked: that may be for the model's sake, or the path's.
func forbidden(f *provider.Failure) bool {
	return f.Fault.Code == fault.UpstreamAuth && f.Fault.UpstreamStatus == 403
}
