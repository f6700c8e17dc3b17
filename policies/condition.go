package policies

import (
	"fmt"
	"time"

	"github.com/google/cel-go/cel"

	"github.com/pawl-dev/pawl/internal/expression"
)

// maxConditionCost lets a condition look at every part of a long predicate once.
const maxConditionCost = 1_000_000

// conditions are in CEL's standard language, over a predicate.
var conditions = &expression.Language{
	Over: `"predicate"`, Example: "predicate.review.approved == true", Variables: []string{"predicate"},
	Cost: maxConditionCost, Time: 10 * time.Second,
}

// condition is a compiled CEL expression over a predicate.
type condition struct {
	text     string
	compiled expression.Expression
}

func compileCondition(text string) (condition, error) {
	compiled, err := conditions.Compile(text, cel.BoolType)
	return condition{text, compiled}, err
}

// unmet says why the condition is not true; empty if it is.
func (c condition) unmet(predicate any) (cause string) {
	switch met, err := expression.Evaluate[bool](c.compiled, map[string]any{"predicate": predicate}); {
	case err != nil:
		return fmt.Sprintf("%s cannot be told: %v", Clip(c.text, 200), err)
	case !met:
		return fmt.Sprintf("%s is false", Clip(c.text, 200))
	}
	return ""
}
