package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawl-dev/pawl/drift"
)

// alarm is gates that turn when they are told to.
type alarm struct {
	mu       sync.Mutex
	watching map[string]chan string // by "dev/web 2"
	begun    []string
}

func (g *alarm) Watch(ctx context.Context, w Watched) string {
	key, turn := fmt.Sprintf("%s %s", w.Target, w.Commit), make(chan string, 1)
	g.mu.Lock()
	g.watching[key], g.begun = turn, append(g.begun, key)
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.watching, key)
	}()
	select {
	case why := <-turn:
		return why
	case <-ctx.Done():
		return "ended with the agent" // which nobody may hear
	}
}

// turn lets the gates of a target at a commit turn, and all see it.
func (g *alarm) turn(t *testing.T, key, why string) {
	t.Helper()
	g.mu.Lock()
	turn := g.watching[key]
	g.mu.Unlock()
	if turn == nil {
		t.Fatalf("nobody watches %s", key)
	}
	turn <- why
	synctest.Wait()
}

// of is what is watched of a target.
func (g *alarm) of(target string) (watched []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for key := range g.watching {
		if strings.HasPrefix(key, target+" ") {
			watched = append(watched, key)
		}
	}
	return watched
}

func withGates(t *testing.T, files map[string]string, story func(w *world, g *alarm)) {
	g := &alarm{watching: map[string]chan string{}}
	inWorldWith(t, files, func(w *world) { w.gates = g }, func(w *world) { story(w, g) })
}

func labelledWeb(says string) map[string]string {
	return map[string]string{"base/web.yaml": labelled(says)}
}

// catalogue 120
func TestAReleaseWhoseGatesTurnIsRolledBackOnceAndHeld(t *testing.T) {
	withGates(t, shop(), func(w *world, g *alarm) {
		w.push(labelledWeb("slow"))
		w.expect("the stage", w.state(web).Stage, "healthy")
		w.expect("watched", g.of("dev/web"), "[dev/web 2]")
		g.turn(t, "dev/web 2", "error-rate is 0.12, above 0.01")

		w.expect("what was applied last", w.lastApplied("dev/web"), "1")
		s := w.state(web)
		w.expect("stage, reason and text", string(s.Stage)+" "+s.Problem.Reason+" "+s.Problem.Text, "failed RolledBack error-rate is 0.12, above 0.01")
		w.expect("the last word", last(w.checks("dev")), "2 failure")
		w.expect("watched after the return", g.of("dev/web"), "[]")
		for _, good := range w.goods["dev/web"] {
			if good.Release.Commit == "2" {
				t.Error("the failed release is still a good one")
			}
		}
		if hold := w.held["dev/web"]; hold == nil || hold.Commit != "2" {
			t.Errorf("held is %+v; want the release of 2", hold)
		}
		w.pass(time.Hour)
		w.expect("applies of the good release", w.count("dev/web 1"), 2)

		// A commit that asks for the same release does not bring it back.
		w.push(map[string]string{"README.md": "x"})
		w.expect("what was applied last", w.lastApplied("dev/web"), "1")
		w.expect("the last word", last(w.checks("dev")), "3 failure")

		// The next release is watched like the first, and if it fails too, what was
		// discarded is not what it returns to.
		w.push(labelledWeb("next"))
		w.expect("the stage", w.state(web).Stage, "healthy")
		g.turn(t, "dev/web 4", "latency")
		w.expect("what was applied last", w.lastApplied("dev/web"), "1")
	})
}

// catalogue 120
func TestWhatFailedAtAGateComesBackByAPersonsWordAlone(t *testing.T) {
	withGates(t, shop(), func(w *world, g *alarm) {
		w.push(labelledWeb("slow"))
		g.turn(t, "dev/web 2", "latency")
		w.agent.Notice(drift.Notice{Target: environmentsTarget("dev", "web"), Rollback: &drift.RollbackRequest{By: "ada", Reason: "the gate was wrong", Lift: true}})
		synctest.Wait()
		w.expect("what was applied last", w.lastApplied("dev/web"), "2")
		w.expect("the stage", w.state(web).Stage, "healthy")
		w.expect("watched", g.of("dev/web"), "[dev/web 2]")
	})
}

func TestGatesThatTurnAreOnlyReportedWhereNothingIsRolledBack(t *testing.T) {
	files := shop()
	files["pawl.yaml"] = pipeline(", rollback: {onFailure: off}", "")
	withGates(t, files, func(w *world, g *alarm) {
		w.push(labelledWeb("slow"))
		g.turn(t, "dev/web 2", "latency")
		w.expect("what was applied last", w.lastApplied("dev/web"), "2")
		s := w.state(web)
		w.expect("stage and reason", string(s.Stage)+" "+s.Problem.Reason, "failed GateFailed")
		w.expect("the last word", last(w.checks("dev")), "2 failure")
		for _, good := range w.goods["dev/web"] {
			if good.Release.Commit == "2" {
				t.Error("the failed release is still a good one")
			}
		}
		// Pods that come and go do not make it good.
		w.turns(web, drift.Progressing)
		w.turns(web, drift.Current)
		w.expect("the reason", w.state(web).Problem.Reason, "GateFailed")
		w.expect("watched", g.of("dev/web"), "[]")
		w.push(labelledWeb("fixed"))
		w.expect("the stage of a fix", w.state(web).Stage, "healthy")
		w.expect("watched", g.of("dev/web"), "[dev/web 3]")
	})
}

