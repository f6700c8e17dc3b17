package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
)

// askRollback takes in what a person asks of a target; its worker sees to it.
func (a *Agent) askRollback(t environments.Target, r drift.RollbackRequest) {
	a.rollbacks.Store(t.String(), r)
	a.handRollback(t)
}

// handRollback lets a target's worker see to what is asked. Where there is none,
// that is the answer, once the branch is known.
func (a *Agent) handRollback(t environments.Target) {
	synced := a.synced.Load()
	if w, ok := a.wakes.Load(t.String()); ok {
		wake(w.(*worker).turned)
		return
	}
	cluster, ok := a.edges.Clusters[t.Environment]
	if !synced || !ok {
		return
	}
	if asked, ok := a.rollbacks.LoadAndDelete(t.String()); ok {
		ctx, cancel := context.WithTimeout(context.Background(), answerTimeout)
		defer cancel()
		a.answer(ctx, cluster, t, asked.(drift.RollbackRequest), "", &declined{fmt.Sprintf("%s is none of the branch's targets, so it is not kept; bring its overlay back first", t)})
	}
}

// handRollbacks hands on what was asked before the branch was known.
func (a *Agent) handRollbacks() {
	a.rollbacks.Range(func(name, _ any) bool {
		environment, application, _ := strings.Cut(name.(string), "/")
		a.handRollback(environments.Target{Environment: environment, Application: application})
		return true
	})
}

// answerTimeout bounds the writing of an answer.
const answerTimeout = 10 * time.Second

// answerRollback does what a person asked of the job's target, if anything, and
// tells them what came of it.
func (a *Agent) answerRollback(ctx context.Context, cluster Cluster, j job) {
	asked, ok := a.rollbacks.LoadAndDelete(j.target.String())
	if !ok {
		return
	}
	r := asked.(drift.RollbackRequest)
	answer, err := "", error(nil)
	if r.Expired(a.now()) {
		err = &declined{fmt.Sprintf("it was asked at %s, which is too long ago; ask again", r.At.UTC().Format(time.DateTime))}
	} else {
		answer, err = a.rollBackAsAsked(ctx, cluster, j, r)
	}
	if err != nil && ctx.Err() != nil { // a newer commit came; its job is asked next
		a.rollbacks.LoadOrStore(j.target.String(), r)
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTimeout) // it is done: a newer commit ends no answer
	defer cancel()
	a.answer(ctx, cluster, j.target, r, answer, err)
}

// answer tells who asked for a rollback what came of it.
func (a *Agent) answer(ctx context.Context, cluster Cluster, t environments.Target, r drift.RollbackRequest, answer string, err error) {
	log := a.log.With().Str("target", t.String()).Str("by", r.By).Str("why", r.Reason).Logger()
	if err != nil {
		answer = "refused: " + err.Error()
		if !as[*declined](err) && mayPass(ctx, err) {
			answer = "failed: " + err.Error()
		}
		log.Warn().Err(err).Msg("a rollback by hand was not done")
	} else {
		log.Warn().Str("answer", answer).Msg("a rollback by hand")
	}
	if err := cluster.Answer(ctx, t, answer); err != nil {
		log.Warn().Err(err).Msg("the answer to a rollback by hand could not be written")
	}
}

// declined says that what a person asks for is not to be had.
type declined struct{ why string }

func (e *declined) Error() string { return e.why }

