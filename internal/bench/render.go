package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/internal/sealed"
	"github.com/pawl-dev/pawl/internal/testworld/trees"
	"github.com/pawl-dev/pawl/render"
	sealedrender "github.com/pawl-dev/pawl/render/sealed"
)

const (
	starts  = 20
	touches = 50
)

// builds is how many of each size are taken.
var builds = []struct{ objects, n int }{{4, 100}, {30, 100}, {500, 20}}

// measureRendering takes what rendering in a sealed child costs, beside
// kustomize alone in this process, which checks nothing.
func measureRendering(ctx context.Context, _ *bench) (rows []row, err error) {
	start, err := times(starts, func(int) error {
		pool := sealedrender.New(sealed.Options{})
		return errors.Join(pool.Warm(ctx, render.Limits{}), pool.Close())
	})
	if err != nil {
		return nil, err
	}
	rows = append(rows, start.row("a child process started, sealed, ready and ended", reach{}))

	pool := sealedrender.New(sealed.Options{})
	defer func() { err = errors.Join(err, pool.Close()) }()
	if err := pool.Warm(ctx, render.Limits{}); err != nil {
		return nil, err
	}
	for _, size := range builds {
		more, err := measureBuilds(ctx, pool, size.objects, size.n)
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	more, err := measureTouched(ctx, pool)
	return append(rows, more...), err
}

// measureBuilds takes turns, so that what else goes on hits all alike.
func measureBuilds(ctx context.Context, pool *sealedrender.Pool, objects, n int) ([]row, error) {
	files, targets := overlays(1, objects)
	target, rev := targets[0], gitsync.Revision{Commit: "0", Tree: trees.FromMap(files)}
	disk := filesys.MakeFsInMemory()
	for file, text := range files {
		if err := disk.WriteFile("/repo/"+file, []byte(text)); err != nil {
			return nil, err
		}
	}
	alone := func() error {
		built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(disk, "/repo/"+target.Overlay)
		if err == nil && built.Size() != objects {
			err = fmt.Errorf("kustomize made %d objects of %d", built.Size(), objects)
		}
		return err
	}
	with := func(builder render.Builder) func() error {
		renderer := render.New(render.Options{Build: builder})
		return func() error {
			renderer.Forget(target)
			result, err := renderer.Render(ctx, rev, target)
			if err == nil && len(result.Release.Objects) != objects {
				err = fmt.Errorf("rendered %d objects of %d", len(result.Release.Objects), objects)
			}
			return err
		}
	}
	ways := []func() error{with(pool), with(render.InProcess()), alone}
	took := make([]sample, len(ways))
	for i := range n + 1 {
		for j, way := range ways {
			one, err := times(1, func(int) error { return way() })
			if err != nil {
				return nil, err
			}
			if i > 0 { // the first reads the schemas
				took[j] = append(took[j], one...)
			}
		}
	}
	rendered := fmt.Sprintf("%d objects rendered", objects)
	return []row{
		took[0].row(rendered+", sealed in a child", reach{}),
		took[1].row(rendered+", by the same code in this process", reach{}),
		took[2].row(rendered+", kustomize alone in this process", reach{}),
		took[0].ratioTo(took[1], rendered+": sealed ÷ in this process"),
		took[0].ratioTo(took[2], rendered+": sealed ÷ kustomize alone"),
	}, nil
}

// measureTouched takes what a push costs that touches one overlay of a hundred.
func measureTouched(ctx context.Context, pool *sealedrender.Pool) ([]row, error) {
	files, targets := overlays(100, 4)
	var revisions []gitsync.Revision
	for i := range 2 {
		files["overlays/app-42/settings.txt"] = fmt.Sprintf("%d\n", i)
		revisions = append(revisions, gitsync.Revision{Commit: "0", Tree: trees.FromMap(files)})
	}
	counted := &counter{Builder: pool}
	renderer := render.New(render.Options{Build: counted})
	all := func(i int) error {
		for _, target := range targets {
			if _, err := renderer.Render(ctx, revisions[i%2], target); err != nil {
				return err
			}
		}
		return nil
	}
	if err := all(1); err != nil {
		return nil, err
	}
	counted.builds, counted.took = 0, 0
	var over sample
	for i := range touches {
		one, err := times(1, func(int) error { return all(i) })
		if err != nil {
			return nil, err
		}
		over = append(over, one[0]-counted.took)
		counted.took = 0
	}
	each := float64(counted.builds) / touches
	what := "1 of 100 overlays touched by a push: "
	return []row{
		{What: what + "builds", P50: fmt.Sprintf("%g", each), N: touches, Reach: "1", Met: met(each == 1)},
		over.row(what+"time over the build itself", reach{p99: 50 * time.Millisecond}),
	}, nil
}

// counter counts builds and takes their time; one at a time.
type counter struct {
	render.Builder
	builds int
	took   time.Duration
}

func (c *counter) Build(ctx context.Context, job render.Job) (render.Built, error) {
	started := time.Now()
	defer func() { c.builds, c.took = c.builds+1, c.took+time.Since(started) }()
	return c.Builder.Build(ctx, job)
}
