package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain puts the command of this checkout into the PATH of scripts and
// stories: the test binary, started again under the name "pawl", is pawl.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"pawl": main})
}
