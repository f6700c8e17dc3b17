package deploy_test

import (
	"os"
	"testing"

	"github.com/pawl-dev/pawl/internal/sealed"
	"github.com/pawl-dev/pawl/policies/rego"
)

// TestMain lets the test binary be the processes in which policies are evaluated.
func TestMain(m *testing.M) {
	sealed.Main(rego.Worker)
	os.Exit(m.Run())
}
