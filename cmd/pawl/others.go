package main

import (
	"context"

	"github.com/pawl-dev/pawl/agent"
	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/internal/sealed"
	"github.com/pawl-dev/pawl/render"
	sealedrender "github.com/pawl-dev/pawl/render/sealed"
)

// address is what environments of the same cluster have in common.
func address(e agent.EnvironmentConfig) string { return e.Kubeconfig + "#" + e.Context }

// others tells what the other targets of an environment's cluster declare in
// the checkout: what moved to one of them is not deleted.
func (s *subject) others(ctx context.Context, in agent.EnvironmentConfig) (*drift.Others, error) {
	here := map[string]bool{}
	for _, e := range s.config.Environments {
		here[e.Name] = address(e) == address(in)
	}
	found := &drift.Others{}
	for _, u := range s.checkout.Unusable {
		if here[u.Target.Environment] {
			found.Unknown = append(found.Unknown, u.Target)
		}
	}
	var targets []environments.Target
	for _, t := range s.checkout.Targets {
		if here[t.Environment] && t != s.target {
			targets = append(targets, t)
		}
	}
	pool := sealedrender.New(sealed.Options{})
	defer pool.Close()
	renderer := render.New(renderOptions(s.config, pool))
	declared, unknown, err := demands.Declared(ctx, targets, func(t environments.Target) (render.Result, error) {
		return renderer.Render(ctx, s.checkout.Revision, t, s.checkout.ImageFields()...)
	})
	if err != nil {
		return nil, err
	}
	found.Unknown = append(found.Unknown, unknown...)
	for t, ids := range declared {
		found.Add(t, ids)
	}
	return found, nil
}
