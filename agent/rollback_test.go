package agent

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/promote"
	"github.com/pawl-dev/pawl/render"
)

// fails lets releases with a word in them fail as soon as they are applied.
func (w *world) fails(word string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.silent = true
	w.applies = func(_ context.Context, r render.Release) error {
		status := drift.Current
		if says(r, word) {
			status = drift.Failed
		}
		go w.health(r.Target, r.Digest, status)
		return nil
	}
}

func says(r render.Release, word string) bool {
	return r.Objects[0].GetLabels()["says"] == word
}

func (w *world) lastApplied(target string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := len(w.applied) - 1; i >= 0; i-- {
		if t, commit, _ := strings.Cut(w.applied[i], " "); t == target {
			return commit
		}
	}
	return ""
}

func bad() map[string]string { return map[string]string{"base/web.yaml": labelled("bad")} }

// catalogue 120
func TestAReleaseThatFailsIsRolledBackAndHeld(t *testing.T) {
	inWorldWith(t, shop(), func(w *world) { w.fails("bad") }, func(w *world) {
		w.expect("the stage of the first release", w.state(web).Stage, "healthy")
		w.push(bad())
		w.expect("what was applied last", w.lastApplied("dev/web"), "1")
		s := w.state(web)
		w.expect("stage and reason", string(s.Stage)+" "+s.Problem.Reason, "failed RolledBack")
		if !strings.Contains(s.Problem.Text, "failed") || !strings.Contains(s.Problem.Did, "Returned to the last good release (1)") || !strings.Contains(s.Problem.Did, "which is healthy") {
			t.Errorf("the problem is %+v", s.Problem)
		}
		if status := problemStatus(s.Problem); status.Did != s.Problem.Did {
			t.Errorf("the status page says that the agent did %q", status.Did)
		}
		w.expect("the last word", last(w.checks("dev")), "2 failure")
		w.pass(time.Hour)
		w.expect("tries of the held release", w.count("dev/web 2"), 1)

		// A commit that asks for the same release does not bring it back.
		w.push(map[string]string{"README.md": "x"})
		w.expect("what was applied last", w.lastApplied("dev/web"), "1")
		w.expect("the last word", last(w.checks("dev")), "3 failure")

		// The branch moves on.
		w.push(map[string]string{"base/web.yaml": labelled("fixed")})
		w.expect("what was applied last", w.lastApplied("dev/web"), "4")
		w.expect("the stage", w.state(web).Stage, "healthy")
		if w.held["dev/web"] != nil {
			t.Error("the hold was not lifted")
		}
	})
	t.Run("until a revert asks for the good one", func(t *testing.T) {
		inWorldWith(t, shop(), func(w *world) { w.fails("bad") }, func(w *world) {
			w.push(bad())
			w.push(map[string]string{"base/web.yaml": webDeployment})
			w.expect("the stage", w.state(web).Stage, "healthy")
			w.expect("the last word", last(w.checks("dev")), "3 success")
		})
	})
	t.Run("also after a restart", func(t *testing.T) {
		files := shop()
		files["base/web.yaml"] = labelled("bad")
		var held string
		inWorldWith(t, files, func(w *world) {
			w.fails("bad")
			w.remembers("0", shop())
			failing := w.releaseOf(files)
			held = failing.Digest
			w.held["dev/web"] = &drift.Hold{Release: held, Commit: "1", Why: "it failed", To: "0"}
		}, func(w *world) {
			w.expect("applies of the held release", w.count("dev/web 1"), 0)
			w.expect("what was applied last", w.lastApplied("dev/web"), "0")
			w.expect("the reason", w.state(web).Problem.Reason, "RolledBack")
		})
	})
}

// catalogue 120
func TestWhatNeverWasGoodStays(t *testing.T) {
	files := shop()
	files["base/web.yaml"] = labelled("bad")
	inWorldWith(t, files, func(w *world) { w.fails("bad") }, func(w *world) {
		s := w.state(web)
		w.expect("stage and reason", string(s.Stage)+" "+s.Problem.Reason, "failed Unhealthy")
		if !strings.Contains(s.Problem.Did, "no earlier release of this target is known to be good") {
			t.Errorf("the agent says that it %s", s.Problem.Did)
		}
		w.expect("applies", w.count("dev/web 1"), 1)
	})
}

