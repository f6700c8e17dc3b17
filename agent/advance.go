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

// advance brings the agent to a new head. What cannot be read leaves every
// target where it is.
func (a *Agent) advance(ctx context.Context, rev gitsync.Revision) {
	log := a.log.With().Str("commit", string(rev.Commit)).Str("author", rev.Author).Logger()
	p, err := ReadPlan(rev)
	if err != nil {
		log.Warn().Err(err).Msg("the commit's pawl.yaml cannot be used; everything stays as it is")
		for name := range a.edges.Clusters {
			a.board.begin(name, rev.Commit, nil, problem(err))
		}
		return
	}
	log.Info().Str("subject", rev.Subject).Int("targets", len(p.Targets)).Msg("new revision")

	for name := range a.edges.Clusters {
		environment, ok := p.Pipeline.Environment(name)
		if !ok {
			a.board.begin(name, rev.Commit, nil, problem(&environments.Unusable{
				Target: environments.Target{Environment: name},
				Reason: fmt.Sprintf("%s of commit %s has no such environment, which this agent owns; what runs there is kept", PipelineFile, rev.Commit.Short()),
			}))
			continue
		}
		a.advanceEnvironment(ctx, p, environment)
	}
	a.current.Store(&p)
	wake(a.promotions)
	wake(a.tags)
}

// advanceEnvironment hands the revision to the workers of one environment. A
// target that was there before and whose overlay is gone is reported, not deleted.
func (a *Agent) advanceEnvironment(ctx context.Context, p Plan, environment environments.Environment) {
	commit := p.Revision.Commit
	var targets []environments.Target
	for _, t := range p.Targets {
		if t.Environment == environment.Name {
			targets = append(targets, t)
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
		}
	}
	for t := range a.workers {
		if t.Environment == environment.Name && !slices.Contains(targets, t) && failed[t] == nil {
			failed[t] = &environments.Unusable{Target: t, Reason: fmt.Sprintf("the overlay %s is gone from the repository; its objects are kept", t.Overlay)}
		}
	}

	all := slices.Concat(targets, slices.Collect(maps.Keys(failed)))
	slices.SortFunc(all, func(a, b environments.Target) int { return strings.Compare(a.Overlay, b.Overlay) })
	a.board.begin(environment.Name, commit, all, whole)
	for _, t := range targets {
		a.worker(ctx, t).assign(job{revision: p.Revision, environment: environment, target: t})
	}
	for t, err := range failed {
		if w, ok := a.workers[t]; ok {
			w.drop()
		}
		a.board.update(t, commit, func(s *promote.TargetState) { s.Stage, s.Problem = promote.StageFailed, problem(err) })
	}
}

// worker returns the target's worker, started when it is first needed. It is
// called by the loop alone.
func (a *Agent) worker(ctx context.Context, t environments.Target) *worker {
	w, ok := a.workers[t]
	if !ok {
		w = newWorker(a.deploy)
		a.workers[t] = w
		a.running.Go(func() error {
			w.run(ctx)
			return nil
		})
	}
	return w
}
