package agent

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
)

// keepWithoutGit keeps everything that runs against drift, as it was accepted,
// where the branch cannot be read at the start. Whatever the repository demanded
// of it was met then; the agent's own demands are asked again.
func (a *Agent) keepWithoutGit(ctx context.Context) {
	var g errgroup.Group
	g.SetLimit(keptAtOnce)
	for name, cluster := range a.edges.Clusters {
		accepted, err := cluster.Accepted(ctx)
		if err != nil {
			a.log.Warn().Err(err).Str("environment", name).Msg("what runs cannot be looked up, and is not kept against drift until the branch can be read")
			continue
		}
		for _, one := range accepted {
			if one.Target.Environment == name && one.Commit != "" {
				g.Go(func() error {
					a.keepRunning(ctx, job{
						revision: gitsync.Revision{Commit: one.Commit}, target: one.Target, repository: demands.Nothing(one.Commit),
						environment: environments.Environment{Name: name},
					})
					return nil
				})
			}
		}
	}
	_ = g.Wait()
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
		if err != nil {
			a.log.Warn().Err(err).Str("target", j.target.String()).Msg("what runs is not kept against drift until a commit is accepted")
		}
		return
	}
}