func TestAReleaseThatWasGoodIsNotRolledBack(t *testing.T) {
	inWorld(t, shop(), func(w *world) {
		w.push(map[string]string{"base/web.yaml": labelled("new")})
		w.expect("the stage", w.state(web).Stage, "healthy")
		w.turns(web, drift.Failed)
		w.expect("what was applied last", w.lastApplied("dev/web"), "2")
		w.expect("the reason", w.state(web).Problem.Reason, "Unhealthy")
	})
}

func TestRollingBackCanBeTurnedOff(t *testing.T) {
	files := shop()
	files["pawl.yaml"] = pipeline(", rollback: {onFailure: off}", "")
	inWorldWith(t, files, func(w *world) { w.fails("bad") }, func(w *world) {
		w.push(bad())
		w.expect("what was applied last", w.lastApplied("dev/web"), "2")
		w.expect("the reason", w.state(web).Problem.Reason, "Unhealthy")
	})
}

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

// catalogue 61
func TestWhatRunsIsKeptAfterARestartThoughTheHeadIsRefused(t *testing.T) {
	files := shop()
	files["base/web.yaml"], files[file("web", "dev")] = labelled("new"), overlay(hexOf("b"))
	inWorldWith(t, files, func(w *world) {
		w.unsigned[hexOf("b")] = true
		runs := w.remembers("0", shop())
		w.accepted, w.root = []drift.Accepted{{Target: environmentsTarget("dev", "web"), Commit: "0", Release: runs.Digest}}, "0"
	}, func(w *world) {
		w.expect("applies of the refused commit", w.count("dev/web 1"), 0)
		w.expect("applies of what runs", w.count("dev/web 0"), 1)
		w.expect("the reason", w.state(web).Problem.Reason, "ImageRefused")
		w.expect("the stage", w.state(web).Stage, promote.StageFailed)
	})
}

// catalogue 61
func TestWhatRunsIsKeptWhereGitCannotBeReadAtTheStart(t *testing.T) {
	inWorldWith(t, shop(), func(w *world) {
		w.unread = errors.New("no answer")
		runs := w.remembers("0", shop())
		w.accepted, w.root = []drift.Accepted{{Target: environmentsTarget("dev", "web"), Commit: "0", Release: runs.Digest}}, "0"
	}, func(w *world) {
		w.expect("applies of what runs", w.count("dev/web 0"), 1)
		w.pass(time.Hour)
		w.expect("applies of what runs after an hour", w.count("dev/web 0"), 1)
		w.mu.Lock()
		w.unread = nil
		w.mu.Unlock()
		w.push(map[string]string{"base/web.yaml": labelled("new")})
		w.expect("applies of the head once git is back", w.count("dev/web 2"), 1)
		w.expect("the stage", w.state(web).Stage, "healthy")
	})
}

// refusing lets applies of releases with a word fail, as long as it returns an error.
func (w *world) refusing(why func(r render.Release) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	applies := w.applies
	w.applies = func(ctx context.Context, r render.Release) error {
		if err := why(r); err != nil {
			return err
		}
		return applies(ctx, r)
	}
}

// catalogue 120
func TestARollbackThatFailsIsTriedAgain(t *testing.T) {
	t.Run("because it could not be applied", func(t *testing.T) {
		inWorldWith(t, shop(), func(w *world) { w.fails("bad") }, func(w *world) {
			failed := 0
			w.refusing(func(r render.Release) error {
				if r.Target == web && r.Commit == "1" && failed < 2 {
					failed++
					return errors.New("connection refused")
				}
				return nil
			})
			w.push(bad())
			w.expect("what was applied last", w.lastApplied("dev/web"), "2")
			w.pass(time.Minute)
			w.expect("what was applied last", w.lastApplied("dev/web"), "1")
			w.expect("the reason", w.state(web).Problem.Reason, "RolledBack")
			if n := strings.Count(w.log.String(), "could not be done"); n != 1 {
				t.Errorf("it was told %d times", n)
			}
		})
	})
	t.Run("because it could not be judged", func(t *testing.T) {
		inWorldWith(t, shop(), func(w *world) { w.fails("bad") }, func(w *world) {
			w.refusing(func(r render.Release) error {
				if says(r, "bad") && r.Target == web {
					w.mu.Lock()
					w.unreadable = errors.New("no such file")
					w.mu.Unlock()
				}
				return nil
			})
			w.push(bad())
			w.pass(time.Minute)
			w.expect("what was applied last", w.lastApplied("dev/web"), "2")
			w.mu.Lock()
			w.unreadable = nil
			w.mu.Unlock()
			w.pass(2 * time.Minute)
			w.expect("what was applied last", w.lastApplied("dev/web"), "1")
		})
	})
}

