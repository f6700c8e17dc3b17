package drift

import (
	"fmt"
	"slices"
	"time"

	"github.com/pawl-dev/pawl/environments"
)

// Situation is all that a plan is decided on.
type Situation struct {
	Target    environments.Target
	Mark      Mark // of the target
	Mode      environments.DriftMode
	Wanted    []Wanted
	Inventory Inventory
	// Live is what each object that is wanted or in the inventory looks like.
	// An object that is not in it is unknown.
	Live map[ObjectID]Live
	// MaxPercent is the share of the inventory that may be deleted unasked, and
	// Word what the commits say about it; nil if nothing.
	MaxPercent int
	Word       *PruneWord
	// GoodAt is when the release was good, where it is an older one that returns. What
	// was made since is no loss to it, and not counted in that share.
	GoodAt time.Time
	// Keeps says that nothing may be deleted, see Terms.
	Keeps bool
	// Reach is what may be deleted at all; what is wanted was checked before.
	Reach Reach
	// Others is what other targets declare; nil if nobody looked, and then nothing
	// is handed over. ReachOf is what an environment may have.
	Others  *Others
	ReachOf func(environment string) Reach
	// Given are the entries of wanted objects in the inventories of the targets
	// whose marks they bear.
	Given map[ObjectID]Entry
}

// Decide returns what applying would do. It fails with ErrEmpty,
// *UnknownLive or *Conflict, and then nothing may be written.
func Decide(s Situation) (Plan, error) {
	if len(s.Wanted) == 0 {
		return Plan{}, fmt.Errorf("%s: %w", s.Target, ErrEmpty)
	}
	var plan Plan
	var conflicts []Held
	var unknown []Unread
	wanted := make(map[ObjectID]bool, len(s.Wanted))
	for _, w := range inOrder(s.Wanted) {
		wanted[w.ID] = true
		live := s.Live[w.ID]
		switch {
		case live.State == Unknown:
			unknown = append(unknown, Unread{w.ID, live.Why})
		case live.State == Present && !live.Mark.IsZero() && live.Mark != s.Mark && !mayTake(s.Given[w.ID], live, s.Mark):
			conflicts = append(conflicts, Held{Object: w.ID, By: live.Mark, LetsGo: live.Mark.Agent == s.Mark.Agent && s.Others.LetsGo(live.Mark, w.ID)})
		case live.State == Present && live.Mark.IsZero() && s.Inventory.Entries[w.ID].Adopts(live) && len(w.NotAdopted(live.Claims)) > 0:
			conflicts = append(conflicts, Held{Object: w.ID, Claims: w.NotAdopted(live.Claims)})
		default:
			action, reason := decideWanted(w, live, s)
			if action == Configure && live.Mark != s.Mark && !live.Mark.IsZero() {
				reason = "was let go by " + live.Mark.String() + "; taken over"
			}
			plan.Steps = append(plan.Steps, Step{Object: w.ID, Action: action, Reason: reason})
		}
	}
	if len(unknown) > 0 {
		return Plan{}, &UnknownLive{Target: s.Target, Objects: unknown}
	}
	if len(conflicts) > 0 {
		return Plan{}, &Conflict{Target: s.Target, Objects: conflicts}
	}

	decideLeft(s, &plan, wanted)
	return plan, nil
}

