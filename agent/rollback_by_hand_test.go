package agent

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/render"
)

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

// catalogue 120
func TestAPersonMeansOneGoodRelease(t *testing.T) {
	t.Parallel()
	var goods []drift.Good
	for _, commit := range []gitsync.Commit{"aa11", "aa22", "bb33", "cc44"} {
		goods = append(goods, drift.Good{Release: render.Release{Commit: commit, Digest: "release of " + string(commit)}})
	}
	hold := &drift.Hold{Release: "release of bb33"}
	for to, want := range map[string]string{
		"":     "aa22",
		"aa":   "aa22", // the other one runs
		"cc44": "cc44",
		"aa11": "dev/web has no other good release of a commit aa11; kept are those of aa11 (which runs), aa22, bb33 (which is held), cc44",
		"bb":   "dev/web has no other good release of a commit bb; kept are those of aa11 (which runs), aa22, bb33 (which is held), cc44",
		"dd":   "dev/web has no other good release of a commit dd; kept are those of aa11 (which runs), aa22, bb33 (which is held), cc44",
	} {
		g, err := pick(environmentsTarget("dev", "web"), goods, "release of aa11", hold, to)
		if got := cmp.Or(string(g.Release.Commit), fmt.Sprint(err)); got != want {
			t.Errorf("%q: got %s", to, got)
		}
	}
	if _, err := pick(web, goods, "another", nil, "aa"); !strings.Contains(fmt.Sprint(err), "several good releases begin with aa; write more of the one that is meant: aa11, aa22") {
		t.Errorf("two with the same beginning: %v", err)
	}
}

// catalogue 120
func TestEveryRequestForARollbackIsAnswered(t *testing.T) {
	ask := func(w *world, target environments.Target, age time.Duration) {
		w.agent.Notice(drift.Notice{Target: target, Rollback: &drift.RollbackRequest{By: "ada", Reason: "latency", At: time.Now().Add(-age)}})
	}
	want := func(w *world, beginning string) {
		w.t.Helper()
		synctest.Wait()
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.answers) != 1 || !strings.HasPrefix(w.answers[0], beginning) {
			w.t.Errorf("the answers are %q, want one: %s", w.answers, beginning)
		}
	}
	inTime := environmentsTarget("dev", "web")
	start := func(name string, prepare func(w *world), story func(w *world)) {
		t.Run(name, func(t *testing.T) {
			inWorldWith(t, shop(), func(w *world) {
				files := shop()
				files["base/web.yaml"] = labelled("zero")
				w.remembers("0", files)
				prepare(w)
			}, story)
		})
	}
	start("too late", func(*world) {}, func(w *world) {
		ask(w, inTime, time.Hour)
		want(w, "refused: it was asked at ")
		w.expect("what was applied last", w.lastApplied("dev/web"), "1")
	})
	start("of a target that the branch does not have", func(*world) {}, func(w *world) {
		ask(w, environmentsTarget("dev", "gone"), 0)
		want(w, "refused: dev/gone is none of the branch's targets")
	})
	start("of a target that no release could be deployed to", func(w *world) { w.unsigned[hexOf("a")] = true }, func(w *world) {
		ask(w, inTime, time.Hour)
		want(w, "refused: it was asked at ")
	})
	start("before the branch could be read", func(w *world) { w.unread = errors.New("down") }, func(w *world) {
		ask(w, inTime, 0)
		ask(w, environmentsTarget("elsewhere", "web"), 0) // not this agent's
		synctest.Wait()
		w.expect("answers", len(w.answers), 0)
		w.mu.Lock()
		w.unread = nil
		w.mu.Unlock()
		w.push(nil)
		want(w, "returned to the good release of 0")
		w.expect("what was applied last", w.lastApplied("dev/web"), "0")
	})
	start("before a crash that came before the answer", func(*world) {}, func(w *world) {
		w.mu.Lock()
		w.held["dev/web"] = &drift.Hold{Release: "sha256:bad", To: "0", Why: "rolled back by hand by ada: latency", At: time.Now()}
		w.mu.Unlock()
		ask(w, inTime, time.Second)
		want(w, "returned to the good release of 0; it was done before the agent was started anew")
		w.expect("what was applied last", w.lastApplied("dev/web"), "1")
	})
}