// catalogue 61
func TestWhatRunsIsKeptAfterARestartThoughTheHeadCannotBeApplied(t *testing.T) {
	files := shop()
	files["base/web.yaml"] = labelled("new")
	inWorldWith(t, files, func(w *world) {
		runs := w.remembers("0", shop())
		w.accepted, w.root = []drift.Accepted{{Target: environmentsTarget("dev", "web"), Commit: "0", Release: runs.Digest}}, "0"
		w.refusing(func(r render.Release) error {
			if says(r, "new") && r.Target == web {
				return &drift.Rejected{Target: web}
			}
			return nil
		})
	}, func(w *world) {
		w.expect("applies of what runs", w.count("dev/web 0"), 1)
		w.expect("the reason", w.state(web).Problem.Reason, "ApplyRejected")
	})
}

// catalogue 60, 120
func TestAReleaseThatFailsUnderARefusedCommitIsRolledBack(t *testing.T) {
	inWorldWith(t, shop(), func(w *world) {
		w.silent = true
		w.applies = func(_ context.Context, r render.Release) error {
			if !says(r, "slow") {
				go w.health(r.Target, r.Digest, drift.Current)
			}
			return nil
		}
		w.refusing(func(r render.Release) error {
			if says(r, "refused") {
				return &drift.Rejected{Target: r.Target}
			}
			return nil
		})
	}, func(w *world) {
		w.push(map[string]string{"base/web.yaml": labelled("slow")})
		w.expect("the stage of the second", w.state(web).Stage, "waiting for health")
		slow := w.releaseOf(map[string]string{
			"pawl.yaml": pipeline("", ""), "base/kustomization.yaml": "resources: [web.yaml]\n", "base/web.yaml": labelled("slow"), file("web", "dev"): overlay(hexOf("a")),
		})
		w.push(map[string]string{"base/web.yaml": labelled("refused")})
		w.expect("the reason of the third", w.state(web).Problem.Reason, "ApplyRejected")
		w.health(web, slow.Digest, drift.Failed)
		synctest.Wait()
		w.expect("what was applied last", w.lastApplied("dev/web"), "1")
		w.mu.Lock()
		hold := w.held["dev/web"]
		w.mu.Unlock()
		if hold == nil || hold.Commit != "2" {
			t.Errorf("held is %+v; want the release of 2", hold)
		}
		w.expect("the reason of the third", w.state(web).Problem.Reason, "ApplyRejected")
	})
}

// catalogue 120
func TestAHeldTargetStaysWhereItWasReturnedTo(t *testing.T) {
	files := shop()
	files["base/web.yaml"] = labelled("bad")
	inWorldWith(t, files, func(w *world) {
		older, newer := shop(), shop()
		newer["base/web.yaml"] = labelled("newer")
		w.remembers("o", older)
		w.remembers("n", newer)
		w.held["dev/web"] = &drift.Hold{Release: w.releaseOf(files).Digest, Commit: "1", Why: "by hand", To: "o"}
	}, func(w *world) {
		w.expect("what was applied last", w.lastApplied("dev/web"), "o")
	})
}

