package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/pawl-dev/pawl/internal/sealed"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/policies/rego"
	"github.com/pawl-dev/pawl/policies/shipped"
)

// parameters are what shipped policies need to be of use here.
func (t *trial) parameters(policy string) map[string]any {
	if policy == "allowed-registries" {
		return map[string]any{"registries": []any{t.shop.World.Registry.Host() + "/acme"}}
	}
	return nil
}

// policies asks the shipped policies about every target, prints what they deny
// and returns those that deny nothing.
func (t *trial) policies(ctx context.Context) (allowing []string, err error) {
	pool := rego.New(sealed.Options{})
	defer pool.Close()
	for _, name := range shipped.Names() {
		files, err := shipped.Files(name)
		if err != nil {
			return nil, err
		}
		policy, err := pool.Compile(name, files, t.parameters(name))
		if err != nil {
			return nil, err
		}
		denied := 0
		for _, target := range t.targets {
			release, err := t.render(ctx, target)
			if err != nil {
				return nil, fmt.Errorf("%s with stand-ins: %w", target, err)
			}
			input, err := rego.NewInput(policies.Facts{Release: release, At: time.Now()})
			if err != nil {
				return nil, err
			}
			said := policy.Evaluate(ctx, input, rego.Limits{})
			if said.Problem != "" {
				return nil, fmt.Errorf("%s: policy %s: %s", target, name, said.Problem)
			}
			denied += len(said.Denied)
			printDenied(name, target.String(), said.Denied)
		}
		if denied == 0 {
			allowing = append(allowing, name)
		}
	}
	fmt.Printf("demanded of every target: a signature, provenance, and the policies %s\n\n", strings.Join(allowing, ", "))
	return allowing, nil
}

// shown is how many denials of a policy are printed for each target.
const shown = 3

func printDenied(policy, target string, denied []policies.PolicyMessage) {
	if len(denied) == 0 {
		return
	}
	fmt.Printf("%s: not demanded: policy %s denies %d things:\n", target, policy, len(denied))
	slices.SortFunc(denied, func(a, b policies.PolicyMessage) int {
		return cmp.Or(cmp.Compare(a.Object, b.Object), cmp.Compare(a.Text, b.Text))
	})
	for i, m := range denied {
		if i == shown {
			fmt.Printf("  and %d more\n", len(denied)-shown)
			break
		}
		fmt.Printf("  %s: %s\n", m.Object, m.Text)
	}
}

// demand adds provenance and policies to what the agent demands.
func (t *trial) demand(allowing []string) error {
	text, err := os.ReadFile(t.shop.Config)
	if err != nil {
		return err
	}
	var config map[string]any
	if err := yaml.Unmarshal(text, &config); err != nil {
		return err
	}
	for _, rule := range config["trust"].([]any) {
		rule.(map[string]any)["attestations"] = []any{
			map[string]any{"type": "slsaprovenance1", "provenance": map[string]any{"builder": builder}},
		}
	}
	var named []any
	for _, name := range allowing {
		policy := map[string]any{"name": name, "shipped": name}
		if p := t.parameters(name); p != nil {
			policy["parameters"] = p
		}
		named = append(named, policy)
	}
	if len(named) > 0 {
		config["policies"] = named
		config["levels"] = []any{map[string]any{"name": "trial", "policies": allowing}}
		for _, environment := range config["environments"].([]any) {
			environment.(map[string]any)["level"] = "trial"
		}
	}
	if text, err = yaml.Marshal(config); err != nil {
		return err
	}
	return os.WriteFile(t.shop.Config, text, 0o600)
}
