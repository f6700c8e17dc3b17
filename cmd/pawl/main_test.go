package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pawl-dev/pawl/internal/sealed"
	"github.com/pawl-dev/pawl/policies/rego"
	sealedrender "github.com/pawl-dev/pawl/render/sealed"
)

// TestMain puts the command of this checkout into the PATH of scripts and
// stories: the test binary, started again under the name "pawl", is pawl.
// Started as a sealed child, it is one.
func TestMain(m *testing.M) {
	sealed.Main(sealedrender.Worker, rego.Worker)
	testscript.Main(m, map[string]func(){"pawl": main})
}
