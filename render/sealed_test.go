package render_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"sigs.k8s.io/kustomize/api/types"

	"github.com/pawl-dev/pawl/internal/testworld/canary"
	"github.com/pawl-dev/pawl/internal/testworld/trees"
	"github.com/pawl-dev/pawl/render"
)

const settings = `apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
data:
  level: debug
`

// everyReference is a kustomization for each field that names something, "%s"
// standing for what it names.
var everyReference = map[string]string{
	"resources":                    "resources: [%q]",
	"bases":                        "bases: [%q]",
	"components":                   "components: [%q]",
	"crds":                         "crds: [%q]",
	"configurations":               "configurations: [%q]",
	"generators":                   "generators: [%q]",
	"transformers":                 "transformers: [%q]",
	"validators":                   "validators: [%q]",
	"patches":                      "patches: [{path: %q}]",
	"patchesJson6902":              "patchesJson6902: [{path: %q, target: {version: v1, kind: ConfigMap, name: settings}}]",
	"patchesStrategicMerge":        "patchesStrategicMerge: [%q]",
	"replacements":                 "replacements: [{path: %q}]",
	"openapi":                      "openapi: {path: %q}",
	"configMapGenerator.files":     "configMapGenerator: [{name: x, files: [%q]}]",
	"configMapGenerator.files key": "configMapGenerator: [{name: x, files: [\"key=\"%q]}]",
	"configMapGenerator.envs":      "configMapGenerator: [{name: x, envs: [%q]}]",
	"configMapGenerator.env":       "configMapGenerator: [{name: x, env: %q}]",
	"secretGenerator.files":        "secretGenerator: [{name: x, files: [%q]}]",
	"secretGenerator.envs":         "secretGenerator: [{name: x, envs: [%q]}]",
	"secretGenerator.env":          "secretGenerator: [{name: x, env: %q}]",
	"helmCharts":                   "helmCharts: [{name: x, repo: %q}]",
	"helmGlobals":                  "helmGlobals: {chartHome: %q}",
	"helmChartInflationGenerator":  "helmChartInflationGenerator: [{chartName: x, chartRepoUrl: %q}]",
	"case is ignored":              "RESOURCES: [%q]",
	"by alias":                     "namePrefix: &x %q\nresources: [*x]",
	"transformers file":            "transformers: [plugin.yaml]",
	"transformers inline":          "transformers: [\"{apiVersion: builtin, kind: PatchTransformer, metadata: {name: x}, PATH: '%s', target: {kind: ConfigMap}}\"]",
	"generators inline":            "generators: [\"{apiVersion: builtin, kind: ConfigMapGenerator, metadata: {name: x}, files: ['%s']}\"]",
}

// pluginWith is a file of transformers: that names something.
const pluginWith = "apiVersion: builtin\nkind: ReplacementTransformer\nmetadata: {name: x}\nreplacements: [{path: %q}]\n"

