package promote

import (
	"errors"
	"fmt"
	"time"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
)

// Condition says of a stage whose turn it is.
type Condition string

const (
	// ConditionWorking is the agent at work.
	ConditionWorking Condition = "working"
	// ConditionWaiting is for what is on its way, or asked for: health, a digest, a
	// word about pruning.
	ConditionWaiting Condition = "waiting"
	// ConditionRetrying is a cause that may pass by itself.
	ConditionRetrying Condition = "retrying"
	// ConditionStalled needs a person, or a new commit.
	ConditionStalled Condition = "stalled"
	ConditionHealthy Condition = "healthy"
)

// Condition is whose turn it is.
func (t TargetState) Condition() Condition {
	switch t.Stage {
	case StageFailed:
		return ConditionStalled
	case StageRetrying:
		if t.lacks() {
			return ConditionWaiting
		}
		return ConditionRetrying
	case StagePruneHeld:
		var held *drift.PruneHeld
		if errors.As(t.Problem.Err, &held) && len(held.Unread) > 0 {
			return ConditionRetrying
		}
		return ConditionWaiting
	case StageWaiting, StageAwaiting:
		return ConditionWaiting
	case StageHealthy:
		if t.done() {
			return ConditionHealthy
		}
	}
	return ConditionWorking
}

// lacks reports whether the release waits for what its objects need to be made.
func (t TargetState) lacks() bool {
	var rejected *drift.Rejected
	return errors.As(t.Problem.Err, &rejected) && rejected.Passes()
}

// Retry is how a target that failed is tried again. It says nothing that changes
// with each try: every new word on a check costs a request.
type Retry struct {
	Since       time.Time     // when the commit failed first
	First, Most time.Duration // the waits between tries grow from one to the other
	// Exhausted is how many tries did not help, where a cause that might have passed
	// by itself counts as stalled for that; else 0.
	Exhausted int
}

// words continue what Pawl did about a failure.
func (r Retry) words(stage Stage) string {
	most := environments.Duration(r.Most)
	switch {
	case r.Since.IsZero():
		return ""
	case stage == StageRetrying:
		return fmt.Sprintf("It has been tried again %s, after waits that grow from %s to %s", since(r.Since), environments.Duration(r.First), most)
	case r.Exhausted > 0:
		return fmt.Sprintf(" Stalled: %s %s did not help. It is still tried, every %s at the latest.", tried(r.Exhausted), since(r.Since), most)
	}
	return fmt.Sprintf(" Stalled until somebody acts. What is done about it outside of git is seen within %s.", most)
}

func tried(n int) string {
	if n == 1 {
		return "1 try"
	}
	return fmt.Sprintf("%d tries", n)
}