func TestAPersonRollsBackAndLiftsTheHold(t *testing.T) {
	inWorld(t, shop(), func(w *world) {
		ask := func(r drift.RollbackRequest) string {
			w.t.Helper()
			w.agent.Notice(drift.Notice{Target: environmentsTarget("dev", "web"), Rollback: &r})
			synctest.Wait()
			w.mu.Lock()
			defer w.mu.Unlock()
			return last(w.answers)
		}
		asked := drift.RollbackRequest{By: "ada", Reason: "latency"}
		if answer := ask(asked); !strings.HasPrefix(answer, "refused: dev/web has no other good release") {
			t.Errorf("with one release: %s", answer)
		}
		w.push(map[string]string{"base/web.yaml": labelled("two")})
		w.push(map[string]string{"base/web.yaml": labelled("three")})
		if answer := ask(drift.RollbackRequest{By: "ada", Reason: "latency", To: "9"}); !strings.Contains(answer, "no other good release of a commit 9; kept are those of 3 (which runs), 2, 1") {
			t.Errorf("to nowhere: %s", answer)
		}
		if answer := ask(drift.RollbackRequest{By: "ada", Reason: "latency", To: "1"}); !strings.HasPrefix(answer, "returned to the good release of 1") {
			t.Errorf("to the first: %s", answer)
		}
		w.expect("what was applied last", w.lastApplied("dev/web"), "1")
		s := w.state(web)
		w.expect("the reason", s.Problem.Reason, "RolledBack")
		if s.Problem.Text != "rolled back by hand by ada: latency" {
			t.Errorf("the check says %q", s.Problem.Text)
		}
		if answer := ask(asked); !strings.HasPrefix(answer, "returned to the good release of 2") {
			t.Errorf("from there: %s", answer)
		}
		if answer := ask(drift.RollbackRequest{By: "ada", Reason: "fixed", Lift: true}); !strings.HasPrefix(answer, "the hold is lifted; 3 is applied again") {
			t.Errorf("lifted: %s", answer)
		}
		w.expect("what was applied last", w.lastApplied("dev/web"), "3")
		w.expect("the stage", w.state(web).Stage, "healthy")
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
		if p.Reason != "RolledBack" || !strings.Contains(p.Did, "PersistentVolumeClaim shop/data") || !strings.Contains(p.Hint, `"Pawl-Prune: dev/web 1"`) {
			t.Errorf("the problem is %+v", p)
		}
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

// catalogue 120
func TestARevertToAnOldReleaseThatFailsNowIsRolledBack(t *testing.T) {
	inWorldWith(t, shop(), func(w *world) { w.fails("bad") }, func(w *world) {
		w.push(map[string]string{"base/web.yaml": labelled("two")})
		w.fails("")
		w.push(map[string]string{"base/web.yaml": webDeployment})
		w.expect("what was applied last", w.lastApplied("dev/web"), "2")
		w.expect("the reason", w.state(web).Problem.Reason, "RolledBack")
	})
}

// catalogue 120
func TestWhatReturnsAndFailsIsReplacedByAnEarlierGoodReleaseOnce(t *testing.T) {
	story := func(failing ...string) func(w *world) {
		return func(w *world) {
			w.push(map[string]string{"base/web.yaml": labelled("two")})
			w.mu.Lock()
			w.applies = func(_ context.Context, r render.Release) error {
				status := drift.Current
				if slices.Contains(failing, r.Objects[0].GetLabels()["says"]) {
					status = drift.Failed
				}
				go w.health(r.Target, r.Digest, status)
				return nil
			}
			w.mu.Unlock()
			w.push(bad())
			w.pass(time.Hour)
			w.expect("what was applied last", w.lastApplied("dev/web"), "1")
			w.expect("applies of the first on the way back", w.count("dev/web 1"), 2)
			w.expect("applies of the second on the way back", w.count("dev/web 2"), 2)
			w.expect("the reason", w.state(web).Problem.Reason, "RolledBack")
		}
	}
	t.Run("which is healthy", func(t *testing.T) {
		inWorldWith(t, shop(), func(w *world) { w.fails("bad") }, story("bad", "two"))
	})
	t.Run("which fails as well", func(t *testing.T) {
		inWorldWith(t, shop(), func(w *world) { w.fails("bad") }, story("bad", "two", ""))
	})
}

// catalogue 120
func TestAReleaseThatFailedWhenItWasLeftReturnsLast(t *testing.T) {
	inWorldWith(t, shop(), func(w *world) { w.fails("bad") }, func(w *world) {
		w.push(map[string]string{"base/web.yaml": labelled("two")})
		w.turns(web, drift.Failed)
		w.push(bad())
		w.expect("what was applied last", w.lastApplied("dev/web"), "1")
		w.expect("applies of the one that failed later", w.count("dev/web 2"), 1)
	})
}

// releaseOf renders dev/web of some files.
func (w *world) releaseOf(files map[string]string) render.Release {
	w.t.Helper()
	built, err := render.New(render.Options{}).Render(w.t.Context(), revisionOf(files), web)
	if err != nil {
		w.t.Fatal(err)
	}
	return built.Release
}

// remembers notes a release of dev/web as good at an earlier commit.
func (w *world) remembers(commit string, files map[string]string) render.Release {
	w.t.Helper()
	r := w.releaseOf(files)
	rev := revisionOf(files)
	r.Commit, rev.Commit = gitsync.Commit(commit), gitsync.Commit(commit)
	w.history = append(w.history, rev)
	g := drift.Good{Release: r, Terms: drift.Terms{Environment: environments.Environment{Name: "dev"}}}
	g.Evidence = []policies.Evidence{}
	if err := w.Remember(w.t.Context(), g); err != nil {
		w.t.Fatal(err)
	}
	return r
}
