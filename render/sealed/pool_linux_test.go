package sealed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
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
	fresh := pool(t, Options{Reuse: 1})
	for _, name := range names {
		want[name] = rendered(fresh, name)
		if diff := cmp.Diff(rendered(render.InProcess(), name), want[name]); diff != "" {
			t.Errorf("%s: -here +in a fresh child\n%s", name, diff)
		}
	}
	reused := pool(t, Options{Builds: 1})
	backwards := slices.Clone(names)
	slices.Reverse(backwards)
	for _, name := range slices.Concat(names, backwards) {
		if diff := cmp.Diff(want[name], rendered(reused, name)); diff != "" {
			t.Errorf("%s: -fresh +reused\n%s", name, diff)
		}
	}
	shared := pool(t, Options{Builds: 3})
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

// unfinished renders what cannot end well and returns why it did not.
func unfinished(t *testing.T, p *Pool, application string, limits render.Limits) render.Unfinished {
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
	p := pool(t, Options{})
	for _, c := range []struct {
		application string
		limits      render.Limits
		reason      string
	}{
		{"spin", render.Limits{Time: 200 * time.Millisecond}, "time"},
		{"eat", render.Limits{Memory: 64 << 20}, "memory"},
		{"recurse", render.Limits{Memory: 64 << 20}, "memory"},
		{"panic elsewhere", render.Limits{}, "crash"},
		{"lie", render.Limits{}, "crash"},
	} {
		if why := unfinished(t, p, c.application, c.limits); why.Reason != c.reason {
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
	p := pool(t, Options{Builds: 1, SlowAfter: time.Millisecond})
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

// However many are slow, there are no more children than was said.
func TestSlowBuildsAreBounded(t *testing.T) {
	t.Parallel()
	p := pool(t, Options{Builds: 1, Slow: 2, SlowAfter: time.Millisecond})
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			_, _ = p.Build(ctx, render.Job{Target: target("spin"), Limits: render.Limits{Time: time.Hour}})
		})
	}
	children := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.all)
	}
	eventually(t, "three children run", func() bool { return children() == 3 })
	waiting, giveUp := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer giveUp()
	if _, err := p.Build(waiting, render.Job{Target: target("shop")}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a fourth: %v, want it to wait", err)
	}
	if n := children(); n != 3 {
		t.Errorf("%d children, want 3", n)
	}
	stop()
	wg.Wait()
	if _, err := p.Build(t.Context(), render.Job{Target: target("shop"), Files: files{}}); err == nil || strings.Contains(err.Error(), "waiting") {
		t.Errorf("afterwards: %v, want a turn", err)
	}
}

// A child that fails one build after another's time has passed costs that build
// no second turn: it goes on in another child, as slow as it was, and ends.
func TestASlowBuildWhoseChildCrashesGoesOn(t *testing.T) {
	t.Parallel()
	p := pool(t, Options{Builds: 1, Slow: 2, SlowAfter: time.Hour})
	if _, err := render.New(render.Options{Build: p}).Render(t.Context(), at(small()), target("shop")); err != nil {
		t.Fatal(err)
	}
	p.options.SlowAfter = time.Millisecond
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		_, err := p.Build(ctx, render.Job{Target: target("spin"), Limits: render.Limits{Time: time.Hour}})
		ended <- err
	}()
	slowIn := func() *process {
		p.mu.Lock()
		defer p.mu.Unlock()
		for child := range p.all {
			if child.yielded.Load() {
				return child
			}
		}
		return nil
	}
	eventually(t, "the build is slow", func() bool { return slowIn() != nil && len(p.turns) == 0 })
	first := slowIn()
	first.kill()
	eventually(t, "it goes on in another child, which yields as well", func() bool { c := slowIn(); return c != nil && c != first })
	if len(p.slow) != 1 || len(p.turns) != 0 {
		t.Errorf("%d slow and %d other builds, want the one", len(p.slow), len(p.turns))
	}
	stop()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("stopped: %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the build never ends")
	}
	if len(p.slow) != 0 || len(p.turns) != 0 {
		t.Errorf("%d slow and %d other builds afterwards, want none", len(p.slow), len(p.turns))
	}
}

// Once a build has given its child back, the child is another's: that the first
// build was slow is no reason to slow it down. If it came to that just before,
// nobody gets it.
func TestALateTimerLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	p := pool(t, Options{Builds: 1, SlowAfter: time.Hour})
	child, err := p.take(t.Context(), 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := &turn{pool: p, over: make(chan struct{})}
	first.use(child)
	first.use(nil)
	first.slow()
	first.end()
	if child.yielded.Load() {
		t.Error("a child yields that the slow build had given back")
	}
	child.yield()
	if p.put(child, false); len(p.idle) != 0 {
		t.Error("a child that yields is kept for another build")
	}
}

// Warming is no way around the bound.
func TestWarmingStartsNoneBesideThoseThatRun(t *testing.T) {
	t.Parallel()
	p := pool(t, Options{Builds: 1, SlowAfter: time.Hour})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = p.Build(ctx, render.Job{Target: target("spin"), Limits: render.Limits{Time: time.Hour}})
	}()
	children := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.all)
	}
	eventually(t, "a child runs", func() bool { return children() == 1 })
	if err := p.Warm(t.Context(), render.Limits{}); err != nil {
		t.Error(err)
	}
	if n := children(); n != 1 {
		t.Errorf("%d children, want the one that is busy", n)
	}
	stop()
	<-ended
}

