package drift

import (
	"strings"
	"time"

	"github.com/google/cel-go/cel"

	"github.com/pawl-dev/pawl/internal/expression"
)

// topLevel are the fields of an object that expressions may name without
// "object." before them. Not all kinds have all of them.
var topLevel = []string{"apiVersion", "kind", "metadata", "spec", "status"}

// maxCheckCost is low because health checks run with every change of an object.
const maxCheckCost = 200_000

// overObjects is CEL's standard language with its optional values.
var overObjects = &expression.Language{
	Over:      "an object (known are " + strings.Join(topLevel, ", ") + " and object)",
	Example:   "status.phase == 'Running'",
	Variables: append([]string{"object"}, topLevel...),
	Options:   []cel.EnvOption{cel.OptionalTypes()},
	Cost:      maxCheckCost, Time: time.Second,
}

// evaluate returns the value of an expression for an object.
func evaluate[T any](e expression.Expression, object map[string]any) (T, error) {
	variables := map[string]any{"object": object}
	for _, f := range topLevel {
		if v, ok := object[f]; ok {
			variables[f] = v
		}
	}
	return expression.Evaluate[T](e, variables)
}
