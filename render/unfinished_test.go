package render_test

import (
	"context"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/pawl-dev/pawl/internal/testworld/trees"
	"github.com/pawl-dev/pawl/render"
)

// builder ends every build as it is told, after reading the overlay's
// kustomization.
type builder struct{ err error }

func (b *builder) Build(ctx context.Context, job render.Job) (render.Built, error) {
	if b.err == nil {
		return render.InProcess().Build(ctx, job)
	}
	_, _, _ = job.Files.Read(job.Target.Overlay + "/kustomization.yaml")
	return render.Built{}, b.err
}

func late() error {
	return &render.Error{File: "overlays/dev", Err: &render.Unfinished{Reason: "time", What: "did not finish within 30s"}}
}

// catalogue 1: what did not finish is not built again and again, and yet a
// machine that was merely slow recovers.
func TestABuildThatDidNotFinishIsTriedAgainAfterGrowingPauses(t *testing.T) {
	t.Parallel()
	clock := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	b := &builder{err: late()}
	r := render.New(render.Options{Build: b, Now: func() time.Time { return clock }})
	files := map[string]string{"overlays/dev/kustomization.yaml": "resources: [settings.yaml]\n", "overlays/dev/settings.yaml": settings}
	built := func() bool {
		result, err := r.Render(t.Context(), at(trees.FromMap(files)), dev)
		if (err == nil) != (b.err == nil) {
			t.Errorf("%v, the builder said %v", err, b.err)
		}
		return result.Built
	}
	if !built() {
		t.Error("the first was not built")
	}
	for i, pause := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60} {
		clock = clock.Add(pause*time.Minute - time.Second)
		if built() {
			t.Errorf("%d: built before %d minutes were over", i, pause)
		}
		clock = clock.Add(time.Second)
		if !built() {
			t.Errorf("%d: not built after %d minutes", i, pause)
		}
	}
	files["README.md"] = "unrelated\n"
	if built() {
		t.Error("built for a change of something else")
	}
	// A file of the overlay that the build had not come to.
	files["overlays/dev/settings.yaml"] += "  more: x\n"
	if !built() {
		t.Error("not built for a change of the overlay")
	}
	b.err = nil
	clock = clock.Add(time.Minute)
	if !built() {
		t.Error("not built after the pause, which is short again")
	}
	clock = clock.Add(time.Hour)
	if built() {
		t.Error("built again after it was well")
	}
}

// What says nothing about the overlay, as that no process can be started, is
// not held against it.
func TestABuilderThatFailsIsAskedAgain(t *testing.T) {
	t.Parallel()
	b := &builder{err: errors.New("no more processes")}
	r := render.New(render.Options{Build: b})
	tree := trees.FromMap(maps.Clone(map[string]string{"overlays/dev/kustomization.yaml": "resources: [settings.yaml]\n", "overlays/dev/settings.yaml": settings}))
	var e *render.Error
	if _, err := r.Render(t.Context(), at(tree), dev); !errors.Is(err, b.err) || errors.As(err, &e) {
		t.Errorf("%v, want an error that may pass", err)
	}
	b.err = nil
	if _, err := r.Render(t.Context(), at(tree), dev); err != nil {
		t.Error(err)
	}
}

// hostile claims what it likes about an overlay that it did not read.
type hostile struct{ objects []map[string]any }

func (h hostile) Build(context.Context, render.Job) (render.Built, error) {
	return render.Built{Objects: h.objects}, nil
}

// A builder that was taken over can invent objects, but hides no image, no list
// and no object that is there twice: those are judged here.
func TestWhatABuilderBringsIsJudged(t *testing.T) {
	t.Parallel()
	object := func(kind, name string, spec map[string]any) map[string]any {
		return map[string]any{"apiVersion": "v1", "kind": kind, "metadata": map[string]any{"name": name}, "spec": spec}
	}
	pod := object("Pod", "a", map[string]any{"containers": []any{map[string]any{"image": "evil.example.org/miner:1"}}})
	tree := trees.FromMap(map[string]string{"overlays/dev/kustomization.yaml": "resources: []\n"})
	for what, c := range map[string]struct {
		objects []map[string]any
		limits  render.Limits
		is      func(error) bool
	}{
		"an image":        {[]map[string]any{pod}, render.Limits{}, func(err error) bool { return errors.As(err, new(*render.UnpinnedError)) }},
		"a hidden image":  {[]map[string]any{{"apiVersion": "v1", "kind": "List", "items": []any{pod}}}, render.Limits{}, func(err error) bool { return errors.As(err, new(*render.UnpinnedError)) }},
		"the same twice":  {[]map[string]any{object("Service", "a", nil), object("Service", "a", nil)}, render.Limits{}, func(err error) bool { return errors.As(err, new(*render.Error)) }},
		"too many":        {[]map[string]any{object("Service", "a", nil), object("Service", "b", nil)}, render.Limits{Objects: 1}, func(err error) bool { return errors.As(err, new(*render.Exceeded)) }},
		"nothing":         {nil, render.Limits{}, func(err error) bool { return errors.As(err, new(*render.Empty)) }},
		"what has no map": {[]map[string]any{nil}, render.Limits{}, func(err error) bool { return errors.As(err, new(*render.Error)) }},
	} {
		_, err := render.New(render.Options{Build: hostile{c.objects}, Limits: c.limits}).Render(t.Context(), at(tree), dev)
		if !c.is(err) {
			t.Errorf("%s: %T %v", what, err, err)
		}
	}
}
