package demands

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/render"
)

// Gatherer gathers what is demanded of releases and what is known to meet it. It
// remembers the branch, and the targets that nothing was ever accepted for. It is
// safe for concurrent use.
type Gatherer struct {
	edges  Edges
	branch string
	now    func() time.Time

	history   *history
	newcomers newcomers
}

// NewGatherer returns a Gatherer for a branch of the config repo.
func NewGatherer(edges Edges, branch string, now func() time.Time) *Gatherer {
	return &Gatherer{
		edges: edges, branch: branch, now: now,
		history: newHistory(edges.Past), newcomers: newcomers{before: map[string]map[string]drift.Accepted{}},
	}
}

// Case is a release to be judged: a target's, at a revision.
type Case struct {
	Revision    gitsync.Revision
	Environment environments.Environment
	Target      environments.Target
	// Demanded is what the revision demands.
	Demanded *Demanded
	Built    render.Result
	// Accepted is what the release is compared with, see Gatherer.LastAccepted.
	Accepted drift.Accepted
}

// Saw takes in a revision that was read.
func (g *Gatherer) Saw(rev gitsync.Revision) { g.history.saw(rev) }

// Gather gathers what is demanded of a release, and what is known of it.
func (g *Gatherer) Gather(ctx context.Context, c Case, base *Baseline) (policies.Demands, policies.Findings, error) {
	of, err := g.asked(ctx, c, base)
	if err != nil {
		return policies.Demands{}, policies.Findings{}, err
	}
	found, err := gather(ctx, g.edges, of, policies.Facts{Release: c.Built.Release, Environment: c.Environment, At: g.now()}, func() (*policies.Change, error) {
		return g.change(ctx, c, of, base)
	})
	return of.Demands, found, err
}

// asked is all that is asked of a release: by the agent's configuration,
// by the levels, by the repository at this commit and, where that demanded
// something else, at the commit that was accepted last. So a commit is also
// judged by the demands that it does away with.
func (g *Gatherer) asked(ctx context.Context, c Case, base *Baseline) (asked, error) {
	name := c.Environment.Name
	all, err := base.with(c.Demanded, name)
	if err != nil {
		return asked{}, err
	}
	if c.Accepted.Commit == "" || c.Accepted.Demands == c.Demanded.Fingerprint(name) {
		return all, nil
	}
	before, err := g.demandedAt(ctx, c.Accepted.Commit, base)
	var gone *gitsync.CommitUnavailable
	if errors.As(err, &gone) && all.Commit.FollowRewrites {
		return all, nil // rewritten away, and that is followed
	}
	if err != nil {
		return asked{}, fmt.Errorf("%s: find out what the repository demanded at %s, which was accepted last: %w", c.Target, c.Accepted.Commit.Short(), err)
	}
	return before.before(c.Demanded).add(all, base, name)
}

// demandedAt is what the repository demanded at an earlier commit. What
// cannot be read is an error: the demands are unknown, not gone. Only a level
// that the agent's configuration no longer has is let go.
func (g *Gatherer) demandedAt(ctx context.Context, commit gitsync.Commit, base *Baseline) (*Demanded, error) {
	rev, err := g.history.at(ctx, commit)
	if err != nil {
		return nil, err
	}
	r, err := ReadRepository(rev)
	if err != nil {
		return nil, err
	}
	d, err := base.Demand(r, g.edges.Policies)
	if err != nil {
		return nil, err
	}
	for environment, level := range d.levels {
		if _, ok := base.Levels[level]; !ok {
			delete(d.levels, environment)
		}
	}
	return d, nil
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

// Examine gathers what a release is judged by without how it came about: nobody
// is asked about commits and approvals, and what an earlier commit demanded does
// not count.
func (b *Baseline) Examine(ctx context.Context, d *Demanded, environment environments.Environment, release render.Release, edges Edges, at time.Time) (policies.Demands, policies.Findings, error) {
	of, err := b.with(d, environment.Name)
	if err != nil {
		return policies.Demands{}, policies.Findings{}, err
	}
	found, err := gather(ctx, edges, of, policies.Facts{Release: release, Environment: environment, At: at}, func() (*policies.Change, error) { return nil, nil })
	return of.Demands, found, err
}
