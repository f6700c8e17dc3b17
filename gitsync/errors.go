package gitsync

import "fmt"

// BranchGone says that the remote has no such branch any more. What was read
// from it before is stale, but nothing has been taken back: it is no reason to
// prune.
type BranchGone struct {
	Repository string // its address, without credentials
	Branch     string
	// Empty is set where the repository has no branches at all.
	Empty bool
}

func (e *BranchGone) Error() string {
	if e.Empty {
		return fmt.Sprintf("read branch %s of %s: the repository is empty", e.Branch, e.Repository)
	}
	return fmt.Sprintf("read branch %s of %s: the branch does not exist", e.Branch, e.Repository)
}

// Hint is the next step.
func (e *BranchGone) Hint() string {
	return fmt.Sprintf("Restore the branch %s, or name another as repository.branch in the agent's configuration. What runs keeps running.", e.Branch)
}

// RepositoryGone says that the remote denies that there is such a repository.
// GitHub also answers so to credentials that may not see it.
type RepositoryGone struct {
	Repository string
}

func (e *RepositoryGone) Error() string {
	return fmt.Sprintf("read %s: there is no such repository, or the credentials may not see it", e.Repository)
}

// Hint is the next step.
func (e *RepositoryGone) Hint() string {
	return "Check repository.url in the agent's configuration, and that its token or GitHub App may read that repository. What runs keeps running."
}

// AccessDenied says that the remote refused the credentials.
type AccessDenied struct {
	Repository string
	Cause      error
}

func (e *AccessDenied) Error() string {
	return fmt.Sprintf("read %s: the credentials were refused: %v", e.Repository, e.Cause)
}

func (e *AccessDenied) Unwrap() error { return e.Cause }

// Hint is the next step.
func (e *AccessDenied) Hint() string {
	return "Renew the token, or give it read access to the contents of the repository. A new token on disk is picked up by itself."
}

// TooLarge says that the repository exceeds a limit of the agent.
type TooLarge struct {
	Repository string
	Limit      string // "128 MiB of content"
	// Commit is the one that does, empty where it is not about one commit.
	Commit Commit
}

func (e *TooLarge) Error() string {
	return fmt.Sprintf("read %s: more than %s", e.Repository, e.Limit)
}

// Hint is the next step.
func (e *TooLarge) Hint() string {
	return "Keep the config repo to configuration: move large files out of the branch."
}

// NoContent says that a file of a revision is there and its content is not to be
// had, today or later.
type NoContent struct{ Why string }

func (e *NoContent) Error() string { return e.Why }

// CommitUnavailable says that the remote does not hand out a commit that was
// asked for by its id: no branch or tag leads to it (any more).
type CommitUnavailable struct {
	Repository string
	Commit     Commit
}

func (e *CommitUnavailable) Error() string {
	return fmt.Sprintf("read commit %s of %s: the server has no such commit on any branch", e.Commit, e.Repository)
}

// Hint is the next step.
func (e *CommitUnavailable) Hint() string {
	return "If the branch was rewritten, push the commit again under any name. If a branch does lead to it, the git server hands out heads only: set uploadpack.allowReachableSHA1InWant there. What runs keeps running."
}

// HistoryTooLong says that there are too many commits between two commits for
// all of them to be looked at.
type HistoryTooLong struct {
	Repository string
	Head, Base Commit
	Most       int
	// Unrelated says that the remote does not know the base at all, so that it
	// is no ancestor of the head. If not, it may be one.
	Unrelated bool
}

func (e *HistoryTooLong) Error() string {
	return fmt.Sprintf("read the history of %s from %s back to %s: more than %d commits", e.Repository, e.Head.Short(), e.Base.Short(), e.Most)
}

// Hint is the next step.
func (e *HistoryTooLong) Hint() string {
	if e.Unrelated {
		return fmt.Sprintf("The branch was rewritten: the server does not know %s any more. Put it back, or allow environments to follow rewritten history.", e.Base.Short())
	}
	return "Bring the branch forward in smaller steps."
}
