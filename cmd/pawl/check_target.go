package main

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/pawl-dev/pawl/agent"
	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/internal/sealed"
	"github.com/pawl-dev/pawl/promote"
	"github.com/pawl-dev/pawl/render"
	sealedrender "github.com/pawl-dev/pawl/render/sealed"
)

// checkTargets renders every target and judges what comes out.
func checkTargets(ctx context.Context, c *checkout, config agent.Config, show progress) (checkReport, error) {
	report := checkReport{Problems: []problem{}, Targets: []checkedTarget{}}
	pool := sealedrender.New(sealed.Options{})
	defer pool.Close()
	renderer := render.New(renderOptions(config, pool))
	defer show.done()
	seen := used{}
	for _, e := range c.Pipeline.Order() {
		var targets []checkedTarget
		for _, u := range c.Unusable {
			if u.Target.Environment == e.Name {
				targets = append(targets, checkedTarget{Target: u.Target.String(), State: failedState, Problems: problemsOf(u), err: u})
				seen[place{e.Name, u.Target.Application}] = nil
			}
		}
		for _, t := range c.Targets {
			if t.Environment != e.Name {
				continue
			}
			show.say("rendering %s, %d of %d", t, len(report.Targets)+len(targets)+1, len(c.Targets)+len(c.Unusable))
			result, err := renderer.Render(ctx, c.Revision, t, c.ImageFields()...)
			if ctx.Err() != nil {
				return report, ctx.Err()
			}
			targets = append(targets, checkTarget(e, t, result.Release, err, seen))
		}
		slices.SortStableFunc(targets, func(a, b checkedTarget) int { return strings.Compare(a.Target, b.Target) })
		report.Targets = append(report.Targets, targets...)
	}
	return report, nil
}

// used are the repositories that the targets seen so far use; nil where that
// is not known.
type used map[place][]string

type place struct{ environment, application string }

// checkTarget judges how a target rendered. The environments before it must
// have been judged already: seen is what is known of them.
func checkTarget(e environments.Environment, t environments.Target, release render.Release, err error, seen used) checkedTarget {
	checked := checkedTarget{Target: t.String(), State: pinnedState, Objects: len(release.Objects), Images: len(release.Images)}
	here := place{t.Environment, t.Application}
	var unpinned *render.UnpinnedError
	switch {
	case err == nil:
		seen[here] = []string{}
		for _, i := range release.Images {
			seen[here] = append(seen[here], i.Repository)
		}
		if err := drift.Check(release, e); err != nil {
			checked.State, checked.err, checked.Problems = failedState, err, problemsOf(err)
		}
		return checked
	case !errors.As(err, &unpinned):
		seen[here] = nil
		checked.State, checked.err, checked.Problems = failedState, err, problemsOf(err)
		return checked
	}
	seen[here] = nil // which other images there are, is not told
	refused := &render.UnpinnedError{Target: t}
	for _, u := range unpinned.Unpinned {
		if comes(e, t.Application, u, seen) {
			checked.Waiting = append(checked.Waiting, u.Reference)
		} else {
			refused.Unpinned = append(refused.Unpinned, u)
		}
	}
	checked.State = waitingState
	if len(refused.Unpinned) > 0 {
		checked.State, checked.err, checked.Problems = failedState, refused, problemsOf(refused)
	}
	return checked
}

// comes reports whether the agent writes the digest of an image: that of a tag
// which is tracked, and, where none stands yet, that of the first promotion.
// A tag beyond the first environment is somebody's mistake.
func comes(e environments.Environment, application string, u render.Unpinned, seen used) bool {
	if u.ByHand {
		return false
	}
	if len(e.After) == 0 {
		_, tracked := promote.TrackFor(e.Track, u.Repository)
		return tracked
	}
	if u.Tag != "" {
		return false
	}
	for _, before := range e.After {
		repositories, ok := seen[place{before, application}]
		if !ok || repositories != nil && !slices.Contains(repositories, u.Repository) {
			return false
		}
	}
	return true
}
