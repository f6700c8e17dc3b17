package render_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/internal/testworld/trees"
	"github.com/pawl-dev/pawl/render"
)

// ownSchema is an overlay that brings a schema of its own, in which containers
// are no list that is merged by name.
func ownSchema() (map[string]string, environments.Target) {
	return map[string]string{
		"overlays/own/kustomization.yaml": "resources: [web.yaml]\npatches:\n  - path: patch.yaml\nopenapi: {path: schema.json}\n",
		"overlays/own/web.yaml":           deployment("web", "ghcr.io/acme/web:1.9@"+digest("a")),
		"overlays/own/patch.yaml":         "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  template:\n    spec:\n      containers:\n        - name: side\n          image: ghcr.io/acme/side:1@" + digest("b") + "\n",
		"overlays/own/schema.json":        `{"definitions": {"io.k8s.api.apps.v1.Deployment": {"type": "object", "properties": {"spec": {"type": "object"}}, "x-kubernetes-group-version-kind": [{"group": "apps", "version": "v1", "kind": "Deployment"}]}}}`,
	}, environments.Target{Environment: "own", Overlay: "overlays/own"}
}

// stock is the same overlay with kustomize's own schema.
func stock() (map[string]string, environments.Target) {
	files, _ := ownSchema()
	return map[string]string{
		"overlays/stock/kustomization.yaml": "resources: [web.yaml]\npatches:\n  - path: patch.yaml\n",
		"overlays/stock/web.yaml":           files["overlays/own/web.yaml"],
		"overlays/stock/patch.yaml":         files["overlays/own/patch.yaml"],
	}, environments.Target{Environment: "stock", Overlay: "overlays/stock"}
}

func digestAlone(t *testing.T, files map[string]string, target environments.Target) (string, int) {
	t.Helper()
	result, err := render.New(render.Options{}).Render(t.Context(), at(trees.FromMap(files)), target)
	if err != nil {
		t.Fatal(err)
	}
	return result.Release.Digest, len(result.Release.Images)
}

// catalogue 27: a schema of one overlay's own changes that overlay, as it would
// for kustomize, and none that is built after it.
func TestASchemaOfOnesOwnStaysOnesOwn(t *testing.T) {
	t.Parallel()
	own, ownTarget := ownSchema()
	plain, plainTarget := stock()
	ownDigest, ownImages := digestAlone(t, own, ownTarget)
	plainDigest, plainImages := digestAlone(t, plain, plainTarget)
	if plainImages != 2 || ownImages != 1 {
		t.Errorf("%d images by kustomize's schema, %d by the own: want 2 merged by name, 1 replaced", plainImages, ownImages)
	}
	if again, _ := digestAlone(t, own, ownTarget); again != ownDigest {
		t.Errorf("the overlay with the schema came out as %s, then %s", ownDigest, again)
	}
	if again, _ := digestAlone(t, plain, plainTarget); again != plainDigest {
		t.Errorf("the overlay without came out as %s, then %s", plainDigest, again)
	}
}

// catalogue 10, catalogue 27: what makes kustomize panic fails one target, and
// the next is built as ever.
func TestAPanicOfKustomizeFailsOneTargetAlone(t *testing.T) {
	t.Parallel()
	own, ownTarget := ownSchema()
	own["overlays/own/schema.json"] = `{"definitions": {"a": "b"}}`
	plain, plainTarget := stock()
	before, _ := digestAlone(t, plain, plainTarget)
	_, err := render.New(render.Options{}).Render(t.Context(), at(trees.FromMap(own)), ownTarget)
	if err == nil {
		t.Error("rendered, want the panic as an error")
	}
	t.Log(err)
	if after, _ := digestAlone(t, plain, plainTarget); after != before {
		t.Errorf("came out as %s before and %s after", before, after)
	}
}

// catalogue 27, catalogue 28: a commit has one digest, rendered alone or beside
// a thousand others, by one renderer or by several.
func TestTheSameCommitIsTheSameRelease(t *testing.T) {
	t.Parallel()
	files, targets := shop(8)
	for _, more := range []func() (map[string]string, environments.Target){ownSchema, stock} {
		f, target := more()
		for name, content := range f {
			files[name] = content
		}
		targets = append(targets, target)
	}
	tree := trees.FromMap(files)
	want := map[environments.Target]string{}
	for _, target := range targets {
		want[target], _ = digestAlone(t, files, target)
	}
	var wg sync.WaitGroup
	shared := render.New(render.Options{})
	for i := range 100 {
		wg.Go(func() {
			r := shared
			if i%2 == 0 {
				r = render.New(render.Options{})
			}
			for j := range targets {
				target := targets[(i+j)%len(targets)]
				result, err := r.Render(context.Background(), gitsync.Revision{Commit: gitsync.Commit(fmt.Sprint(i)), Tree: tree}, target)
				if err != nil || result.Release.Digest != want[target] {
					t.Errorf("%s: %s, %v; alone %s", target, result.Release.Digest, err, want[target])
				}
			}
		})
	}
	wg.Wait()
}

// A release's digest is of its content: where the objects stand in files, and
// which commit they are from, makes no difference.
func TestTheDigestIsOfTheContentAlone(t *testing.T) {
	t.Parallel()
	one := map[string]string{
		"overlays/dev/kustomization.yaml": "resources: [a.yaml, b.yaml]\n",
		"overlays/dev/a.yaml":             settings,
		"overlays/dev/b.yaml":             "# the same\n" + deployment("web", "ghcr.io/acme/web@"+digest("a")),
	}
	two := map[string]string{
		"overlays/dev/kustomization.yaml": "resources: [all.yaml]\n",
		"overlays/dev/all.yaml":           one["overlays/dev/b.yaml"] + "---\n" + settings,
	}
	a, _ := digestAlone(t, one, dev)
	b, _ := digestAlone(t, two, dev)
	if a != b {
		t.Errorf("%s and %s, want the same", a, b)
	}
	two["overlays/dev/all.yaml"] += "  more: x\n"
	if c, _ := digestAlone(t, two, dev); c == a {
		t.Error("another content has the same digest")
	}
}

// catalogue 28: a digest is the same on any machine and after any restart, so it
// can stand here. It changes only with what is built.
func TestADigestIsTheSameEverywhere(t *testing.T) {
	t.Parallel()
	files, targets := shop(1)
	const want = "sha256:1b4dfd0099b96b84e660877fbbbedfec120348fe124f5a7c86e308146512d2a7"
	if got, _ := digestAlone(t, files, targets[0]); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
