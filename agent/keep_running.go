package agent

import (
	"context"
	"maps"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
)

// keepAccepted keeps what runs against drift, as it was accepted, where no commit
// could be brought to it since the agent was started: the branch cannot be read,
// or what it says of a target cannot be used. Whatever the repository demanded
// of it was met then; the agent's own demands are asked again.
//
// It is done beside the loop, so that a registry that does not answer holds up
// no fix; endKeeping ends it before a target gets a worker, which alone may bring
// releases to it from then on. Both are called by the loop alone.
func (a *Agent) keepAccepted(ctx context.Context) {
	a.endKeeping()
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	a.endKeeping = func() {
		cancel()
		<-ended
	}
	workers := maps.Clone(a.workers)
	a.running.Go(func() error {
		defer close(ended)
		defer cancel()
		var g errgroup.Group
		g.SetLimit(keptAtOnce)
		for name, cluster := range a.edges.Clusters {
			accepted, err := cluster.Accepted(ctx)
			if err != nil {
				a.log.Warn().Err(err).Str("environment", name).Msg("what runs cannot be looked up, and is not kept against drift until the branch says what is to run")
				continue
			}
			for _, one := range accepted {
				if _, ok := workers[one.Target.String()]; ok || one.Target.Environment != name || one.Commit == "" {
					continue
				}
				g.Go(func() error {
					a.keepRunning(ctx, job{
						revision: gitsync.Revision{Commit: one.Commit}, target: one.Target, repository: demands.Nothing(one.Commit),
						environment: environments.Environment{Name: name},
					})
					return nil
				})
			}
		}
		return g.Wait()
	})
}

// keptAtOnce bounds how many targets are looked up at the same time.
const keptAtOnce = 8

// keepRunning keeps what runs against drift though the commit is refused,
// where nothing is kept yet because the agent was started anew.
func (a *Agent) keepRunning(ctx context.Context, j job) {
	cluster, ok := a.edges.Clusters[j.environment.Name]
	if !ok || a.board.keeps(j.target) {
		return
	}
	accepted, err := cluster.Accepted(ctx, j.target)
	if err != nil {
		return // it is tried again with the commit
	}
	runs, ok := demands.AcceptedFor(accepted, j.target)
	if !ok {
		return
	}
	goods, _ := cluster.Good(ctx, j.target)
	for _, g := range goods {
		if g.Release.Digest != runs.Release {
			continue
		}
		if j.environment.Drift == "" { // no commit says how it is kept
			j.environment = g.Terms.Environment
		}
		verified, err := a.mayReturn(ctx, j, g)
		if err == nil {
			_, err = a.putBack(ctx, cluster, j, g, verified, nil, time.Time{})
		}
		if err != nil && ctx.Err() == nil {
			a.log.Warn().Err(err).Str("target", j.target.String()).Msg("what runs is not kept against drift until a commit is accepted")
		}
		return
	}
}
