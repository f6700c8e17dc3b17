package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
)

// keepAccepted keeps what runs against drift, as it was accepted, where no commit
// could be brought to it since the agent was started: the branch cannot be read,
// or what it says of a target cannot be used. The targets' workers see to it, so
// that a fix ends it, and nothing older comes after it. The loop alone calls it.
func (a *Agent) keepAccepted(ctx context.Context) {
	a.keepAgain = false
	for name, cluster := range a.edges.Clusters {
		accepted, err := cluster.Accepted(ctx)
		if err != nil {
			a.keepAgain = ctx.Err() == nil
			a.log.Warn().Err(err).Str("environment", name).Msg("what runs cannot be looked up, and is not kept against drift where no commit says what is to run; it is tried again")
			continue
		}
		for _, one := range accepted {
			_, known := a.workers[one.Target.String()]
			if !known && one.Target.Environment == name && one.Release != "" && !a.hasLeft(one.Target.String()) {
				a.onlyKeep(a.worker(ctx, one.Target), one.Commit)
			}
		}
	}
}

// keptAtOnce is how many targets are put back at the same time: their good releases
// are whole in memory.
const keptAtOnce = 8

// onlyKeep ends what a worker does: the commit cannot be used for its target.
// What runs goes on being kept, and is from now on if it is not yet.
func (a *Agent) onlyKeep(w *worker, commit gitsync.Commit) {
	switch {
	case w.keeps:
	case a.board.keeps(w.target):
		w.drop()
	default:
		w.keeps = true
		w.assign(job{
			keep: true, revision: gitsync.Revision{Commit: commit}, target: w.target,
			repository: demands.Nothing(commit), environment: environments.Environment{Name: w.target.Environment},
		})
	}
}

// keepOnly is a job that brings nothing to its target.
func (a *Agent) keepOnly(ctx context.Context, j job) error {
	err := a.keepRunning(ctx, j)
	if err == nil {
		j.tries.succeeded()
	} else if ctx.Err() == nil {
		j.tries.failed(err, a.now())
	}
	return err
}

// keepRunning keeps what runs against drift though the commit is refused,
// where nothing is kept yet because the agent was started anew. It is kept as it
// was accepted: what the repository demanded of it was met then, and the agent's
// own demands are asked again.
func (a *Agent) keepRunning(ctx context.Context, j job) error {
	cluster, ok := a.edges.Clusters[j.environment.Name]
	if !ok || a.board.keeps(j.target) {
		return nil
	}
	err := a.keepAsAccepted(ctx, cluster, j)
	if err != nil && ctx.Err() == nil {
		a.log.Warn().Err(err).Str("target", j.target.String()).Msg("what runs is not kept against drift until a commit is accepted; it is tried again")
	}
	return err
}

func (a *Agent) keepAsAccepted(ctx context.Context, cluster Cluster, j job) error {
	accepted, err := cluster.Accepted(ctx, j.target)
	if err != nil {
		return err
	}
	runs, ok := demands.AcceptedFor(accepted, j.target)
	if !ok {
		return nil
	}
	hold, err := cluster.Held(ctx, j.target)
	if err != nil {
		return err
	}
	select {
	case a.keeping <- struct{}{}:
		defer func() { <-a.keeping }()
	case <-ctx.Done():
		return ctx.Err()
	}
	goods, lost := cluster.Good(ctx, j.target)
	for _, g := range goods {
		if g.Release.Digest != runs.Release {
			continue
		}
		j.keep, j.repository, j.declared = true, demands.Nothing(j.revision.Commit), nil
		j = a.asAccepted(j, g, hold)
		verified, err := a.mayReturn(ctx, j, g)
		if err != nil {
			return err
		}
		var why *returned // if it is not what was asked for
		if hold != nil && hold.To == g.Release.Commit && hold.Release != runs.Release {
			why = &returned{hold: *hold}
		}
		_, err = a.putBack(ctx, cluster, j, g, verified, why, time.Time{})
		if errors.Is(err, drift.ErrEmpty) {
			return nil // all of it is on its way out
		}
		return err
	}
	if lost != nil && !drift.AllLost(lost) {
		return fmt.Errorf("%s: look for the release that runs: %w", j.target, lost)
	}
	return nil // it never was healthy
}
