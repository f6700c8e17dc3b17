package sealed

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pawl-dev/pawl/internal/testworld/canary"
)

// refused has a child try things, and fails where it succeeds.
func refused(t *testing.T, p *Pool, address string, probes ...string) {
	t.Helper()
	for _, name := range probes {
		text, err := doWithin(t, p, probe{Name: name, Address: address, PID: os.Getpid()}, time.Hour)
		if err != nil || !strings.HasPrefix(text, "refused: ") {
			t.Errorf("%s: %q, %v, want it refused", name, text, err)
		}
		t.Logf("%s: %s", name, text)
	}
}

// catalogue 2, catalogue 3, catalogue 5: from inside of a child, whatever it
// tries, there is no file, no network, no program, no environment and no other
// process.
func TestAChildHasNothing(t *testing.T) {
	t.Parallel()
	address := canary.Listen(t)
	p := pool(t, Options{})
	guards, err := p.Guards(t.Context(), enough)
	if err != nil {
		t.Fatal(err)
	}
	if guards.Landlock == 0 || !guards.Seccomp || !guards.Memory || len(guards.Missing) > 0 {
		t.Fatalf("guards: %s; the tests need a kernel with all of them", guards)
	}
	refused(t, p, address,
		"file", "own program", "parent", "list", "look", "write", "git", "shell", "fork", "signal", "trace",
		"tcp", "udp", "unix", "listen", "http", "files on every thread", "sockets on every thread", "environment")
}

// What stood in the environment of the agent, a token say, is nowhere in a
// child's memory, and nothing but its pipes is open in it.
func TestAChildInheritsNothing(t *testing.T) {
	t.Parallel()
	child, err := startChild(t.Context(), probed, settings{Memory: enough})
	if err != nil {
		t.Fatal(err)
	}
	defer child.kill()
	if want := []string{"GOMAXPROCS=1", "GOTRACEBACK=none"}; !slices.Equal(child.cmd.Env, want) || len(child.cmd.ExtraFiles) > 0 || child.cmd.Dir != "/" {
		t.Errorf("environment %q, files %v, folder %q", child.cmd.Env, child.cmd.ExtraFiles, child.cmd.Dir)
	}
}

// Each guard holds by itself: Landlock where the kernel has no seccomp, and
// what the child does to itself where it has neither. Landlock does not know
// multipath TCP, by which Go listens, nor UDP.
func TestEachGuardHoldsAlone(t *testing.T) {
	t.Parallel()
	address := canary.Listen(t)
	landlocked := pool(t, Options{})
	landlocked.name = probed + "-landlock"
	refused(t, landlocked, address, "file", "own program", "parent", "list", "write", "shell", "signal", "trace", "tcp", "http", "git", "files on every thread", "environment")
	bare := pool(t, Options{})
	bare.name = probed + "-bare"
	refused(t, bare, address, "http", "git", "environment")
}
