package cluster

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
)

// many are the items of an apply that takes a while.
var many = make([]int, 200)

// counted is how many requests are under way, beside those that began.
type counted struct{ now, most, begun atomic.Int32 }

func (c *counted) request(took time.Duration) {
	c.begun.Add(1)
	now := c.now.Add(1)
	for most := c.most.Load(); now > most && !c.most.CompareAndSwap(most, now); most = c.most.Load() {
	}
	time.Sleep(took)
	c.now.Add(-1)
}

func TestAppliesMakeSoManyRequestsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := &turns{closed: t.Context().Done()}
		var trials, all counted
		tried, written := make(chan error), make(chan error)
		go func() {
			tried <- eachTrial(t.Context(), turns, many, func(context.Context, int) { trials.request(time.Second) })
		}()
		synctest.Wait()
		go func() {
			written <- each(t.Context(), turns, many, func(context.Context, int) { all.request(time.Second) })
		}()
		synctest.Wait()
		if trials.now.Load() != trying || all.now.Load() != applying-trying {
			t.Errorf("%d trials and %d writes at once, not %d and %d", trials.now.Load(), all.now.Load(), trying, applying-trying)
		}
		if err := errors.Join(<-tried, <-written); err != nil {
			t.Error(err)
		}
		if trials.begun.Load() != 200 || all.begun.Load() != 200 || turns.given != 0 || turns.trials != 0 {
			t.Errorf("%d trials and %d writes of 200, and %d turns are held", trials.begun.Load(), all.begun.Load(), turns.given)
		}
	})
}

// Of many applies the first are done while the last still wait, and a small one
// does not wait for a large one to end.
func TestWhoeverCameFirstIsDoneFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := &turns{closed: t.Context().Done()}
		begun := time.Now()
		apply := func(objects int) <-chan time.Duration {
			took := make(chan time.Duration, 1)
			go func() {
				ctx, items := turns.enter(t.Context()), make([]int, objects)
				request := func(context.Context, int) { time.Sleep(time.Second) }
				if err := errors.Join(eachTrial(ctx, turns, items, request), each(ctx, turns, items, request)); err != nil {
					t.Error(err)
				}
				took <- time.Since(begun)
			}()
			synctest.Wait()
			return took
		}
		large := apply(1000)
		var small []<-chan time.Duration
		for range 60 {
			small = append(small, apply(4))
		}
		first, last, all := <-small[0], <-small[59], <-large
		if within := 2 * (stint/trying + 2) * time.Second; first > within {
			t.Errorf("a small apply that came after a large one took %s, more than %s", first, within)
		}
		if first > last/4 || last > all/4 {
			t.Errorf("the first of the small ones was done after %s, the last after %s, the large one after %s", first, last, all)
		}
	})
}

// An apply makes few requests from the moment when an object drifts, and all
// again when nothing drifted for a while, whatever has become of the repair.
func TestApplyStepsAsideForRepairs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := &turns{closed: t.Context().Done()}
		var all counted
		applied := make(chan error)
		go func() {
			applied <- each(t.Context(), turns, many, func(context.Context, int) { all.request(100 * time.Millisecond) })
		}()
		synctest.Wait()
		underWay := func(when string, want int32) {
			t.Helper()
			synctest.Wait()
			if got := all.now.Load(); got != want {
				t.Errorf("%s: %d requests are under way, not %d", when, got, want)
			}
		}
		underWay("nothing drifted", applying)
		turns.repair()
		underWay("an object drifted just now", applying)
		time.Sleep(100 * time.Millisecond)
		underWay("what was under way ended", aside)
		time.Sleep(stepAside / 2)
		turns.repair()
		time.Sleep(stepAside - time.Millisecond)
		underWay("another one drifted meanwhile", aside)
		time.Sleep(time.Millisecond)
		underWay("nothing drifted for a while", applying)
		if err := <-applied; err != nil || all.begun.Load() != 200 {
			t.Errorf("%d of 200 requests, %v", all.begun.Load(), err)
		}
	})
}

// However much drifts, an apply comes to its end, as fast as a few at once are.
func TestApplyGoesOnWhileObjectsDriftWithoutEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := &turns{closed: t.Context().Done()}
		ctx, stop := context.WithCancel(t.Context())
		var drifting sync.WaitGroup
		drifting.Go(func() {
			for ctx.Err() == nil {
				turns.repair()
				time.Sleep(time.Millisecond)
			}
		})
		synctest.Wait()
		var all counted
		begun := time.Now()
		if err := each(t.Context(), turns, many, func(context.Context, int) { all.request(10 * time.Millisecond) }); err != nil {
			t.Error(err)
		}
		if took, want := time.Since(begun), time.Duration(200/aside)*10*time.Millisecond; took != want || all.most.Load() != aside {
			t.Errorf("it took %s with at most %d requests at once, not %s with %d", took, all.most.Load(), want, aside)
		}
		stop()
		drifting.Wait()
	})
}

