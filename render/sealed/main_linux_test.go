package sealed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/internal/sealed"
	"github.com/pawl-dev/pawl/internal/testworld/trees"
	"github.com/pawl-dev/pawl/render"
)

// probed are children that do what an application is called, if there is a
// probe of that name. Only this test binary has them.
var probed = worker("pawl-render-probe", prober{render.InProcess()})

type prober struct{ render.Builder }

func (b prober) Build(ctx context.Context, job render.Job) (render.Built, error) {
	if probe, ok := probes[job.Target.Application]; ok {
		return probe(job)
	}
	return b.Builder.Build(ctx, job)
}

// probes run inside of a child, in place of a build.
var probes = map[string]func(render.Job) (render.Built, error){
	"spin": func(render.Job) (render.Built, error) {
		for {
			runtime.KeepAlive(0)
		}
	},
	"eat": func(render.Job) (render.Built, error) {
		var kept [][]byte
		for {
			piece := make([]byte, 1<<20)
			for i := range piece {
				piece[i] = 1
			}
			kept = append(kept, piece)
			runtime.KeepAlive(kept)
		}
	},
	"panic elsewhere": func(render.Job) (render.Built, error) {
		panic("hunter2 was in the input")
	},
	"flood": func(job render.Job) (render.Built, error) {
		os.Stdout = os.NewFile(1, "")
		_, _ = os.Stdout.Write(append([]byte{byte(kindBuilt), 0, 0, 0, 1}, make([]byte, 4)...)) // 4 GiB
		select {}
	},
	"outside": func(job render.Job) (render.Built, error) {
		_, _, err := job.Files.Read(job.Target.Overlay)
		return told(err)
	},
	// kustomize without any scan before it, on the overlay as it is.
	"kustomize alone": func(job render.Job) (render.Built, error) {
		fsys := filesys.MakeFsInMemory()
		for _, name := range []string{"kustomization.yaml", "settings.yaml", "plugin.yaml"} {
			if content, _, err := job.Files.Read(job.Target.Overlay + "/" + name); err == nil {
				_ = fsys.WriteFile("/"+job.Target.Overlay+"/"+name, content)
			}
		}
		_, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(fsys, "/"+job.Target.Overlay)
		return told(err)
	},
}

// told is the end of a probe: nothing that went well is refused.
func told(err error) (render.Built, error) {
	if err == nil {
		return render.Built{}, &render.Error{Err: errors.New("ALLOWED")}
	}
	return render.Built{}, &render.Error{Err: fmt.Errorf("refused: %w", err)}
}

const commit = gitsync.Commit("8d2e1a7c0ffee00000000000000000000000beef")

func at(tree gitsync.Tree) gitsync.Revision { return gitsync.Revision{Commit: commit, Tree: tree} }

func target(application string) environments.Target {
	return environments.Target{Environment: "dev", Application: application, Overlay: "overlays/dev"}
}

// pool is one for a test, with probes.
func pool(t testing.TB, o sealed.Options) *Pool {
	t.Helper()
	p := &Pool{sealed.New(probed, o)}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func TestMain(m *testing.M) {
	sealed.Main(Worker, probed)
	os.Exit(m.Run())
}

// small is a repository with one overlay of one object.
func small() gitsync.Tree {
	return trees.FromMap(map[string]string{
		"overlays/dev/kustomization.yaml": "resources: [settings.yaml]\n",
		"overlays/dev/settings.yaml":      configMap,
	})
}

const configMap = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\ndata:\n  level: debug\n"
