package agent

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/internal/testworld/trees"
	"github.com/pawl-dev/pawl/promote"
	"github.com/pawl-dev/pawl/render"
)

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

// catalogue 61
func TestWhatRunsIsKeptAfterARestartThoughTheHeadCannotBeUsed(t *testing.T) {
	for name, c := range map[string]struct {
		head   map[string]string // "" deletes
		reason string
	}{
		"pawl.yaml is broken":                   {map[string]string{"pawl.yaml": "kind: Pipeline\n\tno: yaml"}, "PipelineInvalid"},
		"pawl.yaml lacks the environment":       {map[string]string{"pawl.yaml": strings.Replace(strings.Replace(pipeline("", ""), "    - {name: dev}\n", "", 1), ", after: [dev]", "", 1)}, "EnvironmentMissing"},
		"the overlay is gone":                   {map[string]string{file("web", "dev"): ""}, "OverlayMissing"},
		"the overlay is a symbolic link":        {map[string]string{file("web", "dev"): "", "apps/web/dev": trees.Link("../../base")}, "OverlayMissing"},
		"the overlays are looked for elsewhere": {map[string]string{"pawl.yaml": strings.Replace(pipeline("", ""), "apps/{app}/{env}", "teams/{app}/{env}", 1)}, "OverlayMissing"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorldWith(t, shop(), func(w *world) {
				runs := w.remembers("0", shop())
				w.accepted, w.root = []drift.Accepted{{Target: environmentsTarget("dev", "web"), Commit: "0", Release: runs.Digest}}, "0"
				for path, text := range c.head {
					if w.files[path] = text; text == "" {
						delete(w.files, path)
					}
				}
			}, func(w *world) {
				w.expect("applies of what runs", w.count("dev/web 0"), 1)
				state, _ := w.agent.board.environment("dev")
				reasons := []string{state.Problem.Reason}
				for _, s := range state.Targets {
					reasons = append(reasons, s.Problem.Reason)
				}
				if !slices.Contains(reasons, c.reason) {
					t.Errorf("the reasons are %q; want %s", reasons, c.reason)
				}
				// Another commit that is no better changes nothing.
				w.push(map[string]string{"README.md": "more"})
				w.pass(time.Hour)
				w.expect("applies of what runs after an hour", w.count("dev/web 0"), 1)
				fix := map[string]string{}
				for path := range c.head {
					fix[path] = shop()[path]
				}
				w.push(fix)
				w.expect("the stage once it is mended", w.state(web).Stage, "healthy")
			})
		})
	}
}

// A fix does not wait until what runs was looked up, and what runs is not
// brought back over it.
//
// catalogue 61
func TestAFixEndsTheKeepingOfWhatRuns(t *testing.T) {
	files := shop()
	files["pawl.yaml"] = "kind: Pipeline\n\tno: yaml"
	var keeping atomic.Int32
	inWorldWith(t, files, func(w *world) {
		runs := w.remembers("0", shop())
		w.accepted, w.root = []drift.Accepted{{Target: environmentsTarget("dev", "web"), Commit: "0", Release: runs.Digest}}, "0"
		w.applies = func(ctx context.Context, r render.Release) error {
			if r.Commit == "0" {
				keeping.Add(1)
				defer keeping.Add(-1)
				<-ctx.Done() // the API server does not answer
				return ctx.Err()
			}
			return nil
		}
	}, func(w *world) {
		w.expect("applies of what runs", keeping.Load(), 1)
		w.push(map[string]string{"pawl.yaml": pipeline("", ""), "base/web.yaml": labelled("new")})
		w.expect("the stage", w.state(web).Stage, "healthy")
		w.expect("applies of what ran that go on", keeping.Load(), 0)
	})
}

// Whoever can push, and cannot get past what is demanded, has no say in how
// what runs is kept: what it deletes, whether drift is put back, what is ignored.
//
// catalogue 61
func TestARefusedHeadSaysNothingOfHowWhatRunsIsKept(t *testing.T) {
	files := shop()
	files[file("web", "dev")] = overlay(hexOf("b"))
	files["pawl.yaml"] = pipeline(", drift: report, prune: {maxPercent: 100}, rollback: {onFailure: \"off\"}", "")
	var terms drift.Terms
	inWorldWith(t, files, func(w *world) {
		w.unsigned[hexOf("b")] = true
		runs := w.remembers("0", shop())
		w.accepted, w.root = []drift.Accepted{{Target: environmentsTarget("dev", "web"), Commit: "0", Release: runs.Digest}}, "0"
		w.prunes = func(of drift.Terms) *drift.PruneHeld {
			terms = of
			return nil
		}
	}, func(w *world) {
		w.expect("applies of what runs", w.count("dev/web 0"), 1)
		w.expect("how the environment is kept", terms.Environment, environments.Environment{Name: "dev"}) // see remembers
		w.expect("whether anything may go", terms.Keeps, true)
	})
}

// A release that was applied is judged by what pawl.yaml said when it was.
//
// catalogue 120
func TestARefusedHeadDoesNotStopTheRollbackOfWhatRuns(t *testing.T) {
	inWorldWith(t, shop(), func(w *world) { w.silent = true }, func(w *world) {
		w.turns(web, drift.Current)
		w.push(map[string]string{"base/web.yaml": labelled("slow")})
		w.mu.Lock()
		w.unsigned[hexOf("b")] = true
		w.mu.Unlock()
		w.push(map[string]string{"pawl.yaml": pipeline(", drift: report, rollback: {onFailure: \"off\"}", ""), file("web", "dev"): overlay(hexOf("b"))})
		w.expect("the reason", w.state(web).Problem.Reason, "ImageRefused")
		w.turns(web, drift.Failed)
		w.expect("what was applied last", w.lastApplied("dev/web"), "1")
		w.mu.Lock()
		defer w.mu.Unlock()
		w.expect("how drift is treated", w.terms.Environment.Drift, environments.DriftCorrect)
	})
}

