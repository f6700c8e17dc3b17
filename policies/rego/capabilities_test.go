package rego_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/pawl-dev/pawl/policies/rego"
)

// catalogue 123
func TestNoFunctionReachesOutOrDiffersBetweenRuns(t *testing.T) {
	t.Parallel()
	there := rego.Builtins()
	if there.AllowNet == nil || len(there.AllowNet) > 0 {
		t.Errorf("hosts that may be asked: %v", there.AllowNet)
	}
	if len(there.Builtins) < 100 {
		t.Fatalf("only %d functions are there", len(there.Builtins))
	}
	for _, b := range there.Builtins {
		if b.IsDeprecated() || b.Nondeterministic {
			t.Errorf("%s is there", b.Name)
		}
		for _, word := range []string{"http", "lookup", "runtime", "now", "rand", "rfc4122", "_sign", "verify", "schema", "parse_module", "trace", "private", "range_expand"} {
			if strings.Contains(b.Name, word) {
				t.Errorf("%s is there", b.Name)
			}
		}
	}
}

// Whoever uses a function of OPA that policies do not have learns why. A new
// version of OPA brings functions that are to be looked at.
func TestEveryFunctionOfOPAIsThereOrWithheldForAReason(t *testing.T) {
	t.Parallel()
	there := rego.Builtins()
	listed := 0
	for _, b := range ast.Builtins {
		has := slices.ContainsFunc(there.Builtins, func(t *ast.Builtin) bool { return t.Name == b.Name })
		if has {
			listed++
		} else if !b.IsDeprecated() && rego.WhyWithheld(b.Name) == "" && b.Name != "internal.test_case" {
			t.Errorf("%s is neither there nor withheld", b.Name)
		}
	}
	if listed != len(there.Builtins) {
		t.Errorf("%d are listed and %d are there", listed, len(there.Builtins))
	}
}
