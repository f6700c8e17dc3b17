package agent

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/promote"
	"github.com/pawl-dev/pawl/render"
)

// catalogue 120
func TestWhatTheFailedReleaseBroughtAndIsNotDeletedIsSaid(t *testing.T) {
	inWorldWith(t, shop(), func(w *world) {
		w.fails("bad")
		w.prunes = func(terms drift.Terms) *drift.PruneHeld {
			if !terms.Returning || terms.GoodAt.IsZero() {
				return nil
			}
			claim := drift.ObjectID{Kind: "PersistentVolumeClaim", Namespace: "shop", Name: "data"}
			return &drift.PruneHeld{Target: web, Of: 9, Limit: 30, Objects: []drift.ObjectID{claim}, Protected: []drift.ObjectID{claim}}
		}
	}, func(w *world) {
		w.push(bad())
		p := w.state(web).Problem
		if p.Reason != "RolledBack" || !strings.Contains(p.Did, "PersistentVolumeClaim shop/data") || !strings.Contains(p.Hint, `"Pawl-Prune: dev/web 1". As long as the target is held, no such word does anything`) {
			t.Errorf("the problem is %+v", p)
		}
	})
}

// What a rollback cannot bring back, and what it did beside applying, is on the
// check and in the answer to whoever asked for it.
//
// catalogue 99, 120
func TestWhatARollbackDidNotRestoreIsSaid(t *testing.T) {
	tells := func(w *world) {
		w.fails("bad")
		w.does = func(terms drift.Terms, applied *drift.Applied) {
			if terms.GoodAt.IsZero() {
				return
			}
			applied.Unrestored = []drift.ObjectID{{Kind: "Service", Namespace: "shop", Name: "theirs"}}
			applied.Steps = []drift.Step{{Object: drift.ObjectID{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "web"}, Action: drift.Recreate, Reason: "because"}}
		}
	}
	const did = " To return, it had to make anew Deployment shop/web (because). Not as before they were taken over, as nobody kept that, and not in the release that returned: Service shop/theirs. What was applied to them last stays."
	t.Run("by itself", func(t *testing.T) {
		inWorldWith(t, shop(), tells, func(w *world) {
			w.push(bad())
			p := w.state(web).Problem
			if p.Reason != "RolledBack" || !strings.HasSuffix(p.Did, did) || !strings.Contains(p.Hint, "by the tool that had it, or by hand") {
				t.Errorf("the problem is %+v", p)
			}
			if log := w.log.String(); !strings.Contains(log, "Service shop/theirs") {
				t.Errorf("the log says %s", log)
			}
		})
	})
	t.Run("by hand", func(t *testing.T) {
		inWorldWith(t, shop(), tells, func(w *world) {
			w.push(map[string]string{"base/web.yaml": labelled("two")})
			w.agent.Notice(drift.Notice{Target: environmentsTarget("dev", "web"), Rollback: &drift.RollbackRequest{By: "ada", Reason: "latency"}})
			synctest.Wait()
			if answer := last(w.answers); !strings.HasPrefix(answer, "returned to the good release of 1") || !strings.HasSuffix(answer, did) {
				t.Errorf("the answer is %q", answer)
			}
		})
	})
}

// catalogue 120
func TestNothingIsSaidToStayBeforeRollingBackWasTried(t *testing.T) {
	inWorldWith(t, shop(), func(w *world) { w.fails("bad") }, func(w *world) {
		var meanwhile promote.Stage
		failing := true
		w.refusing(func(r render.Release) error {
			if r.Target != web || r.Commit != "1" || w.lastApplied("dev/web") != "2" {
				return nil
			}
			if meanwhile == "" {
				meanwhile = w.state(web).Stage
			}
			if failing {
				return errors.New("connection refused")
			}
			return nil
		})
		w.push(bad())
		w.expect("the stage while it was tried", meanwhile, promote.StageWaiting)
		s := w.state(web)
		w.expect("stage and reason", string(s.Stage)+" "+s.Problem.Reason, "failed Unhealthy")
		if !strings.Contains(s.Problem.Did, "is tried again: connection refused") {
			t.Errorf("the agent says that it did %q", s.Problem.Did)
		}
		w.pass(2 * time.Minute)
		failing = false
		w.pass(20 * time.Minute)
		s = w.state(web)
		w.expect("the reason", s.Problem.Reason, "RolledBack")
		_, took, _ := strings.Cut(s.Problem.Did, "(1) ")
		took, _, _ = strings.Cut(took, " after the failure")
		if d, err := time.ParseDuration(took); err != nil || d < 2*time.Minute {
			t.Errorf("the tries in vain are not counted: %q", s.Problem.Did)
		}
	})
}
