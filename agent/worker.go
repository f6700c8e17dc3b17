package agent

import (
	"context"
	"sync"
	"time"

	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/render"
)

// job is one revision to bring to one target.
type job struct {
	revision    gitsync.Revision
	environment environments.Environment
	target      environments.Target
	// repository is what the revision demands, and declared the fields with
	// images that it names.
	repository *demands.Demanded
	declared   []render.KindFields
	// keep says that the revision cannot be used for the target, which is to have
	// what it has.
	keep bool
	// gone says that the target has no overlay at the revision; nil if it has.
	gone *environments.Unusable
	// turned is to be woken when the health of what the job applies turns.
	turned chan<- struct{}
	// retry says that this revision was tried before, and tries how often, and when
	// it is to be tried again: whatever tries it says there how it ended.
	retry bool
	tries *tries
}

// worker brings revisions to one target, one at a time. Of those that wait,
// the newest wins; the others are never looked at.
type worker struct {
	do func(context.Context, job) error
	// retries have their defaults.
	retries RetriesConfig
	// target is the one that was last assigned; the loop's own.
	target environments.Target
	// keeps says that its job only keeps what runs; the loop's own.
	keeps bool

	// turn looks at what became of the release that the job applied, whenever its
	// health turned.
	turn   func(context.Context, job) error
	turned chan struct{}
	// again is woken when what a job failed for may have passed.
	again chan struct{}
	// told is called when looking failed, once for what fails alike.
	told func(job, error)
	// after is called after each of them, with the context of the worker and not of
	// the job.
	after func(context.Context, job)

	mu   sync.Mutex
	next *job
	wake chan struct{}
	// cancel ends the job that is being worked on, nil if there is none, and
	// ended is how many in a row did not come to their end.
	cancel context.CancelFunc
	ended  int
}

func newWorker(retries RetriesConfig, do, turn func(context.Context, job) error, told func(job, error), after func(context.Context, job)) *worker {
	return &worker{retries: retries, do: do, turn: turn, told: told, after: after, turned: make(chan struct{}, 1), again: make(chan struct{}, 1), wake: make(chan struct{}, 1)}
}

// assign makes j the next job.
func (w *worker) assign(j job) {
	j.turned = w.turned
	w.mu.Lock()
	w.next = &j
	w.end()
	w.mu.Unlock()
	wake(w.wake)
}

// drop makes the worker forget its job: nothing is tried again.
func (w *worker) drop() {
	w.mu.Lock()
	w.next = nil
	if w.cancel != nil {
		w.cancel()
	}
	w.mu.Unlock()
	wake(w.wake)
}

// end ends the job that is being worked on, as a newer one waits. The first is
// ended at once: a fix must not wait behind the failure that it mends. Where
// commits keep coming each gets more time than the last, or a large target would
// never be brought to any of them. w.mu is held.
func (w *worker) end() {
	if w.cancel == nil {
		return
	}
	if wait := spared(w.ended); wait > 0 {
		time.AfterFunc(wait, w.cancel)
		return
	}
	w.cancel()
}

// spared is how long a job goes on after a newer one has come, when so many
// before it were ended already.
func spared(ended int) time.Duration {
	if ended == 0 {
		return 0
	}
	return min(time.Second<<min(ended-1, 10), time.Minute)
}

// work does a job until it ends, or is ended by a newer one. It reports whether
// it was.
func (w *worker) work(ctx context.Context, do func(context.Context, job) error, j job) (ended bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w.mu.Lock()
	w.cancel = cancel
	if w.next != nil { // came just now
		w.end()
	}
	w.mu.Unlock()
	err = do(ctx, j)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cancel = nil
	if err == nil || ctx.Err() == nil {
		w.ended = 0
		return false, err
	}
	w.ended++
	return true, err
}

func (w *worker) take() (job, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.next == nil {
		return job{}, false
	}
	j := *w.next
	w.next = nil
	return j, true
}

// run works until ctx ends. A job that failed is tried again, with growing
// waits, until it succeeds or a newer one is assigned, which also ends one that
// is being worked on.
func (w *worker) run(ctx context.Context) {
	var (
		current  = job{tries: newTries(w.retries)}
		tryAgain <-chan time.Time

		turning   = again{pace: w.retries.Transient}
		turnAgain <-chan time.Time
	)
	look := func() {
		turnAgain = w.look(ctx, current, &turning)
		tryAgain = current.tries.timer() // a person's word may have made it a try
		w.after(ctx, current)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
			current.tries.due, tryAgain = time.Time{}, nil
			j, ok := w.take()
			if !ok {
				continue
			}
			current, current.tries = j, newTries(w.retries)
		case <-w.turned:
			look()
			continue
		case <-turnAgain:
			look()
			continue
		case <-w.again:
			if current.tries.due.IsZero() { // it did not fail, or is none of what is tried again
				continue
			}
			current.retry, current.tries = true, newTries(w.retries)
		case <-tryAgain:
			current.retry = true
		}
		current.tries.due = time.Time{}
		_, _ = w.work(ctx, w.do, current)
		tryAgain = current.tries.timer()
		w.after(ctx, current)
	}
}

// look looks at what became of the job, unless a newer one waits. It returns when
// to look again if that failed; what fails alike is told once.
func (w *worker) look(ctx context.Context, j job, before *again) <-chan time.Time {
	w.mu.Lock()
	overtaken := w.next != nil
	w.mu.Unlock()
	if overtaken {
		wake(w.turned) // it is looked at after that one, which may leave the release as it is
		return nil
	}
	ended, err := w.work(ctx, w.turn, j)
	if err == nil || ended || ctx.Err() != nil {
		if ended {
			wake(w.turned)
		}
		before.succeeded()
		return nil
	}
	now := time.Now()
	if before.failed(err, now) {
		w.told(j, err)
	}
	return time.After(before.until.Sub(now))
}
