package rego

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	opa "github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/pawl-dev/pawl/policies"
)

// evaluate says what a policy has to say of an input, within limits, as far as
// OPA can be stopped; where it cannot, the process is.
func (c *compiled) evaluate(input ast.Value, limits Limits) policies.PolicyResult {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	ctx, stop := context.WithTimeoutCause(ctx, limits.Time, errors.New(limits.late()))
	defer stop()
	go watchMemory(ctx, limits, cancel)
	return c.ask(ctx, input)
}

func (c *compiled) ask(ctx context.Context, input ast.Value) (result policies.PolicyResult) {
	defer func() {
		if r := recover(); r != nil {
			result = problem(fmt.Sprintf("the evaluation of Rego failed: %v", r))
		}
	}()
	results, err := c.query.Eval(ctx, opa.EvalParsedInput(input))
	switch {
	case ctx.Err() != nil:
		return problem(context.Cause(ctx).Error())
	case err != nil:
		return problem(evaluationError(err))
	}
	if len(results) != 1 || len(results[0].Expressions) != 1 {
		return problem("the rules have no value")
	}
	term, ok := results[0].Expressions[0].Value.(*ast.Term)
	if !ok {
		return problem("the rules have no value")
	}
	values, ok := term.Value.(*ast.Array)
	if !ok || values.Len() != len(c.rules) {
		return problem("the rules have no value")
	}
	return c.result(values)
}

// result reads the value of each rule, in a list that is empty if the rule is
// undefined.
func (c *compiled) result(values *ast.Array) policies.PolicyResult {
	var result policies.PolicyResult
	for i, r := range c.rules {
		value, ok := values.Elem(i).Value.(*ast.Array)
		if !ok || value.Len() != 1 {
			return problem(fmt.Sprintf("%s is undefined, which is no answer; write: %s contains msg if { … }", r.name, r.name))
		}
		said, wrong := messages(r.name, value.Elem(0).Value)
		if wrong != "" {
			return problem(wrong)
		}
		if r.warn {
			result.Warned = append(result.Warned, said...)
		} else {
			result.Denied = append(result.Denied, said...)
		}
	}
	result.Denied, result.Warned = few(result.Denied), few(result.Warned)
	return result
}

// few bounds the messages of all rules together.
func few(said []policies.PolicyMessage) []policies.PolicyMessage {
	if len(said) <= messagesLimit+1 {
		return said
	}
	more := policies.PolicyMessage{Rule: said[messagesLimit].Rule, Text: fmt.Sprintf("and %d more", len(said)-messagesLimit)}
	return append(said[:messagesLimit:messagesLimit], more)
}

func problem(text string) policies.PolicyResult { return policies.PolicyResult{Problem: text} }

// evaluationError is an error of OPA with its place: "pods.rego:7: …".
func evaluationError(err error) string {
	var e *topdown.Error
	if !errors.As(err, &e) {
		return clip(err.Error(), textLimit)
	}
	text, _, _ := strings.Cut(e.Message, "\n") // values follow on more lines
	return problemAt(e.Location, "%s", clip(strings.TrimSuffix(text, ":"), textLimit)).String()
}