// decideLeft decides on what is in the inventory and not wanted.
func decideLeft(s Situation, plan *Plan, wanted map[ObjectID]bool) {
	left := slices.DeleteFunc(s.Inventory.IDs(), func(id ObjectID) bool { return wanted[id] })
	slices.SortStableFunc(left, func(a, b ObjectID) int { return b.Stage() - a.Stage() })
	waiting := &PruneHeld{Target: s.Target}
	for _, id := range left {
		entry := s.Inventory.Entries[id]
		if s.Live[id].State == Absent || Taken(entry, s.Live[id], s.Mark) {
			continue // gone already, which is all that pruning wants
		}
		entry.Leaving = "" // what was allowed is looked at below
		action, reason := DecidePrune(id, entry, s.Live[id], s.Mark)
		if s.Keeps && action == Delete {
			action, reason = Keep, "left the release; nothing is deleted until a commit is accepted"
		}
		if action == Delete && !entry.going() && s.precedes(s.Live[id]) {
			action, reason = Keep, "is not in the release that returns, and was there before that was good; it stays until a commit is accepted"
		}
		if outside := s.Reach.Refuses(id); outside != "" && action == Delete {
			action, reason = Keep, "left the release, but is not deleted: "+outside
		}
		step := Step{Object: id, Action: action, Reason: reason}
		if entry.is(s.Live[id], s.Mark) {
			step = decideHandover(s, step, waiting)
			if entry.Adopted && step.Action == Keep && !step.Handed && !s.GoodAt.IsZero() {
				plan.Unrestored = append(plan.Unrestored, id)
			}
		}
		plan.Steps = append(plan.Steps, step)
	}
	plan.Held = guard(s, plan.Steps[len(wanted):]).and(waiting)
}

// precedes reports whether an object is surely older than the release that
// returns, if one does. The failed one did not make it, but took it over, from
// another target say, which does not have it any more either. The times at which
// objects were made are whole seconds.
func (s Situation) precedes(live Live) bool {
	return !s.GoodAt.IsZero() && !live.Created.IsZero() && !live.Created.Add(time.Second).After(s.GoodAt)
}

// decideWanted decides on an object of the release that is ours or nobody's.
func decideWanted(w Wanted, live Live, s Situation) (Action, string) {
	entry, known := s.Inventory.Entries[w.ID]
	// An object that was applied as wanted, and now is not so: drift.
	drifted := known && entry.Desired == w.Digest
	finished := entry.finished(live)
	switch {
	case drifted && finished.Rests(live):
		return Unchanged, finished.why()
	case live.State == Absent && drifted && s.Mode == environments.DriftReport:
		return Unchanged, "was deleted; drift is only reported here"
	case live.State == Absent && drifted:
		return Create, "was deleted"
	case live.State == Absent:
		return Create, "not there yet"
	case live.Terminating:
		return Create, "is being deleted; made again as soon as it is gone"
	case live.Mark.IsZero() && !known:
		return Configure, live.TakenOver()
	case !drifted:
		return Configure, "differs from the release"
	case entry.Rewritten(w):
		return Configure, "was changed by an admission webhook or policy when it was applied"
	case live.Applied == entry.Applied:
		return Unchanged, ""
	case s.Mode == environments.DriftReport:
		return Unchanged, "was changed; drift is only reported here"
	default:
		return Configure, "was changed"
	}
}

// DecidePrune decides on an object that left the release. It is asked again
// right before a deletion, with what was read from the API server just then;
// only Delete allows it.
func DecidePrune(id ObjectID, entry Entry, live Live, mark Mark) (Action, string) {
	switch {
	case live.State == Unknown:
		return Keep, fmt.Sprintf("left the release, but could not be read, so it was not deleted: %v", live.Why)
	case live.State == Absent:
		return Unchanged, "is gone"
	case live.Mark != mark && !live.Mark.IsZero():
		return Keep, fmt.Sprintf("left the release, but now belongs to %s", live.Mark)
	case live.Mark.IsZero():
		return Keep, "left the release, but no longer bears this target's mark, so it was not deleted"
	case entry.UID != "" && entry.UID != live.UID:
		return Keep, "left the release, but was replaced by another object of the same name, so it was not deleted"
	case entry.Adopted:
		return Keep, "left the release, but was there before it was first applied, so it was not deleted; it keeps what was applied"
	case entry.Leaving == LeavingUnasked && !live.Terminating && mustConfirm(id, live):
		return Keep, "left the release, but has come to be protected since; it is not deleted without a word in a commit"
	default:
		return Delete, "left the release"
	}
}
