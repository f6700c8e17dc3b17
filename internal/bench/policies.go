package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/internal/sealed"
	"github.com/pawl-dev/pawl/internal/testworld/trees"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/policies/rego"
	"github.com/pawl-dev/pawl/policies/shipped"
	"github.com/pawl-dev/pawl/render"
)

const judgements = 30

// measurePolicies asks the shipped policies about a release that they allow,
// side by side, as the agent does.
func measurePolicies(ctx context.Context, _ *bench) ([]row, error) {
	pool := rego.New(sealed.Options{})
	defer pool.Close()
	var all []*rego.Policy
	parameters := map[string]map[string]any{"allowed-registries": {"registries": []any{"ghcr.io/acme"}}}
	compiling, err := times(1, func(int) error {
		for _, name := range shipped.Names() {
			files, err := shipped.Files(name)
			if err != nil {
				return err
			}
			p, err := pool.Compile(name, files, parameters[name])
			if err != nil {
				return err
			}
			all = append(all, p)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	rows := []row{compiling.row(fmt.Sprintf("%d shipped policies compiled, once", len(all)), reach{})}
	for _, objects := range []int{30, 500} {
		files, targets := overlays(1, objects)
		built, err := render.New(render.Options{}).Render(ctx, gitsync.Revision{Commit: "0", Tree: trees.FromMap(files)}, targets[0])
		if err != nil {
			return nil, err
		}
		asked, err := times(judgements, func(int) error {
			return ask(ctx, policies.Facts{Release: built.Release, At: time.Now()}, all)
		})
		if err != nil {
			return nil, err
		}
		rows = append(rows, asked.row(fmt.Sprintf("%d shipped policies asked about %d objects", len(all), objects), reach{}))
	}
	return rows, nil
}

func ask(ctx context.Context, facts policies.Facts, all []*rego.Policy) error {
	input, err := rego.NewInput(facts)
	if err != nil {
		return err
	}
	var g errgroup.Group
	for _, p := range all {
		g.Go(func() error {
			if said := p.Evaluate(ctx, input, rego.Limits{}); said.Problem != "" || len(said.Denied) > 0 {
				return fmt.Errorf("policy %s does not allow the release: %s %v", p.Name(), said.Problem, said.Denied)
			}
			return nil
		})
	}
	return g.Wait()
}
