package agent

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawl-dev/pawl/drift"
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
