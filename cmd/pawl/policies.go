package main

import (
	"context"
	"io/fs"

	"golang.org/x/sync/errgroup"

	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/internal/sealed"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/policies/rego"
	"github.com/pawl-dev/pawl/policies/shipped"
)

// regoPolicies are the agent's way to policies in Rego, which are compiled and
// evaluated in sealed processes.
type regoPolicies struct{ pool *rego.Pool }

func newRegoPolicies() regoPolicies { return regoPolicies{rego.New(sealed.Options{})} }

func (r regoPolicies) close() { _ = r.pool.Close() }

func (r regoPolicies) Compile(name string, tree fs.FS, folder string, parameters map[string]any) (demands.Policy, error) {
	files, err := rego.Files(tree, folder)
	if err != nil {
		return nil, err
	}
	return r.pool.Compile(name, files, parameters)
}

func (r regoPolicies) Shipped(name, from string, parameters map[string]any) (demands.Policy, error) {
	files, err := shipped.Files(from)
	if err != nil {
		return nil, err
	}
	return r.pool.Compile(name, files, parameters)
}

// Ask makes one input for all policies.
func (regoPolicies) Ask(ctx context.Context, facts policies.Facts, list []demands.Policy) ([]policies.PolicyResult, error) {
	input, err := rego.NewInput(facts)
	if err != nil {
		return nil, err
	}
	results := make([]policies.PolicyResult, len(list))
	var g errgroup.Group
	g.SetLimit(policiesAtOnce)
	for i, p := range list {
		g.Go(func() error {
			results[i] = p.(*rego.Policy).Evaluate(ctx, input, rego.Limits{})
			return nil
		})
	}
	_ = g.Wait()
	return results, ctx.Err() // what was cut short is no answer
}

// policiesAtOnce bounds what is evaluated at the same time.
const policiesAtOnce = 4
