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
	"github.com/pawl-dev/pawl/promote"
	"github.com/pawl-dev/pawl/render"
)

var web = targetOf("dev", "web")

func TestARevisionIsAppliedAndItsChecksAreGreen(t *testing.T) {
	inWorld(t, shop(), func(w *world) {
		checks := w.checks("dev")
		if len(checks) > 3 || last(checks) != "1 success" {
			t.Errorf("dev's check went %q; want at most three reports and success", checks)
		}
		w.expect("why it is not well", w.state(web).Problem, promote.Problem{})
		w.expect("applies", w.count("dev/web 1"), 1)
	})
}

func TestARevisionThatIsOvertakenIsFinishedAndTheNewestFollows(t *testing.T) {
	inWorld(t, shop(), func(w *world) {
		gate := make(chan struct{})
		w.mu.Lock()
		w.applies = func(_ context.Context, r render.Release) error {
			if r.Commit == "2" {
				<-gate
			}
			return nil
		}
		w.mu.Unlock()
		w.push(map[string]string{file("web", "dev"): overlay(hexOf("b"))})
		w.push(map[string]string{file("web", "dev"): overlay(hexOf("c"))})
		w.push(map[string]string{file("web", "dev"): overlay(hexOf("d"))})
		close(gate)
		w.pass(time.Minute)
		w.expect("applies of the revision under way", w.count("dev/web 2"), 1)
		w.expect("applies of the one between", w.count("dev/web 3"), 0)
		w.expect("applies of the newest", w.count("dev/web 4"), 1)
		s := w.state(web)
		w.expect("stage", s.Stage, promote.StageHealthy)
		w.expect("image", s.Images[0].Digest, hexOf("d"))
		checks := w.checks("dev")
		for _, superseded := range []string{"2 superseded", "3 superseded"} {
			if !slices.Contains(checks, superseded) {
				t.Errorf("%q is missing in %q", superseded, checks)
			}
		}
		w.expect("the last word", checks[len(checks)-1], "4 success")
	})
}

// catalogue 7
func TestAPipelineThatBreaksKeepsEverything(t *testing.T) {
	inWorld(t, shop(), func(w *world) {
		w.push(map[string]string{"pawl.yaml": "kind: Pipeline\nspec: {oops: 1}\n", file("web", "dev"): overlay(hexOf("b"))})
		w.pass(time.Hour)
		w.expect("applies of the broken commit", w.count("dev/web 2"), 0)
		w.expect("the last word", last(w.checks("dev")), "2 failure")
		w.push(map[string]string{"pawl.yaml": pipeline("", "")})
		w.expect("applies of the mended commit", w.count("dev/web 3"), 1)
		w.expect("the last word", last(w.checks("dev")), "3 success")
	})
}

func TestABrokenPipelineDoesNotAskGitHubAgainAndAgain(t *testing.T) {
	files := shop()
	files["pawl.yaml"] = pipeline(`, track: [{image: "ghcr.io/acme/*", tag: main}]`, "")
	inWorld(t, files, func(w *world) {
		w.push(map[string]string{"pawl.yaml": "broken"})
		w.mu.Lock()
		w.tag = hexOf("b")
		w.mu.Unlock()
		w.pass(time.Hour)
		w.expect("tries to commit", w.forge.committed, 0)
		w.push(map[string]string{"pawl.yaml": files["pawl.yaml"]})
		w.pass(2 * time.Minute)
		w.expect("tries to commit, mended", w.forge.committed, 1)
	})
}

