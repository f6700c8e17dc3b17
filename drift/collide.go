package drift

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// Server-side apply merges lists by keys: a Service's ports by their number. If
// somebody changes port 80 to 81 and leaves its name, applying adds 80 beside
// 81, both are called "http", and the API server refuses that. Nothing that is
// declared can help, as what is in the way is not declared.
//
// What helps is to own it. Whatever pawl owns and does not declare, an apply
// removes; so the colliding item is first noted in managedFields as pawl's, which
// changes nothing else, and then applied as ever. Stopped between the two, the
// object still differs from what was applied, and the next repair ends it.

// Collisions are items of live lists that keep declared ones from being applied.
type Collisions struct {
	// Items are what is taken, as paths of Change.
	Items []string
	// ManagedFields is what metadata.managedFields has to be.
	ManagedFields []any
}

// Collide finds the items of a live object that collide with declared ones, by
// an answer to the apply that complains of duplicates. Only lists that are
// declared are looked into, and only items that are not. There are none for
// any other complaint.
func Collide(declared, live *unstructured.Unstructured, answer metav1.Status) Collisions {
	unique := duplicates(answer)
	if len(unique) == 0 {
		return Collisions{}
	}
	entries, _, _ := unstructured.NestedSlice(live.Object, "metadata", "managedFields") // a deep copy
	own := ownEntry(entries, live.GetAPIVersion())
	ownFields, _ := own["fieldsV1"].(map[string]any)
	if ownFields == nil {
		ownFields = map[string]any{}
	}
	var found Collisions
	for _, e := range entries {
		entry, _ := e.(map[string]any)
		fields, _ := entry["fieldsV1"].(map[string]any)
		if fields == nil || isOwn(e) || entry["subresource"] != nil || entry["apiVersion"] != own["apiVersion"] {
			continue
		}
		c := collider{unique: unique}
		c.walk(fields, declared.Object, live.Object, "")
		for _, path := range c.found {
			give(ownFields, path, take(fields, path))
			if item := shown(path, live.Object); !slices.Contains(found.Items, item) {
				found.Items = append(found.Items, item)
			}
		}
	}
	if len(found.Items) == 0 {
		return Collisions{}
	}
	own["fieldsV1"] = ownFields
	if !slices.ContainsFunc(entries, func(e any) bool { return isOwn(e) }) {
		entries = append(entries, own)
	}
	found.ManagedFields = slices.DeleteFunc(entries, func(e any) bool {
		entry, _ := e.(map[string]any)
		fields, _ := entry["fieldsV1"].(map[string]any)
		return len(fields) == 0
	})
	slices.Sort(found.Items)
	return found
}

// SaysDuplicate reports whether an answer complains of duplicates.
func SaysDuplicate(answer metav1.Status) bool { return len(duplicates(answer)) > 0 }

// duplicates are the fields that an answer says are there twice, by the list
// that they are in: spec.ports → name.
func duplicates(answer metav1.Status) map[string][]string {
	if answer.Code != http.StatusUnprocessableEntity || answer.Details == nil {
		return nil
	}
	unique := map[string][]string{}
	for _, cause := range answer.Details.Causes {
		if cause.Type != metav1.CauseTypeFieldValueDuplicate {
			continue
		}
		path := withoutIndexes(cause.Field)
		if i := strings.LastIndexByte(path, '.'); i > 0 {
			unique[path[:i]] = append(unique[path[:i]], path[i+1:])
		}
	}
	return unique
}

// withoutIndexes writes spec.ports[1].name as spec.ports.name: an answer counts
// the items of a list that is not there.
func withoutIndexes(path string) string {
	var out strings.Builder
	for path != "" {
		before, rest, _ := strings.Cut(path, "[")
		out.WriteString(before)
		_, path, _ = strings.Cut(rest, "]")
	}
	return out.String()
}

