package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/promote"
	"github.com/pawl-dev/pawl/render"
)

// returned is why a target has another release than its commit asks for.
type returned struct {
	hold drift.Hold
	took time.Duration // from the failure to the applied good release; 0 if unknown
	// tried are the good releases that the agent returned to by itself, one after
	// the other, the present one last; empty where a person chose it, or after a
	// restart. last says that there is no other to look for.
	tried []string
	last  bool
}

// heldHint is the way out of a hold.
const heldHint = "Fix forward on the branch, or merge a revert; the hold ends as soon as the branch asks for another release, or by `pawl rollback TARGET --lift`."

// problem is how it is reported. health is that of the release it returned to, and held
// what left with the failed one and was not deleted.
func (r *returned) problem(health *drift.Health, held *drift.PruneHeld) promote.Problem {
	did := fmt.Sprintf("Returned to the last good release (%s)", r.hold.To.Short())
	if len(r.tried) > 1 {
		did = fmt.Sprintf("Returned to an earlier good release (%s), as what returned before it was not healthy either", r.hold.To.Short())
	}
	if r.took > 0 {
		did += fmt.Sprintf(" %s after the failure", r.took.Round(10*time.Millisecond))
	}
	switch {
	case health == nil:
	case health.Status == drift.Current:
		did += ", which is healthy"
	case health.Status == drift.Failed:
		did += ", which is not healthy either: " + failures(*health)
	}
	p := promote.Problem{Reason: reasonRolledBack, Text: r.hold.Why, Did: did + ". The failed release is held.", Hint: heldHint}
	if held != nil {
		p.Did += " Not all that it brought is gone: " + held.Error()
		p.Hint += " What is left over goes with the next release, by the same rules: " + held.Hint()
	}
	return p
}

