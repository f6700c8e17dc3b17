package agent_test

import (
	"bufio"
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/pawl-dev/pawl/"

// order is the way imports point: each stage may use those before it.
var order = []string{"environments", "gitsync", "render", "policies", "drift", "promote", "agent/demands", "agent", "cmd/pawl"}

// worlds are the modules that only edges and the command may reach, directly or not.
var worlds = []string{
	"k8s.io/client-go", "sigs.k8s.io/controller-runtime", "github.com/fluxcd/pkg/ssa",
	"github.com/go-git/go-git", "github.com/google/go-github", "github.com/sigstore", "github.com/open-policy-agent",
}

// TestImportsPointOneWay holds what ARCHITECTURE.md says of the folders.
func TestImportsPointOneWay(t *testing.T) {
	t.Parallel()
	imports := list(t, "{{.ImportPath}} {{join .Imports \" \"}}", "./../...")
	for pkg, imported := range imports {
		from, edge := stage(pkg)
		if from < 0 {
			continue
		}
		for _, i := range imported {
			to, toEdge := stage(i)
			switch {
			case to < 0:
			case toEdge && order[from] != "cmd/pawl" && !strings.HasPrefix(i, module+order[from]+"/"):
				t.Errorf("%s imports the edge %s; only the command wires edges", pkg, i)
			case toEdge && !edge && order[from] != "cmd/pawl":
				t.Errorf("stage %s imports its edge %s; edges import stages", pkg, i)
			case to > from:
				t.Errorf("%s imports %s; imports point %s", pkg, i, strings.Join(order, " ← "))
			}
		}
	}
}

// TestDecisionsDoNotReachTheWorld keeps client libraries out of the stages.
func TestDecisionsDoNotReachTheWorld(t *testing.T) {
	t.Parallel()
	for _, s := range order[:len(order)-1] {
		for dependency := range list(t, "{{.ImportPath}}", "-deps", "./../"+s) {
			for _, world := range worlds {
				if dependency == world || strings.HasPrefix(dependency, world+"/") {
					t.Errorf("%s reaches %s; what touches the world belongs into a subfolder named for it", s, dependency)
				}
			}
		}
	}
}

// TestAReleaseBuildHasNoTestServers looks at what the agent's image is built from.
func TestAReleaseBuildHasNoTestServers(t *testing.T) {
	t.Parallel()
	for dependency := range list(t, "{{.ImportPath}}", "-deps", "-tags=release", "./../cmd/pawl") {
		if strings.HasPrefix(dependency, module+"internal/testworld") || strings.HasPrefix(dependency, module+"internal/demo") {
			t.Errorf("a release build holds %s; put the command that needs it behind //go:build !release", dependency)
		}
	}
}

// stage is the place of a package in the order, and whether it is an edge.
func stage(pkg string) (place int, edge bool) {
	rest, ours := strings.CutPrefix(pkg, module)
	if !ours {
		return -1, false
	}
	for i, s := range order {
		if rest == s {
			return i, false
		}
		if strings.HasPrefix(rest, s+"/") {
			return i, true
		}
	}
	return -1, false
}

// list asks the go command, one package a line.
func list(t *testing.T, format string, args ...string) map[string][]string {
	t.Helper()
	command := exec.Command("go", slices.Concat([]string{"list", "-f", format}, args)...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	found := map[string][]string{}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		found[fields[0]] = fields[1:]
	}
	if len(found) == 0 {
		t.Fatal("go list found no packages")
	}
	return found
}
