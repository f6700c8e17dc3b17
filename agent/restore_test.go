package agent

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/render"
)

// catalogue 121
func TestNothingReturnsThatMayNotRunToday(t *testing.T) {
	t.Run("its image is not signed any more", func(t *testing.T) {
		inWorldWith(t, shop(), func(w *world) { w.fails("bad") }, func(w *world) {
			w.mu.Lock()
			w.unsigned[hexOf("a")] = true
			w.mu.Unlock()
			w.push(map[string]string{"base/web.yaml": labelled("bad"), file("web", "dev"): overlay(hexOf("b"))})
			w.expect("what was applied last", w.lastApplied("dev/web"), "2")
			if did := w.state(web).Problem.Did; !strings.Contains(did, "no good release may return") || !strings.Contains(did, "has no signature") {
				t.Errorf("the agent says that it %s", did)
			}
		})
	})
	t.Run("but an older one may", func(t *testing.T) {
		inWorldWith(t, shop(), func(w *world) { w.fails("bad") }, func(w *world) {
			w.push(map[string]string{file("web", "dev"): overlay(hexOf("b"))})
			w.mu.Lock()
			w.unsigned[hexOf("b")] = true
			w.mu.Unlock()
			w.push(map[string]string{"base/web.yaml": labelled("bad"), file("web", "dev"): overlay(hexOf("c"))})
			w.expect("what was applied last", w.lastApplied("dev/web"), "1")
			if did := w.state(web).Problem.Did; !strings.Contains(did, "It was not the first choice: not to 2: ") || !strings.Contains(did, "has no signature") {
				t.Errorf("the agent says that it %s", did)
			}
		})
	})
	t.Run("where the registry cannot be asked, recorded evidence is judged", func(t *testing.T) {
		for signer, returns := range map[string]string{"trusted today": "1", "not trusted today": "2"} {
			inOutage := func(w *world) {
				w.fails("bad")
				w.mu.Lock()
				defer w.mu.Unlock()
				applies := w.applies
				w.applies = func(ctx context.Context, r render.Release) error {
					if says(r, "bad") && r.Target.Environment == "dev" {
						w.mu.Lock()
						w.outage = true
						if signer == "not trusted today" {
							w.baseline = &demands.Baseline{Trust: newTrust(w.t)}
						}
						w.mu.Unlock()
					}
					return applies(ctx, r)
				}
			}
			t.Run(signer, func(t *testing.T) {
				inWorldWith(t, shop(), inOutage, func(w *world) {
					w.push(bad())
					w.expect("what was applied last", w.lastApplied("dev/web"), returns)
				})
			})
		}
	})
}

// refusesToReturn lets the API server refuse releases of a commit.
func (w *world) refusesToReturn(commits ...gitsync.Commit) {
	w.refusing(func(r render.Release) error {
		if r.Target == web && slices.Contains(commits, r.Commit) {
			return &drift.Rejected{Target: web}
		}
		return nil
	})
}

// catalogue 120
func TestWhatTheAPIServerRefusesToTakeBackDoesNotReturn(t *testing.T) {
	t.Run("and nothing else is good: the failed release stays, and nothing is held", func(t *testing.T) {
		inWorldWith(t, shop(), func(w *world) { w.fails("bad") }, func(w *world) {
			w.refusesToReturn("1")
			w.push(bad())
			s := w.state(web)
			w.expect("the reason", s.Problem.Reason, "Unhealthy")
			if !strings.Contains(s.Problem.Did, "stays: no good release may return. not to 1") {
				t.Errorf("the agent says that it did %q", s.Problem.Did)
			}
			w.pass(time.Hour)
			if want := "pawl_rollbacks_total{environment=\"dev\",result=\"impossible\"} 1\n"; !strings.Contains(w.metrics(), want) {
				t.Errorf("the metrics do not have %s", want)
			}
			w.push(map[string]string{"README.md": "x"})
			s = w.state(web)
			w.expect("the reason at an unrelated commit", s.Problem.Reason, "Unhealthy")
			if s.Applied == nil || w.held["dev/web"] != nil {
				t.Errorf("at an unrelated commit: applied %v, held %+v", s.Applied, w.held["dev/web"])
			}
		})
	})
	t.Run("but an older one may", func(t *testing.T) {
		inWorldWith(t, shop(), func(w *world) { w.fails("bad") }, func(w *world) {
			w.push(map[string]string{"base/web.yaml": labelled("two")})
			w.refusesToReturn("2")
			w.push(bad())
			w.expect("what was applied last", w.lastApplied("dev/web"), "1")
			w.expect("the commit that it was returned to", w.held["dev/web"].To, "1")
		})
	})
	t.Run("also not after a crash in between", func(t *testing.T) {
		files := shop()
		files["base/web.yaml"] = labelled("bad")
		inWorldWith(t, files, func(w *world) {
			w.fails("bad")
			w.remembers("0", shop())
			held := w.releaseOf(files).Digest
			w.held["dev/web"] = &drift.Hold{Release: held, Commit: "1", Why: "it failed", To: "0"}
			w.accepted = []drift.Accepted{{Target: environmentsTarget("dev", "web"), Commit: "1", Release: held}}
			w.refusesToReturn("0")
		}, func(w *world) {
			w.expect("the reason", w.state(web).Problem.Reason, "Unhealthy")
			if w.held["dev/web"] != nil {
				t.Error("what runs is held")
			}
		})
	})
	t.Run("by hand, and then nothing is held", func(t *testing.T) {
		inWorldWith(t, shop(), func(*world) {}, func(w *world) {
			w.push(map[string]string{"base/web.yaml": labelled("two")})
			w.refusesToReturn("1")
			w.agent.Notice(drift.Notice{Target: environmentsTarget("dev", "web"), Rollback: &drift.RollbackRequest{By: "ada", Reason: "latency"}})
			synctest.Wait()
			if answer := last(w.answers); !strings.HasPrefix(answer, "refused: ") || w.held["dev/web"] != nil {
				t.Errorf("the answer is %q, and held is %+v", answer, w.held["dev/web"])
			}
			w.expect("the stage", w.state(web).Stage, "healthy")
		})
	})
}
