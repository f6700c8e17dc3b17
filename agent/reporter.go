package agent

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/promote"
)

// progressEvery is how often counts are updated on a check that is still in
// progress. The first and the last word are never delayed.
const progressEvery = 5 * time.Second

// reporter delivers reports in the order in which they arose, each check's
// newest word only: a GitHub that is slow or down delays reports, never work,
// and costs no more requests afterwards.
type reporter struct {
	send func(context.Context, promote.Report) error
	now  func() time.Time
	log  zerolog.Logger

	mu     sync.Mutex
	queue  []reportKey
	newest map[reportKey]promote.Report
	sent   map[reportKey]sentReport
	wake   chan struct{}
}

// reportKey is a check: an environment at a commit.
type reportKey struct {
	environment string
	commit      gitsync.Commit
}

type sentReport struct {
	state promote.ReportState
	at    time.Time
}

func newReporter(send func(context.Context, promote.Report) error, now func() time.Time, log zerolog.Logger) *reporter {
	return &reporter{
		send: send, now: now, log: log,
		newest: map[reportKey]promote.Report{}, sent: map[reportKey]sentReport{},
		wake: make(chan struct{}, 1),
	}
}

// offer gives the newest word on a check.
func (r *reporter) offer(report promote.Report) {
	key := reportKey{report.Environment, report.Commit}
	r.mu.Lock()
	if _, waiting := r.newest[key]; !waiting {
		r.queue = append(r.queue, key)
	}
	r.newest[key] = report
	r.mu.Unlock()
	wake(r.wake)
}

// take returns the next report that is due, and else how long until one is.
func (r *reporter) take() (report promote.Report, wait time.Duration, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, key := range r.queue {
		report := r.newest[key]
		due := time.Duration(0)
		if last, was := r.sent[key]; was && last.state == report.State && !report.State.Final() {
			due = progressEvery - r.now().Sub(last.at)
		}
		if due <= 0 {
			r.queue = append(r.queue[:i:i], r.queue[i+1:]...)
			delete(r.newest, key)
			return report, 0, true
		}
		if wait == 0 || due < wait {
			wait = due
		}
	}
	return promote.Report{}, wait, false
}

// giveBack puts an undelivered report at the head of the queue, unless a newer
// word on the same check has come.
func (r *reporter) giveBack(report promote.Report) {
	key := reportKey{report.Environment, report.Commit}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, newer := r.newest[key]; !newer {
		r.newest[key] = report
		r.queue = append([]reportKey{key}, r.queue...)
	}
}

// delivered remembers a report. Of each environment only the newest commit is
// remembered: older checks have had their last word.
func (r *reporter) delivered(report promote.Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key := range r.sent {
		if key.environment == report.Environment && key.commit != report.Commit {
			delete(r.sent, key)
		}
	}
	r.sent[reportKey{report.Environment, report.Commit}] = sentReport{report.State, r.now()}
}

// run delivers until ctx ends.
func (r *reporter) run(ctx context.Context) {
	failing := again{first: time.Second, most: time.Minute}
	for {
		report, wait, ok := r.take()
		if !ok {
			var due <-chan time.Time
			if wait > 0 {
				due = time.After(wait)
			}
			select {
			case <-ctx.Done():
				return
			case <-r.wake:
			case <-due:
			}
			continue
		}
		if err := r.send(ctx, report); err != nil {
			if ctx.Err() != nil {
				return
			}
			if hopeless(err) {
				r.log.Error().Err(err).Str("check", report.Name()).Str("commit", string(report.Commit)).Msg("report dropped")
				continue
			}
			now := r.now()
			if failing.failed(err, now) {
				r.log.Warn().Err(err).Str("check", report.Name()).Msg("report not delivered yet; it is tried again")
			}
			r.giveBack(report)
			select {
			case <-ctx.Done():
				return
			case <-time.After(failing.until.Sub(now)):
			}
			continue
		}
		failing.succeeded()
		r.delivered(report)
	}
}

// hopeless reports whether trying again cannot help: GitHub no longer knows the
// commit, or does not want what is said.
func hopeless(err error) bool {
	var unknown *promote.UnknownCommit
	var rejected *promote.Rejected
	return errors.As(err, &unknown) || errors.As(err, &rejected)
}
