package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
)

// turned acts on what became of a release: one that is healthy for the first
// time is remembered, and one that fails before it ever was, or whose gates turn
// afterwards, is rolled back.
func (a *Agent) turned(ctx context.Context, j job) error {
	cluster, ok := a.edges.Clusters[j.environment.Name]
	if !ok {
		return nil
	}
	a.answerRollback(ctx, cluster, j)
	j.keep = false
	if accepted, ok := a.board.acceptanceOf(j.target); ok {
		j = j.by(accepted)
	}
	good, failed := a.board.turn(j.target)
	var unstored error
	if good != nil {
		if err := remember(ctx, cluster, *good); err == nil {
			a.board.remembered(j.target, good.Release.Digest)
		} else {
			unstored = fmt.Errorf("remember the good release of %s: %w", good.Release.Commit.Short(), err)
		}
	}
	if failed != nil {
		if failed.gate {
			if err := a.condemn(ctx, cluster, j.target, *failed); err != nil {
				return fmt.Errorf("discard the release of %s, which is good no more: %w", failed.commit.Short(), err)
			}
		}
		if j.environment.Rollback.OnFailure != environments.RollbackAuto {
			a.board.stay(j.target, failed.release, "The release was applied and stays: failed releases are not rolled back here (rollback.onFailure in pawl.yaml).")
			return unstored
		}
		if err := a.rollBack(ctx, cluster, j, *failed); err != nil {
			return fmt.Errorf("roll back from %s: %w", failed.commit.Short(), errors.Join(err, unstored))
		}
	}
	return unstored
}

func remember(ctx context.Context, cluster Cluster, good candidate) error {
	whole, err := good.whole()
	if err != nil {
		return err
	}
	return cluster.Remember(ctx, whole)
}

// condemn makes a release that was good none that anything may return to. The
// verdict is stored first: a restart must not take the release for a good one
// because it is healthy.
func (a *Agent) condemn(ctx context.Context, cluster Cluster, t environments.Target, f failure) error {
	hold, err := cluster.Held(ctx, t)
	if err != nil {
		return err
	}
	if !hold.Held(f.release) {
		verdict := drift.Hold{Release: f.release, Commit: f.commit, Why: f.why, At: a.now().UTC(), Gate: true}
		if err := cluster.Hold(ctx, t, &verdict); err != nil {
			return err
		}
	}
	return cluster.Discard(ctx, t, f.release)
}

// notTurned tells that what a release's health asks for could not be done yet.
func (a *Agent) notTurned(j job, err error) {
	a.log.Error().Err(err).Str("target", j.target.String()).Msg("what the health of a release asks for could not be done; it is tried again")
}

// failure is a release that failed before it ever was healthy, or at a gate
// afterwards.
type failure struct {
	release string
	commit  gitsync.Commit // at which it was applied
	why     string
	gate    bool
	at      time.Time // when it failed first; zero if that is of no interest
	// ailing are good releases that were failing when the target left them: they
	// return last. tried returned already and failed.
	ailing, tried []string
}

// rollBack returns a target to the newest of its good releases that may still
// run and that the API server takes. Where there is none, the failed release
// stays, and that is reported.
func (a *Agent) rollBack(ctx context.Context, cluster Cluster, j job, f failure) error {
	err := a.tryRollBack(ctx, cluster, j, f)
	if err != nil && ctx.Err() == nil {
		a.board.delay(j.target, f.release, "The release was applied and is still there. It is to be rolled back, which was not possible yet and is tried again: "+err.Error())
	}
	return err
}

func (a *Agent) tryRollBack(ctx context.Context, cluster Cluster, j job, f failure) error {
	log := a.log.With().Str("target", j.target.String()).Str("commit", string(j.revision.Commit)).Logger()
	before, err := cluster.Held(ctx, j.target)
	if err != nil {
		return err
	}
	goods, refused, err := a.goods(ctx, cluster, j.target)
	if err != nil {
		return err
	}
	if len(goods) > 0 && goods[0].Release.Digest == f.release {
		a.board.stay(j.target, f.release, "The release was applied and stays: it was healthy before, and what fails now came later.")
		return nil
	}
	slices.SortStableFunc(goods, func(x, y drift.Good) int {
		return cmp.Compare(slices.Index(f.ailing, x.Release.Digest), slices.Index(f.ailing, y.Release.Digest))
	})
	for _, g := range goods {
		if g.Release.Digest == f.release || slices.Contains(f.tried, g.Release.Digest) || before.Held(g.Release.Digest) {
			continue
		}
		var applied drift.Applied
		verified, err := a.mayReturn(ctx, j, g)
		if err == nil {
			back := &returned{
				hold:  drift.Hold{Release: f.release, Commit: f.commit, Why: f.why, To: g.Release.Commit, At: a.now().UTC(), Gate: f.gate, Judged: j.judgedBy(), Environment: j.environmentAlone()},
				tried: append(slices.Clone(f.tried), g.Release.Digest), passed: refused,
			}
			if err := cluster.Hold(ctx, j.target, &back.hold); err != nil {
				return err // without it a restart would bring the failed release back
			}
			applied, err = a.putBack(ctx, cluster, j, g, verified, back, f.at)
		}
		if mayPass(ctx, err) {
			return err
		}
		if err != nil {
			refused = errors.Join(refused, fmt.Errorf("not to %s: %w", g.Release.Commit.Short(), err))
			continue
		}
		a.metrics.rollbacks.WithLabelValues(j.target.Environment, "returned").Inc()
		log.Warn().Str("why", f.why).Str("to", string(g.Release.Commit)).Str("besides", besides(applied)).AnErr("not_to", refused).Msg("rolled back to the last good release")
		return nil
	}
	switch {
	case len(f.tried) > 0: // it stays where it was returned to last
	case f.gate:
		before = &drift.Hold{Release: f.release, Commit: f.commit, Why: f.why, At: a.now().UTC(), Gate: true}
	default:
		before = nil // what failed is what runs: holding it would say that it does not
	}
	if err := cluster.Hold(ctx, j.target, before); err != nil {
		return err
	}
	if len(f.tried) > 0 {
		a.board.lastReturn(j.target)
		return nil
	}
	stuck := "The release was applied and stays: no earlier release of this target is known to be good."
	if refused != nil {
		stuck = "The release was applied and stays: no good release may return. " + refused.Error()
	}
	if a.board.stay(j.target, f.release, stuck) {
		a.metrics.rollbacks.WithLabelValues(j.target.Environment, "impossible").Inc()
		log.Error().Str("why", f.why).AnErr("refused", refused).Msg("cannot roll back")
	}
	return nil
}

// mayPass reports whether an error may be gone at the next try. Nil is none.
func mayPass(ctx context.Context, err error) bool {
	return err != nil && (ctx.Err() != nil || classify(err).fate == retry)
}
