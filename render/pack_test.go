package render_test

import (
	"runtime"
	"testing"
	"weak"

	"github.com/google/go-cmp/cmp"

	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/internal/testworld/trees"
	"github.com/pawl-dev/pawl/render"
)

// What is remembered of a release is the release, and not what somebody who was
// given it has made of its objects.
func TestARememberedReleaseIsTheSame(t *testing.T) {
	t.Parallel()
	files, targets := shop(1)
	files["base/service.yaml"] += "  # numbers and texts that look like them\n  sessionAffinityConfig: {clientIP: {timeoutSeconds: 9007199254740993, ratio: 0.5, big: 1e21}}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: texts}\ndata: {number: \"1\", markup: \"<a&b>\", line: \"x\\u2028y\"}\n"
	rev := gitsync.Revision{Commit: commit, Tree: trees.FromMap(files)}
	r := render.New(render.Options{})
	first, err := r.Render(t.Context(), rev, targets[0])
	if err != nil {
		t.Fatal(err)
	}
	again, err := r.Render(t.Context(), rev, targets[0])
	if err != nil || again.Built {
		t.Fatal(again.Built, err)
	}
	if diff := cmp.Diff(first.Release, again.Release); diff != "" || len(again.Release.Objects) != 4 {
		t.Fatalf("remembered otherwise (-built +remembered):\n%s", diff)
	}
	if _, err := r.Restore(again.Release); err != nil {
		t.Error(err)
	}
	again.Release.Objects[0].SetName("other")
	if third, _ := r.Render(t.Context(), rev, targets[0]); !cmp.Equal(first.Release, third.Release) {
		t.Error("a change of what was given out is remembered")
	}
	outline, err := r.Outline(t.Context(), rev, targets[0])
	if err != nil || outline.Built {
		t.Fatal(outline.Built, err)
	}
	if first.Release.Objects = nil; !cmp.Equal(first.Release, outline.Release) {
		t.Errorf("the outline is another release: %s", cmp.Diff(first.Release, outline.Release))
	}
}

// Of a thousand targets the objects of most are not needed again.
func TestObjectsAreNotHeld(t *testing.T) {
	t.Parallel()
	files, targets := shop(1)
	rev := gitsync.Revision{Commit: commit, Tree: trees.FromMap(files)}
	r := render.New(render.Options{})
	result, err := r.Render(t.Context(), rev, targets[0])
	if err != nil {
		t.Fatal(err)
	}
	object := weak.Make(result.Release.Objects[0])
	result = render.Result{}
	runtime.GC()
	if object.Value() != nil {
		t.Error("an object is held")
	}
	runtime.KeepAlive(r)
}