func isOwn(e any) bool {
	entry, _ := e.(map[string]any)
	return entry["manager"] == FieldManager && entry["operation"] == string(metav1.ManagedFieldsOperationApply) && entry["subresource"] == nil
}

// ownEntry is pawl's entry, a new one if there is none.
func ownEntry(entries []any, apiVersion string) map[string]any {
	if i := slices.IndexFunc(entries, isOwn); i >= 0 {
		return entries[i].(map[string]any)
	}
	return map[string]any{
		"manager": FieldManager, "operation": string(metav1.ManagedFieldsOperationApply),
		"apiVersion": apiVersion, "fieldsType": "FieldsV1",
	}
}

// collider looks through what one manager owns.
type collider struct {
	unique map[string][]string
	at     []string   // keys of FieldsV1
	found  [][]string // the same, of colliding items
}

func (c *collider) walk(fields map[string]any, declared, live any, path string) {
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		sub, _ := fields[key].(map[string]any)
		c.at = append(c.at, key)
		if name, ok := strings.CutPrefix(key, "f:"); ok {
			d, _ := declared.(map[string]any)
			l, _ := live.(map[string]any)
			if d[name] != nil && l[name] != nil {
				c.walk(sub, d[name], l[name], strings.TrimPrefix(path+"."+name, "."))
			}
		} else if element, err := fieldpath.DeserializePathElement(key); err == nil && element.Key != nil {
			c.item(sub, *element.Key, declared, live, path)
		}
		c.at = c.at[:len(c.at)-1]
	}
}

func (c *collider) item(fields map[string]any, key value.FieldList, declared, live any, path string) {
	items, _ := declared.([]any)
	list, _ := live.([]any)
	i := slices.IndexFunc(list, func(item any) bool { m, ok := item.(map[string]any); return ok && hasKey(m, key) })
	if i < 0 {
		return
	}
	theirs := list[i].(map[string]any)
	for _, item := range items {
		if ours, ok := item.(map[string]any); ok && mayHaveKey(ours, key) {
			c.walk(fields, ours, theirs, path)
			return
		}
	}
	for _, item := range items {
		ours, _ := item.(map[string]any)
		for _, name := range c.unique[path] {
			if ours[name] != nil && value.Equals(value.NewValueInterface(ours[name]), value.NewValueInterface(theirs[name])) {
				c.found = append(c.found, slices.Clone(c.at))
				return
			}
		}
	}
}

// mayHaveKey is hasKey for an item that may leave parts of its key to the
// server's defaults.
func mayHaveKey(item map[string]any, key value.FieldList) bool {
	for _, f := range key {
		if v, ok := item[f.Name]; ok && !value.Equals(value.NewValueInterface(v), f.Value) {
			return false
		}
	}
	return true
}

// take removes a path from owned fields and returns what was below it. Parents
// that have nothing left go too: an empty one would own the whole field.
func take(fields map[string]any, path []string) map[string]any {
	key := path[0]
	sub, _ := fields[key].(map[string]any)
	if len(path) == 1 {
		delete(fields, key)
		return sub
	}
	if sub == nil {
		return nil
	}
	taken := take(sub, path[1:])
	if len(sub) == 0 {
		delete(fields, key)
	}
	return taken
}

// give adds fields at a path to owned ones.
func give(fields map[string]any, path []string, taken map[string]any) {
	for _, key := range path {
		sub, _ := fields[key].(map[string]any)
		if sub == nil {
			sub = map[string]any{}
			fields[key] = sub
		}
		fields = sub
	}
	merge(fields, taken)
}

func merge(into, from map[string]any) {
	for key, v := range from {
		sub, _ := v.(map[string]any)
		known, ok := into[key].(map[string]any)
		if !ok {
			known = map[string]any{}
			into[key] = known
		}
		merge(known, sub)
	}
}

// shown is a path of FieldsV1 as people read it.
func shown(path []string, live any) string {
	var w walker
	for _, key := range path {
		live, _ = w.enter(key, live, true)
	}
	return string(w.path)
}
