package sealed

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pawl-dev/pawl/internal/sealed"
	"github.com/pawl-dev/pawl/internal/testworld/canary"
	"github.com/pawl-dev/pawl/internal/testworld/trees"
	"github.com/pawl-dev/pawl/render"
)

// catalogue 2, catalogue 3: with the scan out of the way, so that kustomize
// tries all that it is told, the child alone keeps it from the network and from
// running git.
func TestASealedKustomizeReachesNothing(t *testing.T) {
	t.Parallel()
	address := canary.Listen(t)
	p := pool(t, sealed.Options{})
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
}
