package render_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/internal/testworld/trees"
	"github.com/pawl-dev/pawl/render"
)

// shop is a repository of several overlays on one base, and some files that no
// overlay reads.
func shop(overlays int) (map[string]string, []environments.Target) {
	files := map[string]string{
		"README.md":                             "a shop\n",
		"base/kustomization.yaml":               "resources: [web.yaml, service.yaml]\n",
		"base/web.yaml":                         deployment("web", "ghcr.io/acme/web:1.9@"+digest("a")),
		"base/service.yaml":                     "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec:\n  selector: {app: web}\n  ports:\n    - port: 80\n",
		"base/notes.md":                         "nobody reads this\n",
		"components/metrics/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nlabels:\n  - pairs: {metrics: \"on\"}\n",
	}
	var targets []environments.Target
	for i := range overlays {
		name := fmt.Sprintf("app-%02d", i)
		folder := "overlays/" + name
		targets = append(targets, environments.Target{Environment: "dev", Application: name, Overlay: folder})
		kustomization := "namespace: " + name + "\nresources: [../../base]\nconfigMapGenerator:\n  - name: settings\n    files: [settings.txt]\n"
		if i%2 == 0 {
			kustomization += "components: [../../components/metrics]\n"
		}
		files[folder+"/kustomization.yaml"] = kustomization
		files[folder+"/settings.txt"] = "name = " + name + "\n"
	}
	return files, targets
}

func deployment(name, image string) string {
	return `apiVersion: apps/v1
kind: Deployment
metadata:
  name: ` + name + `
spec:
  selector:
    matchLabels: {app: ` + name + `}
  template:
    metadata:
      labels: {app: ` + name + `}
    spec:
      containers:
        - name: ` + name + `
          image: ` + image + `
`
}

// digest is a valid digest of one letter.
func digest(letter string) string {
	s := "sha256:"
	for range 64 {
		s += letter
	}
	return s
}

// builds renders all targets and returns which of them were built.
func builds(t testing.TB, r *render.Renderer, tree gitsync.Tree, targets []environments.Target) map[string]bool {
	t.Helper()
	built := map[string]bool{}
	for _, target := range targets {
		result, err := r.Render(context.Background(), gitsync.Revision{Commit: commit, Tree: tree}, target)
		if err != nil {
			t.Fatal(err)
		}
		if result.Release.Target != target || result.Release.Commit != commit || result.Release.Digest == "" {
			t.Errorf("release of %s at %s with digest %q", result.Release.Target, result.Release.Commit, result.Release.Digest)
		}
		if result.Built {
			built[target.Application] = true
		}
	}
	return built
}

func TestOnlyWhatAChangeTouchesIsBuilt(t *testing.T) {
	t.Parallel()
	files, targets := shop(4)
	files["broken"] = trees.Link("base") // a link that nobody asks for
	for _, c := range []struct {
		change string
		files  map[string]string // "" deletes
		built  []string
	}{
		{"nothing", nil, nil},
		{"a file that no overlay reads", map[string]string{"README.md": "a better shop\n"}, nil},
		{"a file that no overlay reads, in a base", map[string]string{"base/notes.md": "still nobody\n"}, nil},
		{"a new file beside the others of a base", map[string]string{"base/new.yaml": "a: 1\n"}, nil},
		{"a manifest of the base", map[string]string{"base/web.yaml": deployment("web", "ghcr.io/acme/web:2.0@"+digest("b"))}, []string{"app-00", "app-01", "app-02", "app-03"}},
		{"the base's kustomization", map[string]string{"base/kustomization.yaml": "resources: [web.yaml]\n"}, []string{"app-00", "app-01", "app-02", "app-03"}},
		{"a component", map[string]string{"components/metrics/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nlabels:\n  - pairs: {metrics: \"off\"}\n"}, []string{"app-00", "app-02"}},
		{"a generator's file of one overlay", map[string]string{"overlays/app-03/settings.txt": "other\n"}, []string{"app-03"}},
		{"the overlay of one", map[string]string{"overlays/app-01/kustomization.yaml": "resources: [../../base]\n"}, []string{"app-01"}},
		{"another overlay", map[string]string{"overlays/app-99/kustomization.yaml": "resources: [../../base]\n"}, nil},
	} {
		t.Run(c.change, func(t *testing.T) {
			t.Parallel()
			r := render.New(render.Options{})
			if built := builds(t, r, trees.FromMap(files), targets); len(built) != len(targets) {
				t.Fatalf("first built %v, want all", built)
			}
			after := maps.Clone(files)
			maps.Copy(after, c.files)
			want := map[string]bool{}
			for _, name := range c.built {
				want[name] = true
			}
			if built := builds(t, r, trees.FromMap(after), targets); !maps.Equal(built, want) {
				t.Errorf("built %v, want %v", built, want)
			}
			if built := builds(t, r, trees.FromMap(after), targets); len(built) != 0 {
				t.Errorf("built %v again, want none", built)
			}
		})
	}
}

