package demands

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/policies"
)

// Baseline is what the agent's own configuration demands, whatever a commit
// says. It never changes: where a file that it was made of does, there is a new
// one.
type Baseline struct {
	// Trust holds in every environment, and alone says which images may run.
	Trust policies.Trust
	// Levels are the compliance levels, by name.
	Levels map[string]Level
	// Environments is what holds in each environment that the agent owns.
	Environments map[string]EnvironmentBaseline
	// Policies are those that levels name.
	Policies map[string]Policy
	// Roots are the trust roots; one that is not named is the first.
	Roots []policies.Root
	// Signers of commits, and whether commits count that GitHub calls verified.
	Signers gitsync.Signers
	GitHub  bool

	// anyRoot takes every trust root to be there, where only the rest is checked.
	anyRoot bool
}

// Level is a compliance level.
type Level struct {
	Trust     policies.Trust // made by policies.NewTightening
	Policies  []string
	Approvals int
	Commits   policies.SignedCommits
}

// EnvironmentBaseline is what holds in one environment.
type EnvironmentBaseline struct {
	Level          string // empty where it has none
	FollowRewrites bool
}

// LevelUnknown says that pawl.yaml names a level that the agent does not have.
// Its demands are unknown, so nothing can meet them.
type LevelUnknown struct {
	environment, level string
	known              []string
}

func (e *LevelUnknown) Error() string {
	return fmt.Sprintf("%s: %s names the compliance level %q, which the agent's configuration does not have%s", e.environment, PipelineFile, e.level, environments.DidYouMean(e.level, e.known))
}

// BaselineUnreadable says that what the agent's configuration demands cannot be
// read any more. Then nothing is judged.
type BaselineUnreadable struct{ Err error }

func (e *BaselineUnreadable) Error() string {
	return fmt.Sprintf("what the agent's configuration demands cannot be read: %v", e.Err)
}

func (e *BaselineUnreadable) Unwrap() error { return e.Err }

// root finds a trust root.
func (b *Baseline) root(name string) (policies.Root, error) {
	for _, r := range b.Roots {
		if name == "" || r.Name == name {
			return r, nil
		}
	}
	if b.anyRoot {
		return policies.Root{Name: name, JSON: []byte("{}"), TransparencyLog: true}, nil
	}
	if len(b.Roots) == 0 {
		return policies.Root{}, fmt.Errorf("the agent's configuration has no trust root, so no keyless signature counts")
	}
	var known []string
	for _, r := range b.Roots {
		known = append(known, r.Name)
	}
	return policies.Root{}, fmt.Errorf("the agent's configuration has no trust root %q%s", name, environments.DidYouMean(name, known))
}

// asked is all that is asked of one environment's releases.
type asked struct {
	policies.Demands
	// policies are those of Demands.Policies.
	policies []Policy
	// levels are the names of those whose demands are among these, each once.
	levels []string
}

// alone is what the agent's configuration asks.
func (b *Baseline) alone(environment string) (asked, error) {
	of := b.Environments[environment]
	out := asked{Demands: policies.NoDemands()}
	out.Trust, out.Commit.FollowRewrites = b.Trust, of.FollowRewrites
	return b.addLevel(out, environment, of.Level)
}

// Demands are those of the agent's configuration and of a commit, on what
// enters an environment or runs there.
func (b *Baseline) Demands(d *Demanded, environment string) (policies.Demands, error) {
	of, err := b.with(d, environment)
	return of.Demands, err
}

// with is what the agent's configuration asks and a commit.
func (b *Baseline) with(d *Demanded, environment string) (asked, error) {
	all, err := b.alone(environment)
	if err != nil {
		return asked{}, err
	}
	return d.add(all, b, environment)
}

// addLevel adds the demands of a level, if one is named.
func (b *Baseline) addLevel(a asked, environment, name string) (asked, error) {
	if name == "" {
		return a, nil
	}
	level, ok := b.Levels[name]
	if !ok {
		var known []string
		for l := range b.Levels {
			known = append(known, l)
		}
		slices.Sort(known)
		return asked{}, &LevelUnknown{environment, name, known}
	}
	more := policies.NoDemands()
	more.Policies, more.Approvals, more.Commit.Signed = level.Policies, level.Approvals, level.Commits
	more.Trust = level.Trust
	var list []Policy
	for _, name := range level.Policies {
		list = append(list, b.Policies[name])
	}
	if !slices.Contains(a.levels, name) {
		a.levels = append(slices.Clone(a.levels), name)
	}
	return a.add(more, list), nil
}

// level is what policies are told; empty where there is none.
func (a asked) level() string {
	return strings.Join(slices.Sorted(slices.Values(a.levels)), "+")
}

// add adds demands, and the policies that they name.
func (a asked) add(more policies.Demands, list []Policy) asked {
	a.Demands = a.And(more)
	a.policies = slices.Clone(a.policies)
	for _, p := range list {
		if !slices.ContainsFunc(a.policies, func(o Policy) bool { return o.Name() == p.Name() }) {
			a.policies = append(a.policies, p)
		}
	}
	return a
}

// reads reports whether a policy looks at a part of the input.
func (a asked) reads(path ...string) bool {
	return slices.ContainsFunc(a.policies, func(p Policy) bool { return p.Reads(path...) })
}
