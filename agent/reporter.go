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

// progressEvery is how often the details of a check are updated. Another state
// is never delayed.
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
	newest map[reportKey]word
	sent   map[reportKey]sentReport
	wake   chan struct{}
}

// reportKey is a check: an environment at a commit.
type reportKey struct {
	environment string
	commit      gitsync.Commit
}

// word is what is to be said on a check. It is written when it is sent: most
// words are replaced before, and a table of a thousand targets is not cheap.
type word struct {
	state promote.ReportState
	write func() promote.Report
}

type sentReport struct {
	state promote.ReportState
	at    time.Time
}

func newReporter(send func(context.Context, promote.Report) error, now func() time.Time, log zerolog.Logger) *reporter {
	return &reporter{
		send: send, now: now, log: log,
		newest: map[reportKey]word{}, sent: map[reportKey]sentReport{},
		wake: make(chan struct{}, 1),
	}
}

// offer gives the newest word on a check.
func (r *reporter) offer(key reportKey, w word) {
	r.mu.Lock()
	if _, waiting := r.newest[key]; !waiting {
		r.queue = append(r.queue, key)
	}
	r.newest[key] = w
	r.mu.Unlock()
	wake(r.wake)
}

// take returns the next word that is due, and else how long until one is.
func (r *reporter) take() (key reportKey, w word, wait time.Duration, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, key := range r.queue {
		w := r.newest[key]
		due := time.Duration(0)
		if last, was := r.sent[key]; was && last.state == w.state {
			due = progressEvery - r.now().Sub(last.at)
		}
		if due <= 0 {
			r.queue = append(r.queue[:i:i], r.queue[i+1:]...)
			delete(r.newest, key)
			return key, w, 0, true
		}
		if wait == 0 || due < wait {
			wait = due
		}
	}
	return reportKey{}, word{}, wait, false
}

// giveBack puts an undelivered word at the head of the queue, unless a newer
// one on the same check has come.
func (r *reporter) giveBack(key reportKey, w word) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, newer := r.newest[key]; !newer {
		r.newest[key] = w
		r.queue = append([]reportKey{key}, r.queue...)
	}
}

// delivered remembers what was said. Of each environment only the newest commit is
// remembered: older checks have had their last word.
func (r *reporter) delivered(sent reportKey, state promote.ReportState) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key := range r.sent {
		if key.environment == sent.environment && key.commit != sent.commit {
			delete(r.sent, key)
		}
	}
	r.sent[sent] = sentReport{state, r.now()}
}

// run delivers until ctx ends.
func (r *reporter) run(ctx context.Context) {
	failing := again{pace: doubling(time.Second, time.Minute)}
	for {
		key, w, wait, ok := r.take()
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
		report := w.write()
		if report.State != w.state {
			continue // it went on since, and that word waits already
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
			r.giveBack(key, word{w.state, func() promote.Report { return report }})
			select {
			case <-ctx.Done():
				return
			case <-time.After(failing.until.Sub(now)):
			}
			continue
		}
		failing.succeeded()
		r.delivered(key, w.state)
	}
}

// hopeless reports whether trying again cannot help: GitHub no longer knows the
// commit, or does not want what is said.
func hopeless(err error) bool {
	var unknown *promote.UnknownCommit
	var rejected *promote.Rejected
	return errors.As(err, &unknown) || errors.As(err, &rejected)
}
