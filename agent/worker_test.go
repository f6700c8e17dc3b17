package agent

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/promote"
)

func at(commit gitsync.Commit) job { return job{revision: gitsync.Revision{Commit: commit}} }

func TestOfWaitingRevisionsTheNewestWins(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var done []gitsync.Commit
		first := make(chan struct{})
		w := newWorkerOf(func(_ context.Context, j job) error {
			if j.revision.Commit == "1" {
				<-first
			}
			done = append(done, j.revision.Commit)
			return nil
		})
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go w.run(ctx)
		w.assign(at("1"))
		synctest.Wait()
		w.assign(at("2"))
		w.assign(at("3"))
		close(first)
		synctest.Wait()
		if len(done) != 2 || done[1] != "3" {
			t.Errorf("worked on %v; want 1 and then 3", done)
		}
	})
}

func TestAFixIsNotBehindTheFailureItMends(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var done []gitsync.Commit
		w := newWorkerOf(func(_ context.Context, j job) error {
			done = append(done, j.revision.Commit)
			if j.revision.Commit == "bad" {
				return &policies.Refusal{}
			}
			return nil
		})
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go w.run(ctx)
		w.assign(at("bad"))
		synctest.Wait()
		w.assign(at("fix"))
		synctest.Wait() // no time passes in here
		if len(done) != 2 || done[1] != "fix" {
			t.Errorf("worked on %v; want the fix at once", done)
		}
		time.Sleep(time.Hour) // of the bubble's clock
		if len(done) != 2 {
			t.Errorf("worked on %v; the replaced revision must not come back", done)
		}
	})
}

func TestFailuresAreTriedAgainAtTheirPace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		says        string
		err         error
		within      time.Duration
		least, most int
	}{
		{"what may pass by itself, within seconds", errors.New("down"), 30 * time.Second, 4, 8},
		{"what needs a person, rarely", &policies.Refusal{}, 10 * time.Minute, 3, 7},
	} {
		synctest.Test(t, func(t *testing.T) {
			tries := 0
			w := newWorkerOf(func(context.Context, job) error { tries++; return c.err })
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			go w.run(ctx)
			w.assign(at("1"))
			time.Sleep(c.within) // of the bubble's clock
			synctest.Wait()
			if tries < c.least || tries > c.most {
				t.Errorf("%s: %d tries in %s; want %d to %d", c.says, tries, c.within, c.least, c.most)
			}
		})
	}
}

func TestADroppedJobIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		w := newWorkerOf(func(context.Context, job) error { tries++; return errors.New("down") })
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go w.run(ctx)
		w.assign(at("1"))
		synctest.Wait()
		w.drop()
		time.Sleep(time.Hour) // of the bubble's clock
		if tries != 1 {
			t.Errorf("%d tries; want no more after the job was dropped", tries)
		}
	})
}

// newWorkerOf is a worker of jobs whose health nobody looks at.
func newWorkerOf(do func(context.Context, job) error) *worker {
	count := func(ctx context.Context, j job) error {
		err := do(ctx, j)
		if err != nil && ctx.Err() == nil {
			j.tries.failed(err, time.Now())
		}
		return err
	}
	return newWorker(RetriesConfig{}.withDefaults(), count, func(context.Context, job) error { return nil }, func(job, error) {}, func(context.Context, job) {})
}

func TestANewerRevisionEndsTheOneThatIsWorkedOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var done []gitsync.Commit
		w := newWorkerOf(func(ctx context.Context, j job) error {
			if j.revision.Commit == "bad" {
				<-ctx.Done() // waits for what will not come
				return ctx.Err()
			}
			done = append(done, j.revision.Commit)
			return nil
		})
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go w.run(ctx)
		w.assign(at("bad"))
		synctest.Wait()
		w.assign(at("fix"))
		synctest.Wait() // no time passes in here
		if len(done) != 1 || done[0] != "fix" {
			t.Errorf("worked on %v; want the fix at once", done)
		}
		w.assign(at("bad"))
		synctest.Wait()
		w.drop()
		time.Sleep(time.Hour)
		if len(done) != 1 {
			t.Errorf("worked on %v", done)
		}
	})
}

// A target that takes ten seconds is brought to some revision though one comes
// every two.
func TestCommitsThatKeepComingDoNotStarveATarget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		finished := 0
		w := newWorkerOf(func(ctx context.Context, j job) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(10 * time.Second):
				finished++
				return nil
			}
		})
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go w.run(ctx)
		for range 60 {
			w.assign(at("next"))
			time.Sleep(2 * time.Second)
		}
		if finished < 2 {
			t.Errorf("%d of the revisions of two minutes were applied", finished)
		}
	})
}

// Each cause has its own count and its own pace.
func TestTargetsAlternatingBetweenCausesWaitForEachAsItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		outage, refusal := &policies.Unavailable{}, &policies.Refusal{Images: []policies.ImageRefusal{{}}}
		tries := newTries(RetriesConfig{}.withDefaults())
		now := time.Now()
		var waits []time.Duration
		for range 4 {
			tries.failed(outage, now)
			waits = append(waits, tries.due.Sub(now))
			tries.failed(refusal, now)
			waits = append(waits, tries.due.Sub(now))
		}
		for i, most := range []time.Duration{1, 30, 2, 60, 4, 120, 8, 240} {
			if most *= time.Second; waits[i] > most || waits[i] < most/2 {
				t.Errorf("the waits are %v; number %d is not %s to %s", waits, i+1, most/2, most)
			}
		}
		if tries.all != 8 || !tries.since.Equal(now) {
			t.Errorf("%d tries since %s", tries.all, tries.since)
		}
	})
}

func TestWaitsGrowToTheirCapAndAreSpread(t *testing.T) {
	t.Parallel()
	pace := RetryConfig{Base: environments.Duration(time.Second), Factor: 3, Cap: environments.Duration(20 * time.Second)}
	for _, c := range []struct {
		says   string
		n      int
		random float64
		want   time.Duration
	}{
		{"the first is the base", 1, 0, time.Second},
		{"each is longer by the factor", 3, 0, 9 * time.Second},
		{"until the cap", 4, 0, 20 * time.Second},
		{"however often it failed", 100_000, 0, 20 * time.Second},
		{"half of it is left to chance", 3, 0.5, 6750 * time.Millisecond},
		{"and no more", 3, 1, 4500 * time.Millisecond},
	} {
		if got := pace.wait(c.n, c.random); got != c.want {
			t.Errorf("%s: %s, want %s", c.says, got, c.want)
		}
	}
}

func TestATryIsNotMadeBeforeGitHubWantsToHearIt(t *testing.T) {
	t.Parallel()
	tries, now := newTries(RetriesConfig{}.withDefaults()), time.Now()
	until := now.Add(time.Hour)
	tries.failed(fmt.Errorf("look up the pull request: %w", &promote.RateLimited{Until: until}), now)
	if !tries.due.Equal(until) {
		t.Errorf("it is tried again at %s", tries.due)
	}
}