func TestHealthDecidesTheCheckAndDriftDoesNot(t *testing.T) {
	inWorld(t, shop(), func(w *world) {
		w.checks("dev")
		w.turns(web, drift.Failed)
		w.expect("after a failure", w.checks("dev"), []string{"1 failure"})
		w.turns(web, drift.Progressing)
		w.turns(web, drift.Current)
		w.expect("healthy again", last(w.checks("dev")), "1 success")
		for range 5 {
			w.turns(web, drift.Progressing)
			w.turns(web, drift.Current)
		}
		w.pass(time.Minute)
		w.expect("pods that come and go", w.checks("dev"), []string{})
		w.agent.Notice(drift.Notice{Target: web, Drift: &drift.Drift{Object: drift.ObjectID{Kind: "Deployment", Name: "web"}}})
		w.pass(time.Minute)
		w.expect("drift", w.checks("dev"), []string{})
		w.expect("drift on the status page", len(w.agent.Status().Environments[0].Targets[0].Drift), 1)
	})
}

func TestAFailureBehindAnotherStageIsNotForgotten(t *testing.T) {
	inWorld(t, shop(), func(w *world) {
		w.mu.Lock()
		w.unsigned[hexOf("b")] = true
		w.mu.Unlock()
		w.push(map[string]string{file("web", "dev"): overlay(hexOf("b"))})
		w.turns(web, drift.Failed)
		w.turns(web, drift.Progressing)
		w.push(map[string]string{file("web", "dev"): overlay(hexOf("a"))})
		w.expect("stage of what failed meanwhile", w.state(web).Stage, promote.StageWaiting)
	})
}

func TestATryAgainIsSilentUntilSomethingChanges(t *testing.T) {
	inWorld(t, shop(), func(w *world) {
		w.mu.Lock()
		w.unsigned[hexOf("b")] = true
		w.mu.Unlock()
		w.push(map[string]string{file("web", "dev"): overlay(hexOf("b"))})
		w.expect("the last word", last(w.checks("dev")), "2 failure")
		w.pass(time.Hour)
		w.expect("an hour of tries", w.checks("dev"), []string{})
		w.mu.Lock()
		delete(w.unsigned, hexOf("b"))
		w.mu.Unlock()
		w.pass(time.Hour)
		w.expect("once it is signed", last(w.checks("dev")), "2 success")
	})
}

func TestAnOverlayThatVanishesIsReportedAndLeftAlone(t *testing.T) {
	inWorld(t, shop(), func(w *world) {
		w.mu.Lock()
		w.applies = func(context.Context, render.Release) error { return errors.New("the API server is down") }
		w.mu.Unlock()
		w.push(map[string]string{file("web", "dev"): overlay(hexOf("b"))})
		w.push(map[string]string{file("web", "dev"): "", "apps/api/dev/kustomization.yaml": "resources: [../../../base]\nimages: [{name: ghcr.io/acme/web, digest: " + hexOf("a") + "}]\n"})
		s := w.state(web)
		w.expect("reason", s.Problem.Reason, "OverlayMissing")
		w.mu.Lock()
		w.applies = func(context.Context, render.Release) error { return nil }
		w.mu.Unlock()
		w.pass(time.Hour)
		w.expect("applies after it vanished", w.count("dev/web 2"), 0)
		w.push(map[string]string{file("web", "dev"): overlay(hexOf("b"))})
		w.expect("applies once it is back", w.count("dev/web 4"), 1)
	})
}

func TestAnOverlayThatVanishedBeforeTheStartIsReported(t *testing.T) {
	left := []drift.Accepted{
		{Release: "sha256:x", Target: environments.Target{Environment: "dev", Application: "web"}}, // still there
		{Release: "sha256:x", Target: environments.Target{Environment: "dev", Application: "old"}},
		{Release: "sha256:x", Target: environments.Target{Environment: "elsewhere", Application: "web"}},
	}
	inWorldWith(t, shop(), func(w *world) { w.accepted = left }, func(w *world) {
		state, _ := w.agent.board.environment("dev")
		w.expect("targets of dev", len(state.Targets), 2)
		for _, s := range state.Targets {
			if gone := s.Target.Application == "old"; gone != (s.Problem.Reason == "OverlayMissing") {
				t.Errorf("%s has the problem %+v", s.Target, s.Problem)
			}
		}
		w.expect("the last word", last(w.checks("dev")), "1 failure")
	})
}

