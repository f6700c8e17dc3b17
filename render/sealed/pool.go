package sealed

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/pawl-dev/pawl/render"
)

// Options are a pool's. What is zero has the default that stands beside it.
type Options struct {
	// Builds is how many may run at a time: as many as there are processors.
	Builds int
	// Slow is how many more may go on that have run for longer than SlowAfter.
	// These run at the lowest priority and keep no others from starting: as many
	// as Builds. Builds + Slow children of the memory limit each are the most that
	// a pool ever needs.
	Slow      int
	SlowAfter time.Duration // 2 s
	// Idle is how long a child is kept that has nothing to do: 30 s.
	Idle time.Duration
	// Reuse is how many builds a child makes before another takes its place: 500.
	Reuse int
}

// Pool builds overlays in sealed children. It is a render.Builder, for any
// number of renderers and goroutines.
type Pool struct {
	options Options
	name    string        // of a child: childName, or another that a test makes itself
	turns   chan struct{} // one for each build that counts
	slow    chan struct{} // one for each build that counts no more

	mu     sync.Mutex
	idle   []*process // the last used at the end
	all    map[*process]struct{}
	guards *Guards
	closed bool
}

var _ render.Builder = (*Pool)(nil)

// New makes a pool. It starts no child before one is needed.
func New(o Options) *Pool {
	if o.Builds <= 0 {
		o.Builds = runtime.GOMAXPROCS(0)
	}
	if o.Slow <= 0 {
		o.Slow = o.Builds
	}
	if o.SlowAfter <= 0 {
		o.SlowAfter = 2 * time.Second
	}
	if o.Idle <= 0 {
		o.Idle = 30 * time.Second
	}
	if o.Reuse <= 0 {
		o.Reuse = 500
	}
	return &Pool{options: o, name: childName, turns: make(chan struct{}, o.Builds), slow: make(chan struct{}, o.Slow), all: map[*process]struct{}{}}
}

// Build builds a job in a child. It ends at the deadline of the job's limits at
// the latest, waiting for a turn not counted.
func (p *Pool) Build(ctx context.Context, job render.Job) (render.Built, error) {
	job.Limits = job.Limits.WithDefaults()
	if err := p.wait(ctx); err != nil {
		return render.Built{}, err
	}
	t := &turn{pool: p, over: make(chan struct{})}
	defer t.end()
	made, again, err := p.try(ctx, t, job)
	if again {
		made, _, err = p.try(ctx, t, job)
	}
	return made, err
}

// try builds a job once, and says whether it is worth another try: the child
// that it was given had been at work before, and ended for no reason that lies
// in this job.
func (p *Pool) try(ctx context.Context, t *turn, job render.Job) (made render.Built, again bool, err error) {
	child, err := p.take(ctx, job.Limits.Memory)
	if err != nil {
		return render.Built{}, false, err
	}
	t.use(child)
	made, spent, err := child.build(ctx, job)
	t.use(nil)
	reused := child.builds > 1 // nothing of it may be looked at once it is put back
	if p.put(child, spent); err != nil && p.isClosed() {
		return render.Built{}, false, errClosed // which says nothing about the overlay
	}
	var unfinished *render.Unfinished
	return made, reused && errors.As(err, &unfinished) && unfinished.Reason == "crash", err
}

// Guards starts a child, unless one was started before, and tells what holds
// children of this process back.
func (p *Pool) Guards(ctx context.Context) (Guards, error) {
	if err := p.wait(ctx); err != nil {
		return Guards{}, err
	}
	defer func() { <-p.turns }()
	if err := p.warm(ctx, render.Limits{}); err != nil {
		return Guards{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return *p.guards, nil
}

// Warm has a child ready for builds of these limits, so that the next need not
// wait for one to start. While as many builds run as may, it does nothing: the
// next waits for one of them to end.
func (p *Pool) Warm(ctx context.Context, limits render.Limits) error {
	select {
	case p.turns <- struct{}{}:
	default:
		return nil
	}
	defer func() { <-p.turns }()
	return p.warm(ctx, limits)
}

func (p *Pool) warm(ctx context.Context, limits render.Limits) error {
	child, err := p.take(ctx, limits.WithDefaults().Memory)
	if err != nil {
		return err
	}
	p.put(child, false)
	return nil
}

// wait waits for a turn, which is to be taken from turns when it is over.
func (p *Pool) wait(ctx context.Context) error {
	select {
	case p.turns <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for another build to end: %w", ctx.Err())
	}
}

var errClosed = errors.New("the pool of render processes is closed")

// take is an idle child, or a new one.
func (p *Pool) take(ctx context.Context, memory int64) (*process, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, errClosed
	}
	for i := len(p.idle) - 1; i >= 0; i-- {
		if child := p.idle[i]; child.memory == memory {
			p.idle = append(p.idle[:i], p.idle[i+1:]...)
			child.retire.Stop()
			p.mu.Unlock()
			return child, nil
		}
	}
	p.mu.Unlock()
	child, err := startProcess(ctx, p.name, settings{Memory: memory})
	if err != nil {
		return nil, fmt.Errorf("starting a process to render in: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.guards = &child.guards
	if p.closed {
		child.kill()
		return nil, errClosed
	}
	p.all[child] = struct{}{}
	return child, nil
}

// put takes a child back, or ends one that is not to be used again.
func (p *Pool) put(child *process, spent bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if spent || p.closed || child.yielded.Load() || child.builds >= p.options.Reuse {
		p.drop(child)
		return
	}
	p.idle = append(p.idle, child)
	child.retire = time.AfterFunc(p.options.Idle, func() { p.retire(child) })
}

// retire ends a child that is still idle.
func (p *Pool) retire(child *process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, c := range p.idle {
		if c == child {
			p.idle = append(p.idle[:i], p.idle[i+1:]...)
			p.drop(child)
			return
		}
	}
}

func (p *Pool) drop(child *process) {
	delete(p.all, child)
	child.kill()
	go func() { _ = child.wait() }()
}

// Close ends all children, those in the middle of a build as well.
func (p *Pool) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.idle = nil
	for child := range p.all {
		p.drop(child)
	}
	return nil
}

func (p *Pool) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// turn is a build's place among those that run, in one child after another if
// the first ends for no reason of the build's own.
type turn struct {
	pool *Pool
	over chan struct{}

	mu     sync.Mutex
	timer  *time.Timer // from the first child on: starting one is no build
	child  *process    // that it builds in now, if any
	isSlow bool
	done   bool
}

// use says in which child the build goes on; nil says in none. The turn touches
// a child only until it says so.
func (t *turn) use(child *process) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.child = child
	switch {
	case child == nil:
	case t.isSlow:
		child.yield()
	case t.timer == nil:
		t.timer = time.AfterFunc(t.pool.options.SlowAfter, t.slow)
	}
}

// slow lets another build begin beside one that takes long, as soon as not too
// many do. It is called once, or the turn would be given back twice.
func (t *turn) slow() {
	select {
	case t.pool.slow <- struct{}{}:
	case <-t.over:
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done {
		<-t.pool.slow
		return
	}
	t.isSlow = true
	if t.child != nil {
		t.child.yield()
	}
	<-t.pool.turns
}

func (t *turn) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done = true
	close(t.over)
	if t.timer != nil {
		t.timer.Stop()
	}
	if t.isSlow {
		<-t.pool.slow
	} else {
		<-t.pool.turns
	}
}