// turned acts on what became of a release: one that is healthy for the first
// time is remembered, and one that fails before it ever was, or whose gates turn
// afterwards, is rolled back.
func (a *Agent) turned(ctx context.Context, j job) error {
	cluster, ok := a.edges.Clusters[j.environment.Name]
	if !ok {
		return nil
	}
	a.answerRollback(ctx, cluster, j)
	switch good, failed := a.board.turn(j.target); {
	case good != nil:
		if err := cluster.Remember(ctx, *good); err != nil {
			return fmt.Errorf("remember the good release of %s: %w", good.Release.Commit.Short(), err)
		}
		a.board.remembered(j.target, good.Release.Digest)
	case failed != nil:
		if failed.gate {
			if err := a.condemn(ctx, cluster, j.target, *failed); err != nil {
				return fmt.Errorf("discard the release of %s, which is good no more: %w", failed.commit.Short(), err)
			}
		}
		if j.environment.Rollback.OnFailure != environments.RollbackAuto {
			a.board.stay(j.target, failed.release, "The release was applied and stays: failed releases are not rolled back here (rollback.onFailure in pawl.yaml).")
			return nil
		}
		if err := a.rollBack(ctx, cluster, j, *failed); err != nil {
			return fmt.Errorf("roll back from %s: %w", failed.commit.Short(), err)
		}
	}
	return nil
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
		if g.Release.Digest == f.release || slices.Contains(f.tried, g.Release.Digest) {
			continue
		}
		verified, err := a.mayReturn(ctx, j, g)
		if err == nil {
			back := &returned{
				hold:  drift.Hold{Release: f.release, Commit: f.commit, Why: f.why, To: g.Release.Commit, At: a.now().UTC(), Gate: f.gate, Judged: j.judgedBy()},
				tried: append(slices.Clone(f.tried), g.Release.Digest),
			}
			if err := cluster.Hold(ctx, j.target, &back.hold); err != nil {
				return err // without it a restart would bring the failed release back
			}
			err = a.putBack(ctx, cluster, j, g, verified, back, f.at)
		}
		if mayPass(ctx, err) {
			return err
		}
		if err != nil {
			refused = errors.Join(refused, fmt.Errorf("not to %s: %w", g.Release.Commit.Short(), err))
			continue
		}
		a.metrics.rollbacks.WithLabelValues(j.target.Environment, "returned").Inc()
		log.Warn().Str("why", f.why).Str("to", string(g.Release.Commit)).Msg("rolled back to the last good release")
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
func (a *Agent) putBack(ctx context.Context, cluster Cluster, j job, g drift.Good, verified policies.Verified, why *returned, failedAt time.Time) error {
	settings := settings{drift: j.environment.Drift, healthTimeout: j.environment.HealthTimeout}
	a.board.expect(j.target, settings, g, j.turned, why)
	terms := drift.Terms{Environment: j.environment, Demands: g.Terms.Demands, Returning: true, Health: g.Terms.Health}
	if why != nil {
		terms.GoodAt = g.At
	}
	applied, err := cluster.Apply(ctx, verified, terms)
	if err != nil {
		a.board.abandon(j.target)
		return err
	}
	if why != nil && !failedAt.IsZero() {
		took := a.now().Sub(failedAt)
		a.metrics.rollbackSeconds.Observe(took.Seconds())
		a.board.tookBack(j.target, took)
	}
	a.board.back(j.target, j.revision.Commit, verified, applied)
	return nil
}

// heldBack says that a commit asks for a release that failed and is held.
type heldBack struct {
	returned
	// refused is why no good release may return; nil if there is none.
	refused error
}

func (e *heldBack) Error() string {
	text := fmt.Sprintf("the release failed at %s and is held: %s", e.hold.Commit.Short(), e.hold.Why)
	if e.refused != nil {
		text += "; what runs is left as it is, because no good release may return: " + e.refused.Error()
	}
	return text
}

// distance orders good releases by whether a target was returned to them.
func distance(g drift.Good, hold drift.Hold) int {
	if g.Release.Commit == hold.To {
		return 0
	}
	return 1
}

// stayBack keeps a target at its good release though its commit asks for the
// one that is held. After a restart the good one is applied again, so that
// drift is put back. It is false where the hold has ended, because the held
// release is what runs and nothing can take its place.
func (a *Agent) stayBack(ctx context.Context, cluster Cluster, j job, hold drift.Hold) (back bool, err error) {
	held := &heldBack{returned: returned{hold: hold}}
	if a.board.isBack(j.target, j.revision.Commit, hold.Release) {
		return true, nil
	}
	goods, refused, err := a.goods(ctx, cluster, j.target)
	if err != nil {
		return false, err
	}
	slices.SortStableFunc(goods, func(a, b drift.Good) int { // the one that it was returned to comes first
		return cmp.Compare(distance(a, hold), distance(b, hold))
	})
	for _, g := range goods {
		if g.Release.Digest == hold.Release {
			continue
		}
		verified, err := a.mayReturn(ctx, j, g)
		if err == nil && held.hold.To != g.Release.Commit {
			held.hold.To = g.Release.Commit
			if err := cluster.Hold(ctx, j.target, &held.hold); err != nil {
				return false, err
			}
		}
		if err == nil {
			err = a.putBack(ctx, cluster, j, g, verified, &held.returned, time.Time{})
		}
		if err == nil || mayPass(ctx, err) {
			return err == nil, err
		}
		refused = errors.Join(refused, fmt.Errorf("not to %s: %w", g.Release.Commit.Short(), err))
	}
	accepted, err := cluster.Accepted(ctx, j.target)
	if err != nil {
		return false, err
	}
	if runs, ok := demands.AcceptedFor(accepted, j.target); ok && runs.Release == hold.Release {
		// The return was cut off, and cannot be carried out any more.
		if !hold.Gate {
			return false, cluster.Hold(ctx, j.target, nil)
		}
		hold.To = ""
		return false, cluster.Hold(ctx, j.target, &hold)
	}
	held.hold.To, held.refused = hold.To, refused
	return false, held
}

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
			err = a.putBack(ctx, cluster, j, g, verified, nil, time.Time{})
		}
		if err != nil {
			a.log.Warn().Err(err).Str("target", j.target.String()).Msg("what runs is not kept against drift until a commit is accepted")
		}
		return
	}
}
