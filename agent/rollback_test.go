package agent

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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

// Another release would wait for that pod just as well, and the fix would be
// held when the pod is gone.
//
// catalogue 120
func TestAReleaseThatCouldNotBeRolledOutIsNotRolledBack(t *testing.T) {
	inWorldWith(t, shop(), func(w *world) { w.fails("bad") }, func(w *world) {
		w.mu.Lock()
		w.applies = func(_ context.Context, r render.Release) error {
			go w.agent.Notice(drift.Notice{Target: r.Target, Release: r.Digest, Health: &drift.Health{
				Status: drift.Failed, Blocked: true,
				Objects: []drift.ObjectHealth{{Object: drift.ObjectID{Kind: "StatefulSet", Name: "db"}, Status: drift.Failed, Message: "pod db-0 is not ready", Blocked: true}},
			}})
			return nil
		}
		w.mu.Unlock()
		w.push(map[string]string{"base/web.yaml": labelled("fix")})
		w.pass(time.Hour)
		w.expect("what was applied last", w.lastApplied("dev/web"), "2")
		w.expect("the reason", w.state(web).Problem.Reason, "Unhealthy")
		w.expect("the text", w.state(web).Problem.Text, "StatefulSet db: pod db-0 is not ready")
		w.expect("what was done", w.state(web).Problem.Did, "The release was applied and stays: a pod of an earlier release is in its way, and would be in that of any other. It goes on by itself once that pod is ready or deleted.")
		w.turns(web, drift.Current)
		w.expect("the stage once it is gone", w.state(web).Stage, promote.StageHealthy)
	})
}
