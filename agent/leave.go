package agent

import (
	"context"
	"fmt"

	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/promote"
)

// leave lets other targets take the objects of one whose overlay is gone, as it
// is when an application's folder is renamed. It is tried until they have what
// they declare. What nobody else declares stays as it is, and is reported with the
// word that deletes it: a folder that is gone may be a mistake.
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
	case left.Objects > 0:
		p := problem(j.gone)
		if held := left.Held; held != nil && len(held.Objects) > 0 {
			p.Text += "\n" + held.Error()
			p.Hint = held.Hint()
		}
		a.board.update(j.target, commit, func(s *promote.TargetState) { s.Stage, s.Problem = promote.StageFailed, p })
		if err := a.keepRunning(ctx, j); err != nil { // not before: what is to go would come back
			j.tries.failed(err, a.now())
			return err
		}
	default:
		a.log.Info().Str("target", j.target.String()).Str("commit", string(commit)).Msg("its overlay is gone, and others have its objects or a commit said that they are to be deleted: it is forgotten")
		a.left.Store(j.target.String(), true)
		a.board.retire(j.target, commit)
	}
	j.tries.succeeded()
	return nil
}

// letGo returns what is left to the target. What passes by itself is an error.
func (a *Agent) letGo(ctx context.Context, j job) (drift.Left, error) {
	cluster, ok := a.edges.Clusters[j.environment.Name]
	if !ok {
		return drift.Left{}, fmt.Errorf("%s: this agent has no cluster for environment %s", j.target, j.environment.Name)
	}
	accepted, err := cluster.Accepted(ctx, j.target)
	if err != nil {
		return drift.Left{}, err
	}
	last, _ := demands.AcceptedFor(accepted, j.target)
	word, err := a.gatherer.PruneWord(ctx, demands.Case{Revision: j.revision, Target: j.target, Accepted: last})
	if err != nil {
		return drift.Left{}, err
	}
	left, err := cluster.Leave(ctx, j.target, drift.Terms{
		Environment: j.environment, Word: word,
		Others: func(ctx context.Context) (*drift.Others, error) { return a.others(ctx, j, cluster) },
	})
	switch {
	case err != nil:
	case len(left.Waiting) > 0:
		err = &drift.PruneHeld{Target: j.target, Handed: left.Waiting}
	case len(left.Pending) > 0:
		err = fmt.Errorf("%s: its overlay is gone, and as a commit says so its objects are deleted; %d of them are not gone yet, the first %s", j.target, len(left.Pending), left.Pending[0])
	case word != nil && left.Held != nil && left.Held.Passes():
		err = left.Held
	}
	return left, err
}

// hasLeft reports whether nothing is left of a target whose overlay is gone.
func (a *Agent) hasLeft(target string) bool {
	_, left := a.left.Load(target)
	return left
}
