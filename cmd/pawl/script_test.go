package main

import (
	"flag"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "rewrite what the scripts compare with")

// Each script is a promise of the command line, tried on the real command.
// The verbs that scripts know beside testscript's own are in verbs_test.go.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", Cmds: verbs, Setup: setup,
		UpdateScripts: *update, RequireExplicitExec: true, RequireUniqueNames: true,
	})
}
