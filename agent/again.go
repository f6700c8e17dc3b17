package agent

import (
	"time"

	"github.com/pawl-dev/pawl/environments"
)

// again says when what failed may be tried again.
type again struct {
	pace  RetryConfig
	count int
	said  string
	until time.Time
}

// failed takes in a failure. It is news if it is not the one before.
func (a *again) failed(err error, now time.Time) (news bool) {
	a.count++
	a.until = a.pace.next(a.count, err, now)
	news, a.said = a.said != err.Error(), err.Error()
	return news
}

// succeeded forgets every failure.
func (a *again) succeeded() { a.count, a.said, a.until = 0, "", time.Time{} }

// doubling are waits that double.
func doubling(first, most time.Duration) RetryConfig {
	return RetryConfig{Base: environments.Duration(first), Factor: 2, Cap: environments.Duration(most)}
}
