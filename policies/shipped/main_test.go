package shipped_test

import (
	"os"
	"testing"

	"github.com/pawl-dev/pawl/internal/sealed"
	"github.com/pawl-dev/pawl/policies/rego"
)

// pool is for all tests.
var pool *rego.Pool

// TestMain lets the test binary be the processes in which policies are evaluated.
func TestMain(m *testing.M) {
	sealed.Main(rego.Worker)
	pool = rego.New(sealed.Options{})
	os.Exit(m.Run())
}
