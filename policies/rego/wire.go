package rego

import (
	"encoding/json"

	"github.com/pawl-dev/pawl/internal/sealed"
	"github.com/pawl-dev/pawl/policies"
)

const (
	kindCompile  sealed.Kind = iota + 1 // parent
	kindCompiled                        // child
	kindEvaluate                        // parent; the body has the input, unless the child has it
	kindAnswer                          // child
	kindTest                            // parent
	kindTested                          // child: one test has ended
	kindTestsEnded
)

// answerLimit bounds what a child says at once. A policy's files are the most
// that it could quote.
const answerLimit = 16 << 20

type compileOrder struct {
	Name, ID   string
	Files      map[string][]byte
	Parameters json.RawMessage
}

type compileAnswer struct {
	Problems []Problem  `json:",omitempty"` // why it cannot be used
	Reads    [][]string `json:",omitempty"`
}

type evaluateOrder struct {
	ID     string // of a policy that the child has compiled
	Input  uint64
	Limits Limits
}

type testOrder struct {
	Name   string
	Files  map[string][]byte
	Limits Limits
}

type testAnswer struct {
	Problems []Problem `json:",omitempty"`
}

const (
	problemsKept = 1000   // of a policy that are told
	problemLimit = 2000   // characters of one
	maxTests     = 10_000 // of a policy
)

func someOf(problems []Problem) []Problem { return problems[:min(len(problems), problemsKept)] }

func boundedProblems(problems []Problem) []Problem {
	problems = someOf(problems)
	for i, p := range problems {
		problems[i] = Problem{File: clip(p.File, nameLimit), Line: p.Line, Text: clip(p.Text, problemLimit)}
	}
	return problems
}

// boundedResult holds a child's answer to the bounds that it is to keep itself.
func boundedResult(policy string, r policies.PolicyResult) policies.PolicyResult {
	if r.Problem != "" {
		return policies.PolicyResult{Policy: policy, Problem: clip(r.Problem, textLimit)}
	}
	return policies.PolicyResult{Policy: policy, Denied: boundedMessages(r.Denied), Warned: boundedMessages(r.Warned)}
}

func boundedMessages(said []policies.PolicyMessage) []policies.PolicyMessage {
	said = few(said)
	for i, m := range said {
		said[i] = policies.PolicyMessage{
			Rule: clip(m.Rule, nameLimit), Text: clip(m.Text, textLimit), Object: clip(m.Object, nameLimit), Image: clip(m.Image, nameLimit),
		}
	}
	return said
}
