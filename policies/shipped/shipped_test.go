package shipped_test

import (
	"strings"
	"testing"

	"github.com/pawl-dev/pawl/policies/rego"
	"github.com/pawl-dev/pawl/policies/shipped"
)

// parameters are what the policies need to be used.
var parameters = map[string]map[string]any{"allowed-registries": {"registries": []any{"ghcr.io/acme"}}}

func TestEachPolicyPassesItsTests(t *testing.T) {
	t.Parallel()
	if len(shipped.Names()) < 4 {
		t.Fatalf("there are only %v", shipped.Names())
	}
	for _, name := range shipped.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files, err := shipped.Files(name)
			if err != nil {
				t.Fatal(err)
			}
			results, err := pool.Test(t.Context(), name, files, rego.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if len(results) < 6 {
				t.Errorf("it has only %d tests", len(results))
			}
			for _, r := range results {
				if r.Outcome != rego.Passed {
					t.Errorf("%s:%d: %s: %s: %s\n%s", r.File, r.Line, r.Name, r.Outcome, r.Text, r.Printed)
				}
			}
			if _, err := pool.Compile(name, files, parameters[name]); err != nil {
				t.Error(err)
			}
			if s, err := shipped.Summary(name); err != nil || len(s) < 20 || strings.Contains(s, "\n") {
				t.Errorf("its summary is %q, %v", s, err)
			}
		})
	}
}

func TestAPolicyWithoutItsParameterIsRefused(t *testing.T) {
	t.Parallel()
	for name := range parameters {
		files, err := shipped.Files(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pool.Compile(name, files, nil); err == nil || !strings.Contains(err.Error(), "needs the parameter data.parameters.") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAPolicyThatIsNotThere(t *testing.T) {
	t.Parallel()
	_, err := shipped.Files("restricted-pod")
	if err == nil || !strings.Contains(err.Error(), `did you mean "restricted-pods"?`) {
		t.Errorf("%v", err)
	}
	if _, err := shipped.Files("lib"); err == nil {
		t.Error("the library is no policy")
	}
}
