package promote

import (
	"testing"

	"github.com/pawl-dev/pawl/drift"
)

func TestCondition(t *testing.T) {
	t.Parallel()
	good := healthy("production", "web", image("web", "3"))
	unverified := good
	unverified.Evidence = nil
	held := staged("web", StagePruneHeld)
	held.Problem.Err = &drift.PruneHeld{}
	unread := staged("web", StagePruneHeld)
	unread.Problem.Err = &drift.PruneHeld{Unread: []drift.Unread{{}}}
	lacking, mixed := staged("web", StageRetrying), staged("web", StageRetrying)
	awaits := drift.Problem{Awaits: drift.ObjectID{Kind: "Namespace", Name: "shop"}}
	lacking.Problem.Err = &drift.Rejected{Problems: []drift.Problem{awaits}}
	mixed.Problem.Err = &drift.Rejected{Problems: []drift.Problem{awaits, {}}}
	for _, c := range []struct {
		says string
		is   TargetState
		want Condition
	}{
		{"what is seen to be healthy is", good, ConditionHealthy},
		{"what is only said to be is not yet", unverified, ConditionWorking},
		{"a queued target is the agent's to work on", staged("web", StageQueued), ConditionWorking},
		{"and so is one that is applied", staged("web", StageApplying), ConditionWorking},
		{"health comes by itself", staged("web", StageWaiting), ConditionWaiting},
		{"a digest comes by itself", staged("web", StageAwaiting), ConditionWaiting},
		{"a word about pruning is asked for", held, ConditionWaiting},
		{"what cannot be read may be readable soon", unread, ConditionRetrying},
		{"a registry that is down may come back", staged("web", StageRetrying), ConditionRetrying},
		{"what its objects need may come", lacking, ConditionWaiting},
		{"and does not help where one is wrong", mixed, ConditionRetrying},
		{"a refusal needs a person", staged("web", StageFailed), ConditionStalled},
	} {
		if got := c.is.Condition(); got != c.want {
			t.Errorf("%s: %s, want %s", c.says, got, c.want)
		}
	}
}