// catalogue 2, catalogue 3, catalogue 4: nothing is asked of the network, in
// whatever field and spelling, in the overlay or below.
func TestNothingReachesTheNetwork(t *testing.T) {
	// A git that tells when it is run. It is looked for in PATH, so this test
	// cannot run beside others.
	folder := t.TempDir()
	ran := filepath.Join(folder, "ran")
	script := "#!/bin/sh\necho \"$@\" >> " + ran + "\nexit 1\n"
	for _, program := range []string{"git", "helm", "kustomize", "docker"} {
		if err := os.WriteFile(filepath.Join(folder, program), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", folder)
	address := canary.Listen(t)
	spellings := []string{
		"http://%s/x.yaml", "https://%s/x.yaml", "HTTP://%s/x.yaml", "http:%s/x.yaml", "https://user:hunter2@%s/x?token=hunter2",
		"git::https://%s/acme/base", "git::http://%s/acme/base.git?ref=main", "http://%s/acme/base//deploy?ref=v1", "ssh://git@%s/acme/base",
		"git@%s:acme/base", "github.com/acme/%s", "GitHub.com:acme/%s", "oci://%s/acme/base:1", "file:///%s", "s3://%s/x", "%s:acme/base.git",
		"acme@%s:base//x", "https://%s/_git/x",
	}
	for field, kustomization := range everyReference {
		for _, spelling := range spellings {
			value := fmt.Sprintf(spelling, address)
			kustomization := strings.ReplaceAll(kustomization, `"key="%q`, `"key=%s"`)
			if strings.Contains(kustomization, "%") {
				kustomization = fmt.Sprintf(kustomization, value)
			}
			for _, below := range []bool{false, true} {
				files := map[string]string{
					"overlays/dev/kustomization.yaml": kustomization + "\n",
					"overlays/dev/plugin.yaml":        fmt.Sprintf(pluginWith, value),
				}
				if below {
					files = map[string]string{
						"overlays/dev/kustomization.yaml": "resources: [settings.yaml, ../../base]\n",
						"base/kustomization.yaml":         kustomization + "\n",
						"base/plugin.yaml":                fmt.Sprintf(pluginWith, value),
					}
				}
				files["overlays/dev/settings.yaml"] = settings
				release, err := rendered(t, trees.FromMap(files))
				var e *render.Error
				if !errors.As(err, &e) || e.File == "" {
					t.Errorf("%s: %s (below: %v): release of %d objects and error %v, want a refusal that names the file", field, value, below, len(release.Objects), err)
				}
				if err != nil && strings.Contains(err.Error(), "hunter2") {
					t.Errorf("%s: the refusal shows a password: %v", field, err)
				}
			}
		}
	}
	if said, err := os.ReadFile(ran); err == nil {
		t.Errorf("programs were run:\n%s", said)
	}
}

// catalogue 3: a folder of the repository may be called as a place elsewhere;
// kustomize would run git, and never look into the folder.
func TestAFolderNamedAsARepositoryElsewhereIsRefusedUnlessItIsSaidToBeHere(t *testing.T) {
	t.Parallel()
	files := func(resource string) map[string]string {
		return map[string]string{
			"overlays/dev/kustomization.yaml":                      "resources: [" + resource + "]\n",
			"overlays/dev/github.com/acme/base/kustomization.yaml": "resources: [s.yaml]\n",
			"overlays/dev/github.com/acme/base/s.yaml":             settings,
		}
	}
	var e *render.Error
	if _, err := rendered(t, trees.FromMap(files("github.com/acme/base"))); !errors.As(err, &e) || e.Field != "resources[0]" {
		t.Errorf("%v, want kustomize's spelling of a repository refused before the build", err)
	}
	if _, err := rendered(t, trees.FromMap(files("./github.com/acme/base"))); err != nil {
		t.Errorf("a folder here was refused: %v", err)
	}
}

// A new version of kustomize may bring a field that names files or URLs: each
// field must have been looked at.
func TestEveryFieldOfAKustomizationIsKnown(t *testing.T) {
	t.Parallel()
	known := strings.Fields(`
		resources bases components crds configurations generators transformers validators
		patches patchesJson6902 patchesStrategicMerge replacements openapi
		configMapGenerator secretGenerator helmCharts helmGlobals helmChartInflationGenerator
		kind apiVersion metadata namePrefix nameSuffix namespace commonLabels labels commonAnnotations
		images imageTags replicas vars sortOptions generatorOptions buildMetadata`)
	for _, f := range reflect.VisibleFields(reflect.TypeFor[types.Kustomization]()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			continue // TypeMeta itself
		}
		found := false
		for _, k := range known {
			found = found || k == name
		}
		if !found {
			t.Errorf("field %q is new: does it name files, folders or URLs? Teach references() and everyReference, then add it here", name)
		}
	}
}

// catalogue 17, catalogue 128: errors quote no secret, whatever kustomize says.
func TestErrorsHoldNoSecrets(t *testing.T) {
	t.Parallel()
	const secret = "hunter2-S3cr3t-value"
	for name, files := range map[string]map[string]string{
		"a secret generator that fails": {
			"overlays/dev/kustomization.yaml": "secretGenerator:\n  - name: token\n    literals: [\"token=" + secret + "\", \"=" + secret + "\"]\n",
		},
		"an env file that is none": {
			"overlays/dev/kustomization.yaml": "secretGenerator:\n  - name: token\n    envs: [token.env]\n",
			"overlays/dev/token.env":          "TOKEN=" + secret + "\xff\n",
		},
		"a patch that is none": {
			"overlays/dev/kustomization.yaml": "resources: [s.yaml]\npatches:\n  - target: {kind: Secret}\n    patch: |-\n      " + secret + "\n      more: of it\n",
			"overlays/dev/s.yaml":             "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n",
		},
		"a patch without a target": {
			"overlays/dev/kustomization.yaml": "resources: [s.yaml]\npatches:\n  - patch: |-\n      - {op: replace, path: /stringData/token, value: " + secret + "}\n",
			"overlays/dev/s.yaml":             "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n",
		},
		"a JSON patch that fails": {
			"overlays/dev/kustomization.yaml": "resources: [s.yaml]\npatches:\n  - target: {kind: Secret}\n    patch: |-\n      - {op: test, path: /stringData/token, value: x}\n",
			"overlays/dev/s.yaml":             "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {token: " + secret + "}\n",
		},
		"a list of Secrets that cannot be decoded": {
			"overlays/dev/kustomization.yaml": "resources: [s.yaml]\n",
			"overlays/dev/s.yaml":             "apiVersion: v1\nkind: SecretList\nmetadata: {name: s}\nitems:\n  - {a: !!int x, stringData: {token: " + secret + "}}\n",
		},
		"a Secret that cannot be decoded": {
			"overlays/dev/kustomization.yaml": "resources: [s.yaml]\n",
			"overlays/dev/s.yaml":             "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {token: !!int " + secret + "}\n",
		},
		"a Secret without a name": {
			"overlays/dev/kustomization.yaml": "resources: [s.yaml]\n",
			"overlays/dev/s.yaml":             "apiVersion: v1\nkind: Secret\nstringData: {token: " + secret + "}\n",
		},
		"a Secret that is cut off": {
			"overlays/dev/kustomization.yaml": "resources: [s.yaml]\n",
			"overlays/dev/s.yaml":             "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {token: \"" + secret,
		},
		"a Secret whose value is a list": {
			"overlays/dev/kustomization.yaml": "resources: [s.yaml]\nnamespace: [" + secret + "]\n",
			"overlays/dev/s.yaml":             "apiVersion: v1\nkind: Secret\nmetadata: {name: s, labels: {a: [" + secret + "]}}\n",
		},
		"a Secret that is there twice": {
			"overlays/dev/kustomization.yaml": "resources: [s.yaml, s.yaml]\n",
			"overlays/dev/s.yaml":             "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {token: " + secret + "}\n",
		},
		"a literal without a key": {
			"overlays/dev/kustomization.yaml": "secretGenerator: [{name: token, literals: [" + secret + "]}]\n",
		},
		"a password that begins with a star": {
			"overlays/dev/kustomization.yaml": "resources: [s.yaml]\n",
			"overlays/dev/s.yaml":             "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData:\n  password: *" + secret + "\n",
		},
		"a star in a kustomization": {
			"overlays/dev/kustomization.yaml": "secretGenerator: [{name: token, literals: [*" + secret + "]}]\n",
		},
		"a star in an inline patch": {
			"overlays/dev/kustomization.yaml": "resources: [s.yaml]\npatches: [{target: {kind: Secret}, patch: \"stringData: {token: *" + secret + " }\"}]\n",
			"overlays/dev/s.yaml":             "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n",
		},
		"a document's separator with more behind it": {
			"overlays/dev/kustomization.yaml": "resources: [s.yaml]\n",
			"overlays/dev/s.yaml":             "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n--- " + secret + "\n",
		},
		"a literal that is a list": {
			"overlays/dev/kustomization.yaml": "secretGenerator: [{name: token, literals: [[" + secret + "]]}]\n",
		},
		"a literal that is cut off": {
			"overlays/dev/kustomization.yaml": "secretGenerator: [{name: token, literals: [\"token='" + secret + "\"]}, {name: token, literals: [=]}]\n",
		},
		"a number that is none": {
			"overlays/dev/kustomization.yaml": "resources: [s.yaml]\n",
			"overlays/dev/s.yaml":             "apiVersion: v1\nkind: Widget\nmetadata: {name: s}\nspec: {a: !!int x, token: !!float " + secret + "}\n",
		},
		"data that is no base64": {
			"overlays/dev/kustomization.yaml": "resources: [s.yaml]\n",
			"overlays/dev/s.yaml":             "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {token: !!binary " + secret + "}\n",
		},
		"a merge of a text": {
			"overlays/dev/kustomization.yaml": "resources: [s.yaml]\n",
			"overlays/dev/s.yaml":             "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {<<: " + secret + "}\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := rendered(t, trees.FromMap(files))
			if err == nil {
				t.Fatal("rendered, want an error to look at")
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error shows the secret: %v", err)
			}
			if len(err.Error()) > 900 || strings.Count(err.Error(), "\n") > 0 {
				t.Errorf("the error is long: %v", err)
			}
			t.Log(err)
		})
	}
}