func TestOneOfAHundredOverlaysTouchedIsOneBuild(t *testing.T) {
	t.Parallel()
	files, targets := shop(100)
	r := render.New(render.Options{})
	builds(t, r, trees.FromMap(files), targets)
	files["overlays/app-42/settings.txt"] = "touched\n"
	built := builds(t, r, trees.FromMap(files), targets)
	if len(built) != 1 || !built["app-42"] {
		t.Errorf("built %v, want app-42 alone", built)
	}
}

// Promotions look at the revision before while the next is deployed.
func TestWhoLooksAtTheRevisionBeforeCostsNoBuild(t *testing.T) {
	t.Parallel()
	files, targets := shop(1)
	changed := maps.Clone(files)
	changed[targets[0].Overlay+"/settings.txt"] = "name = other\n"
	before, after := trees.FromMap(files), trees.FromMap(changed)
	r := render.New(render.Options{})
	for i, look := range []struct {
		tree  gitsync.Tree
		built bool
	}{{before, true}, {after, true}, {before, false}, {after, false}, {after, false}, {before, false}} {
		if got := len(builds(t, r, look.tree, targets)) > 0; got != look.built {
			t.Errorf("look %d: built: %v; want %v", i, got, look.built)
		}
	}
}

// What was not there is part of what a build depended on, and so is what kind
// of thing it was.
func TestWhatWasAbsentAndIsThereNowIsBuilt(t *testing.T) {
	t.Parallel()
	ok := map[string]string{
		"overlays/dev/kustomization.yaml": "resources: [settings.yaml]\n",
		"overlays/dev/settings.yaml":      settings,
	}
	for _, c := range []struct {
		change        string
		before, after map[string]string
		fails         bool // after
	}{
		{"a second kustomization", ok, map[string]string{"overlays/dev/Kustomization": "resources: []\n"}, true},
		{"a resource that was missing", map[string]string{"overlays/dev/kustomization.yaml": ok["overlays/dev/kustomization.yaml"]}, ok, false},
		{"an overlay that was missing", map[string]string{"README.md": "soon\n"}, ok, false},
		{"a file that is a link of the same bytes now", map[string]string{
			"overlays/dev/kustomization.yaml": "resources: [settings.yaml]\nconfigMapGenerator:\n  - name: x\n    files: [x]\n",
			"overlays/dev/settings.yaml":      settings, "overlays/dev/x": "../../secret",
		}, map[string]string{"overlays/dev/x": trees.Link("../../secret")}, true},
		{"a base that is a submodule now", map[string]string{
			"overlays/dev/kustomization.yaml": "resources: [base]\n", "overlays/dev/base/kustomization.yaml": "resources: [s.yaml]\n", "overlays/dev/base/s.yaml": settings,
		}, map[string]string{"overlays/dev/base": trees.Submodule, "overlays/dev/base/kustomization.yaml": "", "overlays/dev/base/s.yaml": ""}, true},
	} {
		t.Run(c.change, func(t *testing.T) {
			t.Parallel()
			r := render.New(render.Options{})
			first, err1 := r.Render(t.Context(), at(trees.FromMap(c.before)), dev)
			after := maps.Clone(c.before)
			for name, content := range c.after {
				if after[name] = content; content == "" {
					delete(after, name)
				}
			}
			second, err2 := r.Render(t.Context(), at(trees.FromMap(after)), dev)
			if !first.Built || !second.Built {
				t.Errorf("built %v and %v, want both", first.Built, second.Built)
			}
			if (err2 != nil) != c.fails {
				t.Errorf("before %v, after %v, want failure %v", err1, err2, c.fails)
			}
		})
	}
}

