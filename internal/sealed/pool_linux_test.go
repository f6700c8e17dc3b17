package sealed

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// spin has a child do what never ends.
func spin(ctx context.Context, p *Pool) error {
	var text string
	return p.Do(ctx, enough, try(probe{Name: "spin"}, time.Hour, &text))
}

// catalogue 1, catalogue 10: what takes too long, too much memory, says too much
// or takes its whole process with it is told apart, and the next job is well.
func TestAJobThatDoesNotEndSaysWhy(t *testing.T) {
	t.Parallel()
	p := pool(t, Options{})
	for _, c := range []struct {
		name   string
		within time.Duration
		want   Reason
	}{
		{"spin", time.Second / 5, Late},
		{"eat", time.Hour, Memory},
		{"recurse", time.Hour, Memory},
		{"panic", time.Hour, Crashed},
		{"lie", time.Hour, Crashed},
		{"strange", time.Hour, Crashed},
		{"flood", time.Hour, Length},
	} {
		_, err := doWithin(t, p, probe{Name: c.name}, c.within)
		if reason(err) != c.want || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
		t.Log(err)
		if text, err := do(t, p, "nothing"); text != "done" {
			t.Errorf("after %s: %q, %v", c.name, text, err)
		}
	}
}

// What one job left behind in a child costs the next nothing.
func TestMemoryOfEarlierJobsIsHeldAgainstNobody(t *testing.T) {
	t.Parallel()
	p := pool(t, Options{Jobs: 1})
	for _, name := range []string{"keep", "need", "need"} {
		if text, err := do(t, p, name); text != "done" {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
}

// A later deadline takes the place of an earlier one, and none is that of the
// next job.
func TestADeadlineIsOfOnePart(t *testing.T) {
	t.Parallel()
	p := pool(t, Options{Jobs: 1})
	var text string
	for range 2 {
		err := p.Do(t.Context(), enough, func(c *Child) (bool, error) {
			c.Deadline(time.Hour)
			c.Deadline(time.Minute)
			return try(probe{Name: "nothing"}, time.Hour, &text)(c)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	err := p.Do(t.Context(), enough, func(c *Child) (bool, error) {
		if c.jobs != 3 {
			t.Errorf("a child of %d jobs, want the one of the others", c.jobs)
		}
		c.Deadline(time.Hour)
		return try(probe{Name: "spin"}, time.Millisecond, &text)(c)
	})
	if reason(err) != Late {
		t.Errorf("%v, want it late", err)
	}
}

// However many are slow, there are no more children than was said.
func TestSlowJobsAreBounded(t *testing.T) {
	t.Parallel()
	p := pool(t, Options{Jobs: 1, Slow: 2, SlowAfter: time.Millisecond})
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			_ = spin(ctx, p)
		})
	}
	children := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.all)
	}
	eventually(t, "three children run", func() bool { return children() == 3 })
	waiting, giveUp := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer giveUp()
	if err := spin(waiting, p); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a fourth: %v, want it to wait", err)
	}
	if n := children(); n != 3 {
		t.Errorf("%d children, want 3", n)
	}
	stop()
	wg.Wait()
	if _, err := do(t, p, "nothing"); err != nil {
		t.Errorf("afterwards: %v, want a turn", err)
	}
}

// A child that fails a job after its time among the others has passed costs it
// no second turn: it goes on in another child, as slow as it was, and ends.
func TestASlowJobWhoseChildCrashesGoesOn(t *testing.T) {
	t.Parallel()
	p := pool(t, Options{Jobs: 1, Slow: 2, SlowAfter: time.Hour})
	if _, err := do(t, p, "shop"); err != nil {
		t.Fatal(err)
	}
	p.options.SlowAfter = time.Millisecond
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		err := spin(ctx, p)
		ended <- err
	}()
	slowIn := func() *Child {
		p.mu.Lock()
		defer p.mu.Unlock()
		for child := range p.all {
			if child.yielded.Load() {
				return child
			}
		}
		return nil
	}
	eventually(t, "the job is slow", func() bool { return slowIn() != nil && len(p.turns) == 0 })
	first := slowIn()
	first.kill()
	eventually(t, "it goes on in another child, which yields as well", func() bool { c := slowIn(); return c != nil && c != first })
	if len(p.slow) != 1 || len(p.turns) != 0 {
		t.Errorf("%d slow and %d other jobs, want the one", len(p.slow), len(p.turns))
	}
	stop()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("stopped: %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the job never ends")
	}
	if len(p.slow) != 0 || len(p.turns) != 0 {
		t.Errorf("%d slow and %d other jobs afterwards, want none", len(p.slow), len(p.turns))
	}
}

