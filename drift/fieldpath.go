package drift

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// fieldPath is a field as Change.Path names it:
// "spec.template.spec.containers[name=web].resources". Whatever a report of
// drift says can be copied.
type fieldPath struct {
	text     string
	elements []pathElement
}

// pathElement is one step of a path: a field, or what stands in brackets. That
// is a field's name with dots or slashes, the keys of an item of a list, or an
// item itself; only an object tells which.
type pathElement struct {
	text    string
	bracket bool
}

// String is the path as it was written.
func (p fieldPath) String() string { return p.text }

// maxPath bounds a path, in bytes.
const maxPath = 512

// parseFieldPath reads a path. It accepts what Change.Path prints, and nothing else.
func parseFieldPath(text string) (fieldPath, error) {
	fail := func(why string) (fieldPath, error) {
		return fieldPath{}, fmt.Errorf("%q is no field: %s; write it as drift is reported, like spec.replicas or spec.template.spec.containers[name=web].resources", bounded(text), why)
	}
	if len(text) > maxPath {
		return fail(fmt.Sprintf("it is longer than %d bytes", maxPath))
	}
	p := fieldPath{text: text}
	rest := text
	for first := true; first || rest != ""; first = false {
		if strings.HasPrefix(rest, "[") {
			inner, after, closed := strings.Cut(rest[1:], "]")
			switch {
			case first:
				return fail("it begins with a bracket")
			case !closed:
				return fail("a bracket is not closed")
			case inner == "" || strings.ContainsAny(inner, "[\n\t"):
				return fail("what is in brackets is no key")
			case inner == "*":
				return fail("[*] does not stand for all items; name each")
			}
			p.elements, rest = append(p.elements, pathElement{inner, true}), after
			continue
		}
		if !first {
			if !strings.HasPrefix(rest, ".") {
				return fail(`behind a bracket comes "." or another bracket`)
			}
			rest = rest[1:]
		}
		end := strings.IndexAny(rest, ".[")
		if end < 0 {
			end = len(rest)
		}
		name := rest[:end]
		switch {
		case name == "":
			return fail("a name is empty")
		case strings.ContainsAny(name, "] \t\n,;=*/"):
			return fail(fmt.Sprintf("%q is no name", name))
		}
		p.elements, rest = append(p.elements, pathElement{name, false}), rest[end:]
	}
	return p, nil
}

func bounded(text string) string {
	if len(text) > maxShown {
		return text[:maxShown] + "…"
	}
	return text
}

// parseFieldPaths reads paths with commas between them.
func parseFieldPaths(list string) ([]fieldPath, error) {
	var paths []fieldPath
	inBrackets, start := false, 0
	for i := 0; i <= len(list); i++ {
		switch {
		case i == len(list), list[i] == ',' && !inBrackets:
			p, err := parseFieldPath(strings.TrimSpace(list[start:i]))
			if err != nil {
				return nil, err
			}
			paths, start = append(paths, p), i+1
		case list[i] == '[':
			inBrackets = true
		case list[i] == ']':
			inBrackets = false
		}
	}
	return paths, nil
}

// isField reports whether the element is a field of this name, as paths write it.
func (e pathElement) isField(name string) bool {
	return e.text == name && e.bracket == strings.ContainsAny(name, "./")
}

// keys are what an item of a list is found by: name=web → {name: web}.
func (e pathElement) keys() map[string]string {
	keys, last := map[string]string{}, ""
	for _, part := range strings.Split(e.text, ",") {
		name, value, ok := strings.Cut(part, "=")
		switch {
		case ok:
			keys[name], last = value, name
		case last != "": // a comma in the value
			keys[last] += "," + part
		default:
			return nil
		}
	}
	return keys
}

// items are those of a list that the element stands for, by their places. A
// release may leave part of the key to the server's defaults: an item that lacks
// it counts only where no other can be meant. Else an exception for one item
// would take the field of another one out of what is applied.
func (e pathElement) items(list []any) []int {
	var whole, partly []int
	for i, item := range list {
		switch lacks, ok := e.isItem(item); {
		case ok && lacks == 0:
			whole = append(whole, i)
		case ok:
			partly = append(partly, i)
		}
	}
	switch {
	case len(whole) > 0:
		return whole
	case len(partly) == 1:
		return partly
	}
	return nil
}

