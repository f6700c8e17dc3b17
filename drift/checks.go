package drift

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/google/cel-go/cel"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/internal/expression"
	"github.com/pawl-dev/pawl/policies"
)

// HealthChecks are health checks by kind. The zero value has none.
type HealthChecks struct {
	written []environments.HealthCheck
	byKind  map[schema.GroupKind]*HealthCheck
	digest  Digest
}

// HealthCheck tells the health of the objects of one kind by expressions.
type HealthCheck struct {
	digest     Digest
	inProgress *expression.Expression
	failed     *expression.Expression
	current    *expression.Expression
	message    *expression.Expression
}

// NewHealthChecks compiles what pawl.yaml says of health. An error comes with
// the field that it is about, such as "[0].current".
func NewHealthChecks(list []environments.HealthCheck) (checks HealthChecks, field string, err error) {
	if len(list) == 0 {
		return HealthChecks{}, "", nil
	}
	checks.written = slices.Clone(list)
	checks.byKind = make(map[schema.GroupKind]*HealthCheck, len(list))
	all := ""
	for i, h := range list {
		text := fmt.Sprintf("%q %q %q %q %q %q", h.Group(), h.Kind, h.InProgress, h.Failed, h.Current, h.Message)
		check := &HealthCheck{digest: DigestOf(text)}
		for _, e := range []struct {
			name, text string
			kind       *cel.Type
			into       **expression.Expression
		}{
			{"inProgress", h.InProgress, cel.BoolType, &check.inProgress},
			{"failed", h.Failed, cel.BoolType, &check.failed},
			{"current", h.Current, cel.BoolType, &check.current},
			{"message", h.Message, cel.StringType, &check.message},
		} {
			if e.text == "" && e.name != "current" {
				continue
			}
			compiled, err := overObjects.Compile(e.text, e.kind)
			if err != nil {
				return HealthChecks{}, fmt.Sprintf("[%d].%s", i, e.name), err
			}
			*e.into = &compiled
		}
		checks.byKind[schema.GroupKind{Group: h.Group(), Kind: h.Kind}] = check
		all += text + "\n"
	}
	checks.digest = DigestOf(all)
	return checks, "", nil
}

// Digest tells checks apart; that of none is empty.
func (c HealthChecks) Digest() Digest { return c.digest }

// Equal reports whether both say the same.
func (c HealthChecks) Equal(other HealthChecks) bool { return c.digest == other.digest }

// For is the check for the kind of an object; nil where there is none.
func (c HealthChecks) For(id ObjectID) *HealthCheck {
	return c.byKind[schema.GroupKind{Group: id.Group, Kind: id.Kind}]
}

// Digest tells a check apart from another one; that of nil is empty.
func (h *HealthCheck) Digest() Digest {
	if h == nil {
		return ""
	}
	return h.digest
}

//go:embed health.yaml
var shippedHealth []byte

// shipped are the checks for kinds that many clusters have and whose status
// does not follow the conventions that kstatus reads.
var shipped = sync.OnceValue(func() HealthChecks {
	var list []environments.HealthCheck
	if err := yaml.UnmarshalStrict(shippedHealth, &list); err != nil {
		panic(fmt.Sprintf("health.yaml: %v", err))
	}
	checks, field, err := NewHealthChecks(list)
	if err != nil {
		panic(fmt.Sprintf("health.yaml: %s: %v", field, err))
	}
	return checks
})

// assess asks in the order of Flux's healthCheckExprs. What cannot be told is
// progressing.
func (h *HealthCheck) assess(obj *unstructured.Unstructured) (HealthStatus, string) {
	if message, behind := behind(obj); behind {
		return Progressing, message
	}
	for _, ask := range []struct {
		name string
		is   *expression.Expression
		then HealthStatus
	}{
		{"inProgress", h.inProgress, Progressing},
		{"failed", h.failed, Failed},
		{"current", h.current, Current},
	} {
		if ask.is == nil {
			continue
		}
		holds, err := evaluate[bool](*ask.is, obj.Object)
		switch {
		case err != nil && len(statusOf(obj)) == 0:
			return Progressing, "has no status yet"
		case err != nil:
			return Progressing, fmt.Sprintf("whether it is %s cannot be told yet: %v", inCheck[ask.name], err)
		case holds:
			return ask.then, h.messageOf(obj)
		}
	}
	return Progressing, h.messageOf(obj)
}

// inCheck is what the expressions ask, in words.
var inCheck = map[string]string{"inProgress": "in progress", "failed": "failed", "current": "current"}

// maxHealthMessage bounds what an object may say in reports.
const maxHealthMessage = 1000

func (h *HealthCheck) messageOf(obj *unstructured.Unstructured) string {
	if h.message != nil {
		if text, err := evaluate[string](*h.message, obj.Object); err == nil && strings.TrimSpace(text) != "" {
			return policies.Clip(strings.TrimSpace(text), maxHealthMessage)
		}
	}
	return policies.Clip(saidBy(obj), maxHealthMessage)
}

// saidBy is what an object's status says for people: its own message, else
// that of the first condition that does not hold, else its phase.
func saidBy(obj *unstructured.Unstructured) string {
	status := statusOf(obj)
	phase, _ := status["phase"].(string)
	if message, _ := status["message"].(string); message != "" {
		if phase != "" && !strings.Contains(message, phase) {
			return phase + ": " + message
		}
		return message
	}
	list, _, _ := unstructured.NestedSlice(obj.Object, "status", "conditions")
	for _, item := range list {
		c := conditionFrom(item)
		if c.message == "" || c.status == "True" && phase == "" {
			continue
		}
		if phase != "" && !strings.Contains(c.message, phase) {
			return phase + ": " + c.message
		}
		return c.message
	}
	if phase != "" {
		return "is " + phase
	}
	return "is not ready yet"
}

func statusOf(obj *unstructured.Unstructured) map[string]any {
	status, _ := obj.Object["status"].(map[string]any)
	return status
}

// behind reports whether the status of an object is that of an earlier spec.
// Argo Rollouts writes the generation that it saw as a text.
func behind(obj *unstructured.Unstructured) (string, bool) {
	var seen int64
	switch v := statusOf(obj)["observedGeneration"].(type) {
	case int64:
		seen = v
	case float64:
		seen = int64(v)
	case string:
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return "", false // a hash, of its earliest versions
		}
		seen = n
	default:
		return "", false
	}
	if seen >= obj.GetGeneration() {
		return "", false
	}
	return fmt.Sprintf("%s generation is %d, but latest observed generation is %d", obj.GetKind(), obj.GetGeneration(), seen), true
}
