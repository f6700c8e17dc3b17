package agent

import (
	"context"
	"time"

	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/promote"
)

// Source is the config repo.
type Source interface {
	// Fetch returns the head of the watched branch.
	Fetch(ctx context.Context) (gitsync.Revision, error)
	demands.Past
}

// Tags is the registry, seen as a store of tags.
type Tags interface {
	Resolve(ctx context.Context, repository string, track environments.Track) (promote.Found, error)
}

// Cluster is where an environment's objects live. What watching finds reaches
// the agent as drift.Notice.
type Cluster interface {
	// Plan tells what Apply would do, by dry run and without writing.
	Plan(ctx context.Context, v policies.Verified, terms drift.Terms) (drift.Plan, error)
	demands.Accepted
	// Remember keeps a release that was healthy; Good returns those that are kept,
	// the newest first. One that cannot be read is an error beside the others.
	Remember(ctx context.Context, g drift.Good) error
	Good(ctx context.Context, t environments.Target) ([]drift.Good, error)
	// Discard makes a release, by its digest, none of the good ones any more.
	Discard(ctx context.Context, t environments.Target, release string) error
	// Leave lets go of what others declare now of a target whose overlay is gone,
	// and deletes the rest if the terms have the word for it. It returns what is left.
	Leave(ctx context.Context, t environments.Target, terms drift.Terms) (drift.Left, error)
	// Hold notes which release a target is held back from, or which stays in it
	// though it is good no more; nil for none. Held tells.
	Hold(ctx context.Context, t environments.Target, h *drift.Hold) error
	Held(ctx context.Context, t environments.Target) (*drift.Hold, error)
	// Answer ends what a person asked for, which came by a notice.
	Answer(ctx context.Context, t environments.Target, answer string) error
	// Apply makes the live objects those of the release and keeps them so, as the
	// terms say, until the next Apply for the target.
	Apply(ctx context.Context, v policies.Verified, terms drift.Terms) (drift.Applied, error)
}

// Gates look at releases that run: at their rate of errors, their latency, what
// probes say.
//
// A release whose gates turn is treated as one that fails its health, with one
// difference: it was good until then. So it is discarded from the good releases
// first, then the last of those returns, once; the failed one is held, and stays
// out of promotions. Where the environment does not roll back, or nothing may
// return, it stays and the check fails, also after a restart, until the branch
// moves on or a person lifts that. What the target was returned to is not
// watched: a gate that is wrong must not walk a target back through its history.
type Gates interface {
	// Watch looks at a release from when it is healthy until ctx ends: another one
	// was applied, or pawl.yaml says something else about the environment. It
	// returns in a person's words why a gate turned, or nothing where none did for
	// as long as it was to look. A gate that cannot be asked has not turned. It is
	// called anew after a restart of the agent.
	Watch(ctx context.Context, w Watched) (why string)
}

// Watched is a release that is healthy in a target.
type Watched struct {
	Environment environments.Environment
	Target      environments.Target
	Release     string         // its digest
	Commit      gitsync.Commit // at which it was applied
	Since       time.Time      // when it was healthy
}

// Forge is GitHub.
type Forge interface {
	// Report shows the state of an environment at a commit, in place.
	Report(ctx context.Context, r promote.Report) error
	// Propose makes the pull request be as proposed and returns it as it is now.
	Propose(ctx context.Context, p promote.Proposal) (promote.PullRequest, error)
	// Withdraw closes the agent's own open pull request from a branch, if there is one.
	Withdraw(ctx context.Context, branch, baseBranch, why string) error
	// Merge merges exactly the given head.
	Merge(ctx context.Context, pr promote.PullRequest) error
	demands.Commits
	// Commit writes files on top of parent to the branch, if that still is its head.
	Commit(ctx context.Context, branch string, parent gitsync.Commit, message string, files map[string][]byte) (gitsync.Commit, error)
}
