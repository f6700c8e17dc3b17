package policies

import "time"

// Findings are all that was found out about a release. What is not in them was
// not found, which never counts as good.
type Findings struct {
	// At is when this was found out, by which ages are told. Without it, nothing
	// is young enough.
	At time.Time
	// Images is the evidence by Image.Pinned.
	Images map[string]Evidence
	// Policies are the results of the policies, one for each.
	Policies []PolicyResult
	// Change is what is known of how the release came about. nil says that it
	// brings nothing new, because the same release was accepted before: what is
	// demanded of commits and approvals is then not asked again.
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
	// Approvals are who approved the very head that was merged.
	Approvals []string
	// Rejected says why other approvals do not count: "bob approved 77be1c2,
	// which is not the head". Texts of strangers.
	Rejected []string
}
