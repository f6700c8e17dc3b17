package promote

import (
	"fmt"
	"time"

	"github.com/pawl-dev/pawl/gitsync"
)

// RateLimited says that GitHub wants silence. Nothing is sent before Until, so
// an earlier try costs nothing and fails the same way.
type RateLimited struct {
	Doing     string // "update the check pawl / dev at 8d2e1a7"
	Until     time.Time
	Secondary bool // the limit on bursts, not the hourly one
}

func (e *RateLimited) Error() string {
	kind := "hourly rate limit"
	if e.Secondary {
		kind = "secondary rate limit"
	}
	return fmt.Sprintf("%s: GitHub's %s is reached; nothing is sent before %s", e.Doing, kind, e.Until.UTC().Format(time.RFC3339))
}

// Unavailable is a failure that may pass by itself: GitHub did not answer, or
// answered 5xx. Whether the effect happened is not known; trying again finds
// out and does nothing twice.
type Unavailable struct {
	Doing string
	Err   error
}

func (e *Unavailable) Error() string {
	return fmt.Sprintf("%s: GitHub is not available: %v; it is tried again", e.Doing, e.Err)
}

func (e *Unavailable) Unwrap() error { return e.Err }

// Denied says that the credentials do not allow it. A person must act.
type Denied struct {
	Doing      string
	Status     int
	Permission string // "checks: write"; empty where the credentials themselves are bad
	Message    string // GitHub's
}

func (e *Denied) Error() string {
	next := fmt.Sprintf("give the GitHub App or token the permission %q on this repository", e.Permission)
	if e.Permission == "" {
		next = "the credentials are expired, revoked or wrong; give the agent new ones"
	}
	return fmt.Sprintf("%s: GitHub answered %d (%s); %s", e.Doing, e.Status, e.Message, next)
}

// Rejected says that GitHub understood and does not want it: trying the same
// again does not help.
type Rejected struct {
	Doing   string
	Status  int
	Message string // GitHub's
}

func (e *Rejected) Error() string {
	return fmt.Sprintf("%s: GitHub answered %d (%s)", e.Doing, e.Status, e.Message)
}

// UnknownCommit says that GitHub does not have the commit (any more), as after
// a forced push. What was to be said about it can be dropped.
type UnknownCommit struct {
	Commit gitsync.Commit
}

func (e *UnknownCommit) Error() string {
	return fmt.Sprintf("GitHub does not know commit %s; it was replaced by a forced push, or another repository is configured", e.Commit.Short())
}

// Conflict says that the branch is not where the commit was to be put: fetch
// and decide again.
type Conflict struct {
	Branch string
	Parent gitsync.Commit
}

func (e *Conflict) Error() string {
	return fmt.Sprintf("commit to %s: the branch is no longer at %s; what moved it is looked at first", e.Branch, e.Parent.Short())
}

// HeadMoved says that a pull request's head is not the one that was checked.
type HeadMoved struct {
	Number     int
	Want, Have gitsync.Commit
}

func (e *HeadMoved) Error() string {
	return fmt.Sprintf("merge #%d: its head is %s and not %s, which was checked; it is checked again before anything is merged", e.Number, e.Have.Short(), e.Want.Short())
}

// Blocked says why a pull request is not merged now.
type Blocked struct {
	Number int
	Reason string
}

func (e *Blocked) Error() string { return fmt.Sprintf("merge #%d: %s", e.Number, e.Reason) }
