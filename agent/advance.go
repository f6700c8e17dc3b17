package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/promote"
	"github.com/pawl-dev/pawl/render"
)

// PipelineFile is where a config repo keeps its pipeline.
const PipelineFile = "pawl.yaml"

// Plan is what a revision asks for: its pipeline, and the targets it has.
type Plan struct {
	Revision gitsync.Revision
	Pipeline environments.Pipeline
	Targets  []environments.Target
	// Unusable are overlays, and whole environments, that cannot be worked on.
	Unusable []*environments.Unusable

	// demanded is what it demands beside the baseline; nil where nobody judges.
	demanded *repository
}

// ReadPlan reads pawl.yaml and finds the targets of a revision.
func ReadPlan(rev gitsync.Revision) (Plan, error) {
	data, err := rev.Tree.Read(PipelineFile)
	if errors.Is(err, fs.ErrNotExist) {
		return Plan{}, &pipelineMissing{rev.Commit}
	}
	if err != nil {
		return Plan{}, err
	}
	pipeline, err := environments.Load(PipelineFile, data)
	if err != nil {
		return Plan{}, err
	}
	found, unusable := pipeline.Targets(rev.Tree.FS())
	return Plan{Revision: rev, Pipeline: pipeline, Targets: found, Unusable: unusable}, nil
}

// ImageFields are the fields of custom resources with images that pawl.yaml names.
func (p Plan) ImageFields() []render.KindFields {
	var fields []render.KindFields
	for _, f := range p.Pipeline.Spec.Images {
		fields = append(fields, render.KindFields{Group: f.Group, Kind: f.Kind, Fields: f.Fields})
	}
	return fields
}

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
		return classify(err).fate != retry
	}
	log.Info().Str("subject", rev.Subject).Int("targets", len(p.Targets)).Msg("new revision")

	a.history.saw(rev)
	a.inherit(ctx)
	for name := range a.edges.Clusters {
		if environment, ok := p.Pipeline.Environment(name); ok {
			a.advanceEnvironment(ctx, p, environment)
		} else {
			a.leaveEnvironment(name, rev.Commit)
		}
	}
	if before := a.current.Swap(&p); before != nil {
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

// read reads what a revision asks for and what it demands.
func (a *Agent) read(rev gitsync.Revision) (Plan, error) {
	p, err := ReadPlan(rev)
	if err != nil {
		return Plan{}, err
	}
	base, err := a.options.Baseline()
	if err != nil {
		return Plan{}, &baselineUnreadable{err}
	}
	p.demanded, err = readRepository(p, base, a.edges.Policies)
	return p, err
}

// leaveEnvironment keeps what runs in an environment that pawl.yaml no longer has.
func (a *Agent) leaveEnvironment(name string, commit gitsync.Commit) {
	for _, w := range a.workers {
		if w.target.Environment == name {
			w.drop()
		}
	}
	a.board.begin(name, commit, nil, problem(&environmentMissing{name, commit}))
}

// advanceEnvironment hands the revision to the workers of one environment. A
// target that was there before and whose overlay is gone is reported, not deleted.
func (a *Agent) advanceEnvironment(ctx context.Context, p Plan, environment environments.Environment) {
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
	for name, w := range a.workers {
		if w.target.Environment == environment.Name && !known[name] {
			failed[w.target] = &environments.Unusable{Target: w.target, Reason: fmt.Sprintf("the overlay %s is gone from the repository; its objects are kept", w.target.Overlay)}
		}
	}

	for _, t := range a.inherited {
		if t.Environment == environment.Name && !known[t.String()] && a.workers[t.String()] == nil {
			failed[t] = &environments.Unusable{Target: t, Reason: "its overlay is gone from the repository; its objects run on, but are not kept against drift since the agent was started anew"}
		}
	}

	all := slices.AppendSeq(slices.Clone(targets), maps.Keys(failed))
	slices.SortFunc(all, func(a, b environments.Target) int { return strings.Compare(a.Overlay, b.Overlay) })
	a.board.begin(environment.Name, commit, all, whole)
	if accepted, err := a.edges.Clusters[environment.Name].Accepted(ctx); err == nil { // else each target says so
		a.newcomers.came(targets, accepted)
	}
	for _, t := range targets {
		a.worker(ctx, t).assign(job{revision: p.Revision, environment: environment, target: t, repository: p.demanded, declared: p.ImageFields()})
	}
	for t, err := range failed {
		if w, ok := a.workers[t.String()]; ok {
			w.drop()
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
		w = newWorker(a.deploy, a.turned, a.notTurned, (&guard{agent: a}).look)
		a.workers[t.String()] = w
		a.running.Go(func() error {
			w.run(ctx)
			return nil
		})
	} else if w.target != t {
		a.board.forget(w.target)
	}
	w.target = t
	return w
}
