package render

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
)

// Options are a renderer's.
type Options struct {
	// Build builds overlays; nil is InProcess.
	Build  Builder
	Limits Limits
	Images ImageFields
	// Now is the clock by which builds that did not finish are tried again; nil is
	// time.Now.
	Now func() time.Time
}

// Renderer renders targets and remembers, for each, its last outcomes and
// all that they depended on: a revision that changed none of that is not built again.
type Renderer struct {
	build  Builder
	limits Limits
	images ImageFields
	now    func() time.Time

	mu    sync.Mutex
	slots map[environments.Target]*slot
}

// slot is what is remembered of a target. Who holds busy may use it: of two
// who want the same target at the same time, one builds and the other waits.
//
// Two outcomes are: while a new revision is deployed, promotions may still look
// at the one before, and either would build what the other replaced.
type slot struct {
	busy         chan struct{}
	last, before *outcome // nil before the first build, and before the second
}

// recall returns the outcome for a tree, which becomes the last one; nil if there
// is none.
func (s *slot) recall(tree gitsync.Tree, declared []KindFields) *outcome {
	for i, o := range []*outcome{s.last, s.before} {
		if o == nil || !o.trace.holds(tree) || !reflect.DeepEqual(o.declared, declared) {
			continue
		}
		if i > 0 {
			s.last, s.before = s.before, s.last
		}
		return o
	}
	return nil
}

// outcome is how a build of a target ended, well or not.
type outcome struct {
	trace trace
	// release is without its objects, which are packed: most targets' are not
	// needed again.
	release Release
	packed  Packed
	err     error
	// declared are the fields with images that the revision itself named.
	declared []KindFields
	// tries counts the builds of this input that did not finish; the next may
	// begin at again.
	tries int
	again time.Time
}

// Result is a target's release and whether it had to be built for it.
type Result struct {
	Release Release
	// Built is false where the revision changed nothing that the release is made
	// of. It is set beside an error, too.
	Built bool
	// Inputs are what the release is made of.
	Inputs Inputs
	// Packed are the release's objects, for who is to remember them. It costs
	// nothing.
	Packed Packed
}

// New makes a renderer, which any number of goroutines may use.
func New(o Options) *Renderer {
	r := &Renderer{build: o.Build, limits: o.Limits.WithDefaults(), images: o.Images, now: o.Now, slots: map[environments.Target]*slot{}}
	if r.build == nil {
		r.build = InProcess()
	}
	if r.now == nil {
		r.now = time.Now
	}
	return r
}

// Render builds a target at a revision into a release with every image pinned.
//
// Its errors are *Error, *Empty and *UnpinnedError, which a person must mend in
// the repository, and others that may pass: a cancelled context, or a revision
// whose files cannot be read. The same revision always ends the same way, but
// for an *Error with an *Unfinished in it: that is remembered for a while only.
//
// The revision may declare fields with images beside those of the options; what
// it says are none is not listened to.
func (r *Renderer) Render(ctx context.Context, rev gitsync.Revision, target environments.Target, declared ...KindFields) (Result, error) {
	last, built, err := r.outcome(ctx, rev, target, declared)
	if err != nil {
		return Result{Built: built}, err
	}
	result, err := last.result(rev.Commit, built)
	if err != nil {
		return result, err
	}
	result.Release.Objects, err = last.packed.Unpack()
	return result, err
}

// Outline is Render for who needs no objects: the release is without them, and
// so nothing that can be judged or applied. It costs next to nothing where
// nothing has to be built.
func (r *Renderer) Outline(ctx context.Context, rev gitsync.Revision, target environments.Target, declared ...KindFields) (Result, error) {
	last, built, err := r.outcome(ctx, rev, target, declared)
	if err != nil {
		return Result{Built: built}, err
	}
	return last.result(rev.Commit, built)
}

// outcome is how a target's build at a revision ended, and whether it had to be
// made. What ended in no outcome that is remembered is an error.
func (r *Renderer) outcome(ctx context.Context, rev gitsync.Revision, target environments.Target, declared []KindFields) (*outcome, bool, error) {
	s := r.slot(target)
	select {
	case s.busy <- struct{}{}:
		defer func() { <-s.busy }()
	case <-ctx.Done():
		return nil, false, fmt.Errorf("%s: waiting for another build of it: %w", target, ctx.Err())
	}
	tries := 0
	known := s.recall(rev.Tree, declared)
	if known != nil {
		if known.tries == 0 || r.now().Before(known.again) {
			return known, false, nil
		}
		tries = known.tries
	}
	files := newTreeFiles(rev.Tree, r.limits)
	fields, err := r.images.with(declared)
	if err != nil {
		return nil, false, placed(err, target)
	}
	built, err := r.build.Build(ctx, Job{Target: target, Limits: r.limits, Files: files})
	var release Release
	if err == nil {
		release, err = judge(built, target, r.limits, fields.compile())
	}
	if files.broken != nil {
		return nil, true, fmt.Errorf("%s: %w", target, files.broken)
	}
	if err != nil && ctx.Err() != nil {
		return nil, true, fmt.Errorf("%s: rendering %s: %w", target, rev.Commit.Short(), ctx.Err())
	}
	packed, unpackable := Pack(release.Objects)
	if unpackable != nil {
		return nil, true, fmt.Errorf("%s: %w", target, unpackable)
	}
	release.Objects = nil
	last := &outcome{trace: files.trace, release: release, packed: packed, err: err, declared: declared}
	var unfinished *Unfinished
	switch {
	case errors.As(err, &unfinished):
		// What it had not read yet matters as well.
		if e, ok := rev.Tree.Lookup(inTree(target.Overlay)); ok {
			files.trace.content(inTree(target.Overlay), e)
		}
		last.tries = tries + 1
		last.again = r.now().Add(pause(last.tries))
	case err != nil && !ofTheOverlay(err):
		return nil, true, fmt.Errorf("%s: rendering %s: %w", target, rev.Commit.Short(), err)
	}
	if known == nil { // else it is tried again
		s.before = s.last
	}
	s.last = last
	return last, true, nil
}

// pause is how long after a number of builds that did not finish the next is
// tried: a minute, then twice as long each time, up to an hour.
func pause(tries int) time.Duration {
	return min(time.Minute<<min(tries-1, 10), time.Hour)
}

// ofTheOverlay says whether an error is one that only the repository can mend.
func ofTheOverlay(err error) bool {
	var e *Error
	var empty *Empty
	var unpinned *UnpinnedError
	return errors.As(err, &e) || errors.As(err, &empty) || errors.As(err, &unpinned)
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
	return Result{Release: release, Built: built, Inputs: Inputs{o.trace}, Packed: o.packed}, nil
}

// Forget drops what is remembered of a target that is gone.
func (r *Renderer) Forget(target environments.Target) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.slots, target)
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
