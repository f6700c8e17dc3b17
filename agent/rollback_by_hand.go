package agent

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
)

// askRollback takes in what a person asks of a target; its worker sees to it.
func (a *Agent) askRollback(t environments.Target, r drift.RollbackRequest) {
	a.rollbacks.Store(t.String(), r)
	if !a.board.wake(t) {
		a.rollbacks.Delete(t.String())
		a.log.Warn().Str("target", t.String()).Str("by", r.By).Msg("a rollback was asked for of a target that is not kept")
	}
}

// answerRollback does what a person asked of the job's target, if anything, and
// tells them what came of it.
func (a *Agent) answerRollback(ctx context.Context, cluster Cluster, j job) {
	asked, ok := a.rollbacks.LoadAndDelete(j.target.String())
	if !ok {
		return
	}
	r := asked.(drift.RollbackRequest)
	answer, err := a.rollBackAsAsked(ctx, cluster, j, r)
	log := a.log.With().Str("target", j.target.String()).Str("by", r.By).Str("why", r.Reason).Logger()
	if err != nil {
		answer = "refused: " + err.Error()
		log.Warn().Err(err).Msg("a rollback by hand was refused")
	} else {
		log.Warn().Str("answer", answer).Msg("a rollback by hand")
	}
	if err := cluster.Answer(ctx, j.target, answer); err != nil {
		log.Warn().Err(err).Msg("the answer to a rollback by hand could not be written")
	}
}

// rollBackAsAsked does what a person asked for.
func (a *Agent) rollBackAsAsked(ctx context.Context, cluster Cluster, j job, r drift.RollbackRequest) (string, error) {
	hold, err := cluster.Held(ctx, j.target)
	if err != nil {
		return "", err
	}
	if r.Lift {
		if hold == nil {
			return "", fmt.Errorf("%s is not held", j.target)
		}
		if err := cluster.Hold(ctx, j.target, nil); err != nil {
			return "", err
		}
		a.board.unkeep(j.target)
		if err := a.deploy(ctx, j); err != nil {
			return "", err
		}
		return fmt.Sprintf("the hold is lifted; %s is applied again", j.revision.Commit.Short()), nil
	}
	present := a.board.release(j.target)
	goods, err := cluster.Good(ctx, j.target)
	if err != nil && len(goods) == 0 {
		return "", err
	}
	var known []string
	for _, g := range goods {
		known = append(known, g.Release.Commit.Short())
		switch {
		case g.Release.Digest == present, hold.Held(g.Release.Digest):
			continue
		case r.To != "" && !strings.HasPrefix(string(g.Release.Commit), r.To):
			continue
		}
		verified, err := a.mayReturn(ctx, j, g)
		if err != nil {
			return "", err
		}
		next := drift.Hold{Release: present, Commit: j.revision.Commit, To: g.Release.Commit, At: a.now().UTC(), Why: fmt.Sprintf("rolled back by hand by %s: %s", r.By, r.Reason)}
		if hold != nil { // what the commit asks for is the one that is held already
			next.Release, next.Commit = hold.Release, hold.Commit
		}
		if err := cluster.Hold(ctx, j.target, &next); err != nil {
			return "", err
		}
		if err := a.putBack(ctx, cluster, j, g, verified, &returned{hold: next}, time.Time{}); err != nil {
			return "", err
		}
		a.metrics.rollbacks.WithLabelValues(j.target.Environment, "by hand").Inc()
		return fmt.Sprintf("returned to the good release of %s; %s is held until the branch asks for another release, or `pawl rollback %s --lift`", g.Release.Commit.Short(), j.revision.Commit.Short(), j.target), nil
	}
	if r.To != "" {
		return "", fmt.Errorf("%s has no other good release of a commit %s; kept are those of %s", j.target, r.To, strings.Join(known, ", "))
	}
	return "", fmt.Errorf("%s has no other good release; kept are those of %s", j.target, strings.Join(known, ", "))
}
