package drift

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/render"
)

// AnnotationIgnore names fields of an object, with commas between them, that are
// left to others once the object was made. It counts only as the release
// declares it.
const AnnotationIgnore = "pawl.dev/ignore"

// Exceptions are declared fields of an object that are left to others. The
// object is made with them, and right after that nobody owns them: they are
// taken out of pawl's entry in managedFields, and from then on out of what is
// applied. The order matters. The API server removes a field that its only
// owner stops to declare; one that nobody owns it keeps.
//
// What nobody owns is in no AppliedDigest, so that whoever writes it causes no
// request, and no other manager ever meets a conflict over it.
type Exceptions struct {
	fields []fieldPath
	whole  []byte // with all that is declared
}

// protected says why a path can be ignored in no object; empty if it may be.
func (p fieldPath) protected() string {
	first := p.elements[0].text
	var second pathElement
	if len(p.elements) > 1 {
		second = p.elements[1]
	}
	switch {
	case first == "status":
		return "is not applied anyway"
	case len(p.elements) == 1:
		return "is a root of the object; name fields below it"
	case first != "metadata":
		return ""
	case second.text == "labels" || second.text == "annotations":
		switch {
		case len(p.elements) == 2:
			return "holds the mark or words of the agent; name single labels and annotations"
		case strings.HasPrefix(p.elements[2].text, "pawl.dev/"):
			return "is a mark or word of the agent, which is never left to others"
		}
	case second.text == "finalizers" || second.text == "ownerReferences":
	default:
		return "says which object it is, or is not applied anyway"
	}
	return ""
}

// ignorable reads a path that may be ignored in some object of a kind.
func ignorable(group, kind, text string) (fieldPath, error) {
	p, err := parseFieldPath(text)
	if err != nil {
		return fieldPath{}, err
	}
	if why := p.protected(); why != "" {
		return fieldPath{}, fmt.Errorf("%s cannot be ignored: it %s", text, why)
	}
	if rest, ok := strings.CutPrefix(text, "stringData"); ok && p.elements[0].text == "stringData" && group == "" && kind == "Secret" {
		return fieldPath{}, fmt.Errorf("%s cannot be ignored: the stringData of a Secret is applied as data; write data%s", text, rest)
	}
	return p, nil
}

// CheckIgnore reports what is wrong with the exceptions of an environment,
// with the field that it is about, such as "[0].fields[1]".
func CheckIgnore(rules []environments.Ignore) (field string, err error) {
	for i, rule := range rules {
		for j, text := range rule.Fields {
			if _, err := ignorable(rule.Group(), rule.Kind, text); err != nil {
				return fmt.Sprintf("[%d].fields[%d]", i, j), err
			}
		}
	}
	return "", nil
}

// Except finds out which fields are left to others, by the rules of an
// environment and the words of the objects, and leaves them out of what is
// applied. images are all that look like images, by object. What asks for
// another thing than is possible is *Rejected, which names no target yet.
func Except(wanted []Wanted, rules []environments.Ignore, images map[ObjectID][]render.Image) error {
	refused := &Rejected{Of: len(wanted)}
	for i := range wanted {
		w := &wanted[i]
		if w.ignore != "" || slices.ContainsFunc(rules, func(r environments.Ignore) bool { return ruleHolds(r, w.ID) }) {
			refused.Problems = append(refused.Problems, w.except(rules, images[w.ID])...)
		}
	}
	if len(refused.Problems) > 0 {
		refused.Sort()
		return refused
	}
	return nil
}

func (w *Wanted) except(rules []environments.Ignore, images []render.Image) []Problem {
	var problems []Problem
	var fields []fieldPath
	refuse := func(field, reason string, values ...any) {
		problems = append(problems, Problem{Object: w.ID, Field: field, Reason: fmt.Sprintf(reason, values...)})
	}
	content, err := contentOf(w.Patch)
	if err != nil {
		refuse("", "cannot be read again: %v", err)
		return problems
	}
	add := func(at, text string, must bool) {
		p, err := ignorable(w.ID.Group, w.ID.Kind, text)
		if err != nil {
			refuse(at, "%v", err)
			return
		}
		found := p.find(content)
		if len(found) == 0 && must {
			refuse(at, "%s is not declared by the object, so that it is left alone anyway; correct it, or take it out", text)
		}
		for _, place := range found {
			i := slices.IndexFunc(images, func(image render.Image) bool { return isBelow(place, image.Field) || isBelow(image.Field, place) })
			switch {
			case i >= 0:
				refuse(at, "%s cannot be ignored: it is or holds an image (%s), and no image runs that was not verified", text, images[i].Field)
				return
			case p.isKeyItself():
				refuse(at, "%s cannot be ignored: items of the list are found by it", text)
				return
			}
		}
		if len(found) > 0 && !slices.ContainsFunc(fields, func(f fieldPath) bool { return f.text == p.text }) {
			fields = append(fields, p)
		}
	}
	if w.ignore != "" {
		at := "metadata.annotations[" + AnnotationIgnore + "]"
		paths, err := parseFieldPaths(w.ignore)
		if err != nil {
			refuse(at, "%v", err)
		}
		for _, p := range paths {
			add(at, p.text, true)
		}
	}
	for _, rule := range rules {
		if !ruleHolds(rule, w.ID) {
			continue
		}
		for _, text := range rule.Fields {
			add(text, text, false)
		}
	}
	if len(problems) > 0 || len(fields) == 0 {
		return problems
	}
	slices.SortFunc(fields, func(a, b fieldPath) int { return strings.Compare(a.text, b.text) })
	exceptions := &Exceptions{fields, w.Patch}
	w.Patch, err = exceptions.over(nil)
	if err != nil {
		refuse("", "cannot be written as JSON: %v", err)
		return problems
	}
	w.Digest, w.Exceptions = digestOf(w.Patch), exceptions
	return nil
}

