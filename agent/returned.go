package agent

import (
	"fmt"
	"strings"
	"time"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/promote"
)

// returned is why a target has another release than its commit asks for.
type returned struct {
	hold drift.Hold
	took time.Duration // from the failure to the applied good release; 0 if unknown
	// tried are the good releases that the agent returned to by itself, one after
	// the other, the present one last; empty where a person chose it, or after a
	// restart. last says that there is no other to look for.
	tried []string
	last  bool
	// passed says which good releases could not return, and why; nil if this one
	// was the first, or after a restart.
	passed error
}

// heldHint is the way out of a hold.
const heldHint = "Fix forward on the branch, or merge a revert; the hold ends as soon as the branch asks for another release, or by `pawl rollback TARGET --lift`."

// problem is how it is reported. health is that of the release it returned to, and
// applied what returning it did; both are nil as long as they are not known.
func (r *returned) problem(health *drift.Health, applied *drift.Applied) promote.Problem {
	did := fmt.Sprintf("Returned to the last good release (%s)", r.hold.To.Short())
	if len(r.tried) > 1 {
		did = fmt.Sprintf("Returned to an earlier good release (%s), as what returned before it was not healthy either", r.hold.To.Short())
	}
	if r.took > 0 {
		did += fmt.Sprintf(" %s after the failure", r.took.Round(10*time.Millisecond))
	}
	switch {
	case health == nil:
	case health.Status == drift.Current:
		did += ", which is healthy"
	case health.Status == drift.Failed:
		did += ", which is not healthy either: " + failures(*health)
	case health.Status == drift.StatusUnwatched:
		did += ", which is not seen: " + health.UnwatchedText()
	}
	p := promote.Problem{Reason: reasonRolledBack, Text: r.hold.Why, Did: did + ". The failed release is held.", Hint: heldHint}
	if r.passed != nil {
		p.Did += " It was not the first choice: " + r.passed.Error()
	}
	if applied == nil {
		return p
	}
	p.Did += besides(*applied)
	if len(applied.Unrestored) > 0 {
		p.Hint += " What was taken over is put back by the tool that had it, or by hand."
	}
	if held := applied.Held; held != nil {
		p.Did += " Not all that it brought is gone: " + held.Error()
		p.Hint += " What is left over is looked at again with the next release."
		if len(held.Objects) > 0 && len(held.Unread) == 0 {
			p.Hint += fmt.Sprintf(" If it is meant to go, say so in the commit that brings that one: %q. As long as the target is held, no such word does anything; what cannot wait is deleted by hand.", held.Word())
		}
	}
	return p
}

// besides says what returning a release did beside applying it, and what it could
// not do; empty if there is nothing of the kind.
func besides(applied drift.Applied) string {
	text := ""
	var again []string
	for _, s := range applied.Steps {
		if s.Action == drift.Recreate {
			again = append(again, fmt.Sprintf("%s (%s)", s.Object, s.Reason))
		}
	}
	if len(again) > 0 {
		text += " To return, it had to make anew " + listed(again) + "."
	}
	var unrestored []string
	for _, id := range applied.Unrestored {
		unrestored = append(unrestored, id.String())
	}
	if len(unrestored) > 0 {
		text += " Not as before they were taken over, as nobody kept that, and not in the release that returned: " + listed(unrestored) + ". What was applied to them last stays."
	}
	return text
}

// maxListed is of how many objects it is told what became of them.
const maxListed = 10

func listed(what []string) string {
	if more := len(what) - maxListed; more > 0 {
		what = append(what[:maxListed:maxListed], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(what, ", ")
}
