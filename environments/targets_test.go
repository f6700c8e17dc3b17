package environments_test

import (
	"io/fs"
	"os"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/pawl-dev/pawl/environments"
)

func pipeline(t *testing.T, overlays string) environments.Pipeline {
	t.Helper()
	p, err := environments.Load("pawl.yaml", []byte("apiVersion: pawl.dev/v1alpha1\nkind: Pipeline\nmetadata: {name: shop}\nspec:\n  overlays: \""+overlays+
		"\"\n  environments:\n    - {name: live, after: [dev]}\n    - {name: dev}\n"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// catalogue 7: what the pattern points at and cannot be used fails with its
// reason, never as "empty", and holds up nothing else.
func TestTargets(t *testing.T) {
	t.Parallel()
	file := &fstest.MapFile{Data: []byte("resources: []\n")}
	link := &fstest.MapFile{Data: []byte("elsewhere"), Mode: fs.ModeSymlink}
	submodule := &fstest.MapFile{Mode: fs.ModeIrregular}
	for name, c := range map[string]struct {
		overlays string
		tree     fstest.MapFS
		found    []string
		unusable []string
	}{
		"applications in the order of the environments": {
			"apps/{app}/overlays/{env}",
			fstest.MapFS{"apps/web/overlays/dev/kustomization.yaml": file, "apps/web/overlays/live/kustomization.yml": file, "apps/api/overlays/dev/Kustomization": file, "apps/README.md": file},
			[]string{"dev/api apps/api/overlays/dev", "dev/web apps/web/overlays/dev", "live/web apps/web/overlays/live"}, nil,
		},
		"environments without applications": {
			"overlays/{env}",
			fstest.MapFS{"overlays/dev/kustomization.yaml": file, "overlays/live/kustomization.yaml": file, "overlays/other/kustomization.yaml": file},
			[]string{"dev overlays/dev", "live overlays/live"}, nil,
		},
		"at the root": {
			"{env}/{app}",
			fstest.MapFS{"dev/web/kustomization.yaml": file, "live/web/kustomization.yaml": file, "pawl.yaml": file},
			[]string{"dev/web dev/web", "live/web live/web"}, nil,
		},
		"a missing folder fails its environment alone": {
			"overlays/{env}",
			fstest.MapFS{"overlays/dev/kustomization.yaml": file},
			[]string{"dev overlays/dev"},
			[]string{"live: there is no folder overlays/live; add the overlay, or correct spec.overlays in pawl.yaml"},
		},
		"an environment that no application has": {
			"apps/{app}/overlays/{env}",
			fstest.MapFS{"apps/web/overlays/dev/kustomization.yaml": file},
			[]string{"dev/web apps/web/overlays/dev"},
			[]string{"live: no folder matches apps/*/overlays/live; add an overlay there, or correct spec.overlays in pawl.yaml"},
		},
		"an empty repository": {
			"apps/{app}/overlays/{env}", fstest.MapFS{}, nil,
			[]string{"dev: no folder matches apps/*/overlays/dev; add an overlay there, or correct spec.overlays in pawl.yaml",
				"live: no folder matches apps/*/overlays/live; add an overlay there, or correct spec.overlays in pawl.yaml"},
		},
		"an overlay that is a link to another environment": {
			"apps/{app}/overlays/{env}",
			fstest.MapFS{"apps/web/overlays/dev/kustomization.yaml": file, "apps/web/overlays/live": link, "apps/api/overlays/live/kustomization.yaml": file},
			[]string{"dev/web apps/web/overlays/dev", "live/api apps/api/overlays/live"},
			[]string{`live/web: "apps/web/overlays/live" is a symbolic link; links are not followed, so put the folder itself there`},
		},
		"a link on the way": {
			"overlays/{env}",
			fstest.MapFS{"overlays": link},
			nil,
			[]string{`dev: "overlays" is a symbolic link; links are not followed, so put the folder itself there`,
				`live: "overlays" is a symbolic link; links are not followed, so put the folder itself there`},
		},
		"a submodule": {
			"overlays/{env}",
			fstest.MapFS{"overlays/dev": submodule, "overlays/live/kustomization.yaml": file},
			[]string{"live overlays/live"},
			[]string{`dev: "overlays/dev" is a submodule; submodules are not fetched, so put the folder itself there`},
		},
		"a file where the overlay should be": {
			"overlays/{env}",
			fstest.MapFS{"overlays/dev": file, "overlays/live/kustomization.yaml": file},
			[]string{"live overlays/live"},
			[]string{`dev: "overlays/dev" is a file, not a folder`},
		},
		"a folder without a kustomization": {
			"overlays/{env}",
			fstest.MapFS{"overlays/dev/kustomisation.yaml": file, "overlays/live/kustomization.yaml": file},
			[]string{"live overlays/live"},
			[]string{`dev: folder "overlays/dev" has no kustomization.yaml`},
		},
		"a kustomization that is a link": {
			"overlays/{env}",
			fstest.MapFS{"overlays/dev/kustomization.yaml": link, "overlays/live/kustomization.yaml": file},
			[]string{"live overlays/live"},
			[]string{`dev: "overlays/dev/kustomization.yaml" is no regular file`},
		},
		"a folder that is no name for an application": {
			"apps/{app}/{env}",
			fstest.MapFS{"apps/Web/dev/kustomization.yaml": file, "apps/web/live/kustomization.yaml": file, "apps/web/dev/kustomization.yaml": file},
			[]string{"dev/web apps/web/dev", "live/web apps/web/live"},
			[]string{`dev/Web: the folder's name "Web" is no application name; use lower-case letters, digits and "-"`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found, unusable := pipeline(t, c.overlays).Targets(c.tree)
			var gotFound, gotUnusable []string
			for _, f := range found {
				gotFound = append(gotFound, f.String()+" "+f.Overlay)
			}
			for _, u := range unusable {
				gotUnusable = append(gotUnusable, u.Error())
			}
			if diff := cmp.Diff(c.found, gotFound); diff != "" {
				t.Error("found:", diff)
			}
			if diff := cmp.Diff(c.unusable, gotUnusable); diff != "" {
				t.Error("unusable:", diff)
			}
		})
	}
}

// A folder on disk, as "pawl check" reads it, is judged like a revision.
func TestLinksOnDiskAreNotFollowed(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, step := range []error{
		os.MkdirAll(root+"/overlays/dev", 0o755),
		os.WriteFile(root+"/overlays/dev/kustomization.yaml", nil, 0o644),
		os.Symlink("dev", root+"/overlays/live"),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	found, unusable := pipeline(t, "overlays/{env}").Targets(os.DirFS(root))
	if len(found) != 1 || len(unusable) != 1 || unusable[0].Target.Environment != "live" {
		t.Errorf("found %v, unusable %v", found, unusable)
	}
}
