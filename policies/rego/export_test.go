package rego

import (
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
)

// JSON is an input as policies see it.
func JSON(in Input) any {
	value, err := readInput(in.text)
	if err != nil {
		panic(err)
	}
	content, err := ast.JSON(value)
	if err != nil {
		panic(err)
	}
	return content
}

// Messages is the decoding of what a rule holds.
var Messages = messages

// Builtins are the functions that policies have.
func Builtins() *ast.Capabilities { return capabilities() }

// WhyWithheld says why a function is not there.
var WhyWithheld = whyWithheld

// CompileHere compiles in this process, which is a child's alone.
func CompileHere(files map[string][]byte) []Problem {
	_, problems := compile("sample", files, nil)
	return problems
}

// CompileWithin bounds compiling in a pool.
func (p *Pool) CompileWithin(d time.Duration) { p.compile = d }
