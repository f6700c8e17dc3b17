package drift

// Plan is what applying a release would do, object by object, in the order in
// which it would be done.
type Plan struct {
	Steps []Step
	// Held says what is not deleted though it left; nil if nothing.
	Held *PruneHeld
	// Unrestored are objects that only the release that is left by a rollback has.
	// They were there before they were first applied, and are not as they were:
	// nobody kept that. They stay as they were applied last.
	Unrestored []ObjectID
}

// Step is what happens to one object, and why.
type Step struct {
	Object ObjectID
	Action Action
	// Reason is for people: "not there yet", "3 fields differ", "left the release".
	Reason string
	// Changes lists the fields that differ, where that is known.
	Changes []Change
	// Handed says that another target is to take it over, see Others.
	Handed bool
	// Confirmed says that a commit allowed this very deletion.
	Confirmed bool
}

// Action is a verb for one object.
type Action string

const (
	Create    Action = "create"
	Configure Action = "configure"
	// Recreate is Delete and then Create, which the object itself asks for.
	Recreate  Action = "recreate"
	Unchanged Action = "unchanged"
	Delete    Action = "delete"
	Keep      Action = "keep" // would be pruned, but is protected
)

// Writes reports whether the action writes an object that is wanted.
func (a Action) Writes() bool { return a == Create || a == Configure || a == Recreate }

// Change is one field that differs.
type Change struct {
	Path string // "spec.replicas", "spec.template.spec.containers[name=web].image"
	// From is the live value and To the release's; both empty for Secrets.
	From, To string
}

// Count returns how many steps have the action.
func (p Plan) Count(a Action) int {
	n := 0
	for _, s := range p.Steps {
		if s.Action == a {
			n++
		}
	}
	return n
}