// isItem reports whether the element may stand for this item of a list, and how
// many of its keys the item lacks.
func (e pathElement) isItem(item any) (lacks int, ok bool) {
	if !e.bracket {
		return 0, false
	}
	m, isMap := item.(map[string]any)
	if !isMap {
		return 0, text(item) == e.text
	}
	keys := e.keys()
	for name, value := range keys {
		switch v, there := m[name]; {
		case there && text(v) != value, !there && name == "protocol" && value != "TCP": // the default of all ports
			return 0, false
		case !there:
			lacks++
		}
	}
	return lacks, lacks < len(keys)
}

// find returns where the path leads in content, which may be several items, as
// paths in which items are counted: "spec.containers[0].resources".
func (p fieldPath) find(content any) []string { return find(content, p.elements, "") }

func find(content any, elements []pathElement, at string) []string {
	if len(elements) == 0 {
		return []string{at}
	}
	e := elements[0]
	var found []string
	switch c := content.(type) {
	case map[string]any:
		for name, child := range c {
			if e.isField(name) {
				w := walker{path: []byte(at)}
				w.enterField(name)
				found = find(child, elements[1:], string(w.path))
			}
		}
	case []any:
		for _, i := range e.items(c) {
			found = append(found, find(c[i], elements[1:], fmt.Sprintf("%s[%d]", at, i))...)
		}
	}
	return found
}

// graft puts what live has at a path into content, and takes out what live does
// not have. What that leaves empty goes too: declared, it would be owned as a
// whole. The content is changed.
func graft(content, live any, elements []pathElement) any {
	if len(elements) == 0 {
		return live
	}
	e, deeper := elements[0], elements[1:]
	switch c := content.(type) {
	case map[string]any:
		l, _ := live.(map[string]any)
		child, declared := c[e.text]
		theirs, there := l[e.text]
		if !e.isField(e.text) || !declared && len(deeper) > 0 {
			return content
		}
		empty := isEmpty(child) // it may be changed itself
		after := graft(child, theirs, deeper)
		if last := len(deeper) == 0; last && !there || !last && !empty && isEmpty(after) {
			delete(c, e.text)
		} else {
			c[e.text] = after
		}
	case []any:
		l, _ := live.([]any)
		kept := make([]any, 0, len(c))
		meant, theirs := e.items(c), e.items(l)
		for i, item := range c {
			switch {
			case !slices.Contains(meant, i):
				kept = append(kept, item)
			case len(theirs) > 0:
				kept = append(kept, graft(item, l[theirs[0]], deeper))
			case len(deeper) > 0:
				kept = append(kept, graft(item, nil, deeper))
			}
		}
		return kept
	}
	return content
}

func isEmpty(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	}
	return false
}

// in finds the path among owned fields, and returns its keys of FieldsV1; none
// where it is not owned. Where the API server cannot tell it from its parent,
// or knows the item by other keys, whole says what can be owned.
func (p fieldPath) in(owned map[string]any, live any) (keys []string, whole string) {
	var w walker
	for i, e := range p.elements {
		key := ""
		for _, k := range slices.Sorted(maps.Keys(owned)) {
			if isKey(k, e) {
				key = k
			} else if e.bracket && strings.HasPrefix(k, "k:") {
				length := len(w.path)
				item, found := w.enter(k, live, true)
				if _, ok := e.isItem(item); found && ok { // by fields that are no keys
					whole = string(w.path)
				}
				w.path = w.path[:length]
			}
		}
		if key == "" {
			return nil, whole
		}
		live, _ = w.enter(key, live, true)
		keys = append(keys, key)
		owned, _ = owned[key].(map[string]any)
		if len(owned) == 0 && i < len(p.elements)-1 {
			switch live.(type) {
			case map[string]any, []any:
				if !isEmpty(live) {
					return nil, string(w.path)
				}
			}
			return nil, "" // there is nothing below
		}
	}
	return keys, ""
}

// isKey reports whether a key of FieldsV1 is what the element says.
func isKey(key string, e pathElement) bool {
	if name, ok := strings.CutPrefix(key, "f:"); ok {
		return e.isField(name)
	}
	element, err := fieldpath.DeserializePathElement(key)
	if err != nil || !e.bracket {
		return false
	}
	switch {
	case element.Key != nil:
		keys := e.keys()
		if len(keys) != len(*element.Key) {
			return false
		}
		for _, f := range *element.Key {
			if value, ok := keys[f.Name]; !ok || value != text(f.Value.Unstructured()) {
				return false
			}
		}
		return true
	case element.Value != nil:
		return text((*element.Value).Unstructured()) == e.text
	}
	return false
}