// isKeyItself reports whether the path is a key of the item that it goes through.
func (p fieldPath) isKeyItself() bool {
	n := len(p.elements)
	if n < 2 || p.elements[n-1].bracket || !p.elements[n-2].bracket {
		return false
	}
	_, ok := p.elements[n-2].keys()[p.elements[n-1].text]
	return ok
}

// ruleHolds reports whether a rule of an environment is about an object.
func ruleHolds(rule environments.Ignore, id ObjectID) bool {
	matches := func(pattern, name string) bool {
		ok, err := path.Match(pattern, name)
		return pattern == "" || ok && err == nil
	}
	return rule.Group() == id.Group && rule.Kind == id.Kind && matches(rule.Name, id.Name) && matches(rule.Namespace, id.Namespace)
}

// isBelow reports whether a field is another one, or below it.
func isBelow(field, other string) bool {
	rest, ok := strings.CutPrefix(field, other)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// Whole is the body of a request that makes the object, with all that is declared.
func (w Wanted) Whole() []byte {
	if w.Exceptions == nil {
		return w.Patch
	}
	return w.Exceptions.whole
}

// Over is the whole body with the live values of the ignored fields: what a dry
// run takes to show what applying would do to this very object.
func (x *Exceptions) Over(live *unstructured.Unstructured) ([]byte, error) {
	return x.over(live.Object)
}

func (x *Exceptions) over(live any) ([]byte, error) {
	content, err := contentOf(x.whole)
	if err != nil {
		return nil, err
	}
	for _, f := range x.fields {
		graft(content, live, f.elements)
	}
	return json.Marshal(content)
}

// Disown is what metadata.managedFields of a live object has to be for the
// ignored fields not to be pawl's; nil if they are not.
func (x *Exceptions) Disown(live *unstructured.Unstructured) []any {
	entries, _, _ := unstructured.NestedSlice(live.Object, "metadata", "managedFields") // a deep copy
	i := slices.IndexFunc(entries, isOwn)
	if i < 0 {
		return nil
	}
	owned, _ := entries[i].(map[string]any)["fieldsV1"].(map[string]any)
	changed := false
	for _, f := range x.fields {
		if keys, _ := f.in(owned, live.Object); len(keys) > 0 {
			take(owned, keys)
			changed = true
		}
	}
	if !changed {
		return nil
	}
	return entries
}

// Uproots reports whether applying the body would remove what live has of the
// ignored fields. The API server removes a map or list that its owner no longer
// declares with all that is in it, save what others own; what nobody owns goes too.
func (x *Exceptions) Uproots(live *unstructured.Unstructured, body []byte) (bool, error) {
	content, err := contentOf(body)
	if err != nil {
		return false, err
	}
	owned, _ := split(live)
	return slices.ContainsFunc(x.fields, func(f fieldPath) bool {
		return len(f.find(live.Object)) > 0 && f.uprooted(owned, content)
	}), nil
}

// uprooted reports whether one of the field's parents is owned and not in content.
func (p fieldPath) uprooted(owned map[string]any, content any) bool {
	for _, e := range p.elements[:len(p.elements)-1] {
		key := ""
		for k := range owned {
			if isKey(k, e) {
				key = k
			}
		}
		if key == "" {
			return false
		}
		owned, _ = owned[key].(map[string]any)
		var child any
		switch c := content.(type) {
		case map[string]any:
			child = c[e.text]
		case []any:
			if i := e.items(c); len(i) > 0 {
				child = c[i[0]]
			}
		}
		if child == nil {
			return true
		}
		content = child
	}
	return false
}

// Problems says which of the fields cannot be left to others by themselves,
// by an answer to applying them: lists and maps that the API server keeps as
// one value.
func (x *Exceptions) Problems(id ObjectID, answer *unstructured.Unstructured) []Problem {
	owned, _ := split(answer)
	var problems []Problem
	for _, f := range x.fields {
		if _, whole := f.in(owned, answer.Object); whole != "" {
			problems = append(problems, Problem{Object: id, Field: f.text, Reason: fmt.Sprintf("cannot be ignored: the API server knows it as %s; name that", whole)})
		}
	}
	return problems
}

func contentOf(body []byte) (map[string]any, error) {
	o := &unstructured.Unstructured{}
	if err := o.UnmarshalJSON(body); err != nil {
		return nil, err
	}
	return o.Object, nil
}
