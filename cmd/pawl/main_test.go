package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pawl-dev/pawl/render/sealed"
)

// TestMain puts the command of this checkout into the PATH of scripts and
// stories: the test binary, started again under the name "pawl", is pawl.
// Started to render an overlay, it does that.
func TestMain(m *testing.M) {
	sealed.Main()
	testscript.Main(m, map[string]func(){"pawl": main})
}
