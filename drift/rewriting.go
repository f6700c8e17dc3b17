package drift

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Rewriting is what is told of fields that admission changed on the way in, so
// that they are not what was declared. From is what they became, To what was
// declared.
type Rewriting struct{ Changes []Change }

func (e *Rewriting) Error() string {
	const named = 3
	var fields []string
	for i, c := range e.Changes {
		if i == named {
			fields = append(fields, fmt.Sprintf("%d more", len(e.Changes)-named))
			break
		}
		if c.From == "" && c.To == "" { // of a Secret
			fields = append(fields, c.Path+" is not as declared")
			continue
		}
		fields = append(fields, fmt.Sprintf("%s is declared as %s and became %s", c.Path, brief(c.To), brief(c.From)))
	}
	return strings.Join(fields, ", ") + "; changed by an admission webhook or policy when it was applied. Exempt the object from that, or commit the value that it is to have"
}

// brief is a value as it fits into a sentence.
func brief(value string) string {
	const shown = 60
	if value == "" {
		return "nothing"
	}
	if runes := []rune(value); len(runes) > shown {
		return string(runes[:shown]) + "…"
	}
	return value
}

// RewrittenFields finds the fields that were declared and that an answer to
// applying them has otherwise. managedFields are of no help: they are made
// before admission, and go on calling such a field pawl's.
//
// No schema is asked. So whatever may be the API server's own way of writing a
// value, or its default for an empty one, is none, nor is what was added.
func RewrittenFields(declared, answer *unstructured.Unstructured) []Change {
	own, others := split(answer)
	want := walker{lenient: true}
	want.walk(own, others, declared.Object, true)
	secret := isSecret(answer)
	var changes []Change
	for i, got := range valuesOf(own, others, answer.Object) { // the same fields in the same order
		to := want.found[i]
		if !to.present || holds(to, got) {
			continue
		}
		change := Change{Path: got.path, From: text(got.value), To: text(to.value)}
		if secret {
			change.From, change.To = "", ""
		}
		changes = append(changes, change)
	}
	return changes
}

func holds(declared, answered field) bool {
	switch {
	case !answered.present:
		return !lasts(declared.value)
	case text(declared.value) == "0" && strings.HasSuffix(declared.path, "eplicas"):
		return text(answered.value) == "0" // none is as good a number as others
	}
	return keeps(declared.value, answered.value)
}

// lasts reports whether the API server surely keeps a value. It leaves out
// empty ones, and numbers and flags that belong to what is not switched on.
func lasts(value any) bool {
	s, ok := value.(string)
	return ok && s != ""
}

// keeps reports whether a value may be all that the API server itself made of a
// declared one.
func keeps(declared, answered any) bool {
	switch d := declared.(type) {
	case map[string]any:
		a, ok := answered.(map[string]any)
		if !ok {
			return true
		}
		for key, value := range d {
			if got, there := a[key]; there && !keeps(value, got) || !there && lasts(value) {
				return false
			}
		}
		return true
	case []any:
		a, ok := answered.([]any)
		if !ok {
			return true
		}
		kept := 0
		for _, item := range a { // others may be added anywhere
			if kept < len(d) && keeps(d[kept], item) {
				kept++
			}
		}
		return kept == len(d)
	}
	switch answered.(type) {
	case map[string]any, []any, exists, nil:
		return true
	}
	return sameText(text(declared), text(answered))
}

// quantity is the form of those that are compared: exponents of more digits
// take long, and nobody means them.
var quantity = regexp.MustCompile(`^[+-]?[0-9.]{1,30}([eE][+-]?[0-9]{1,2}|[numkKMGTPE]i?)?$`)

// sameText compares two texts, or values written as such, as what they may
// mean: the API server writes quantities, times and durations in its own way,
// and base64 without line breaks. An image is its digest, from whatever mirror.
func sameText(declared, answered string) bool {
	switch declared {
	case answered, "", "0", "{…}": // 0 may be read as not set
		return true
	}
	if quantity.MatchString(declared) && quantity.MatchString(answered) {
		d, err1 := resource.ParseQuantity(declared)
		a, err2 := resource.ParseQuantity(answered)
		return err1 == nil && err2 == nil && d.Cmp(a) == 0
	}
	if d, err := time.ParseDuration(declared); err == nil {
		a, err := time.ParseDuration(answered)
		return err == nil && a == d
	}
	if d, err := time.Parse(time.RFC3339, declared); err == nil {
		a, err := time.Parse(time.RFC3339, answered)
		return err == nil && a.Truncate(time.Second).Equal(d.Truncate(time.Second))
	}
	_, want, pinned := strings.Cut(declared, "@sha256:")
	if _, got, ok := strings.Cut(answered, "@sha256:"); pinned && ok && got == want {
		return true
	}
	return strings.Join(strings.Fields(declared), "") == strings.Join(strings.Fields(answered), "")
}
