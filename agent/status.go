package agent

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/promote"
	"github.com/pawl-dev/pawl/render"
)

// fate is what the agent does after a failure.
type fate int

const (
	// retry: the cause may pass by itself within seconds or minutes.
	retry fate = iota
	// stalled: a person must act. It is still looked at again from time to time,
	// because what they do may be invisible in git: sign an image, say.
	stalled
)

// reason is a row of the one table that turns an error into what is reported.
// docs/reasons.md has a section for each; a test keeps it complete.
type reason struct {
	name string
	fate fate
	hint string
	is   func(error) bool
}

var reasons = []reason{
	{"PipelineInvalid", stalled, "Mend pawl.yaml; `pawl check` shows the same problems before a push.", as[*environments.Problems]},
	{"PipelineInvalid", stalled, "Add pawl.yaml to the root of the repository; environments/example has one to copy.", as[*demands.PipelineMissing]},
	{"EnvironmentMissing", stalled, "Put it back into pawl.yaml, or take it out of the agent's configuration. Nothing was deleted.", as[*environmentMissing]},
	{"OverlayMissing", stalled, "Restore the overlay; nothing was deleted. To take an application out for good, see \"Retiring an application\" in docs/runbook.md.", as[*environments.Unusable]},
	{"BranchGone", retry, "", as[*gitsync.BranchGone]},
	{"RepositoryGone", retry, "", as[*gitsync.RepositoryGone]},
	{"AccessDenied", retry, "", as[*gitsync.AccessDenied]},
	{"TooLarge", stalled, "", as[*gitsync.TooLarge]},
	{"RenderEmpty", stalled, "An overlay that renders nothing never empties an environment. Restore its resources.", as[*render.Empty]},
	{"ImageUnpinned", stalled, "Write the digests with `pawl pin`, or let the first environment track the tag.", as[*render.UnpinnedError]},
	{reasonRolledBack, stalled, heldHint, as[*heldBack]},
	{"RenderUnfinished", stalled, "The build was stopped and is tried again, ever more seldom. What it is made of is too much, or a limit too low.", as[*render.Unfinished]},
	{"RenderFailed", stalled, "Try it with `pawl render`; the last good release keeps running.", as[*render.Error]},
	{"HistoryRewritten", stalled, "Bring the branch back to a descendant of that commit, or let this environment follow rewritten history (environments[].rewrites in the agent's configuration).", denied(policies.DeniedByHistory)},
	{"ImageRefused", stalled, "", refusedImage},
	{"PolicyDenied", stalled, "", denied(policies.DeniedByPolicy)},
	{"CommitUnsigned", stalled, "", denied(policies.DeniedByCommit)},
	{"ApprovalMissing", stalled, "", denied(policies.DeniedByApprovals)},
	{"ReleaseRefused", stalled, "", as[*policies.Refusal]},
	{"DemandsInvalid", stalled, "What a commit demands must be usable, or nothing can be judged by it. `pawl check` shows the same before a push.", as[*demands.RepositoryProblem]},
	{"PipelineInvalid", stalled, "", as[*gitsync.NoContent]},
	{"LevelUnknown", stalled, "Name a level of the agent's configuration, or have the platform team add this one.", as[*demands.LevelUnknown]},
	{"TrustUnreadable", retry, "Nothing new is applied until it can be read again; the agent goes on trying.", as[*demands.BaselineUnreadable]},
	{"HistoryUnknown", stalled, "", as[*gitsync.CommitUnavailable]},
	{"HistoryUnknown", stalled, "", as[*gitsync.HistoryTooLong]},
	{"EvidenceUnavailable", retry, "The registry could not be asked. Nothing new is applied until it can; the agent goes on trying.", as[*policies.Unavailable]},
	{reasonPrerequisite, retry, "If nothing brings it, put it into the release, or take out what needs it. Where something is stuck on its way out, its finalizers say who has to let go.", waitsForPrerequisite},
	{"ApplyRejected", stalled, "It was found without asking the API server, and nothing was written. `pawl check` shows the same.", unaskedRefusal},
	{"ApplyRejected", stalled, "Mend what the text names; the next commit goes on from what was written.", refusedLate},
	{"ApplyRejected", stalled, "The API server refused it in a dry run and nothing was written. `pawl diff` shows the same.", as[*drift.Rejected]},
	{"OutOfReach", stalled, "Take it out of the overlay, or have the platform team widen what the environment may have (environments[].namespaces and kinds of the agent's configuration).", as[*drift.OutOfReach]},
	{"Conflict", retry, "It moves from one target to another, and is taken over as soon as the first is applied.", letsGo},
	{"Conflict", stalled, "Two owners claim one object. Take it out of one of them, or take it over from a tool that is no longer at work (adopt, in pawl.yaml).", as[*drift.Conflict]},
	{"LiveUnknown", stalled, "Give the account that the text names the right that it names; deploy/README.md says which components have rights for which kinds. What cannot be read is never taken for absent.", as[*drift.NoRight]},
	{"LiveUnknown", retry, "What cannot be read is never taken for absent. The agent goes on trying.", as[*drift.UnknownLive]},
	{"LiveUnknown", retry, "", leftUnread},
	{"PruneHeld", retry, "", waitsForOthers},
	{"PruneHeld", stalled, "", as[*drift.PruneHeld]},
	{"Failed", retry, "The agent goes on trying.", func(error) bool { return true }},
}

