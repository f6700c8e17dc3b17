package sealed

import (
	"context"
	"os"
	"runtime"
	"sync"
	"testing"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/internal/testworld/trees"
	"github.com/pawl-dev/pawl/render"
)

// probed is the name of children that do what an application is called, if
// there is a probe of that name: tests see a child from inside. Only this test
// binary has them.
const probed = "pawl-render-probe"

// seals are the probes' kinds of children: as they are, held back by Landlock
// alone, and by nothing of the kernel's.
var seals = map[string]func(settings) Guards{
	probed:               func(s settings) Guards { idleThreads(); return seal(s) },
	probed + "-landlock": func(settings) (g Guards) { idleThreads(); g.confine(); return g },
	probed + "-bare":     func(settings) Guards { return Guards{} },
}

type prober struct{ render.Builder }

func (b prober) Build(ctx context.Context, job render.Job) (render.Built, error) {
	if probe, ok := probes[job.Target.Application]; ok {
		return probe(job)
	}
	return b.Builder.Build(ctx, job)
}

func TestMain(m *testing.M) {
	if seal, ok := seals[os.Args[0]]; ok {
		os.Exit(live(prober{render.InProcess()}, seal))
	}
	Main()
	os.Exit(m.Run())
}

const commit = gitsync.Commit("8d2e1a7c0ffee00000000000000000000000beef")

func at(tree gitsync.Tree) gitsync.Revision { return gitsync.Revision{Commit: commit, Tree: tree} }

func target(application string) environments.Target {
	return environments.Target{Environment: "dev", Application: application, Overlay: "overlays/dev"}
}

// pool is one for a test, with probes.
func pool(t testing.TB, o Options) *Pool {
	t.Helper()
	p := New(o)
	p.name = probed
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// small is a repository with one overlay of one object.
func small() gitsync.Tree {
	return trees.FromMap(map[string]string{
		"overlays/dev/kustomization.yaml": "resources: [settings.yaml]\n",
		"overlays/dev/settings.yaml":      configMap,
	})
}

const configMap = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\ndata:\n  level: debug\n"

// idleThreads leaves threads behind that were there before the sealing, to be
// used by whatever needs one after it.
func idleThreads() {
	var all sync.WaitGroup
	together := make(chan struct{})
	all.Add(16)
	for range 16 {
		go func() {
			runtime.LockOSThread()
			all.Done()
			<-together
			runtime.UnlockOSThread()
			all.Done()
		}()
	}
	all.Wait()
	all.Add(16)
	close(together)
	all.Wait()
}
