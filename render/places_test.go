package render_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pawl-dev/pawl/internal/testworld/trees"
	"github.com/pawl-dev/pawl/render"
)

// A report can point at the line that declares an object, and at the one that
// has an image's digest, whatever the build did to names in between.
func TestPlacesAreFound(t *testing.T) {
	t.Parallel()
	release, err := rendered(t, trees.FromMap(map[string]string{
		"overlays/dev/kustomization.yaml": "namespace: shop\nnamePrefix: dev-\nresources: [../../base, extra.yaml]\npatches:\n  - path: patch.yaml\nimages:\n  - name: ghcr.io/acme/web\n    newTag: \"1.9\"\n    digest: " + digest("a") + "\nconfigMapGenerator:\n  - name: flags\n    literals: [a=b]\n",
		"overlays/dev/patch.yaml":         "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  replicas: 3\n",
		"overlays/dev/extra.yaml":         "# two objects\n" + settings + "---\n" + deployment("web-admin", "ghcr.io/acme/admin@"+digest("c")),
		"base/kustomization.yaml":         "resources: [web.yaml, api.yaml]\nimages:\n  - name: ghcr.io/acme/api\n    digest: " + digest("b") + "\n",
		"base/web.yaml":                   deployment("web", "ghcr.io/acme/web"),
		"base/api.yaml":                   "apiVersion: v1\nkind: List\nitems:\n  - apiVersion: batch/v1\n    kind: Job\n    metadata: {name: api}\n    spec: {template: {spec: {containers: [{name: api, image: ghcr.io/acme/api}]}}}\n",
	}))
	if err != nil {
		t.Fatal(err)
	}
	generated := ""
	for _, o := range release.Objects {
		if o.GetKind() == "ConfigMap" && o.GetName() != "dev-settings" {
			generated = o.GetName()
		}
	}
	want := map[string]render.Place{
		"Deployment shop/dev-web":       {File: "base/web.yaml", Line: 1},
		"Deployment shop/dev-web-admin": {File: "overlays/dev/extra.yaml", Line: 9},
		"Job shop/dev-api":              {File: "base/api.yaml", Line: 4},
		"ConfigMap shop/dev-settings":   {File: "overlays/dev/extra.yaml", Line: 2},
		"ConfigMap shop/" + generated:   {File: "overlays/dev/kustomization.yaml", Line: 11},
	}
	if diff := cmp.Diff(want, release.Places); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	images := map[string]render.Place{}
	for _, image := range release.Images {
		images[image.Repository] = render.Place{File: image.File, Line: image.Line}
	}
	if diff := cmp.Diff(map[string]render.Place{
		"ghcr.io/acme/web":   {File: "overlays/dev/kustomization.yaml", Line: 9},
		"ghcr.io/acme/api":   {File: "base/kustomization.yaml", Line: 4},
		"ghcr.io/acme/admin": {File: "overlays/dev/extra.yaml", Line: 22},
	}, images); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