// files are none at all.
type files struct{}

func (files) Stat(string) (gitsync.Entry, error)         { return gitsync.Entry{}, nil }
func (files) Read(string) ([]byte, gitsync.Entry, error) { return nil, gitsync.Entry{}, os.ErrNotExist }
func (files) List(string) ([]string, error)              { return nil, os.ErrNotExist }

// A child that floods its parent is cut off at the limit, one that chatters is
// not heard.
func TestWhatAChildSaysIsBounded(t *testing.T) {
	t.Parallel()
	p := pool(t, Options{})
	_, err := render.New(render.Options{Build: p, Limits: render.Limits{Output: 1 << 20}}).Render(t.Context(), at(small()), target("flood"))
	var too *render.Exceeded
	if !errors.As(err, &too) || too.Limit != "output" {
		t.Errorf("%v, want the limit of output named", err)
	}
	if _, err := render.New(render.Options{Build: p}).Render(t.Context(), at(small()), target("chatter")); err != nil {
		t.Error(err)
	}
}

// Files are asked for by paths of the tree, which has none outside of itself.
func TestAChildCannotReadOutsideOfTheTree(t *testing.T) {
	t.Parallel()
	p := pool(t, Options{})
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

// The parent's death ends a child, in the middle of a build as well.
func TestAChildDiesWithItsParent(t *testing.T) {
	t.Parallel()
	child, err := startProcess(t.Context(), probed, settings{Memory: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer child.kill()
	if err := send(child.to, kindJob, order{target("spin"), render.Limits{}.WithDefaults()}, nil); err != nil {
		t.Fatal(err)
	}
	if err := child.to.Close(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- child.wait() }()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Error("the child lives on")
	}
}

// catalogue 1: a child that died while nobody needed it costs its next user no
// failed build.
func TestAChildThatDiedIdleIsReplaced(t *testing.T) {
	t.Parallel()
	p := pool(t, Options{Builds: 1})
	r := render.New(render.Options{Build: p})
	if _, err := r.Render(t.Context(), at(small()), target("a")); err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	child := p.idle[0]
	p.mu.Unlock()
	child.kill()
	if _, err := r.Render(t.Context(), at(small()), target("b")); err != nil {
		t.Error(err)
	}
}

func TestChildrenEnd(t *testing.T) {
	t.Parallel()
	for what, o := range map[string]Options{
		"idle for long enough":        {Idle: time.Millisecond},
		"after so many builds":        {Reuse: 1},
		"with the pool":               {},
		"after a build that ran long": {SlowAfter: time.Nanosecond},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			p := pool(t, o)
			if err := p.Warm(t.Context(), render.Limits{}); err != nil {
				t.Fatal(err)
			}
			if _, err := render.New(render.Options{Build: p}).Render(t.Context(), at(small()), target("chatter")); err != nil {
				t.Fatal(err)
			}
			if what == "with the pool" {
				_ = p.Close()
				if _, err := p.Build(t.Context(), render.Job{Target: target("a")}); !errors.Is(err, errClosed) {
					t.Errorf("a build of a closed pool: %v", err)
				}
			}
			eventually(t, "the child is gone", func() bool {
				p.mu.Lock()
				defer p.mu.Unlock()
				return len(p.all) == 0
			})
		})
	}
}

// Closing ends builds under way, and holds it against no overlay.
func TestAClosedPoolBlamesNobody(t *testing.T) {
	t.Parallel()
	p := pool(t, Options{})
	ended := make(chan error)
	go func() {
		_, err := render.New(render.Options{Build: p}).Render(context.Background(), at(small()), target("spin"))
		ended <- err
	}()
	eventually(t, "a child runs", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.all) == 1
	})
	_ = p.Close()
	var e *render.Error
	if err := <-ended; !errors.Is(err, errClosed) || errors.As(err, &e) {
		t.Errorf("%v, want the pool named", err)
	}
}

// Nobody becomes a child by accident.
func TestAChildIsStartedByAPoolAlone(t *testing.T) {
	t.Parallel()
	program, err := self()
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	stray := &exec.Cmd{Path: program, Args: []string{childName}, Stdin: null}
	said, err := stray.CombinedOutput()
	if err == nil || !strings.Contains(string(said), "started by pawl alone") {
		t.Errorf("%v, %s", err, said)
	}
	piped := &exec.Cmd{Path: program, Args: []string{childName}, Stdin: io.LimitReader(strings.NewReader(strings.Repeat("x", 100)), 100)}
	if err := piped.Run(); err == nil {
		t.Error("a child took what is no message")
	}
}

func TestWaitingForATurnEnds(t *testing.T) {
	t.Parallel()
	p := pool(t, Options{Builds: 1, SlowAfter: time.Hour})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = p.Build(ctx, render.Job{Target: target("spin"), Limits: render.Limits{Time: time.Hour}})
	}()
	eventually(t, "a build runs", func() bool { return len(p.turns) == 1 })
	waiting, giveUp := context.WithCancel(t.Context())
	giveUp()
	if _, err := p.Build(waiting, render.Job{Target: environments.Target{}}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the wait given up", err)
	}
	stop()
	<-ended
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not before long: %s", what)
		}
	}
}