func TestAFailureIsRememberedUntilItsInputChanges(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"overlays/dev/kustomization.yaml": "resources: [settings.yaml]\n",
		"overlays/dev/settings.yaml":      "a: 1\na: 2\n",
	}
	r := render.New(render.Options{})
	first, err1 := r.Render(t.Context(), at(trees.FromMap(files)), dev)
	files["README.md"] = "unrelated\n"
	second, err2 := r.Render(t.Context(), at(trees.FromMap(files)), dev)
	if err1 == nil || err2 == nil || err1.Error() != err2.Error() {
		t.Errorf("errors %v and %v, want the same", err1, err2)
	}
	if !first.Built || second.Built {
		t.Errorf("built %v and %v, want only the first", first.Built, second.Built)
	}
	files["overlays/dev/settings.yaml"] = settings
	third, err := r.Render(t.Context(), at(trees.FromMap(files)), dev)
	if err != nil || !third.Built {
		t.Errorf("mended: built %v, error %v", third.Built, err)
	}
}

// A revision that cannot be read, or a render that was stopped, says nothing
// about the overlay.
func TestWhatMayPassIsNotRemembered(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"overlays/dev/kustomization.yaml": "resources: [settings.yaml]\n",
		"overlays/dev/settings.yaml":      settings,
	}
	whole := trees.FromMap(files)
	lost := errors.New("the pack is gone")
	broken := gitsync.NewTree(maps.Collect(whole.All()), func(gitsync.Entry) ([]byte, error) { return nil, lost })
	r := render.New(render.Options{})
	var e *render.Error
	if _, err := r.Render(t.Context(), at(broken), dev); !errors.Is(err, lost) || errors.As(err, &e) {
		t.Errorf("unreadable: %v, want an error that may pass", err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if _, err := r.Render(stopped, at(whole), dev); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	if result, err := r.Render(t.Context(), at(whole), dev); err != nil || !result.Built {
		t.Errorf("afterwards: built %v, error %v", result.Built, err)
	}
}

func TestAForgottenTargetIsBuiltAgain(t *testing.T) {
	t.Parallel()
	files, targets := shop(1)
	r := render.New(render.Options{})
	tree := trees.FromMap(files)
	builds(t, r, tree, targets)
	r.Forget(targets[0])
	if built := builds(t, r, tree, targets); len(built) != 1 {
		t.Errorf("built %v, want the one", built)
	}
}

func TestOfManyWhoWantATargetOneBuilds(t *testing.T) {
	t.Parallel()
	files, targets := shop(2)
	rev := gitsync.Revision{Commit: "1", Tree: trees.FromMap(files)}
	renderer := render.New(render.Options{})
	built := make(chan bool)
	const callers = 16
	for i := range callers {
		go func() {
			result, err := renderer.Render(t.Context(), rev, targets[i%len(targets)])
			if err != nil {
				t.Error(err)
			}
			built <- result.Built
		}()
	}
	builds := 0
	for range callers {
		if <-built {
			builds++
		}
	}
	if builds != len(targets) {
		t.Errorf("%d builds for %d targets", builds, len(targets))
	}
}
