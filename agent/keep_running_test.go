package agent

import (
	"errors"
	"testing"
	"time"

	"github.com/pawl-dev/pawl/drift"
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
