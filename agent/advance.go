package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/promote"
)

// advance brings the agent to a new head. What cannot be read leaves every
// target where it is. It reports whether the commit was read, well or not; if
// not, it is read again.
func (a *Agent) advance(ctx context.Context, rev gitsync.Revision) (read bool) {
	log := a.log.With().Str("commit", string(rev.Commit)).Str("author", rev.Author).Logger()
	p, err := a.read(rev)
	if err != nil {
		log.Warn().Err(err).Msg("what the commit asks for cannot be used; everything stays as it is")
		for name := range a.edges.Clusters {
			a.board.begin(name, rev.Commit, nil, problem(err))
		}
		a.keepAccepted(ctx)
		return classify(err).fate != retry
	}
	log.Info().Str("subject", rev.Subject).Int("targets", len(p.Targets)).Msg("new revision")

	a.gatherer.Saw(rev)
	a.inherit(ctx)
	for name := range a.edges.Clusters {
		if environment, ok := p.Pipeline.Environment(name); ok {
			a.advanceEnvironment(ctx, p, environment)
		} else {
			a.leaveEnvironment(name, rev.Commit)
		}
	}
	a.keepAccepted(ctx)
	if before := a.current.Swap(p); before != nil {
		for _, t := range before.Targets {
			if !slices.Contains(p.Targets, t) {
				a.renderer.Forget(t)
				a.previews.Forget(t)
			}
		}
	}
	wake(a.promotions)
	wake(a.tags)
	return true
}

// cannotBeRead reports a commit that is too large to be read where people look
// for it, on the commit, once. Everything stays as it is.
func (a *Agent) cannotBeRead(err error) (reported bool) {
	var large *gitsync.TooLarge
	if !errors.As(err, &large) || large.Commit == "" || large.Commit == a.tooLarge {
		return false
	}
	a.tooLarge = large.Commit
	for name := range a.edges.Clusters {
		a.board.begin(name, large.Commit, nil, problem(err))
	}
	return true
}

// read reads what a revision asks for and what it demands.
func (a *Agent) read(rev gitsync.Revision) (*demands.Demanded, error) {
	r, err := demands.ReadRepository(rev)
	if err != nil {
		return nil, err
	}
	base, err := a.baseline()
	if err != nil {
		return nil, err
	}
	return base.Demand(r, a.edges.Policies)
}

// baseline is what the agent's own configuration demands now.
func (a *Agent) baseline() (*demands.Baseline, error) {
	base, err := a.options.Baseline()
	if err != nil {
		return nil, &demands.BaselineUnreadable{Err: err}
	}
	return base, nil
}

// entry is what is asked of whatever enters an environment.
func (a *Agent) entry(p *demands.Demanded, environment string) (policies.Demands, error) {
	base, err := a.baseline()
	if err != nil {
		return policies.Demands{}, err
	}
	return base.Demands(p, environment)
}

// leaveEnvironment keeps what runs in an environment that pawl.yaml no longer has.
func (a *Agent) leaveEnvironment(name string, commit gitsync.Commit) {
	for _, w := range a.workers {
		if w.target.Environment == name {
			a.onlyKeep(w, commit)
		}
	}
	a.board.begin(name, commit, nil, problem(&environmentMissing{name, commit}))
}

// advanceEnvironment hands the revision to the workers of one environment. A
// target that was there before and whose overlay is gone is not deleted, see leave.
func (a *Agent) advanceEnvironment(ctx context.Context, p *demands.Demanded, environment environments.Environment) {
	commit := p.Revision.Commit
	known := map[string]bool{} // whatever its overlay
	var targets []environments.Target
	for _, t := range p.Targets {
		if t.Environment == environment.Name {
			targets = append(targets, t)
			known[t.String()] = true
		}
	}
	var whole promote.Problem
	failed := map[environments.Target]error{}
	for _, u := range p.Unusable {
		switch {
		case u.Target.Environment != environment.Name:
		case u.Target.Overlay == "":
			whole = problem(u)
		default:
			failed[u.Target] = u
			known[u.Target.String()] = true
		}
	}
	gone := map[environments.Target]*environments.Unusable{}
	for name, w := range a.workers {
		if w.target.Environment == environment.Name && !known[name] && w.target.Overlay != "" && !a.hasLeft(name) {
			gone[w.target] = &environments.Unusable{Target: w.target, Reason: fmt.Sprintf("the overlay %s is gone from the repository; its objects are kept", w.target.Overlay)}
		}
	}
	for _, t := range a.inherited {
		if w := a.workers[t.String()]; t.Environment == environment.Name && !known[t.String()] && (w == nil || w.target == t) && !a.hasLeft(t.String()) {
			gone[t] = &environments.Unusable{Target: t, Reason: "its overlay is gone from the repository; its objects are kept"}
		}
	}

	all := slices.AppendSeq(slices.AppendSeq(slices.Clone(targets), maps.Keys(failed)), maps.Keys(gone))
	slices.SortFunc(all, func(a, b environments.Target) int { return strings.Compare(a.Overlay, b.Overlay) })
	a.board.begin(environment.Name, commit, all, whole)
	if accepted, err := a.edges.Clusters[environment.Name].Accepted(ctx); err == nil { // else each target says so
		a.gatherer.Came(environment.Name, targets, accepted)
	}
	for _, t := range targets {
		a.left.Delete(t.String())
		a.worker(ctx, t).assign(job{revision: p.Revision, environment: environment, target: t, repository: p, declared: p.ImageFields()})
	}
	for t, why := range gone {
		a.worker(ctx, t).assign(job{revision: p.Revision, environment: environment, target: t, repository: p, declared: p.ImageFields(), gone: why})
	}
	for t, err := range failed {
		if w, ok := a.workers[t.String()]; ok {
			a.onlyKeep(w, commit)
		}
		a.board.update(t, commit, func(s *promote.TargetState) { s.Stage, s.Problem = promote.StageFailed, problem(err) })
	}
}

// inherit finds, once, the targets that an earlier run of the agent left: an
// overlay that went while nobody looked is still gone.
func (a *Agent) inherit(ctx context.Context) {
	if a.hasInherited {
		return
	}
	asked := map[Cluster]bool{}
	var found []environments.Target
	for _, cluster := range a.edges.Clusters {
		if asked[cluster] {
			continue
		}
		asked[cluster] = true
		accepted, err := cluster.Accepted(ctx)
		if err != nil {
			a.log.Warn().Err(err).Msg("what an earlier run applied cannot be looked up yet; it is tried again with the next commit")
			return
		}
		for _, one := range accepted {
			if one.Release != "" { // else it never had anything
				found = append(found, one.Target)
			}
		}
	}
	a.inherited, a.hasInherited = found, true
}

// worker returns the target's worker, started when it is first needed. It is
// called by the loop alone. A target whose overlay moved keeps its worker, so
// that an older revision is never applied after a newer one.
func (a *Agent) worker(ctx context.Context, t environments.Target) *worker {
	w, ok := a.workers[t.String()]
	if !ok {
		w = newWorker(a.options.Retries, a.deployAndAnswer, a.turned, a.notTurned, (&guard{agent: a}).look)
		a.workers[t.String()] = w
		a.wakes.Store(t.String(), w)
		a.running.Go(func() error {
			w.run(ctx)
			return nil
		})
	} else if w.target != t {
		a.board.forget(w.target)
	}
	w.target, w.keeps = t, false
	return w
}