// rollBackAsAsked does what a person asked for.
func (a *Agent) rollBackAsAsked(ctx context.Context, cluster Cluster, j job, r drift.RollbackRequest) (string, error) {
	hold, err := cluster.Held(ctx, j.target)
	if err != nil {
		return "", err
	}
	if r.Lift {
		if hold == nil {
			return "", &declined{fmt.Sprintf("%s is not held: there is no hold to lift", j.target)}
		}
		if err := cluster.Hold(ctx, j.target, nil); err != nil {
			return "", err
		}
		if j.keep {
			return "the hold is lifted; what the branch asks for is applied once it can be used", nil
		}
		a.board.unkeep(j.target)
		if err := a.deploy(ctx, j); err != nil {
			return "", err
		}
		return fmt.Sprintf("the hold is lifted; %s is applied again", j.revision.Commit.Short()), nil
	}
	j.keep = false
	if accepted, ok := a.board.acceptanceOf(j.target); ok {
		j = j.by(accepted)
	}
	why := fmt.Sprintf("rolled back by hand by %s: %s", r.By, r.Reason)
	if hold != nil && !r.At.IsZero() && hold.At.After(r.At) && hold.Why == why {
		return fmt.Sprintf("returned to the good release of %s; it was done before the agent was started anew", hold.To.Short()), nil
	}
	present, err := a.runsNow(ctx, cluster, j)
	if err != nil {
		return "", err
	}
	goods, lost, err := a.goods(ctx, cluster, j.target)
	if err != nil {
		return "", err
	}
	g, err := pick(j.target, goods, present, hold, r.To)
	if err != nil {
		return "", errors.Join(err, lost)
	}
	verified, err := a.mayReturn(ctx, j, g)
	if err != nil {
		return "", fmt.Errorf("not to %s: %w", g.Release.Commit.Short(), err)
	}
	next := drift.Hold{Release: present, Commit: j.revision.Commit, To: g.Release.Commit, At: a.now().UTC(), Why: why, Environment: j.environmentAlone()}
	if hold != nil { // what the commit asks for is the one that is held already
		next.Release, next.Commit, next.Environment = hold.Release, hold.Commit, hold.Environment
	}
	if err := cluster.Hold(ctx, j.target, &next); err != nil {
		return "", err
	}
	applied, err := a.putBack(ctx, cluster, j, g, verified, &returned{hold: next}, time.Time{})
	if err != nil {
		// What a crash would have gone on with is not to be gone on with: it is refused.
		if undone := cluster.Hold(context.WithoutCancel(ctx), j.target, hold); undone != nil {
			return "", errors.Join(err, fmt.Errorf("and %s is held all the same, until `pawl rollback %s --lift`: %w", j.revision.Commit.Short(), j.target, undone))
		}
		return "", err
	}
	a.metrics.rollbacks.WithLabelValues(j.target.Environment, "by hand").Inc()
	return fmt.Sprintf("returned to the good release of %s; %s is held until the branch asks for another release, or `pawl rollback %s --lift`.%s", g.Release.Commit.Short(), j.revision.Commit.Short(), j.target, besides(applied)), nil
}

// runsNow is the release that a target has, also where it is not kept.
func (a *Agent) runsNow(ctx context.Context, cluster Cluster, j job) (string, error) {
	if release := a.board.release(j.target); release != "" {
		return release, nil
	}
	accepted, err := cluster.Accepted(ctx, j.target)
	if err != nil {
		return "", err
	}
	runs, _ := demands.AcceptedFor(accepted, j.target)
	return runs.Release, nil
}

// pick is the good release that a person means by to, or the newest that may take
// the place of the present one.
func pick(t environments.Target, goods []drift.Good, present string, hold *drift.Hold, to string) (drift.Good, error) {
	var known, meant []string
	var found []drift.Good
	for _, g := range goods {
		name := g.Release.Commit.Short()
		switch {
		case g.Release.Digest == present:
			name += " (which runs)"
		case hold.Held(g.Release.Digest):
			name += " (which is held)"
		case strings.HasPrefix(string(g.Release.Commit), to):
			found, meant = append(found, g), append(meant, string(g.Release.Commit))
		}
		known = append(known, name)
	}
	switch {
	case to != "" && len(found) > 1:
		return drift.Good{}, &declined{fmt.Sprintf("%s: the commits of several good releases begin with %s; write more of the one that is meant: %s", t, to, strings.Join(meant, ", "))}
	case len(found) > 0:
		return found[0], nil
	}
	none := fmt.Sprintf("%s has no other good release", t)
	if to != "" {
		none += " of a commit " + to
	}
	if len(known) > 0 {
		none += "; kept are those of " + strings.Join(known, ", ")
	}
	return drift.Good{}, &declined{none}
}
