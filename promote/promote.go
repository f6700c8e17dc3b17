// Package promote decides how digests move: from a tag to the first
// environment, and from each environment to the next by pull request. GitHub
// is in github, the registry in registry.
package promote

import (
	"time"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/policies"
)

// Move is one image that goes to another digest in one target.
type Move struct {
	Target     environments.Target
	Repository string // in normal form: "ghcr.io/acme/web"
	// Name is the repository as the objects write it, which is what kustomize
	// compares: "nginx" for "index.docker.io/library/nginx".
	Name string
	From string // the digest now, empty where the overlay still uses a tag
	To   string
	// FromTag and Tag are the tags that go with From and To, where known. Tags
	// are text of strangers, and move: they are shown, and decide nothing.
	FromTag, Tag string
	// Passed tells where To is healthy now; empty for the first environment,
	// whose digests come from a tag.
	Passed []Passed
	// Evidence is what was found for To.
	Evidence policies.Evidence
}

// Passed says that a digest is healthy in an environment.
type Passed struct {
	Environment string
	Commit      gitsync.Commit
	Since       time.Time
}

// Proposal is the content of a promotion pull request. The same facts give the
// same proposal.
type Proposal struct {
	Environment string // where the digests go
	Source      string // the environment that they passed
	Base        gitsync.Commit
	BaseBranch  string
	// Branch belongs to the agent alone: "pawl/promote/staging/web".
	Branch string
	Title  string
	Body   string
	// Files are the whole new contents by path.
	Files map[string][]byte
	Moves []Move
	// Approvals is how many people must approve it. With Auto the agent merges it
	// then; without, the forge is not asked for them.
	Approvals int
	Auto      bool
}

// PullRequest is a promotion pull request as GitHub has it.
type PullRequest struct {
	Number int
	URL    string
	Head   gitsync.Commit
	State  PullRequestState
	// Blocked says why it is not to be merged now: GitHub would not, or approvals
	// are missing. Empty when it may.
	Blocked string
}

type PullRequestState string

const (
	Open   PullRequestState = "open"
	Merged PullRequestState = "merged"
	Closed PullRequestState = "closed" // by a person: not opened again for these digests
	// Reverted was merged, and a person took the digests back since: not opened
	// again for them, unless others went in meanwhile.
	Reverted PullRequestState = "reverted"
)
