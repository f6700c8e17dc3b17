package drift

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/cel-go/cel"
)

// expression is a compiled CEL expression over an object.
type expression struct {
	text    string
	program cel.Program
}

// Bounds of expressions, which the owners of the config repo may write, and
// which run with every change of an object. The cost is counted and is the same
// on every machine; the time is for what is costlier than counted.
const (
	maxExpression     = 4096
	maxExpressionCost = 200_000
	maxExpressionTime = time.Second
)

// topLevel are the fields of an object that expressions may name without
// "object." before them. Not all kinds have all of them.
var topLevel = []string{"apiVersion", "kind", "metadata", "spec", "status"}

// expressionEnv has CEL's standard library and its optional values only:
// nothing in it knows a clock, chance or the world, or costs more than is counted.
var expressionEnv = sync.OnceValues(func() (*cel.Env, error) {
	options := []cel.EnvOption{
		cel.Variable("object", cel.DynType),
		cel.CrossTypeNumericComparisons(true),
		cel.OptionalTypes(),
		cel.ParserRecursionLimit(64),
		cel.ParserExpressionSizeLimit(maxExpression),
	}
	for _, f := range topLevel {
		options = append(options, cel.Variable(f, cel.DynType))
	}
	return cel.NewEnv(options...)
})

// compile makes an expression of the given type out of a text.
func compile(text string, want *cel.Type) (expression, error) {
	switch {
	case strings.TrimSpace(text) == "":
		return expression{}, errors.New("is empty; write a CEL expression, as in \"status.phase == 'Running'\"")
	case len(text) > maxExpression:
		return expression{}, fmt.Errorf("is %d bytes long; at most %d are accepted", len(text), maxExpression)
	}
	env, err := expressionEnv()
	if err != nil {
		return expression{}, fmt.Errorf("CEL cannot be set up: %w", err)
	}
	ast, issues := env.Compile(text)
	if err := issues.Err(); err != nil {
		return expression{}, fmt.Errorf("%q is no CEL expression over an object (known are %s and object): %w", clip(text, 200), strings.Join(topLevel, ", "), err)
	}
	if t := ast.OutputType(); !t.IsExactType(want) && !t.IsExactType(cel.DynType) {
		return expression{}, fmt.Errorf("%q is of type %s; it must be of type %s", clip(text, 200), t, want)
	}
	program, err := env.Program(ast,
		cel.EvalOptions(cel.OptOptimize),
		cel.CostLimit(maxExpressionCost),
		cel.InterruptCheckFrequency(1000),
	)
	if err != nil {
		return expression{}, fmt.Errorf("%q cannot be evaluated: %w", clip(text, 200), err)
	}
	return expression{text, program}, nil
}

// evaluate returns the value of an expression for an object.
func evaluate[T any](e expression, object map[string]any) (value T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("evaluating it failed")
		}
	}()
	variables := map[string]any{"object": object}
	for _, f := range topLevel {
		if v, ok := object[f]; ok {
			variables[f] = v
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), maxExpressionTime)
	defer cancel()
	result, _, err := e.program.ContextEval(ctx, variables)
	if err != nil {
		return value, errors.New(clip(err.Error(), 160))
	}
	value, ok := result.Value().(T)
	if !ok {
		return value, fmt.Errorf("it is a %s, not a %T", result.Type().TypeName(), value)
	}
	return value, nil
}
