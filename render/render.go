package render

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
)

// Options are a renderer's.
type Options struct {
	Limits Limits
}

// Limits bound what one overlay may ask for. A field that is zero has the
// default that stands beside it.
type Limits struct {
	Bytes   int64 // of all files that are read: 64 MiB
	Nodes   int   // of one YAML document, its aliases unfolded: 1,000,000
	Objects int   // that are rendered: 5,000
}

func (l Limits) orDefault() Limits {
	if l.Bytes == 0 {
		l.Bytes = 64 << 20
	}
	if l.Nodes == 0 {
		l.Nodes = 1_000_000
	}
	if l.Objects == 0 {
		l.Objects = 5_000
	}
	return l
}

// Renderer renders targets and remembers, for each, its last outcome and all
// that it depended on: a revision that changed none of that is not built again.
type Renderer struct {
	limits Limits
	clean  cleanFiles

	mu    sync.Mutex
	slots map[environments.Target]*slot
}

// slot is what is remembered of a target. Who holds busy may use it: of two
// who want the same target at the same time, one builds and the other waits.
type slot struct {
	busy chan struct{}
	last *outcome // nil before the first build
}

// outcome is how a target's last build ended, well or not.
type outcome struct {
	trace   trace
	release Release
	err     error
}

// Result is a target's release and whether it had to be built for it.
type Result struct {
	Release Release
	// Built is false where the revision changed nothing that the release is made
	// of. It is set beside an error, too.
	Built bool
}

// New makes a renderer, which any number of goroutines may use.
func New(o Options) *Renderer {
	return &Renderer{limits: o.Limits.orDefault(), slots: map[environments.Target]*slot{}}
}

// Render builds a target at a revision into a release with every image pinned.
//
// Its errors are *Error, *Empty and *UnpinnedError, which a person must mend in
// the repository, and others that may pass: a cancelled context, or a revision
// whose files cannot be read. The same revision always ends the same way.
func (r *Renderer) Render(ctx context.Context, rev gitsync.Revision, target environments.Target) (Result, error) {
	s := r.slot(target)
	select {
	case s.busy <- struct{}{}:
		defer func() { <-s.busy }()
	case <-ctx.Done():
		return Result{}, fmt.Errorf("%s: waiting for another build of it: %w", target, ctx.Err())
	}
	if s.last != nil && s.last.trace.holds(rev.Tree) {
		return s.last.result(rev.Commit, false)
	}
	fsys := newTreeFS(rev.Tree, r.limits.Bytes)
	release, err := r.render(ctx, fsys, target)
	if fsys.broken != nil {
		return Result{Built: true}, fmt.Errorf("%s: %w", target, fsys.broken)
	}
	if err != nil && ctx.Err() != nil {
		return Result{Built: true}, fmt.Errorf("%s: rendering %s: %w", target, rev.Commit.Short(), ctx.Err())
	}
	s.last = &outcome{fsys.trace, release, err}
	return s.last.result(rev.Commit, true)
}

func (r *Renderer) slot(target environments.Target) *slot {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.slots[target]
	if !ok {
		s = &slot{busy: make(chan struct{}, 1)}
		r.slots[target] = s
	}
	return s
}

func (o outcome) result(commit gitsync.Commit, built bool) (Result, error) {
	if o.err != nil {
		return Result{Built: built}, o.err
	}
	release := o.release
	release.Commit = commit
	return Result{Release: release, Built: built}, nil
}

// Forget drops what is remembered of a target that is gone.
func (r *Renderer) Forget(target environments.Target) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.slots, target)
}

// render scans, builds and judges one overlay.
func (r *Renderer) render(ctx context.Context, fsys *treeFS, target environments.Target) (Release, error) {
	overlay, err := overlayFolder(fsys, target)
	if err != nil {
		return Release{}, placed(err, target)
	}
	s := &scan{ctx: ctx, fs: fsys, limits: r.limits, clean: &r.clean, done: map[string]bool{}}
	if err := s.folder(overlay); err != nil {
		return Release{}, placed(err, target)
	}
	built, err := build(ctx, fsys, overlay, s.openAPI)
	if fsys.refused != nil {
		return Release{}, placed(fsys.refused, target)
	}
	if err != nil {
		return Release{}, placed(s.explain(err), target)
	}
	objects, err := unpack(built)
	if err != nil {
		return Release{}, placed(err, target)
	}
	if len(objects) == 0 {
		return Release{}, &Empty{Target: target, File: s.kustomizations[0].file, Reason: "renders to no object"}
	}
	if len(objects) > r.limits.Objects {
		return Release{}, &Error{Target: target, File: s.kustomizations[0].file, Err: fmt.Errorf("renders to %d objects, the limit is %d", len(objects), r.limits.Objects)}
	}
	if err := order(objects); err != nil {
		return Release{}, placed(s.locate(err), target)
	}
	release := Release{Target: target, Objects: objects}
	for _, o := range objects {
		images, err := imagesOf(o)
		if err != nil {
			return Release{}, placed(s.locate(err), target)
		}
		release.Images = append(release.Images, images...)
	}
	slices.SortStableFunc(release.Images, func(a, b Image) int { return strings.Compare(a.Object, b.Object) })
	if unpinned := s.unpinned(release.Images); len(unpinned) > 0 {
		return Release{}, &UnpinnedError{Target: target, Unpinned: unpinned}
	}
	if release.Digest, err = digestOf(objects); err != nil {
		return Release{}, placed(err, target)
	}
	return release, nil
}

// overlayFolder is the target's overlay in the tree, in clean form.
func overlayFolder(fsys *treeFS, target environments.Target) (string, error) {
	overlay := target.Overlay
	if clean := inTree(overlay); strings.HasPrefix(overlay, "/") || slices.Contains(strings.Split(overlay, "/"), "..") {
		return "", &Error{File: clean, Err: fmt.Errorf("the overlay %q is no folder of the repository; write it relative to the root, without \"..\"", overlay)}
	}
	overlay = inTree(overlay)
	e, err := fsys.stat(overlay)
	switch {
	case err != nil:
		return "", err
	case e.Kind == 0:
		return "", &Empty{File: overlay, Reason: "the overlay is not in the repository"}
	case e.Kind != gitsync.Folder:
		return "", &Error{File: overlay, Err: errors.New("the overlay is a file; it must be a folder with a kustomization.yaml")}
	}
	return overlay, nil
}

// placed names the target in an error of render's own.
func placed(err error, target environments.Target) error {
	var e *Error
	var empty *Empty
	switch {
	case errors.As(err, &empty):
		empty.Target = target
		return empty
	case errors.As(err, &e):
		e.Target = target
		return e
	}
	return &Error{Target: target, Err: err}
}

// unpinned lists the images without a digest, each with the place in the
// overlay's kustomization where its digest belongs.
func (s *scan) unpinned(images []Image) []Unpinned {
	var all []Unpinned
	top := s.kustomizations[0]
	for _, image := range images {
		if image.Digest != "" {
			continue
		}
		u := Unpinned{Image: image, File: top.file, ByHand: !reachable(image.Field)}
		named, _, _ := strings.Cut(image.Reference, ":"+image.Tag)
		for i, entry := range top.content.Images {
			if entry.NewName == named || entry.NewName == "" && entry.Name == named {
				u.Line = lineOf(s.fs.contents[top.file], fmt.Sprintf("images[%d]", i))
			}
		}
		all = append(all, u)
	}
	return all
}
