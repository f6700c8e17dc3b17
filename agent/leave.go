package agent

import (
	"context"
	"fmt"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/promote"
)

// leave lets other targets take the objects of one whose overlay is gone, as it
// is when an application's folder is renamed. It is tried until they have what
// they declare. What nobody else declares stays as it is, and is reported.
func (a *Agent) leave(ctx context.Context, j job) error {
	left, err := a.letGo(ctx, j)
	commit := j.revision.Commit
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		again := j.tries.failed(err, a.now())
		p := problem(err)
		a.board.update(j.target, commit, func(s *promote.TargetState) {
			if !alike(s.Problem, p) {
				s.Stage, s.Problem, s.Retry = promote.StageRetrying, p, again
			}
		})
		if !as[*drift.PruneHeld](err) { // else they have not come for it yet
			a.log.Warn().Err(err).Str("target", j.target.String()).Msg("what others declare now could not be let go of; it is tried again")
		}
		return err
	case left > 0:
		a.board.update(j.target, commit, func(s *promote.TargetState) { s.Stage, s.Problem = promote.StageFailed, problem(j.gone) })
	default:
		a.log.Info().Str("target", j.target.String()).Str("commit", string(commit)).Msg("its overlay is gone, and others have its objects: it is forgotten")
		a.left.Store(j.target.String(), true)
		a.board.retire(j.target, commit)
	}
	j.tries.succeeded()
	return nil
}

// letGo returns how many objects are left to the target.
func (a *Agent) letGo(ctx context.Context, j job) (left int, err error) {
	cluster, ok := a.edges.Clusters[j.environment.Name]
	if !ok {
		return 0, fmt.Errorf("%s: this agent has no cluster for environment %s", j.target, j.environment.Name)
	}
	others, err := a.others(ctx, j, cluster)
	if err != nil {
		return 0, err
	}
	left, waiting, err := cluster.Leave(ctx, j.target, others)
	if err == nil && len(waiting) > 0 {
		err = &drift.PruneHeld{Target: j.target, Handed: waiting}
	}
	return left, err
}

// hasLeft reports whether nothing is left of a target whose overlay is gone.
func (a *Agent) hasLeft(target string) bool {
	_, left := a.left.Load(target)
	return left
}
