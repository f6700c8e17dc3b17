package sealed

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/internal/sealed"
	"github.com/pawl-dev/pawl/internal/testworld/trees"
	"github.com/pawl-dev/pawl/render"
)

// sized is a repository whose overlays render about n objects each from one
// base, with a namespace, labels, a patch, a generator and pinned images.
func sized(overlays, n int) (map[string]string, []environments.Target) {
	files := map[string]string{}
	resources := "resources:\n"
	for i := range n / 2 {
		name := fmt.Sprintf("web-%d", i)
		files["base/"+name+".yaml"] = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: " + name + "\nspec:\n  selector:\n    matchLabels: {app: " + name + "}\n  template:\n    metadata:\n      labels: {app: " + name + "}\n    spec:\n      containers:\n        - name: web\n          image: ghcr.io/acme/web\n" +
			"---\napiVersion: v1\nkind: Service\nmetadata:\n  name: " + name + "\nspec:\n  selector: {app: " + name + "}\n  ports:\n    - port: 80\n"
		resources += "  - " + name + ".yaml\n"
	}
	files["base/kustomization.yaml"] = resources
	var targets []environments.Target
	for i := range overlays {
		name := fmt.Sprintf("app-%02d", i)
		folder := "overlays/" + name
		targets = append(targets, environments.Target{Environment: "dev", Application: name, Overlay: folder})
		files[folder+"/kustomization.yaml"] = "namespace: " + name + "\nresources: [../../base]\nlabels:\n  - pairs: {env: dev}\npatches:\n  - path: patch.yaml\nconfigMapGenerator:\n  - name: settings\n    files: [settings.txt]\nimages:\n  - name: ghcr.io/acme/web\n    digest: sha256:" + strings.Repeat("a", 64) + "\n"
		files[folder+"/settings.txt"] = "name = " + name + "\n"
		files[folder+"/patch.yaml"] = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web-0\nspec:\n  replicas: 3\n"
	}
	return files, targets
}

// where runs a benchmark by a child and in this process.
func where(b *testing.B, run func(b *testing.B, builder render.Builder)) {
	b.Run("sealed", func(b *testing.B) {
		p := New(sealed.Options{})
		defer p.Close()
		if err := p.Warm(b.Context(), render.Limits{}); err != nil {
			b.Fatal(err)
		}
		run(b, p)
	})
	b.Run("in-process", func(b *testing.B) { run(b, render.InProcess()) })
}

func BenchmarkBuild(b *testing.B) {
	for _, n := range []int{4, 30, 500} {
		b.Run(fmt.Sprintf("objects=%d", n), func(b *testing.B) {
			where(b, func(b *testing.B, builder render.Builder) {
				files, targets := sized(1, n)
				rev := at(trees.FromMap(files))
				r := render.New(render.Options{Build: builder})
				for b.Loop() {
					r.Forget(targets[0])
					if _, err := r.Render(b.Context(), rev, targets[0]); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

// What a push costs that touches one overlay of a hundred.
func BenchmarkOneOfAHundredTouched(b *testing.B) {
	where(b, func(b *testing.B, builder render.Builder) {
		files, targets := sized(100, 4)
		var revisions []gitsync.Tree
		for i := range 2 {
			files["overlays/app-42/settings.txt"] = fmt.Sprintf("%d\n", i)
			revisions = append(revisions, trees.FromMap(files))
		}
		r := render.New(render.Options{Build: builder})
		all := func(tree gitsync.Tree) (built int) {
			for _, target := range targets {
				result, err := r.Render(b.Context(), at(tree), target)
				if err != nil {
					b.Fatal(err)
				}
				if result.Built {
					built++
				}
			}
			return built
		}
		all(revisions[1])
		built, i := 0, 0
		for b.Loop() {
			built += all(revisions[i%2])
			i++
		}
		b.ReportMetric(float64(built)/float64(i), "builds/op")
	})
}

// What the first build after a quiet time costs more: a child that starts.
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		p := New(sealed.Options{})
		if err := p.Warm(b.Context(), render.Limits{}); err != nil {
			b.Fatal(err)
		}
		_ = p.Close()
	}
}
