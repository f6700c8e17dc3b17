package drift

import (
	"reflect"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Changes compares two states of an object in the fields that pawl owns in
// either. Both must come from the API server, so that its defaults and its way
// of writing values are no changes; after may be a dry run's reply. Pawl's own
// labels are left out: that they appear is no news to who reads a plan. Secrets
// show which fields differ, never their values.
func Changes(before, after *unstructured.Unstructured) []Change {
	return slices.DeleteFunc(Edits(before, after), func(c Change) bool { return isMark(c.Path) })
}

// Edits is Changes with pawl's own labels, for an object that had them: then
// somebody changed them.
func Edits(before, after *unstructured.Unstructured) []Change {
	if before == nil || after == nil {
		return nil
	}
	secret := isSecret(after)
	ownBefore, othersBefore := split(before)
	ownAfter, othersAfter := split(after)

	var changes []Change
	seen := map[string]bool{}
	compare := func(owned map[string]any) {
		from := valuesOf(owned, othersBefore, before.Object)
		to := valuesOf(owned, othersAfter, after.Object)
		for i := range to { // the same fields in the same order
			if seen[to[i].path] {
				continue
			}
			seen[to[i].path] = true
			if from[i].present == to[i].present && reflect.DeepEqual(from[i].value, to[i].value) {
				continue
			}
			change := Change{Path: to[i].path, From: text(from[i].value), To: text(to[i].value)}
			if secret {
				change.From, change.To = "", ""
			}
			changes = append(changes, change)
		}
	}
	compare(ownAfter)
	compare(ownBefore) // what is no longer declared
	return withoutParents(changes)
}

// withoutParents leaves out that an element appeared or went, where the
// changes of its fields say so already.
func withoutParents(changes []Change) []Change {
	return slices.DeleteFunc(changes, func(parent Change) bool {
		return slices.ContainsFunc(changes, func(c Change) bool {
			rest, below := strings.CutPrefix(c.Path, parent.Path)
			return below && rest != "" && (rest[0] == '.' || rest[0] == '[')
		})
	})
}

func isMark(path string) bool {
	return path == "metadata.labels["+LabelTarget+"]" || path == "metadata.labels["+LabelAgent+"]"
}

func isSecret(obj *unstructured.Unstructured) bool {
	gvk := obj.GroupVersionKind()
	return gvk.Group == "" && gvk.Kind == "Secret"
}

// ChangedBy tells who made the changes in a live object: the field manager that
// now owns one of the changed fields, with its latest time. A field that was
// removed has no owner; then it is the manager that wrote last, if that was
// not before pawl did. Empty when nobody can be named.
func ChangedBy(live *unstructured.Unstructured, changes []Change) (string, time.Time) {
	changed := make(map[string]bool, len(changes))
	for _, c := range changes {
		changed[c.Path] = true
	}
	var name, lastName string
	var at, lastAt, pawlAt time.Time
	for _, m := range managersOf(live) {
		t, _ := time.Parse(time.RFC3339, m.time)
		if m.isPawl() {
			pawlAt = t
			continue
		}
		if m.subresource == "status" {
			continue
		}
		if !t.Before(lastAt) {
			lastName, lastAt = m.name, t
		}
		if t.Before(at) {
			continue
		}
		for _, f := range valuesOf(m.fields, nil, live.Object) {
			if changed[f.path] {
				name, at = m.name, t
				break
			}
		}
	}
	if name == "" && !lastAt.Before(pawlAt) {
		return lastName, lastAt
	}
	return name, at
}