func TestATargetThatMovesIsNotMissing(t *testing.T) {
	inWorld(t, shop(), func(w *world) {
		w.push(map[string]string{
			"pawl.yaml":                       strings.Replace(pipeline("", ""), "apps/{app}/{env}", "live/{env}/{app}", 1),
			"live/dev/web/kustomization.yaml": overlay(hexOf("a")), "live/staging/web/kustomization.yaml": overlay(hexOf("a")),
		})
		state, _ := w.agent.board.environment("dev")
		if len(state.Targets) != 1 || state.Targets[0].Stage != promote.StageHealthy {
			t.Errorf("dev is %+v; want one healthy target", state.Targets)
		}
		w.expect("the last word", last(w.checks("dev")), "2 success")
	})
}

func TestAnEnvironmentThatLeavesThePipelineIsKeptAndComesBack(t *testing.T) {
	inWorld(t, shop(), func(w *world) {
		w.mu.Lock()
		w.applies = func(context.Context, render.Release) error { return errors.New("the API server is down") }
		w.mu.Unlock()
		w.push(map[string]string{file("web", "staging"): overlay(hexOf("b"))})
		w.push(map[string]string{"pawl.yaml": strings.Replace(pipeline("", ""), "    - {name: staging, after: [dev]}\n", "", 1)})
		state, _ := w.agent.board.environment("staging")
		w.expect("reason", state.Problem.Reason, "EnvironmentMissing")
		w.mu.Lock()
		w.applies = func(context.Context, render.Release) error { return nil }
		w.mu.Unlock()
		w.pass(time.Hour)
		w.expect("applies after it left", w.count("staging/web 2"), 0)
		w.push(map[string]string{"pawl.yaml": pipeline("", "")})
		w.pass(time.Minute)
		w.expect("stage", w.state(targetOf("staging", "web")).Stage, promote.StageHealthy)
	})
}

func TestAnotherHealthTimeoutIsNoOtherRelease(t *testing.T) {
	inWorld(t, shop(), func(w *world) {
		since := w.state(web).Since
		w.pass(time.Hour)
		w.push(map[string]string{"pawl.yaml": pipeline(", healthTimeout: 9m", "")})
		w.expect("applies", w.count("dev/web 2"), 1)
		w.expect("healthy since", w.state(web).Since, since)

		// What timed out before has not timed out yet under a longer patience.
		w.turns(web, drift.Failed)
		w.checks("dev")
		w.mu.Lock()
		w.silent = true
		w.mu.Unlock()
		w.push(map[string]string{"pawl.yaml": pipeline(", healthTimeout: 1h", "")})
		w.expect("the last word", last(w.checks("dev")), "3 in_progress")
	})
}

func TestABranchThatCannotBeReadIsLoggedOnceAndReadAgain(t *testing.T) {
	inWorld(t, shop(), func(w *world) {
		w.mu.Lock()
		w.unread = &gitsync.BranchGone{}
		w.mu.Unlock()
		w.pass(time.Hour)
		w.mu.Lock()
		w.unread = nil
		w.mu.Unlock()
		w.push(map[string]string{file("web", "dev"): overlay(hexOf("b"))})
		w.expect("applies", w.count("dev/web 2"), 1)
		w.stop()
		synctest.Wait()
		w.expect("log lines", strings.Count(w.log.String(), "the branch cannot be read"), 1)
	})
}

func TestFilesThatCannotBeReadAreReadAgain(t *testing.T) {
	inWorld(t, shop(), func(w *world) {
		w.mu.Lock()
		w.broken = true
		w.mu.Unlock()
		w.push(map[string]string{file("web", "dev"): overlay(hexOf("b"))})
		w.mu.Lock()
		w.broken = false
		w.mu.Unlock()
		w.pass(2 * time.Minute)
		w.expect("applies", w.count("dev/web 2"), 1)
		w.expect("the last word", last(w.checks("dev")), "2 success")
	})
}

func last(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[len(list)-1]
}