// Once a job has given its child back, the child is another's: that the first
// job was slow is no reason to slow it down. If it came to that just before,
// nobody gets it.
func TestALateTimerLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	p := pool(t, Options{Jobs: 1, SlowAfter: time.Hour})
	child, err := p.take(t.Context(), 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := &turn{pool: p, over: make(chan struct{})}
	first.use(child)
	first.use(nil)
	first.slow()
	first.end()
	if child.yielded.Load() {
		t.Error("a child yields that the slow job had given back")
	}
	child.yield()
	if p.put(child, false); len(p.idle) != 0 {
		t.Error("a child that yields is kept for another job")
	}
}

// Warming is no way around the bound.
func TestWarmingStartsNoneBesideThoseThatRun(t *testing.T) {
	t.Parallel()
	p := pool(t, Options{Jobs: 1, SlowAfter: time.Hour})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = spin(ctx, p)
	}()
	children := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.all)
	}
	eventually(t, "a child runs", func() bool { return children() == 1 })
	if err := p.Warm(t.Context(), enough); err != nil {
		t.Error(err)
	}
	if n := children(); n != 1 {
		t.Errorf("%d children, want the one that is busy", n)
	}
	stop()
	<-ended
}

// One that chatters is not heard.
func TestWhatAChildSaysElsewhereIsDropped(t *testing.T) {
	t.Parallel()
	if text, err := do(t, pool(t, Options{}), "chatter"); text != "done" {
		t.Errorf("%q, %v", text, err)
	}
}

// The parent's death ends a child, in the middle of a job as well.
func TestAChildDiesWithItsParent(t *testing.T) {
	t.Parallel()
	child, err := startChild(t.Context(), probed, settings{Memory: enough})
	if err != nil {
		t.Fatal(err)
	}
	defer child.kill()
	if err := child.Send(kindProbe, probe{Name: "spin"}, nil); err != nil {
		t.Fatal(err)
	}
	if err := child.to.Close(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- child.wait() }()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Error("the child lives on")
	}
}

// catalogue 1: a child that died while nobody needed it costs its next user no
// failed job.
func TestAChildThatDiedIdleIsReplaced(t *testing.T) {
	t.Parallel()
	p := pool(t, Options{Jobs: 1})
	if _, err := do(t, p, "a"); err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	child := p.idle[0]
	p.mu.Unlock()
	child.kill()
	if _, err := do(t, p, "b"); err != nil {
		t.Error(err)
	}
}

func TestChildrenEnd(t *testing.T) {
	t.Parallel()
	for what, o := range map[string]Options{
		"idle for long enough":      {Idle: time.Millisecond},
		"after so many jobs":        {Reuse: 1},
		"with the pool":             {},
		"after a job that ran long": {SlowAfter: time.Nanosecond},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			p := pool(t, o)
			if err := p.Warm(t.Context(), enough); err != nil {
				t.Fatal(err)
			}
			if _, err := do(t, p, "chatter"); err != nil {
				t.Fatal(err)
			}
			if what == "with the pool" {
				_ = p.Close()
				if _, err := do(t, p, "nothing"); !errors.Is(err, ErrClosed) {
					t.Errorf("a job of a closed pool: %v", err)
				}
			}
			eventually(t, "the child is gone", func() bool {
				p.mu.Lock()
				defer p.mu.Unlock()
				return len(p.all) == 0
			})
		})
	}
}

// Closing ends jobs under way, and holds it against none of them.
func TestAClosedPoolBlamesNobody(t *testing.T) {
	t.Parallel()
	p := pool(t, Options{})
	ended := make(chan error)
	go func() { ended <- spin(context.Background(), p) }()
	eventually(t, "a child runs", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.all) == 1
	})
	_ = p.Close()
	if err := <-ended; !errors.Is(err, ErrClosed) || reason(err) != "" {
		t.Errorf("%v, want the pool named", err)
	}
}

// Nobody becomes a child by accident.
func TestAChildIsStartedByAPoolAlone(t *testing.T) {
	t.Parallel()
	program, err := self()
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	stray := &exec.Cmd{Path: program, Args: []string{"pawl-other"}, Stdin: null}
	said, err := stray.CombinedOutput()
	if err == nil || !strings.Contains(string(said), "started by pawl alone") {
		t.Errorf("%v, %s", err, said)
	}
	piped := &exec.Cmd{Path: program, Args: []string{"pawl-other"}, Stdin: io.LimitReader(strings.NewReader(strings.Repeat("x", 100)), 100)}
	if err := piped.Run(); err == nil {
		t.Error("a child took what is no message")
	}
}

func TestWaitingForATurnEnds(t *testing.T) {
	t.Parallel()
	p := pool(t, Options{Jobs: 1, SlowAfter: time.Hour})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = spin(ctx, p)
	}()
	eventually(t, "a job runs", func() bool { return len(p.turns) == 1 })
	waiting, giveUp := context.WithCancel(t.Context())
	giveUp()
	if err := spin(waiting, p); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the wait given up", err)
	}
	stop()
	<-ended
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not before long: %s", what)
		}
	}
}
