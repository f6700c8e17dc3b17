package policies

// Demands are all that an environment asks of a release. Those of the agent's
// configuration, of the compliance level and of the repository add up (And).
// The zero Demands refuse every image, as the zero Trust does.
type Demands struct {
	Trust Trust
	// Policies are the names of the policies that must have been evaluated, and
	// deny nothing.
	Policies []string
	// Commit is asked of the commit that changes what runs.
	Commit CommitDemand
	// Approvals is how many people must have approved the pull request by which
	// the change came; 0 asks for none, and for no pull request.
	Approvals int
}

// CommitDemand is what is asked of the commit that changes what runs.
type CommitDemand struct {
	Signed SignedCommits
	// FollowRewrites lets a target go on after its branch was rewritten so that
	// what was accepted last is no ancestor any more.
	FollowRewrites bool
}

// SignedCommits says which commits must bear a signature that counts.
type SignedCommits string

const (
	SignedNone  SignedCommits = ""      // no commit
	SignedHead  SignedCommits = "head"  // the newest that touches the target, and nothing about those before it
	SignedEvery SignedCommits = "every" // each that touches the target since what was accepted last
)

// Findings are all that was found out about a release. What is not in them was
// not found, which never counts as good.
type Findings struct {
	// Images is the evidence by Image.Pinned.
	Images map[string]Evidence
	// Policies are the results of the policies, one for each.
	Policies []PolicyResult
	// Change is what is known of how the release came about; nil if it brings
	// nothing new: the same release was accepted before.
	Change *Change
}

// PolicyResult is what one policy said of a release.
type PolicyResult struct {
	// Policy is its name: "restricted-pods".
	Policy string
	// Denied and Warned are the messages of its rules.
	Denied, Warned []PolicyMessage
	// Problem says why there is no answer, which denies: a rule is undefined or
	// has the wrong type, it failed, it took too long.
	Problem string
}

// PolicyMessage is one thing that a policy has to say.
type PolicyMessage struct {
	Rule string // "deny", "deny_privileged"
	Text string // of a stranger: escape it
	// Object and Image are what it is about, if the policy says so:
	// "Deployment shop/web".
	Object, Image string
}

// Change is how a release that is new to its target came about.
type Change struct {
	// Accepted is the commit that was accepted last, empty if there is none.
	Accepted string
	// Rewritten says that it is no ancestor of the deployed commit.
	Rewritten bool
	// Commits are those of the branch, along first parents, since the accepted
	// one that touch what the target is made of, newest first. Each has to be
	// signed (or with SignedHead the newest), and each must have come by a pull
	// request with enough approvals. There are none where the agent itself makes
	// something else of the same files.
	Commits []Commit
}

// Commit is one commit, who signed it and how it came to the branch.
type Commit struct {
	ID, Author, Subject string // the latter two are texts of strangers
	// SignedBy names the trusted signer; empty if no signature counts.
	SignedBy string
	// Problem says why no signature counts: "is not signed".
	Problem string
	// PullRequest is the one by which it came, nil if it was pushed.
	PullRequest *PullRequest
}

// PullRequest is how people brought a commit about.
type PullRequest struct {
	Number int
	Author string
	// Approvals are of the very head that was merged.
	Approvals []string
	// Rejected says why other approvals do not count: "bob approved 77be1c2,
	// which is not the head". Texts of strangers.
	Rejected []string
}
