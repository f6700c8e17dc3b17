package demands

import (
	"context"
	"io/fs"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/promote"
	"github.com/pawl-dev/pawl/render"
)

// Edges are the ways to what is demanded and to what meets it.
type Edges struct {
	Past     Past
	Evidence Evidence
	Policies Policies
	Commits  Commits
}

// Past is the config repo before now.
type Past interface {
	// At returns an earlier commit with its tree.
	At(ctx context.Context, commit gitsync.Commit) (gitsync.Revision, error)
	// History returns how the branch came from one commit to another.
	History(ctx context.Context, head, base gitsync.Commit) (gitsync.Line, error)
}

// Policies compiles policies in Rego and asks them.
type Policies interface {
	// Compile reads the policy in a folder; parameters are what it finds under
	// data.parameters.
	Compile(name string, tree fs.FS, folder string, parameters map[string]any) (Policy, error)
	// Shipped is a policy that comes with the agent.
	Shipped(name, shipped string, parameters map[string]any) (Policy, error)
	// Ask returns what each policy says, in their order. A policy that cannot
	// answer says so in its result.
	Ask(ctx context.Context, facts policies.Facts, list []Policy) ([]policies.PolicyResult, error)
}

// Policy is a policy that can be asked.
type Policy interface {
	Name() string
	// ID identifies its content.
	ID() string
	// Reads reports whether it may look at a part of the input, "*" standing for
	// each of a list: "images", "*", "evidence".
	Reads(path ...string) bool
}

// Evidence is the registry, seen as a store of signatures.
type Evidence interface {
	// Collect returns what is found for each pinned image, by render.Image.Pinned.
	Collect(ctx context.Context, images []render.Image, trust policies.Trust) (map[string]policies.Evidence, error)
}

// Commits is what GitHub knows of commits.
type Commits interface {
	// PullRequest is the merged one that brought a commit to the branch, nil if
	// there is none.
	PullRequest(ctx context.Context, branch string, head, commit gitsync.Commit) (*policies.PullRequest, error)
	// Verification is what the forge itself says about a commit's signature.
	Verification(ctx context.Context, commit gitsync.Commit) (promote.Verification, error)
}

// Accepted is what a cluster remembers of what its targets were brought to.
type Accepted interface {
	// Accepted is what each target was last brought to, now or before a restart;
	// if targets are given, what those were.
	Accepted(ctx context.Context, of ...environments.Target) ([]drift.Accepted, error)
	// Note remembers what a target is compared with that nothing was applied for.
	Note(ctx context.Context, a drift.Accepted) error
}