func TestWhatAppliesStepAsideFor(t *testing.T) {
	t.Parallel()
	var fought drift.Fights
	fought.Corrected(drift.FightTerms{}, drift.Live{}, "hpa", nil, time.Now())
	for name, c := range map[string]struct {
		kept kept
		want bool
	}{
		"new drift":                   {kept{target: &target{mode: environments.DriftCorrect}}, true},
		"an environment without mode": {kept{target: &target{}}, true},
		"what is only reported":       {kept{target: &target{mode: environments.DriftReport}}, false},
		"a repair that was refused":   {kept{target: &target{}, failing: true}, false},
		"a fight":                     {kept{target: &target{}, fights: fought}, false},
	} {
		if got := c.kept.urgent(); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// What waits for its turn makes no request once it is no longer wanted: because
// a newer commit came, or because the agent no longer is the one to write.
func TestWhoWaitsForATurnCanBeStopped(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stop func(commit, agent context.CancelFunc)
		want error
	}{
		"by a newer commit":  {func(commit, _ context.CancelFunc) { commit() }, context.Canceled},
		"by the agent's end": {func(_, agent context.CancelFunc) { agent() }, errClosed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				commit, stopCommit := context.WithCancel(t.Context())
				agent, stopAgent := context.WithCancel(t.Context())
				defer stopCommit()
				defer stopAgent()
				turns := &turns{closed: agent.Done()}
				var all counted
				applied := make(chan error)
				go func() {
					applied <- each(commit, turns, many, func(context.Context, int) { all.request(time.Minute) })
				}()
				synctest.Wait()
				c.stop(stopCommit, stopAgent)
				if err := <-applied; !errors.Is(err, c.want) {
					t.Errorf("got %v, not %v", err, c.want)
				}
				if all.begun.Load() != applying || turns.given != 0 || len(turns.waiting) != 0 {
					t.Errorf("%d requests, not %d; %d turns are held, and %d wait", all.begun.Load(), applying, turns.given, len(turns.waiting))
				}
			})
		})
	}
}

// What waits to be asked again leaves the API server to others: what fails holds
// all turns, and goes on failing until the other item had one.
func TestWaitingToAskAgainHoldsNoTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := &turns{closed: t.Context().Done()}
		asked := make(chan struct{})
		items := make([]bool, trying+1)
		items[trying] = true
		err := eachTrial(t.Context(), turns, items, func(ctx context.Context, fine bool) {
			if fine {
				close(asked)
				return
			}
			_, err := persist(ctx, func() (any, error) {
				select {
				case <-asked:
					return nil, nil
				default:
					return nil, apierrors.NewServiceUnavailable("starting")
				}
			})
			if err != nil {
				t.Error("the other item had no turn:", err)
			}
		})
		if err != nil || turns.given+turns.trials > 0 {
			t.Errorf("got %v, and %d turns are held", err, turns.given)
		}
	})
}

// Behind an admission webhook that does not answer, say. Others do not wait for
// it, and it does not take all there is for itself either.
func TestWhatIsSlowLendsItsTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := &turns{closed: t.Context().Done()}
		var stuck counted
		slow, begun := make(chan error), time.Now()
		go func() {
			slow <- each(t.Context(), turns, many, func(context.Context, int) { stuck.request(time.Minute) })
		}()
		synctest.Wait()
		if err := each(t.Context(), turns, make([]int, 4), func(context.Context, int) { time.Sleep(time.Millisecond) }); err != nil {
			t.Error(err)
		}
		if took := time.Since(begun); took > time.Minute/2 {
			t.Errorf("what is quick waited %s for what is slow", took)
		}
		if err := <-slow; err != nil {
			t.Error(err)
		}
		if most := stuck.most.Load(); most != applying+lendable {
			t.Errorf("%d slow requests at once; want %d at most", most, applying+lendable)
		}
		if turns.given != 0 || turns.lent != 0 || turns.trials != 0 {
			t.Errorf("%d turns are held and %d lent", turns.given, turns.lent)
		}
	})
}
