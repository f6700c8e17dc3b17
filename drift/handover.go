package drift

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pawl-dev/pawl/environments"
)

// An object that a commit moves from one target to another is handed over and
// never deleted in between, whichever of the two is worked on first. Three
// things are written down, in this order: the old target's inventory says that
// it lets go (LeavingHanded), the new one's that it wants the object, and the
// object's mark whose it is. So long as the mark has not changed the object is
// the old target's: it stays as it is, however long the new one is refused.

// Others is what the targets of a cluster declare at a commit, to one of them or
// to one that is gone: its own part does not count.
type Others struct {
	asks string // the part of a mark that names who asks
	*declarations
	// Unknown are targets that cannot be rendered: they may declare anything.
	Unknown []environments.Target
}

// declarations are by the names of objects, so that a question costs the same
// however many targets there are.
type declarations struct {
	targets map[string]environments.Target // by the target's part of its mark
	by      map[ObjectID][]declaration     // without their namespaces
}

type declaration struct{ namespace, target string }

// Add notes what a target declares, as it was rendered.
func (o *Others) Add(t environments.Target, objects []ObjectID) {
	if o.declarations == nil {
		o.declarations = &declarations{map[string]environments.Target{}, map[ObjectID][]declaration{}}
	}
	key := MarkFor("", t).Target
	o.targets[key] = t
	for _, id := range objects {
		d := declaration{id.Namespace, key}
		id.Namespace = ""
		o.by[id] = append(o.by[id], d)
	}
}

// To are the same for another target to ask. What they share is no longer to
// be added to.
func (o *Others) To(t environments.Target) *Others {
	to := *o
	to.asks = MarkFor("", t).Target
	to.Unknown = slices.DeleteFunc(slices.Clone(o.Unknown), func(u environments.Target) bool { return MarkFor("", u).Target == to.asks })
	return &to
}

// IDsOf are the names of objects.
func IDsOf(objects []*unstructured.Unstructured) []ObjectID {
	ids := make([]ObjectID, 0, len(objects))
	for _, o := range objects {
		ids = append(ids, IDOf(o))
	}
	return ids
}

// declaring are the other targets that declare an object. What is rendered may
// leave out the namespace "default", or have one that its kind does not.
func (o *Others) declaring(id ObjectID) []environments.Target {
	if o == nil || o.declarations == nil {
		return nil
	}
	var found []environments.Target
	namespace := id.Namespace
	id.Namespace = ""
	for _, d := range o.by[id] {
		if d.target != o.asks && (namespace == "" || d.namespace == namespace || d.namespace == "" && namespace == "default") {
			found = append(found, o.targets[d.target])
		}
	}
	return found
}

// taker is the target that declares an object now.
func (o *Others) taker(id ObjectID) (environments.Target, bool) {
	takers := o.declaring(id)
	if len(takers) == 0 {
		return environments.Target{}, false
	}
	return slices.MinFunc(takers, func(a, b environments.Target) int { return strings.Compare(a.String(), b.String()) }), true
}

// LetsGo reports whether the target of a mark no longer declares an object, so
// that it will let go of it once it is brought to the commit.
func (o *Others) LetsGo(mark Mark, id ObjectID) bool {
	if o == nil || o.declarations == nil || mark.Target == o.asks {
		return false
	}
	holder, rendered := o.targets[mark.Target]
	return rendered && !slices.Contains(o.declaring(id), holder)
}

// Declares reports whether the target of a mark is known to declare an object.
func (o *Others) Declares(mark Mark, id ObjectID) bool {
	if o == nil || o.declarations == nil || mark.Target == o.asks {
		return false
	}
	holder, rendered := o.targets[mark.Target]
	return rendered && slices.Contains(o.declaring(id), holder)
}

// decideHandover decides on an object of ours that left the release: whether
// another target takes it over, or may, instead of what would happen to it.
func decideHandover(s Situation, step Step, held *PruneHeld) Step {
	id := step.Object
	if s.Others == nil || s.Live[id].Terminating {
		return step
	}
	if to, ok := s.Others.taker(id); ok {
		held.Handed = append(held.Handed, Handed{id, to})
		return Step{Object: id, Action: Keep, Handed: true, Reason: fmt.Sprintf("left the release for %s, which declares it now and takes it over", to)}
	}
	if step.Action != Delete {
		return step
	}
	for _, t := range s.Others.Unknown {
		if s.ReachOf == nil || s.ReachOf(t.Environment).Refuses(id) == "" {
			held.Unrendered = append(held.Unrendered, Handed{id, t})
			return Step{Object: id, Action: Keep, Reason: fmt.Sprintf("left the release; kept, as %s cannot be rendered, and may declare it now", t)}
		}
	}
	return step
}

// Leave is what the inventory of a target becomes whose overlay is gone: what
// another target declares now is let go of, and what that one has, or makes
// anew, is forgotten. Everything else stays, and is never deleted: an overlay
// that is gone may be a mistake. waiting are the objects that are not taken yet.
func (o *Others) Leave(inv Inventory, live map[ObjectID]Live, mark Mark) (next Inventory, waiting []Handed) {
	next = inv.Clone()
	for _, id := range inv.IDs() {
		e, l := next.Entries[id], live[id]
		to, wanted := o.taker(id)
		switch {
		case Taken(e, l, mark), wanted && l.State == Absent:
			delete(next.Entries, id)
		case wanted && l.State == Present && !l.Terminating:
			e.Leaving = LeavingHanded
			next.Entries[id] = e
			waiting = append(waiting, Handed{id, to})
		case e.Leaving == LeavingHanded: // the commit that wanted it was taken back
			e.Leaving = ""
			next.Entries[id] = e
		}
	}
	if len(next.Entries) == 0 {
		next.Accepted.Release = "" // it never had anything, as it were
	}
	return next, waiting
}

// Handed is an object that left, and the target that takes it over, or may.
type Handed struct {
	Object ObjectID
	To     environments.Target
}

// Taken reports whether an object that was let go of has become that of
// another target of the same agent.
func Taken(e Entry, live Live, mark Mark) bool {
	return e.Leaving == LeavingHanded && live.State == Present && live.Mark != mark && live.Mark.Agent == mark.Agent
}

// is reports whether a live object is the one that is remembered, and still ours.
func (e Entry) is(live Live, mark Mark) bool {
	return live.State == Present && live.Mark == mark && (e.UID == "" || e.UID == live.UID)
}

// mayTake reports whether an object of another target may be taken over: that
// one has let go of this very object. known is its entry there.
func mayTake(known Entry, live Live, mark Mark) bool {
	return known.Leaving == LeavingHanded && live.Mark.Agent == mark.Agent && known.is(live, live.Mark)
}
