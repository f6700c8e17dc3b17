package rego

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	opa "github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/pawl-dev/pawl/policies"
)

// Limits bound the evaluation of one policy. A field that is zero is the default.
type Limits struct {
	// Time is how long it may take; 5 s by default.
	Time time.Duration
	// Memory is by how many bytes the memory in use may grow meanwhile, whoever
	// uses it; 256 MiB by default.
	Memory uint64
}

const (
	defaultTime   = 5 * time.Second
	defaultMemory = 256 << 20
	// grace is how long an evaluation that was told to stop may take to do so.
	grace = 2 * time.Second
)

// Evaluate says what the policy has to say of a release. Where there is no
// clear answer, whatever the reason, the result has a Problem, which denies.
func (p *Policy) Evaluate(ctx context.Context, input Input, limits Limits) policies.PolicyResult {
	within := cmp.Or(limits.Time, defaultTime)
	if input.value == nil {
		return p.problem("there is no input to judge")
	}
	if p.lost.Load() > 0 {
		return p.problem("an earlier evaluation was to stop and still runs; it is not started again beside it")
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ctx, stop := context.WithTimeoutCause(ctx, within, fmt.Errorf("took longer than %s and was stopped", within))
	defer stop()
	go watchMemory(ctx, cmp.Or(limits.Memory, defaultMemory), cancel)

	done := make(chan policies.PolicyResult, 1)
	go func() { done <- p.evaluate(ctx, input) }()
	select {
	case result := <-done:
		return result
	case <-ctx.Done():
	}
	patience := time.NewTimer(grace)
	defer patience.Stop()
	select {
	case result := <-done:
		return result
	case <-patience.C: // a function of OPA that cannot be stopped
		p.lost.Add(1)
		go func() { <-done; p.lost.Add(-1) }()
		return p.problem(context.Cause(ctx).Error())
	}
}

func (p *Policy) evaluate(ctx context.Context, input Input) (result policies.PolicyResult) {
	defer func() {
		if r := recover(); r != nil {
			result = p.problem(fmt.Sprintf("the evaluation of Rego failed: %v", r))
		}
	}()
	results, err := p.query.Eval(withLedger(ctx), opa.EvalParsedInput(input.value))
	switch {
	case ctx.Err() != nil:
		return p.problem(context.Cause(ctx).Error())
	case err != nil:
		return p.problem(evaluationError(err))
	}
	if len(results) != 1 || len(results[0].Expressions) != 1 {
		return p.problem("the rules have no value")
	}
	term, ok := results[0].Expressions[0].Value.(*ast.Term)
	if !ok {
		return p.problem("the rules have no value")
	}
	values, ok := term.Value.(*ast.Array)
	if !ok || values.Len() != len(p.rules) {
		return p.problem("the rules have no value")
	}
	return p.result(values)
}

// result reads the value of each rule, in a list that is empty if the rule is
// undefined.
func (p *Policy) result(values *ast.Array) policies.PolicyResult {
	result := policies.PolicyResult{Policy: p.name}
	for i, r := range p.rules {
		value, ok := values.Elem(i).Value.(*ast.Array)
		if !ok || value.Len() != 1 {
			return p.problem(fmt.Sprintf("%s is undefined, which is no answer; write: %s contains msg if { … }", r.name, r.name))
		}
		said, problem := messages(r.name, value.Elem(0).Value)
		if problem != "" {
			return p.problem(problem)
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

func (p *Policy) problem(text string) policies.PolicyResult {
	return policies.PolicyResult{Policy: p.name, Problem: text}
}

// evaluationError is an error of OPA with its place: "pods.rego:7: …".
func evaluationError(err error) string {
	var e *topdown.Error
	if !errors.As(err, &e) {
		return clip(err.Error(), textLimit)
	}
	text, _, _ := strings.Cut(e.Message, "\n") // values follow on more lines
	return problemAt(e.Location, "%s", clip(strings.TrimSuffix(text, ":"), textLimit)).String()
}
