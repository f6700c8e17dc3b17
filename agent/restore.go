package agent

import (
	"context"
	"errors"
	"time"

	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/render"
)

// goods returns the good releases of a target, the newest first, and lost says
// which are no longer to be had. What may be had later is an error, if there is
// nothing else.
func (a *Agent) goods(ctx context.Context, cluster Cluster, t environments.Target) (found []drift.Good, lost, err error) {
	found, err = cluster.Good(ctx, t)
	switch {
	case drift.AllLost(err):
		return found, err, nil
	case len(found) > 0:
		return found, nil, nil
	}
	return nil, nil, err
}

// mayReturn judges a good release anew, by what is demanded today and with
// evidence looked up now, or as it was recorded where a registry cannot be asked.
func (a *Agent) mayReturn(ctx context.Context, j job, g drift.Good) (policies.Verified, error) {
	base, err := a.baseline()
	if err != nil {
		return policies.Verified{}, err
	}
	release, err := a.renderer.Restore(g.Release, j.declared...)
	if err != nil {
		return policies.Verified{}, err
	}
	edges := demands.Edges{Evidence: recorded{a.edges.Evidence, g.Evidence}, Policies: a.edges.Policies}
	of, found, err := base.Examine(ctx, j.repository, j.environment, release, edges, a.now())
	if err != nil {
		return policies.Verified{}, err
	}
	return policies.Judge(release, of, found)
}

// recorded is evidence as it was found when a release was judged, for where a
// registry cannot be asked now.
type recorded struct {
	demands.Evidence
	found []policies.Evidence
}

func (r recorded) Collect(ctx context.Context, images []render.Image, trust policies.Trust) (map[string]policies.Evidence, error) {
	found, err := r.Evidence.Collect(ctx, images, trust)
	var unavailable *policies.Unavailable
	if !errors.As(err, &unavailable) {
		return found, err
	}
	for _, e := range r.found {
		if _, fresh := found[e.Image]; !fresh {
			if found == nil {
				found = map[string]policies.Evidence{}
			}
			found[e.Image] = e
		}
	}
	return found, nil
}

// putBack applies a release that is kept, and keeps the target at it. Without
// a reason the commit's own state stays as it is.
func (a *Agent) putBack(ctx context.Context, cluster Cluster, j job, g drift.Good, verified policies.Verified, why *returned, failedAt time.Time) (drift.Applied, error) {
	var hold *drift.Hold
	if why != nil {
		hold = &why.hold
	}
	j = a.asAccepted(j, g, hold)
	settings := settings{drift: j.environment.Drift, healthTimeout: j.environment.HealthTimeout}
	objects, err := render.Pack(g.Release.Objects)
	if err != nil {
		return drift.Applied{}, err
	}
	good := candidate{g, objects, j.acceptance()}
	good.Release.Objects, good.Terms.Environment = nil, j.environment
	a.board.expect(j.target, settings, good, j.turned, why)
	terms := drift.Terms{Environment: j.environment, Demands: g.Terms.Demands, Returning: true, Keeps: j.keep, Health: g.Terms.Health}
	if why != nil && !j.keep {
		terms.GoodAt = g.At
	}
	applied, err := cluster.Apply(ctx, verified, terms)
	if err != nil {
		a.board.abandon(j.target)
		return drift.Applied{}, err
	}
	if why != nil && !failedAt.IsZero() {
		took := a.now().Sub(failedAt)
		a.metrics.rollbackSeconds.Observe(took.Seconds())
		a.board.tookBack(j.target, took)
	}
	a.board.back(j.target, j.revision.Commit, verified, applied)
	return applied, nil
}
