package agent

import (
	"context"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

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
	repository *repository
	declared   []render.KindFields
	// turned is to be woken when the health of what the job applies turns.
	turned chan<- struct{}
	// retry says that this revision was tried before.
	retry bool
}

// worker brings revisions to one target, one at a time. Of those that wait,
// the newest wins; the others are never looked at.
type worker struct {
	do func(context.Context, job) error
	// target is the one that was last assigned; the loop's own.
	target environments.Target

	// turn looks at what became of the release that the job applied, whenever its
	// health turned.
	turn   func(context.Context, job) error
	turned chan struct{}

	mu   sync.Mutex
	next *job
	wake chan struct{}
}

func newWorker(do, turn func(context.Context, job) error) *worker {
	return &worker{do: do, turn: turn, turned: make(chan struct{}, 1), wake: make(chan struct{}, 1)}
}

// assign makes j the next job.
func (w *worker) assign(j job) {
	j.turned = w.turned
	w.mu.Lock()
	w.next = &j
	w.mu.Unlock()
	wake(w.wake)
}

// drop makes the worker forget its job: nothing is tried again.
func (w *worker) drop() {
	w.mu.Lock()
	w.next = nil
	w.mu.Unlock()
	wake(w.wake)
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

// Waits between tries, by fate.
const (
	retryFirst, retryMost     = time.Second, time.Minute
	stalledFirst, stalledMost = 30 * time.Second, 10 * time.Minute
)

// run works until ctx ends. A job that failed is tried again, with growing
// waits, until it succeeds or a newer one is assigned.
func (w *worker) run(ctx context.Context) {
	var (
		current job
		again   <-chan time.Time
		waits   = map[fate]*backoff.ExponentialBackOff{}
	)
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
			again = nil
			j, ok := w.take()
			if !ok {
				continue
			}
			current, waits = j, map[fate]*backoff.ExponentialBackOff{}
		case <-w.turned:
			if err := w.turn(ctx, current); err != nil && ctx.Err() == nil {
				time.AfterFunc(retryFirst, func() { wake(w.turned) })
			}
			continue
		case <-again:
			again = nil
			current.retry = true
		}
		if err := w.do(ctx, current); err != nil {
			f := classify(err).fate
			if waits[f] == nil {
				waits[f] = newBackoff(f)
			}
			again = time.After(waits[f].NextBackOff())
		}
	}
}

func newBackoff(f fate) *backoff.ExponentialBackOff {
	if f == stalled {
		return growing(stalledFirst, stalledMost)
	}
	return growing(retryFirst, retryMost)
}
