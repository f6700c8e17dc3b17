package agent

import (
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/pawl-dev/pawl/promote"
)

// again says when what failed may be tried again: after growing waits, and
// never before GitHub wants to hear something.
type again struct {
	first, most time.Duration
	waits       *backoff.ExponentialBackOff
	said        string
	until       time.Time
}

// failed takes in a failure. It is news if it is not the one before.
func (a *again) failed(err error, now time.Time) (news bool) {
	if a.waits == nil {
		a.waits = growing(a.first, a.most)
	}
	a.until = now.Add(a.waits.NextBackOff())
	var limited *promote.RateLimited
	if errors.As(err, &limited) && limited.Until.After(a.until) {
		a.until = limited.Until
	}
	news, a.said = a.said != err.Error(), err.Error()
	return news
}

// succeeded forgets every failure.
func (a *again) succeeded() { a.waits, a.said, a.until = nil, "", time.Time{} }

// growing are waits that double.
func growing(first, most time.Duration) *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier = first, most, 2
	return b
}
