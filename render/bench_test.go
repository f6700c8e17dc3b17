package render_test

import (
	"fmt"
	"testing"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/internal/testworld/trees"
	"github.com/pawl-dev/pawl/render"
)

// sized is a repository whose one overlay renders about n objects from a base,
// with a namespace, labels, a patch and pinned images.
func sized(n int) (map[string]string, environments.Target) {
	files := map[string]string{
		"overlays/dev/kustomization.yaml": "namespace: dev\nresources: [../../base]\nlabels:\n  - pairs: {env: dev}\npatches:\n  - path: patch.yaml\nimages:\n  - name: ghcr.io/acme/web\n    digest: " + digest("a") + "\n",
		"overlays/dev/patch.yaml":         "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web-0\nspec:\n  replicas: 3\n",
	}
	resources := "resources:\n"
	for i := range n / 2 {
		name := fmt.Sprintf("web-%d", i)
		files["base/"+name+".yaml"] = deployment(name, "ghcr.io/acme/web") + "---\napiVersion: v1\nkind: Service\nmetadata:\n  name: " + name + "\nspec:\n  selector: {app: " + name + "}\n  ports:\n    - port: 80\n"
		resources += "  - " + name + ".yaml\n"
	}
	files["base/kustomization.yaml"] = resources
	return files, dev
}

func BenchmarkBuild(b *testing.B) {
	for _, n := range []int{4, 30, 500} {
		b.Run(fmt.Sprintf("objects=%d", n), func(b *testing.B) {
			files, target := sized(n)
			rev := gitsync.Revision{Commit: commit, Tree: trees.FromMap(files)}
			r := render.New(render.Options{})
			b.ReportAllocs()
			for b.Loop() {
				r.Forget(target)
				if _, err := r.Render(b.Context(), rev, target); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What a push costs that touches one overlay of a hundred.
func BenchmarkOneOfAHundredTouched(b *testing.B) {
	files, targets := shop(100)
	var revisions []gitsync.Tree
	for i := range 2 {
		files["overlays/app-42/settings.txt"] = fmt.Sprintf("%d\n", i)
		revisions = append(revisions, trees.FromMap(files))
	}
	r := render.New(render.Options{})
	builds(b, r, revisions[1], targets)
	b.ReportAllocs()
	built, i := 0, 0
	for b.Loop() {
		built += len(builds(b, r, revisions[i%2], targets))
		i++
	}
	b.ReportMetric(float64(built)/float64(i), "builds/op")
}

// A push that touches none.
func BenchmarkNoneOfAHundredTouched(b *testing.B) {
	files, targets := shop(100)
	r := render.New(render.Options{})
	tree := trees.FromMap(files)
	builds(b, r, tree, targets)
	b.ReportAllocs()
	for b.Loop() {
		if n := len(builds(b, r, tree, targets)); n != 0 {
			b.Fatalf("%d builds", n)
		}
	}
}

// A push that touches all: workers is how many targets are rendered at once.
func BenchmarkAHundredTouched(b *testing.B) {
	files, targets := shop(100)
	tree := trees.FromMap(files)
	for _, workers := range []int{1, 2, 4} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := render.New(render.Options{})
				queue := make(chan environments.Target)
				done := make(chan error)
				for range workers {
					go func() {
						var failed error
						for target := range queue {
							if _, err := r.Render(b.Context(), gitsync.Revision{Commit: commit, Tree: tree}, target); err != nil {
								failed = err
							}
						}
						done <- failed
					}()
				}
				for _, target := range targets {
					queue <- target
				}
				close(queue)
				for range workers {
					if err := <-done; err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
