package sealed

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/internal/sealed"
	"github.com/pawl-dev/pawl/internal/testworld/trees"
	"github.com/pawl-dev/pawl/render"
)

// end is how a render ended, all of it, to be compared.
func end(result render.Result, err error) string {
	if err != nil {
		return fmt.Sprintf("%T %+v", err, err)
	}
	r := result.Release
	return fmt.Sprintf("%s %v %v %v", r.Digest, r.Images, r.Unlisted, r.Places)
}

// goldens are the cases of package render, by name.
func goldens(t *testing.T) map[string]gitsync.Tree {
	t.Helper()
	files, err := filepath.Glob("../testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	all := map[string]gitsync.Tree{}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		repository := map[string]string{}
		for _, f := range archive.Files {
			content := strings.NewReplacer("<NUL>", "\x00", "<TAB>", "\t", "<BOM>", "\ufeff", "<CR>", "\r").Replace(string(f.Data))
			if to, ok := strings.CutPrefix(content, "LINK "); ok {
				content = trees.Link(strings.TrimSpace(to))
			} else if strings.TrimSpace(content) == "SUBMODULE" {
				content = trees.Submodule
			}
			repository[f.Name] = content
		}
		all[filepath.Base(file)] = trees.FromMap(repository)
	}
	// A schema of one's own, which changes what a process makes of all after it.
	all["own schema"] = trees.FromMap(map[string]string{
		"overlays/dev/kustomization.yaml": "resources: [web.yaml]\npatches:\n  - path: patch.yaml\nopenapi: {path: schema.json}\n",
		"overlays/dev/web.yaml":           "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  template:\n    spec:\n      containers:\n        - {name: web, image: \"ghcr.io/acme/web@sha256:" + strings.Repeat("a", 64) + "\"}\n",
		"overlays/dev/patch.yaml":         "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  template:\n    spec:\n      containers:\n        - {name: side, image: \"ghcr.io/acme/side@sha256:" + strings.Repeat("b", 64) + "\"}\n",
		"overlays/dev/schema.json":        `{"definitions": {"io.k8s.api.apps.v1.Deployment": {"type": "object", "properties": {"spec": {"type": "object"}}, "x-kubernetes-group-version-kind": [{"group": "apps", "version": "v1", "kind": "Deployment"}]}}}`,
	})
	return all
}

// catalogue 10, catalogue 27, catalogue 28: whatever a child has built before, a
// build ends as it does in a fresh child and as it does here: the same release,
// the same error in every field. One after another in any order, and all at once.
func TestAReusedChildIsAsGoodAsAFreshOne(t *testing.T) {
	t.Parallel()
	cases := goldens(t)
	names := slices.Sorted(maps.Keys(cases))
	rendered := func(b render.Builder, name string) string {
		return end(render.New(render.Options{Build: b}).Render(t.Context(), at(cases[name]), target("shop")))
	}
	want := map[string]string{}
	fresh := pool(t, sealed.Options{Reuse: 1})
	for _, name := range names {
		want[name] = rendered(fresh, name)
		if diff := cmp.Diff(rendered(render.InProcess(), name), want[name]); diff != "" {
			t.Errorf("%s: -here +in a fresh child\n%s", name, diff)
		}
	}
	reused := pool(t, sealed.Options{Jobs: 1})
	backwards := slices.Clone(names)
	slices.Reverse(backwards)
	for _, name := range slices.Concat(names, backwards) {
		if diff := cmp.Diff(want[name], rendered(reused, name)); diff != "" {
			t.Errorf("%s: -fresh +reused\n%s", name, diff)
		}
	}
	shared := pool(t, sealed.Options{Jobs: 3})
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			for j := range names {
				name := names[(j+i*len(names)/3)%len(names)]
				if got := rendered(shared, name); got != want[name] {
					t.Errorf("%s: alone\n%s\namong others\n%s", name, want[name], got)
				}
			}
		})
	}
	wg.Wait()
}

// whyNot renders what cannot end well and returns why it did not.
func whyNot(t *testing.T, p *Pool, application string, limits render.Limits) render.Unfinished {
	t.Helper()
	_, err := render.New(render.Options{Build: p, Limits: limits}).Render(t.Context(), at(small()), target(application))
	var e *render.Error
	var why *render.Unfinished
	if !errors.As(err, &e) || !errors.As(err, &why) || e.Target != target(application) || e.File != "overlays/dev" {
		t.Fatalf("%s: %v, want an error that says why it did not finish, and where", application, err)
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%s: the error shows what was in the input: %v", application, err)
	}
	t.Log(err)
	return *why
}

