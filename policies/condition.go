package policies

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/cel-go/cel"
)

// condition is a compiled CEL expression over a predicate.
type condition struct {
	expression string
	program    cel.Program
}

// Bounds of conditions, which the owners of the config repo may write. The
// cost is counted and is the same on every machine, so that a verdict does not
// depend on how busy this one is; the time is for what is costlier than counted.
const (
	maxCondition     = 4096
	maxConditionCost = 1_000_000
	maxConditionTime = 10 * time.Second
)

// conditionEnv has CEL's standard library only: nothing in it knows a clock,
// chance or the world.
var conditionEnv = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		cel.Variable("predicate", cel.DynType),
		cel.CrossTypeNumericComparisons(true),
		cel.ParserRecursionLimit(64),
		cel.ParserExpressionSizeLimit(maxCondition),
	)
})

func compileCondition(expression string) (condition, error) {
	switch {
	case strings.TrimSpace(expression) == "":
		return condition{}, errors.New("is empty; write a CEL expression, as in \"predicate.review.approved == true\"")
	case len(expression) > maxCondition:
		return condition{}, fmt.Errorf("is %d bytes long; at most %d are accepted", len(expression), maxCondition)
	}
	env, err := conditionEnv()
	if err != nil {
		return condition{}, fmt.Errorf("CEL cannot be set up: %w", err)
	}
	ast, issues := env.Compile(expression)
	if err := issues.Err(); err != nil {
		return condition{}, fmt.Errorf("%q is no CEL expression over \"predicate\": %w", clip(expression, 200), err)
	}
	if t := ast.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return condition{}, fmt.Errorf("%q is of type %s; a condition is true or false", clip(expression, 200), t)
	}
	program, err := env.Program(ast,
		cel.EvalOptions(cel.OptOptimize),
		cel.CostLimit(maxConditionCost),
		cel.InterruptCheckFrequency(1000),
	)
	if err != nil {
		return condition{}, fmt.Errorf("%q cannot be evaluated: %w", clip(expression, 200), err)
	}
	return condition{expression, program}, nil
}

// unmet says why the condition is not true; empty if it is.
func (c condition) unmet(predicate any) (cause string) {
	defer func() {
		if p := recover(); p != nil {
			cause = fmt.Sprintf("%s cannot be told: evaluating it failed", clip(c.expression, 200))
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), maxConditionTime)
	defer cancel()
	value, _, err := c.program.ContextEval(ctx, map[string]any{"predicate": predicate})
	if err != nil {
		return fmt.Sprintf("%s cannot be told: %s", clip(c.expression, 200), clip(err.Error(), 160))
	}
	switch met, isBool := value.Value().(bool); {
	case !isBool:
		return fmt.Sprintf("%s is a %s, and neither true nor false", clip(c.expression, 200), value.Type().TypeName())
	case !met:
		return fmt.Sprintf("%s is false", clip(c.expression, 200))
	}
	return ""
}