func TestWhatNothingCanReturnToStaysThoughItsGatesTurn(t *testing.T) {
	withGates(t, shop(), func(w *world, g *alarm) {
		g.turn(t, "dev/web 1", "latency")
		s := w.state(web)
		w.expect("stage and reason", string(s.Stage)+" "+s.Problem.Reason, "failed GateFailed")
		if !strings.Contains(s.Problem.Did, "no earlier release of this target is known to be good") {
			t.Errorf("the agent says that it %s", s.Problem.Did)
		}
		w.expect("applies", w.count("dev/web 1"), 1)
	})
}

func TestGatesWatchOneReleaseOfATargetAndNoneAnew(t *testing.T) {
	withGates(t, shop(), func(w *world, g *alarm) {
		w.push(map[string]string{"README.md": "x"}) // asks for the same release
		w.expect("watched", g.of("dev/web"), "[dev/web 1]")
		w.turns(web, drift.Failed)
		w.turns(web, drift.Current)
		w.push(labelledWeb("next"))
		w.expect("watched", g.of("dev/web"), "[dev/web 3]")
		g.mu.Lock()
		begun := slices.DeleteFunc(slices.Clone(g.begun), func(key string) bool { return !strings.HasPrefix(key, "dev/web ") })
		g.mu.Unlock()
		w.expect("begun", begun, "[dev/web 1 dev/web 3]")
		w.expect("the stage", w.state(web).Stage, "healthy")
	})
}

// What a gate said is no more to be had after a restart, and the release is healthy.
func TestWhatAGateSaidOutlivesARestart(t *testing.T) {
	files := shop()
	files["pawl.yaml"] = pipeline(", rollback: {onFailure: off}", "")
	t.Run("before", func(t *testing.T) {
		withGates(t, files, func(w *world, g *alarm) {
			g.turn(t, "dev/web 1", "latency")
			hold := w.held["dev/web"]
			if hold == nil || hold.Why != "latency" || !hold.Stays(w.releaseOf(files).Digest) {
				t.Errorf("held is %+v", hold)
			}
			w.turns(web, drift.Progressing)
			w.turns(web, drift.Current)
			if w.held["dev/web"] != hold {
				t.Error("it was noted again")
			}
		})
	})
	t.Run("after", func(t *testing.T) {
		g := &alarm{watching: map[string]chan string{}}
		inWorldWith(t, files, func(w *world) {
			w.gates = g
			w.held["dev/web"] = &drift.Hold{Release: w.releaseOf(files).Digest, Commit: "1", Why: "latency"}
		}, func(w *world) {
			w.expect("applies", w.count("dev/web 1"), 1)
			s := w.state(web)
			w.expect("stage, reason and text", string(s.Stage)+" "+s.Problem.Reason+" "+s.Problem.Text, "failed GateFailed latency")
			w.expect("good releases", len(w.goods["dev/web"]), 0)
			w.expect("watched", g.of("dev/web"), "[]")
			w.push(map[string]string{"README.md": "x"})
			w.expect("the reason", w.state(web).Problem.Reason, "GateFailed")
			w.agent.Notice(drift.Notice{Target: environmentsTarget("dev", "web"), Rollback: &drift.RollbackRequest{By: "ada", Reason: "the gate was wrong", Lift: true}})
			synctest.Wait()
			w.expect("the stage once a person lifted it", w.state(web).Stage, "healthy")
			w.expect("watched", g.of("dev/web"), "[dev/web 2]")
			if w.held["dev/web"] != nil {
				t.Error("the hold was not lifted")
			}
		})
	})
}

func TestGatesWatchATargetThatMoves(t *testing.T) {
	withGates(t, shop(), func(w *world, g *alarm) {
		w.push(map[string]string{
			"pawl.yaml":                       strings.Replace(pipeline("", ""), "apps/{app}/{env}", "live/{env}/{app}", 1),
			"live/dev/web/kustomization.yaml": overlay(hexOf("a")), "live/staging/web/kustomization.yaml": overlay(hexOf("a")),
		})
		moved := web
		moved.Overlay = "live/dev/web"
		w.expect("watched", g.of("dev/web"), "[dev/web 2]")
		g.turn(t, "dev/web 2", "latency")
		w.expect("the reason", w.state(moved).Problem.Reason, "GateFailed")
	})
}