// notTried are reasons that are told of a commit or the branch: no target is
// tried before they are gone, so no wait between tries can be theirs.
var notTried = []string{"EnvironmentMissing", "OverlayMissing", "BranchGone"}

func as[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

// refusedImage reports whether a release was refused for an image.
func refusedImage(err error) bool {
	var r *policies.Refusal
	return errors.As(err, &r) && len(r.Images) > 0
}

// unaskedRefusal reports whether objects can never be applied, whatever the API
// server says.
func unaskedRefusal(err error) bool {
	var r *drift.Rejected
	return errors.As(err, &r) && r.Offline
}

// reasonPrerequisite is told of what cannot be made before something else is there.
const reasonPrerequisite = "PrerequisiteMissing"

func waitsForPrerequisite(err error) bool {
	var r *drift.Rejected
	return errors.As(err, &r) && r.Passes()
}

// refusedLate reports whether other objects were written before the refusal.
func refusedLate(err error) bool {
	var r *drift.Rejected
	return errors.As(err, &r) && r.Written
}

// denied finds refusals with a reason of one kind among others.
func denied(kind policies.DenialKind) func(error) bool {
	return func(err error) bool {
		var r *policies.Refusal
		return errors.As(err, &r) && slices.ContainsFunc(r.Denials, func(d policies.Denial) bool { return d.Kind == kind })
	}
}

// letsGo reports whether a conflict ends by itself.
func letsGo(err error) bool {
	var c *drift.Conflict
	return errors.As(err, &c) && c.Passes()
}

// waitsForOthers reports whether pruning waits for other targets alone.
func waitsForOthers(err error) bool {
	var h *drift.PruneHeld
	return errors.As(err, &h) && h.Passes()
}

// leftUnread reports whether pruning waits for what could not be read.
func leftUnread(err error) bool {
	var h *drift.PruneHeld
	return errors.As(err, &h) && len(h.Unread) > 0
}

// classify finds the reason of an error.
func classify(err error) reason {
	for _, r := range reasons {
		if r.is(err) {
			return r
		}
	}
	panic("the last reason matches every error")
}

// problem is the error as it is reported.
func problem(err error) promote.Problem {
	r := classify(err)
	p := promote.Problem{Reason: r.name, Text: err.Error(), Hint: r.hint, Err: err}
	if refusedLate(err) && r.fate == stalled {
		p.Did = "What had to be written before the refusal could be known stays; nothing was deleted, and what else ran before keeps running."
	}
	var h interface{ Hint() string }
	if errors.As(err, &h) && h.Hint() != "" {
		p.Hint = h.Hint()
	}
	return p
}

// environmentMissing says that pawl.yaml does not have an environment that the
// agent owns.
type environmentMissing struct {
	name   string
	commit gitsync.Commit
}

func (e *environmentMissing) Error() string {
	return fmt.Sprintf("%s: %s of commit %s has no such environment, which this agent owns; what runs there is kept", e.name, demands.PipelineFile, e.commit.Short())
}
