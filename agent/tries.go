package agent

import (
	"errors"
	"math"
	"math/rand/v2"
	"time"

	"github.com/pawl-dev/pawl/promote"
)

// wait is how long to wait after the nth failure, 1 being the first. random is
// from 0 to 1, and spreads what failed together.
func (c RetryConfig) wait(n int, random float64) time.Duration {
	grown := float64(c.Base) * math.Pow(c.Factor, float64(n-1))
	return time.Duration(min(grown, float64(c.Cap)) * (1 - random/2))
}

// next is when to try again what failed for the nth time: never before GitHub
// wants to hear something.
func (c RetryConfig) next(n int, err error, now time.Time) time.Time {
	due := now.Add(c.wait(n, rand.Float64()))
	var limited *promote.RateLimited
	if errors.As(err, &limited) && limited.Until.After(due) {
		return limited.Until
	}
	return due
}

// tries are those of one job, in vain so far. Each cause counts for itself: a
// target that fails now for one and now for another neither begins anew with
// each change nor waits for one as long as for the other.
type tries struct {
	retries RetriesConfig
	by      map[string]int // failures, by reason
	all     int
	since   time.Time
	// reason is that of the last failure; due is when to try again, zero for never.
	reason string
	due    time.Time
}

func newTries(c RetriesConfig) *tries {
	return &tries{retries: c, by: map[string]int{}}
}

// failed takes in a failure, and returns how it is told on the check.
func (t *tries) failed(err error, now time.Time) promote.Retry {
	r := classify(err)
	t.by[r.name]++
	t.all++
	t.reason = r.name
	if t.since.IsZero() {
		t.since = now
	}
	pace, n, exhausted := t.retries.of(r), t.by[r.name], 0
	if limit := pace.Limit; limit != nil && *limit > 0 && n >= *limit {
		exhausted = *limit
		pace, n = t.retries.Stalled, n-exhausted+1
	}
	t.due = pace.next(n, err, now)
	return promote.Retry{Since: t.since, First: time.Duration(pace.Base), Most: time.Duration(pace.Cap), Exhausted: exhausted}
}

// succeeded forgets every failure.
func (t *tries) succeeded() { *t = *newTries(t.retries) }

// timer fires when the next try is due; nil if none is.
func (t *tries) timer() <-chan time.Time {
	if t.due.IsZero() {
		return nil
	}
	return time.After(time.Until(t.due))
}
