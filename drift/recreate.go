package drift

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// AnnotationRecreate lets an object be deleted and made again where a release
// changes a field of it that cannot be changed. It counts as the release
// declares it, and in a rollback also as it was applied last: what came by the
// word of the failed release goes by it. It never counts as others wrote it on a
// live object.
const (
	AnnotationRecreate  = "pawl.dev/recreate"
	RecreateOnImmutable = "on-immutable-change"
)

// asksForRecreation reads an object's own word. The reason says what is wrong with it.
func asksForRecreation(id ObjectID, annotations map[string]string) (asks bool, reason string) {
	switch word, ok := annotations[AnnotationRecreate]; {
	case !ok:
		return false, ""
	case word != RecreateOnImmutable:
		return false, fmt.Sprintf("is %q; the only word is %q, or leave the annotation out", word, RecreateOnImmutable)
	case recreatedNever[[2]string{id.Group, id.Kind}]:
		return false, fmt.Sprintf("is not possible for a %s: all that it holds would be deleted with it", id.Kind)
	}
	return true, ""
}

// recreatedNever are the kinds whose deletion takes objects of others along.
var recreatedNever = map[[2]string]bool{
	{"", "Namespace"}: true,
	{"apiextensions.k8s.io", "CustomResourceDefinition"}: true,
}

// recreateIn finds the word among the fields that pawl owns.
func recreateIn(fields []field) bool {
	return slices.ContainsFunc(fields, func(f field) bool {
		return f.path == "metadata.annotations["+AnnotationRecreate+"]" && text(f.value) == RecreateOnImmutable
	})
}

// DecideRecreation decides on an object of which a release changes fields that
// cannot be changed. Only an object that this target made is ever deleted, and
// only on its own word: that of the release, or, where an older release is
// returning, that by which what is there was applied. Then it has to be as it was
// applied, or the word may be of whoever changed it; and what takes other
// people's data along is not deleted on it, as nobody looks at a rollback before.
// known is its entry in the inventory. The reason is for people, also of a yes.
func DecideRecreation(w Wanted, returning bool, known Entry, live Live, mark Mark, fields []string) (recreate bool, reason string) {
	cannot := fmt.Sprintf("%s cannot be changed in a live object", strings.Join(fields, ", "))
	const word = AnnotationRecreate + ": " + RecreateOnImmutable
	switch {
	case !w.Recreate && !returning:
		return false, cannot + "; take the change back, or have the object deleted and made again: annotate it with " + word
	case live.State != Present:
		return false, cannot + "; it could not be read, so it was not deleted"
	case live.Mark != mark:
		return false, cannot + "; what is there was not applied by this target, so it is not deleted. Delete it by hand if that is meant"
	case known.Adopted:
		return false, cannot + "; it was there before it was first applied, so it is not deleted, as it may hold what is not of this release. Delete it by hand if that is meant, or take the change back"
	case w.Recreate:
		return true, cannot + "; deleted and made again, as it asks for by " + AnnotationRecreate
	case !live.Recreate:
		return false, cannot + "; it is not deleted and made again, as neither the release that returns nor the one that was applied last annotates it with " + word
	case known.UID != live.UID || known.Applied != live.Applied:
		return false, cannot + "; it is not as it was applied last, so its " + AnnotationRecreate + " does not count, and it is not deleted. Delete it by hand if that is meant"
	case mustConfirm(w.ID, live):
		return false, cannot + "; it is protected from being deleted, so that only the release that returns can ask for it to be made again, by " + word + ". Delete it by hand if that is meant"
	}
	return true, cannot + "; deleted and made again, as it was applied with " + AnnotationRecreate
}

// Unchangeable are the changes of fields that cannot be changed. Secrets show
// no values.
func Unchangeable(live, wanted *unstructured.Unstructured, fields []string) []Change {
	changes := make([]Change, 0, len(fields))
	for _, path := range fields {
		change := Change{Path: path}
		if !isSecret(wanted) {
			change.From, change.To = at(live, path), at(wanted, path)
		}
		changes = append(changes, change)
	}
	return changes
}

// at is the value of a field as people read it; empty for what is too large to
// be read, or is inside of a list.
func at(obj *unstructured.Unstructured, path string) string {
	if obj == nil || strings.Contains(path, "[") {
		return ""
	}
	v, found, err := unstructured.NestedFieldNoCopy(obj.Object, strings.Split(path, ".")...)
	if err != nil || !found {
		return ""
	}
	if s := text(v); len(s) <= maxShown {
		return s
	}
	return ""
}

// maxShown bounds a value in a plan.
const maxShown = 200
