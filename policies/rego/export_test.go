package rego

import "github.com/open-policy-agent/opa/v1/ast"

// JSON is an input as its JSON has it.
func JSON(in Input) any {
	content, err := ast.JSON(in.value)
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

// Estimated reports whether it is known how much a function makes.
func Estimated(name string) bool { _, ok := makes[name]; return ok }
