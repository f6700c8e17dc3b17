package drift

import (
	"maps"
	"slices"
)

// Inventory is what was created for a target and may be pruned. That an
// object stands here is only half of what a deletion needs: the live object
// must also bear the target's mark.
type Inventory struct {
	Target string // as people type it
	// Accepted is what was applied to the end last. Its Target is not stored.
	Accepted Accepted
	Entries  map[ObjectID]Entry
}

// Entry is what is remembered of one object.
type Entry struct {
	Version string // of the API it was applied with: "v1"
	// UID is empty from the moment a creation is intended until it is known to
	// have happened.
	UID string
	// Desired is Wanted.Digest as it was applied, and Applied the AppliedDigest of
	// the reply. Both are empty while a write is intended; after a crash such
	// an object is simply written again. Applied alone is empty where admission
	// changed what was declared, see Rewritten.
	Desired, Applied Digest
	// Adopted is set for an object that was there before it was first applied.
	// Whatever else it holds is not ours, so it is never deleted.
	Adopted bool
	// Finished is how a Job ended as Desired; empty for one that has not, and for
	// whatever else.
	Finished Finished
	// Leaving is set from the moment a deletion is decided until it is confirmed,
	// so that one that takes longer, or is cut off, need not be allowed again.
	Leaving Leaving
}

// Leaving says how a deletion was allowed.
type Leaving string

const (
	LeavingUnasked   Leaving = "unasked"   // within the limit
	LeavingConfirmed Leaving = "confirmed" // by a word in a commit
	// LeavingHanded is no deletion: another target of the agent may take the
	// object over, see Others.
	LeavingHanded Leaving = "handed"
)

// Rewritten reports whether what is wanted was applied, and admission changed it.
// Then what is there proves nothing: only a trial tells whether it still does.
func (e Entry) Rewritten(w Wanted) bool {
	return e.Desired != "" && e.Desired == w.Digest && e.Applied == ""
}

// going reports whether a deletion was allowed before.
func (e Entry) going() bool { return e.Leaving == LeavingUnasked || e.Leaving == LeavingConfirmed }

// Leave notes the deletions that a plan decided on, and what it hands over,
// which must be stored before the first of them. It reports whether that differs from what is stored.
func (inv Inventory) Leave(steps []Step) (Inventory, bool) {
	next, changed := inv.Clone(), false
	for _, s := range steps {
		e, ok := next.Entries[s.Object]
		if !ok || s.Action != Delete && !s.Handed {
			continue
		}
		switch {
		case s.Handed && e.Leaving != LeavingHanded:
			e.Leaving = LeavingHanded
		case s.Handed:
			continue
		case s.Confirmed && e.Leaving != LeavingConfirmed:
			e.Leaving = LeavingConfirmed
		case !e.going():
			e.Leaving = LeavingUnasked
		default:
			continue
		}
		next.Entries[s.Object], changed = e, true
	}
	return next, changed
}

// Adopts reports whether writing over a live object takes it over from
// somebody: it is there without a mark, and is not the one that is remembered.
// What we made ourselves bears our mark, even if a crash came next.
func (e Entry) Adopts(live Live) bool {
	return live.State == Present && live.Mark.IsZero() && e.UID != live.UID
}

// Remade reports whether a live object is not the one that is remembered, and
// surely ours all the same: a repair made it anew, and ended before that was
// noted. The mark alone is too little, as backups bring it back.
func (e Entry) Remade(live Live, mark Mark) bool {
	return live.State == Present && e.UID != "" && e.UID != live.UID && live.Mark == mark && live.Made
}

// Recognise returns the inventory with the uids of objects that were remade.
func (inv Inventory) Recognise(live map[ObjectID]Live, mark Mark) Inventory {
	next := inv.Clone()
	for id, e := range inv.Entries {
		if e.Remade(live[id], mark) {
			e.UID, e.Adopted = live[id].UID, false
			next.Entries[id] = e
		}
	}
	return next
}

// Rename returns the inventory in which objects stand under the names by which
// they are wanted. One object may be served by two API groups, as an Event is by
// v1 and events.k8s.io: under the name that left the release it would be
// deleted, though the release has it.
func (inv Inventory) Rename(wanted []Wanted, live map[ObjectID]Live, mark Mark) Inventory {
	byUID, names := map[string]Wanted{}, map[ObjectID]bool{}
	for _, w := range wanted {
		names[w.ID] = true
		if l := live[w.ID]; l.State == Present {
			byUID[l.UID] = w
		}
	}
	next := inv.Clone()
	for id, e := range inv.Entries {
		w, same := byUID[live[id].UID]
		if names[id] || !same || !e.is(live[id], mark) {
			continue
		}
		delete(next.Entries, id)
		if _, ok := next.Entries[w.ID]; !ok {
			next.Entries[w.ID] = Entry{Version: w.GVK.Version, UID: e.UID, Adopted: e.Adopted}
		}
	}
	return next
}

// WrittenOver is Adopted for an object that is as we want it: before is how it
// looked, and uid what it has now. One that was not there is ours, as nothing is
// made over what came in between.
func (e Entry) WrittenOver(before Live, uid string, mark Mark) bool {
	switch {
	case e.UID == uid:
		return e.Adopted
	case before.State != Present:
		return false
	case e.UID == "": // from the first write on what is adopted bears our mark
		return e.Adopted || e.Adopts(before)
	default:
		return e.UID != before.UID && !e.Remade(before, mark)
	}
}

// MayReplace reports whether an object may be written over that is found where
// another view of it was decided on: it is the very object, and nobody took it
// since, or is ours.
func (l Live) MayReplace(decided Live, mark Mark) bool {
	return l.Mark == mark || decided.State == Present && l.UID == decided.UID && (l.Mark.IsZero() || l.Mark == decided.Mark)
}

// Intend returns the inventory that must be stored before the first write:
// everything there was and everything that is wanted. It reports whether that
// differs from what is stored: an apply that only changes objects needs no
// such write, as nothing could be lost. What is adopted is noted here, as from
// the first write on it bears our mark like all others.
func (inv Inventory) Intend(wanted []Wanted, adopted map[ObjectID]bool) (Inventory, bool) {
	next := inv.Clone()
	grown := false
	for _, w := range wanted {
		known, ok := next.Entries[w.ID]
		intended := Entry{Version: w.GVK.Version, Adopted: adopted[w.ID]}
		if !ok || intended.Adopted && known != intended {
			next.Entries[w.ID] = intended
			grown = true
		} else if known.Leaving != "" { // it came back
			known.Leaving = ""
			next.Entries[w.ID] = known
			grown = true
		}
	}
	return next, grown
}

// Clone returns a copy that can be changed.
func (inv Inventory) Clone() Inventory {
	next := inv
	next.Entries = maps.Clone(inv.Entries)
	if next.Entries == nil {
		next.Entries = map[ObjectID]Entry{}
	}
	return next
}

// Equal reports whether two inventories say the same.
func (inv Inventory) Equal(other Inventory) bool {
	return inv.Target == other.Target && inv.Accepted == other.Accepted && maps.Equal(inv.Entries, other.Entries)
}

// IDs returns the objects in a fixed order.
func (inv Inventory) IDs() []ObjectID {
	return slices.SortedFunc(maps.Keys(inv.Entries), compareIDs)
}

func compareIDs(a, b ObjectID) int {
	switch {
	case a.less(b):
		return -1
	case b.less(a):
		return 1
	}
	return 0
}
