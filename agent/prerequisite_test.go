package agent

import (
	"context"
	"testing"
	"time"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/promote"
	"github.com/pawl-dev/pawl/render"
)

// catalogue 95
func TestWhatLacksItsNamespaceWaitsAndGoesOnAtOnce(t *testing.T) {
	lacks := true
	inWorldWith(t, shop(), func(w *world) {
		w.retries.Transient = RetryConfig{Base: environments.Duration(10 * time.Minute)} // nothing but the notice brings it about
		w.applies = func(_ context.Context, r render.Release) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if lacks && r.Target == web {
				return &drift.Rejected{Target: web, Problems: []drift.Problem{{Awaits: drift.ObjectID{Kind: "Namespace", Name: "shop"}}}}
			}
			return nil
		}
	}, func(w *world) {
		w.expect("the reason", w.state(web).Problem.Reason, reasonPrerequisite)
		w.expect("the stage", w.state(web).Stage, promote.StageRetrying)
		w.expect("the state", w.told(), "waiting")
		w.agent.Notice(drift.Notice{Target: web, TryAgain: true}) // that it is wholly gone now, say
		w.pass(time.Millisecond)
		w.expect("the state", w.told(), "waiting")
		w.mu.Lock()
		lacks = false
		w.mu.Unlock()
		w.agent.Notice(drift.Notice{Target: web, TryAgain: true})
		w.pass(time.Millisecond)
		w.expect("the state", w.told(), "healthy")
		w.agent.Notice(drift.Notice{Target: web, TryAgain: true})
		w.pass(time.Hour)
		w.expect("applies", w.count("dev/web 1"), 1)
	})
}

// What nobody brings may be a typing error, and its check is to end.
func TestWhatNobodyBringsIsStalledAfterAWhile(t *testing.T) {
	inWorldWith(t, shop(), func(w *world) {
		w.applies = func(context.Context, render.Release) error {
			return &drift.Rejected{Target: web, Problems: []drift.Problem{{Awaits: drift.ObjectID{Kind: "Namespace", Name: "shpo"}}}}
		}
	}, func(w *world) {
		w.pass(time.Minute)
		w.expect("the state", w.told(), "waiting")
		w.pass(10 * time.Minute)
		w.expect("the state", w.told(), "stalled")
		w.expect("the last word", last(w.checks("dev")), "1 failure")
	})
}
