// Package expression compiles and evaluates the CEL that the owners of a config
// repo may write: conditions on attestations and health checks. Nothing in it
// knows a clock, chance or the world.
package expression

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/cel-go/cel"
)

// Bounds of all expressions.
const (
	MaxLength     = 4096
	maxDepth      = 64
	interruptions = 1000 // iterations between two looks at the time
)

// Language is what expressions may say, and what evaluating one may take.
type Language struct {
	// Over is what expressions are about, and Example one of them, for errors.
	Over, Example string
	Variables     []string
	// Options are added to CEL's standard library.
	Options []cel.EnvOption
	// Cost is counted and is the same on every machine, so that what is said does
	// not depend on how busy this one is; Time is for what is costlier than counted.
	Cost uint64
	Time time.Duration

	once   sync.Once
	env    *cel.Env
	failed error
}

// Expression is a compiled expression.
type Expression struct {
	language *Language
	program  cel.Program
}

func (l *Language) setUp() {
	options := append([]cel.EnvOption{
		cel.CrossTypeNumericComparisons(true),
		cel.ParserRecursionLimit(maxDepth),
		cel.ParserExpressionSizeLimit(MaxLength),
	}, l.Options...)
	for _, v := range l.Variables {
		options = append(options, cel.Variable(v, cel.DynType))
	}
	l.env, l.failed = cel.NewEnv(options...)
}

// Compile makes an expression of the given type out of a text.
func (l *Language) Compile(text string, want *cel.Type) (Expression, error) {
	switch {
	case strings.TrimSpace(text) == "":
		return Expression{}, fmt.Errorf("is empty; write a CEL expression, as in %q", l.Example)
	case len(text) > MaxLength:
		return Expression{}, fmt.Errorf("is %d bytes long; at most %d are accepted", len(text), MaxLength)
	}
	l.once.Do(l.setUp)
	if l.failed != nil {
		return Expression{}, fmt.Errorf("CEL cannot be set up: %w", l.failed)
	}
	ast, issues := l.env.Compile(text)
	if err := issues.Err(); err != nil {
		return Expression{}, fmt.Errorf("%.200q is no CEL expression over %s: %w", text, l.Over, err)
	}
	if t := ast.OutputType(); !t.IsExactType(want) && !t.IsExactType(cel.DynType) {
		return Expression{}, fmt.Errorf("%.200q is of type %s; it must be of type %s", text, t, want)
	}
	program, err := l.env.Program(ast,
		cel.EvalOptions(cel.OptOptimize),
		cel.CostLimit(l.Cost),
		cel.InterruptCheckFrequency(interruptions),
	)
	if err != nil {
		return Expression{}, fmt.Errorf("%.200q cannot be evaluated: %w", text, err)
	}
	return Expression{l, program}, nil
}

// Evaluate returns the value of an expression. What went wrong is told in a few
// words, because values of strangers can stand in it.
func Evaluate[T any](e Expression, variables map[string]any) (value T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("evaluating it failed")
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), e.language.Time)
	defer cancel()
	result, _, err := e.program.ContextEval(ctx, variables)
	if err != nil {
		return value, fmt.Errorf("%.160s", err.Error())
	}
	value, ok := result.Value().(T)
	if !ok {
		return value, fmt.Errorf("it is a %s, not a %T", result.Type().TypeName(), value)
	}
	return value, nil
}
