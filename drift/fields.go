package drift

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// field is a field that somebody owns, with its live value.
type field struct {
	path    string // as in Change.Path
	value   any
	present bool
}

// manager is one entry of managedFields.
type manager struct {
	name, operation, subresource, time string
	fields                             map[string]any // FieldsV1, decoded
}

func (m manager) isPawl() bool {
	return m.name == FieldManager && m.operation == "Apply" && m.subresource == ""
}

func managersOf(obj *unstructured.Unstructured) []manager {
	meta, _ := obj.Object["metadata"].(map[string]any)
	entries, _ := meta["managedFields"].([]any)
	managers := make([]manager, 0, len(entries))
	for _, e := range entries {
		entry, _ := e.(map[string]any)
		text := func(key string) string { s, _ := entry[key].(string); return s }
		fields, _ := entry["fieldsV1"].(map[string]any)
		managers = append(managers, manager{text("manager"), text("operation"), text("subresource"), text("time"), fields})
	}
	return managers
}

// AppliedDigest is the digest of the fields that the live object says are
// pawl's, with the values they have there. It needs nothing but the object,
// and what the API server defaulted or wrote in another way is in it as the
// server has it. So an object that still is as it was applied has the digest
// it had in the reply to the apply; whoever changes or removes one of those
// fields also takes it from pawl's entry in managedFields, and either is
// enough to make another digest. Fields of others never matter.
//
// It is zero when pawl owns nothing.
func AppliedDigest(live *unstructured.Unstructured) Digest {
	return digestOfFields(applied(live))
}

func digestOfFields(fields []field) Digest {
	if len(fields) == 0 {
		return ""
	}
	sum := sha256.New()
	for _, f := range fields {
		sum.Write([]byte(f.path))
		sum.Write([]byte{0})
		if f.present {
			content, _ := json.Marshal(f.value) // decoded JSON, which can be encoded
			sum.Write(content)
		}
		sum.Write([]byte{0})
	}
	return Digest(hex.EncodeToString(sum.Sum(nil)[:16]))
}

// applied returns the fields that pawl owns.
func applied(live *unstructured.Unstructured) []field {
	own, others := split(live)
	if own == nil {
		return nil
	}
	return valuesOf(own, others, live.Object)
}

// split returns the fields of pawl's entry and those of all the others.
func split(live *unstructured.Unstructured) (own map[string]any, others []map[string]any) {
	for _, m := range managersOf(live) {
		if m.isPawl() {
			own = m.fields
		} else {
			others = append(others, m.fields)
		}
	}
	return own, others
}

// valuesOf returns the owned fields with their values in content, sorted by path elements.
func valuesOf(owned map[string]any, others []map[string]any, content any) []field {
	var w walker
	w.walk(owned, others, content, true)
	return w.found
}

// exists is the value of a field of which only the presence is owned.
type exists struct{}

func (exists) MarshalJSON() ([]byte, error) { return []byte(`"(exists)"`), nil }

type walker struct {
	path  []byte
	found []field
	// lenient finds items of lists also where a part of their key is missing, as in
	// what is declared: the API server adds the protocol of a port.
	lenient bool
}

func (w *walker) add(value any, present bool) {
	if !present {
		value = nil
	}
	w.found = append(w.found, field{string(w.path), value, present})
}

// walk follows FieldsV1: the keys are path elements, an empty map is a leaf,
// and "." is the element itself beside its children.
func (w *walker) walk(owned map[string]any, others []map[string]any, content any, present bool) {
	keys := make([]string, 0, len(owned))
	for key := range owned {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		if key == "." {
			w.add(exists{}, present)
			continue
		}
		length := len(w.path)
		child, found := w.enter(key, content, present)
		sub, _ := owned[key].(map[string]any)
		var deeper []map[string]any
		for _, o := range others {
			if d, ok := o[key].(map[string]any); ok && len(d) > 0 {
				deeper = append(deeper, d)
			}
		}
		switch {
		case len(sub) > 0:
			w.walk(sub, deeper, child, found)
		case found && (isEmptyMap(child) || len(deeper) > 0):
			// An empty map that was declared, as in "emptyDir: {}": what others put
			// in it is theirs. A map or list that is owned as a whole cannot have
			// owners further down.
			w.add(exists{}, true)
		default:
			w.add(child, found)
		}
		w.path = w.path[:length]
	}
}

// enter adds the path element to the path and returns what is there in content.
func (w *walker) enter(key string, content any, present bool) (any, bool) {
	if name, ok := strings.CutPrefix(key, "f:"); ok {
		w.enterField(name)
		m, _ := content.(map[string]any)
		v, ok := m[name]
		return v, ok && present
	}
	element, err := fieldpath.DeserializePathElement(key)
	if err != nil {
		w.path = append(append(append(w.path, '['), key...), ']')
		return nil, false
	}
	list, _ := content.([]any)
	w.path = append(w.path, '[')
	defer func() { w.path = append(w.path, ']') }()
	switch {
	case element.Key != nil:
		for i, f := range *element.Key {
			if i > 0 {
				w.path = append(w.path, ',')
			}
			w.path = append(append(append(w.path, f.Name...), '='), text(f.Value.Unstructured())...)
		}
		for _, item := range list {
			if m, ok := item.(map[string]any); ok && hasKey(m, *element.Key) {
				return item, present
			}
		}
		for _, item := range list {
			if m, ok := item.(map[string]any); ok && w.lenient && hasSomeOfKey(m, *element.Key) {
				return item, present
			}
		}
	case element.Value != nil:
		w.path = append(w.path, text((*element.Value).Unstructured())...)
		for _, item := range list {
			if value.Equals(value.NewValueInterface(item), *element.Value) {
				return item, present
			}
		}
	case element.Index != nil:
		w.path = strconv.AppendInt(w.path, int64(*element.Index), 10)
		if i := *element.Index; i >= 0 && i < len(list) {
			return list[i], present
		}
	}
	return nil, false
}

// enterField writes ".name", or "[name]" for names that have dots or slashes
// themselves, such as most labels.
func (w *walker) enterField(name string) {
	if strings.ContainsAny(name, "./") {
		w.path = append(append(append(w.path, '['), name...), ']')
		return
	}
	if len(w.path) > 0 {
		w.path = append(w.path, '.')
	}
	w.path = append(w.path, name...)
}

func hasKey(item map[string]any, key value.FieldList) bool {
	for _, f := range key {
		v, ok := item[f.Name]
		if !ok || !value.Equals(value.NewValueInterface(v), f.Value) {
			return false
		}
	}
	return true
}

// hasSomeOfKey reports whether an item has a part of a key, and nothing against it.
func hasSomeOfKey(item map[string]any, key value.FieldList) bool {
	some := slices.DeleteFunc(slices.Clone(key), func(f value.Field) bool { _, ok := item[f.Name]; return !ok })
	return len(some) > 0 && hasKey(item, some)
}

func isEmptyMap(v any) bool {
	m, ok := v.(map[string]any)
	return ok && len(m) == 0
}

// text is a value as people read it.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case exists:
		return "{…}"
	case string:
		return v
	}
	content, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(content)
}
