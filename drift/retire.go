package drift

import "github.com/pawl-dev/pawl/environments"

// Left is what became of a target whose overlay is gone.
type Left struct {
	Target  environments.Target
	Objects int // still in its inventory
	// Waiting are those of them that others declare and have not taken yet, Held
	// what a word in a commit would delete, and Pending what is being deleted.
	Waiting []Handed
	Held    *PruneHeld
	Pending []ObjectID
}

// Retire decides what becomes of the objects of a target whose overlay is gone.
// That may be a mistake, so all of them need a word, whatever share may go
// unasked; else the rules are those of pruning.
func Retire(s Situation) Plan {
	var plan Plan
	s.MaxPercent = 0
	decideLeft(s, &plan, nil)
	if plan.Held != nil {
		plan.Held.Gone = true
	}
	return plan
}

// Retire notes what Retire decided, which must be stored before the first
// deletion. A word that deletes what is the target's own is also one to let go of
// what was there before it.
func (inv Inventory) Retire(plan Plan) Inventory {
	next, _ := inv.Leave(plan.Steps)
	confirmed := false
	for _, e := range next.Entries {
		confirmed = confirmed || e.Leaving == LeavingConfirmed
	}
	for id, e := range next.Entries {
		if confirmed && plan.Held == nil && e.Adopted && e.Leaving == "" {
			e.Leaving = LeavingConfirmed
			next.Entries[id] = e
		}
	}
	return next
}

// Retired is what is left once the deletions are under way. kept says that the
// target's objects are still put back: then what is not there will be.
func (inv Inventory) Retired(live map[ObjectID]Live, mark Mark, kept bool) Inventory {
	next, ours := inv.Clone(), false
	for id, e := range inv.Entries {
		switch {
		case e.Adopted && e.Leaving == LeavingConfirmed:
			delete(next.Entries, id)
		case e.is(live[id], mark):
			ours = true
		}
	}
	if !ours && !kept {
		clear(next.Entries)
	}
	if len(next.Entries) == 0 {
		next.Accepted.Release = "" // it never had anything, as it were
	}
	return next
}
