package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/render"
)

// asked is all that is asked of a job's release: by the agent's configuration,
// by the levels, by the repository at this commit and, where that demanded
// something else, at the commit that was accepted last. So a commit is also
// judged by the demands that it does away with.
func (a *Agent) asked(ctx context.Context, j job, accepted drift.Accepted, base *Baseline) (asked, error) {
	name := j.environment.Name
	all, err := base.demandsOf(j.repository, name)
	if err != nil {
		return asked{}, err
	}
	if accepted.Commit == "" || accepted.Demands == j.repository.fingerprint(name) {
		return all, nil
	}
	before, err := a.repositoryAt(ctx, accepted.Commit, base)
	var gone *gitsync.CommitUnavailable
	if errors.As(err, &gone) && all.Commit.FollowRewrites {
		return all, nil // rewritten away, and that is followed
	}
	if err != nil {
		return asked{}, fmt.Errorf("%s: find out what the repository demanded at %s, which was accepted last: %w", j.target, accepted.Commit.Short(), err)
	}
	return before.before(j.repository).add(all, base, name)
}

// entry is what is asked of whatever enters an environment.
func (a *Agent) entry(p *Plan, environment string) (policies.Demands, error) {
	base, err := a.options.Baseline()
	if err != nil {
		return policies.Demands{}, &baselineUnreadable{err}
	}
	of, err := base.demandsOf(p.demanded, environment)
	return of.Demands, err
}

// repositoryAt is what the repository demanded at an earlier commit. What
// cannot be read is an error: the demands are unknown, not gone. Only a level
// that the agent's configuration no longer has is let go.
func (a *Agent) repositoryAt(ctx context.Context, commit gitsync.Commit, base *Baseline) (*repository, error) {
	rev, err := a.history.at(ctx, commit)
	if err != nil {
		return nil, err
	}
	p, err := ReadPlan(rev)
	if err != nil {
		return nil, err
	}
	r, err := readRepository(p, base, a.edges.Policies)
	if err != nil {
		return nil, err
	}
	for environment, level := range r.levels {
		if _, ok := base.Levels[level]; !ok {
			delete(r.levels, environment)
		}
	}
	return r, nil
}

// judge gathers what is demanded to be known of a release and judges it.
func (a *Agent) judge(ctx context.Context, j job, built render.Result, base *Baseline, accepted drift.Accepted) (policies.Verified, policies.Findings, error) {
	of, err := a.asked(ctx, j, accepted, base)
	if err != nil {
		return policies.Verified{}, policies.Findings{}, err
	}
	found, err := gather(ctx, a.edges, of, policies.Facts{Release: built.Release, Environment: j.environment, At: a.now()}, func() (*policies.Change, error) {
		return a.change(ctx, j, built, accepted, of, base)
	})
	if err != nil {
		return policies.Verified{}, policies.Findings{}, err
	}
	verified, err := policies.Judge(built.Release, of.Demands, found)
	return verified, found, err
}

// gather finds everything out that is asked about.
func gather(ctx context.Context, edges Edges, of asked, facts policies.Facts, change func() (*policies.Change, error)) (found policies.Findings, err error) {
	trust := of.Trust
	if of.reads("images", "*", "evidence", "attestations") {
		trust = trust.WithAttestations()
	}
	found.At = facts.At
	if found.Images, err = edges.Evidence.Collect(ctx, facts.Release.Images, trust); err != nil {
		return policies.Findings{}, err
	}
	if found.Change, err = change(); err != nil {
		return policies.Findings{}, err
	}
	facts.Level, facts.Images, facts.Change = of.level(), found.Images, found.Change
	found.Policies, err = ask(ctx, edges.Policies, of.policies, facts)
	return found, err
}

// ask puts the facts to policies.
func ask(ctx context.Context, edge Policies, list []Policy, facts policies.Facts) ([]policies.PolicyResult, error) {
	if len(list) == 0 {
		return nil, nil
	}
	compiled := make([]Policy, len(list))
	for i, p := range list {
		compiled[i] = p
		if r, ok := p.(renamed); ok {
			compiled[i] = r.Policy
		}
	}
	results, err := edge.Ask(ctx, facts, compiled)
	if err != nil {
		return nil, err
	}
	for i := range results {
		results[i].Policy = list[i].Name()
	}
	return results, nil
}

// Examine finds out about a release what an agent with this baseline would, but
// for how it came about: nobody is asked about commits and approvals, and the
// demands of an earlier commit are not known.
func (b *Baseline) Examine(ctx context.Context, p Plan, release render.Release, edges Edges, at time.Time) (policies.Demands, policies.Findings, error) {
	environment, ok := p.Pipeline.Environment(release.Target.Environment)
	if !ok {
		return policies.Demands{}, policies.Findings{}, &environmentMissing{release.Target.Environment, p.Revision.Commit}
	}
	repository, err := readRepository(p, b, edges.Policies)
	if err != nil {
		return policies.Demands{}, policies.Findings{}, err
	}
	of, err := b.demandsOf(repository, environment.Name)
	if err != nil {
		return policies.Demands{}, policies.Findings{}, err
	}
	found, err := gather(ctx, edges, of, policies.Facts{Release: release, Environment: environment, At: at}, func() (*policies.Change, error) { return nil, nil })
	return of.Demands, found, err
}
