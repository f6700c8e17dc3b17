package rego

import (
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/util"

	"github.com/pawl-dev/pawl/internal/sealed"
)

// Worker compiles and evaluates policies, in a child.
var Worker = sealed.Worker{Name: "pawl-policy-child", Start: func(parent *sealed.Parent) func(sealed.Message) error {
	return (&child{parent: parent, policies: map[string]*compiled{}}).work
}}

// child has what its parent remembers that it has: policies by ID, and the last
// input, which several policies are asked about.
type child struct {
	parent   *sealed.Parent
	policies map[string]*compiled
	input    struct {
		id    uint64
		value ast.Value
	}
}

func (c *child) work(m sealed.Message) error {
	switch m.Kind {
	case kindCompile:
		return c.compile(m)
	case kindEvaluate:
		return c.evaluate(m)
	case kindTest:
		return c.test(m)
	default:
		return sealed.Unexpected(m)
	}
}

func (c *child) compile(m sealed.Message) error {
	var o compileOrder
	if err := m.Decode(&o); err != nil {
		return err
	}
	made, ok := c.policies[o.ID]
	if !ok {
		var parameters map[string]any
		if err := util.UnmarshalJSON(o.Parameters, &parameters); err != nil {
			return err
		}
		var problems []Problem
		if made, problems = compile(o.Name, o.Files, parameters); made == nil {
			return c.parent.Send(kindCompiled, compileAnswer{Problems: someOf(problems)}, nil)
		}
		c.policies[o.ID] = made
	}
	return c.parent.Send(kindCompiled, compileAnswer{Reads: made.reads}, nil)
}

func (c *child) evaluate(m sealed.Message) error {
	var o evaluateOrder
	if err := m.Decode(&o); err != nil {
		return err
	}
	if len(m.Body) > 0 {
		value, err := readInput(m.Body)
		if err != nil {
			return err
		}
		c.input.id, c.input.value = o.Input, value
	}
	policy, ok := c.policies[o.ID]
	if !ok || c.input.id != o.Input {
		return fmt.Errorf("policy %s or input %d is not here", o.ID, o.Input)
	}
	return c.parent.Send(kindAnswer, policy.evaluate(c.input.value, o.Limits), nil)
}

func (c *child) test(m sealed.Message) error {
	var o testOrder
	if err := m.Decode(&o); err != nil {
		return err
	}
	problems := runTests(o.Name, o.Files, o.Limits, func(r TestResult) error { return c.parent.Send(kindTested, r, nil) })
	return c.parent.Send(kindTestsEnded, testAnswer{someOf(problems)}, nil)
}
