package sealed

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"
)

// Options are a pool's. What is zero has the default that stands beside it.
type Options struct {
	// Jobs is how many may run at a time: as many as there are processors.
	Jobs int
	// Slow is how many more may go on that have run for longer than SlowAfter.
	// These run at the lowest priority and keep no others from starting: as many
	// as Jobs. Jobs + Slow children of the memory limit each are the most that a
	// pool ever needs.
	Slow      int
	SlowAfter time.Duration // 2 s
	// Idle is how long a child is kept that has nothing to do: 30 s.
	Idle time.Duration
	// Reuse is how many jobs a child does before another takes its place: 500.
	Reuse int
}

// Pool has jobs done in sealed children of one worker, for any number of
// goroutines.
type Pool struct {
	options Options
	name    string        // of a child
	turns   chan struct{} // one for each job that counts
	slow    chan struct{} // one for each job that counts no more

	mu     sync.Mutex
	idle   []*Child // the last used at the end
	all    map[*Child]struct{}
	guards *Guards
	closed bool
}

// New makes a pool of a worker that Main knows. It starts no child before one is
// needed.
func New(worker Worker, o Options) *Pool {
	if o.Jobs <= 0 {
		o.Jobs = runtime.GOMAXPROCS(0)
	}
	if o.Slow <= 0 {
		o.Slow = o.Jobs
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
	return &Pool{options: o, name: worker.Name, turns: make(chan struct{}, o.Jobs), slow: make(chan struct{}, o.Slow), all: map[*Child]struct{}{}}
}

// Job is one conversation with a child, from which it is not to be kept. An
// error of Child or Message is to be returned as it is. Spent says that the
// child is not to be used again.
type Job func(*Child) (spent bool, err error)

// Do has a job done in a child that may have so much memory, as soon as there is
// a turn for it. If the child ended meanwhile the error is an *Ended; it is the
// job's own if that has one.
func (p *Pool) Do(ctx context.Context, memory int64, job Job) error {
	if err := p.wait(ctx); err != nil {
		return err
	}
	t := &turn{pool: p, over: make(chan struct{})}
	defer t.end()
	again, err := p.try(ctx, t, memory, job)
	if again {
		_, err = p.try(ctx, t, memory, job)
	}
	return err
}

// try does a job once, and says whether it is worth another try: the child that
// it was given had been at work before, and what it ended of may be an earlier
// job's, such as memory that one left behind.
func (p *Pool) try(ctx context.Context, t *turn, memory int64, job Job) (again bool, err error) {
	child, err := p.take(ctx, memory)
	if err != nil {
		return false, err
	}
	t.use(child)
	spent, err := child.do(ctx, job)
	t.use(nil)
	reused := child.jobs > 1 // nothing of it may be looked at once it is put back
	if p.put(child, spent); err != nil && p.isClosed() {
		return false, ErrClosed // which says nothing about the job
	}
	var ended *Ended
	return reused && errors.As(err, &ended) && (ended.Reason == Crashed || ended.Reason == Memory), err
}

// Guards starts a child, unless one was started before, and tells what holds
// children of this process back.
func (p *Pool) Guards(ctx context.Context, memory int64) (Guards, error) {
	if err := p.wait(ctx); err != nil {
		return Guards{}, err
	}
	defer func() { <-p.turns }()
	if err := p.warm(ctx, memory); err != nil {
		return Guards{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return *p.guards, nil
}

// Warm has a child ready for jobs of this memory, so that the next need not wait
// for one to start. While as many run as may, it does nothing: the next waits
// for one of them to end.
func (p *Pool) Warm(ctx context.Context, memory int64) error {
	select {
	case p.turns <- struct{}{}:
	default:
		return nil
	}
	defer func() { <-p.turns }()
	return p.warm(ctx, memory)
}

func (p *Pool) warm(ctx context.Context, memory int64) error {
	child, err := p.take(ctx, memory)
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
		return fmt.Errorf("waiting for another sealed process to end: %w", ctx.Err())
	}
}

// ErrClosed says that a pool was closed before or during a job.
var ErrClosed = errors.New("the pool of sealed processes is closed")

// take is an idle child, or a new one.
func (p *Pool) take(ctx context.Context, memory int64) (*Child, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, ErrClosed
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
	child, err := startChild(ctx, p.name, settings{Memory: memory})
	if err != nil {
		return nil, fmt.Errorf("starting a sealed process: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.guards = &child.guards
	if p.closed {
		child.kill()
		return nil, ErrClosed
	}
	p.all[child] = struct{}{}
	return child, nil
}

// put takes a child back, or ends one that is not to be used again.
func (p *Pool) put(child *Child, spent bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if spent || p.closed || child.yielded.Load() || child.jobs >= p.options.Reuse {
		p.drop(child)
		return
	}
	p.idle = append(p.idle, child)
	child.retire = time.AfterFunc(p.options.Idle, func() { p.retire(child) })
}

// retire ends a child that is still idle.
func (p *Pool) retire(child *Child) {
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

func (p *Pool) drop(child *Child) {
	delete(p.all, child)
	child.kill()
	go func() { _ = child.wait() }()
}

// Close ends all children, those in the middle of a job as well.
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

// turn is a job's place among those that run, in one child after another if the
// first ends for no reason of the job's own.
type turn struct {
	pool *Pool
	over chan struct{}

	mu     sync.Mutex
	timer  *time.Timer // from the first child on: starting one is no job
	child  *Child      // that it is done in now, if any
	isSlow bool
	done   bool
}

// use says in which child the job goes on; nil says in none. The turn touches
// a child only until it says so.
func (t *turn) use(child *Child) {
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

// slow lets another job begin beside one that takes long, as soon as not too
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
