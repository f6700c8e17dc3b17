package sealed

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/internal/testworld/trees"

	"github.com/pawl-dev/pawl/render"
)

// canary counts who comes by, over TCP and UDP.
func canary(t *testing.T) (address string, visits *atomic.Int64) {
	t.Helper()
	visits = new(atomic.Int64)
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = tcp.Close(), udp.Close() })
	go func() {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			visits.Add(1)
			_ = c.Close()
		}
	}()
	go func() {
		for {
			if _, _, err := udp.ReadFrom(make([]byte, 1)); err != nil {
				return
			}
			visits.Add(1)
		}
	}()
	return tcp.Addr().String(), visits
}

// refused has a child try things, and fails where it succeeds.
func refused(t *testing.T, p *Pool, address string, probes ...string) {
	t.Helper()
	for _, probe := range probes {
		_, err := p.Build(t.Context(), render.Job{Target: environments.Target{Environment: address, Application: probe, Overlay: fmt.Sprint(os.Getpid())}})
		if err == nil || !strings.Contains(err.Error(), "refused: ") {
			t.Errorf("%s: %v, want it refused", probe, err)
		}
		t.Logf("%s: %v", probe, err)
	}
}

// catalogue 2, catalogue 3, catalogue 5: from inside of a child, whatever it
// tries, there is no file, no network, no program, no environment and no other
// process.
func TestAChildHasNothing(t *testing.T) {
	t.Parallel()
	address, visits := canary(t)
	p := pool(t, Options{})
	guards, err := p.Guards(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if guards.Landlock == 0 || !guards.Seccomp || !guards.Memory || len(guards.Missing) > 0 {
		t.Fatalf("guards: %s; the tests need a kernel with all of them", guards)
	}
	refused(t, p, address,
		"file", "own program", "parent", "list", "look", "write", "git", "shell", "fork", "signal", "trace",
		"tcp", "udp", "unix", "listen", "http", "files on every thread", "sockets on every thread", "environment")
	if n := visits.Load(); n != 0 {
		t.Errorf("%d visits", n)
	}
}

// What stood in the environment of the agent, a token say, is nowhere in a
// child's memory, and nothing but its pipes is open in it.
func TestAChildInheritsNothing(t *testing.T) {
	t.Parallel()
	child, err := startProcess(t.Context(), probed, settings{Memory: 64 << 20})
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
	address, visits := canary(t)
	landlocked := pool(t, Options{})
	landlocked.name = probed + "-landlock"
	refused(t, landlocked, address, "file", "own program", "parent", "list", "write", "shell", "signal", "trace", "tcp", "http", "git", "files on every thread", "environment")
	bare := pool(t, Options{})
	bare.name = probed + "-bare"
	refused(t, bare, address, "http", "git", "environment")
	if n := visits.Load(); n != 0 {
		t.Errorf("%d visits", n)
	}
}

// catalogue 2, catalogue 3: with the scan out of the way, so that kustomize
// tries all that it is told, the child alone keeps it from the network and from
// running git.
func TestASealedKustomizeReachesNothing(t *testing.T) {
	t.Parallel()
	address, visits := canary(t)
	p := pool(t, Options{})
	for field, kustomization := range map[string]string{
		"resources":             "resources: [%s]",
		"components":            "components: [%s]",
		"patches":               "resources: [settings.yaml]\npatches: [{path: '%s'}]",
		"patchesStrategicMerge": "resources: [settings.yaml]\npatchesStrategicMerge: ['%s']",
		"generator files":       "configMapGenerator: [{name: x, files: ['x=%s']}]",
		"generator envs":        "configMapGenerator: [{name: x, envs: ['%s']}]",
		"openapi":               "resources: [settings.yaml]\nopenapi: {path: '%s'}",
		"crds":                  "resources: [settings.yaml]\ncrds: ['%s']",
		"replacements":          "resources: [settings.yaml]\nreplacements: [{path: '%s'}]",
		"transformers":          "resources: [settings.yaml]\ntransformers: ['%s']",
		"configurations":        "resources: [settings.yaml]\nconfigurations: ['%s']",
		"generators":            "generators: ['%s']",
		"validators":            "resources: [settings.yaml]\nvalidators: ['%s']",
	} {
		for _, spelling := range []string{"http://%s/x.yaml", "git::http://%s/acme/base", "http://%s/acme/base.git//x?ref=main"} {
			tree := trees.FromMap(map[string]string{
				"overlays/dev/kustomization.yaml": fmt.Sprintf(kustomization, fmt.Sprintf(spelling, address)) + "\n",
				"overlays/dev/settings.yaml":      configMap,
			})
			_, err := render.New(render.Options{Build: p}).Render(t.Context(), at(tree), target("kustomize alone"))
			if err == nil || !strings.Contains(err.Error(), "refused: ") {
				t.Errorf("%s: %s: %v, want kustomize to fail", field, spelling, err)
			}
		}
	}
	if n := visits.Load(); n != 0 {
		t.Errorf("%d visits", n)
	}
}
