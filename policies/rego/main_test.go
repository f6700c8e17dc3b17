package rego_test

import (
	"os"
	"testing"

	"github.com/pawl-dev/pawl/internal/sealed"
	"github.com/pawl-dev/pawl/policies/rego"
)

// pool is for all tests: children are shared as the agent's are.
var pool *rego.Pool

func TestMain(m *testing.M) {
	sealed.Main(rego.Worker)
	pool = rego.New(sealed.Options{})
	os.Exit(m.Run())
}