// catalogue 1, catalogue 10: what takes too long, too much memory, or its whole
// process with it is told apart, and the next build is well.
func TestABuildThatDoesNotFinishSaysWhy(t *testing.T) {
	t.Parallel()
	p := pool(t, sealed.Options{})
	for _, c := range []struct {
		application string
		limits      render.Limits
		reason      string
	}{
		{"spin", render.Limits{Time: 200 * time.Millisecond}, "time"},
		{"eat", render.Limits{Memory: 64 << 20}, "memory"},
		{"panic elsewhere", render.Limits{}, "crash"},
	} {
		if why := whyNot(t, p, c.application, c.limits); why.Reason != c.reason {
			t.Errorf("%s: %+v, want %s", c.application, why, c.reason)
		}
		if _, err := render.New(render.Options{Build: p, Limits: c.limits}).Render(t.Context(), at(small()), target("shop")); err != nil && c.application != "spin" {
			t.Errorf("after %s: %v", c.application, err)
		}
	}
}

// catalogue 1: the bomb itself, with the check before the build out of its way.
// Meanwhile another target renders, though only one build may run at a time.
func TestABombHurtsItsOwnTargetAlone(t *testing.T) {
	t.Parallel()
	bomb := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: &a [x,x,x,x,x,x,x,x,x]\n"
	for i := range 9 {
		bomb += fmt.Sprintf("%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", 'b'+i, 'b'+i, 'a'+i, 'a'+i, 'a'+i, 'a'+i, 'a'+i, 'a'+i, 'a'+i, 'a'+i, 'a'+i)
	}
	tree := trees.FromMap(map[string]string{"overlays/dev/kustomization.yaml": "resources: [bomb.yaml]\n", "overlays/dev/bomb.yaml": bomb})
	p := pool(t, sealed.Options{Jobs: 1, SlowAfter: time.Millisecond})
	limits := render.Limits{Nodes: 1 << 40, Memory: 64 << 20, Time: time.Minute}
	_, err := render.New(render.Options{Build: p, Limits: limits}).Render(t.Context(), at(tree), target("bomb"))
	var why *render.Unfinished
	if !errors.As(err, &why) {
		t.Errorf("the bomb: %v, want it stopped", err)
	}
	t.Log(err)

	// One that would go on for an hour, and is still at it when the other is done.
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := render.New(render.Options{Build: p, Limits: render.Limits{Time: time.Hour}}).Render(ctx, at(small()), target("spin"))
		ended <- err
	}()
	for range 3 {
		if _, err := render.New(render.Options{Build: p}).Render(t.Context(), at(small()), target("shop")); err != nil {
			t.Errorf("beside a bomb: %v", err)
		}
	}
	select {
	case err := <-ended:
		t.Errorf("the bomb ended before the others: %v", err)
	default:
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
}

// A child that floods its parent is cut off at the limit.
func TestWhatAChildSaysIsBounded(t *testing.T) {
	t.Parallel()
	p := pool(t, sealed.Options{})
	_, err := render.New(render.Options{Build: p, Limits: render.Limits{Output: 1 << 20}}).Render(t.Context(), at(small()), target("flood"))
	var too *render.Exceeded
	if !errors.As(err, &too) || too.Limit != "output" {
		t.Errorf("%v, want the limit of output named", err)
	}
}

// Files are asked for by paths of the tree, which has none outside of itself.
func TestAChildCannotReadOutsideOfTheTree(t *testing.T) {
	t.Parallel()
	p := pool(t, sealed.Options{})
	for _, path := range []string{"/etc/passwd", "../../../etc/passwd", "overlays/../../etc/passwd", "/proc/self/environ", ".", ""} {
		job := target("outside")
		job.Overlay = path
		_, err := p.Build(t.Context(), render.Job{Target: job, Files: onlyTree{small()}})
		if err == nil || !strings.Contains(err.Error(), "refused: ") {
			t.Errorf("%q: %v", path, err)
		}
	}
}

// onlyTree reads a tree and nothing else, as a renderer's files do.
type onlyTree struct{ tree gitsync.Tree }

func (f onlyTree) Stat(p string) (gitsync.Entry, error) { e, _ := f.tree.Lookup(p); return e, nil }
func (f onlyTree) Read(p string) ([]byte, gitsync.Entry, error) {
	content, err := f.tree.Read(p)
	return content, gitsync.Entry{}, err
}
func (f onlyTree) List(p string) ([]string, error) { return f.tree.List(p), nil }

// Closing ends builds under way, and holds it against no overlay.
func TestAClosedPoolBlamesNobody(t *testing.T) {
	t.Parallel()
	p := pool(t, sealed.Options{})
	_ = p.Close()
	_, err := render.New(render.Options{Build: p}).Render(t.Context(), at(small()), target("shop"))
	if !errors.Is(err, sealed.ErrClosed) || errors.As(err, new(*render.Error)) {
		t.Errorf("%v, want the pool named", err)
	}
}