// How what runs is kept may change without the release.
//
// catalogue 61
func TestHowAReleaseIsKeptIsRememberedWithIt(t *testing.T) {
	inWorld(t, shop(), func(w *world) {
		w.push(map[string]string{"pawl.yaml": pipeline(", drift: report", "")})
		w.expect("the stage", w.state(web).Stage, "healthy")
		w.mu.Lock()
		defer w.mu.Unlock()
		goods := w.goods["dev/web"]
		w.expect("good releases", len(goods), 1)
		w.expect("how drift is treated", goods[0].Terms.Environment.Drift, environments.DriftReport)
	})
}

// One failure is not the end of it, and a commit that cannot be used before what
// runs was found is not either.
//
// catalogue 61
func TestWhatCannotBeKeptAtOnceIsTriedAgain(t *testing.T) {
	files := shop()
	files["pawl.yaml"] = "kind: Pipeline\n\tno: yaml"
	down := true
	inWorldWith(t, files, func(w *world) {
		runs := w.remembers("0", shop())
		w.accepted, w.root = []drift.Accepted{{Target: environmentsTarget("dev", "web"), Commit: "0", Release: runs.Digest}}, "0"
		w.applies = func(context.Context, render.Release) error {
			if down {
				return errors.New("the API server is down")
			}
			return nil
		}
	}, func(w *world) {
		w.expect("applies of what runs", w.count("dev/web 0"), 0)
		down = false
		w.pass(time.Hour)
		w.expect("applies of what runs once that is possible", w.count("dev/web 0"), 1)

		// A person may go back from there.
		w.agent.Notice(drift.Notice{Target: environmentsTarget("dev", "web"), Rollback: &drift.RollbackRequest{By: "ada", Reason: "x", Lift: true}})
		synctest.Wait()
		w.expect("what a person hears", last(w.answers), "refused: dev/web is not held: there is no hold to lift")
	})
}

// A person went back from the release that the branch asks for. What is kept
// after a restart is theirs, and does not go forward again by itself.
//
// catalogue 61
func TestWhatAPersonWentBackToIsKeptAfterARestart(t *testing.T) {
	files := shop()
	files["pawl.yaml"] = "kind: Pipeline\n\tno: yaml"
	later := shop()
	later["base/web.yaml"] = labelled("later")
	inWorldWith(t, files, func(w *world) {
		w.silent = true
		runs := w.remembers("0", shop())
		held := w.remembers("0a", later) // the newest good one
		report := environments.Environment{Name: "dev", Drift: environments.DriftReport, Rollback: environments.Rollback{OnFailure: environments.RollbackAuto}}
		w.held["dev/web"] = &drift.Hold{Release: held.Digest, Commit: "0a", To: "0", Why: "rolled back by hand", Environment: &report}
		w.accepted, w.root = []drift.Accepted{{Target: environmentsTarget("dev", "web"), Commit: "0a", Release: runs.Digest}}, "0"
	}, func(w *world) {
		w.expect("applies of what runs", w.count("dev/web 0"), 1)
		w.mu.Lock()
		w.expect("how drift is treated", w.terms.Environment.Drift, environments.DriftReport)
		w.mu.Unlock()
		w.turns(environmentsTarget("dev", "web"), drift.Failed)
		w.expect("applies of what is held", w.count("dev/web 0a"), 0)
		if hold := w.held["dev/web"]; hold == nil || hold.Why != "rolled back by hand" {
			t.Errorf("the hold is %+v", hold)
		}
	})
}

// catalogue 61
func TestWhatARefusedHeadDemandsIsNotAskedOfWhatRuns(t *testing.T) {
	files := shop()
	files["pawl.yaml"] = pipeline(", level: unheard-of", "")
	inWorldWith(t, files, func(w *world) {
		runs := w.remembers("0", shop())
		w.accepted, w.root = []drift.Accepted{{Target: environmentsTarget("dev", "web"), Commit: "0", Release: runs.Digest}}, "0"
	}, func(w *world) {
		w.expect("applies of what runs", w.count("dev/web 0"), 1)
		w.expect("applies of the head", w.count("dev/web 1"), 0)
	})
}

// Where what runs cannot be kept, a person can still go back from it.
func TestAPersonGoesBackFromWhatIsNotKept(t *testing.T) {
	files := shop()
	files["pawl.yaml"] = "kind: Pipeline\n\tno: yaml"
	inWorldWith(t, files, func(w *world) {
		w.remembers("0", shop())
		w.accepted, w.root = []drift.Accepted{{Target: environmentsTarget("dev", "web"), Commit: "1", Release: "sha256:never-good"}}, "0"
	}, func(w *world) {
		w.agent.Notice(drift.Notice{Target: environmentsTarget("dev", "web"), Rollback: &drift.RollbackRequest{By: "ada", Reason: "latency"}})
		synctest.Wait()
		if answer := last(w.answers); !strings.HasPrefix(answer, "returned to the good release of 0") {
			t.Errorf("they hear %q", answer)
		}
		if hold := w.held["dev/web"]; hold == nil || hold.Release != "sha256:never-good" {
			t.Errorf("the hold is %+v", hold)
		}
	})
}
