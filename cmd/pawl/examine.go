package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/pawl-dev/pawl/agent"
	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/policies/cosign"
	"github.com/pawl-dev/pawl/render"
)

// subject is a target of a checkout beside the configuration of an agent.
type subject struct {
	checkout *checkout
	target   environments.Target
	config   agent.Config
}

func openSubject(repo, configFile, target string) (*subject, error) {
	c, err := openCheckout(repo)
	if err != nil {
		return nil, err
	}
	t, err := c.target(target)
	if err != nil {
		return nil, err
	}
	config, err := loadConfig(configFile)
	if err != nil {
		return nil, err
	}
	return &subject{c, t, config}, nil
}

// examined is a target as it renders, what is asked of it and what is known of it.
type examined struct {
	release render.Release
	demands policies.Demands
	found   policies.Findings
}

// judge judges what was found as the agent does.
func (e *examined) judge() (policies.Verified, error) {
	return policies.Judge(e.release, e.demands, e.found)
}

// examine renders the target and finds out about it, as the agent does.
func (s *subject) examine(ctx context.Context, show progress) (*examined, error) {
	policies := newRegoPolicies()
	defer policies.close()
	base, err := s.config.Baselines(baselineOptions(s.config, policies)).Get()
	if err != nil {
		return nil, fmt.Errorf("the agent's configuration: %w", err)
	}
	client, err := registries(s.config)
	if err != nil {
		return nil, err
	}
	defer show.done()
	show.say("rendering %s", s.target)
	release, err := s.checkout.render(ctx, s.target, s.config)
	if err != nil {
		return nil, asAnswer(ctx, err)
	}
	show.say("looking for evidence of %s", count(len(release.Images), "image"))
	edges := demands.Edges{Evidence: cosign.New(client, cosign.Options{}), Policies: policies}
	environment, _ := s.checkout.Pipeline.Environment(s.target.Environment) // it has the target
	demanded, err := base.Demand(s.checkout.Repository, edges.Policies)
	if err != nil {
		return nil, asAnswer(ctx, err)
	}
	of, found, err := base.Examine(ctx, demanded, environment, release, edges, time.Now())
	if err != nil {
		return nil, asAnswer(ctx, err)
	}
	return &examined{release, of, found}, nil
}

// asAnswer tells a refusal from a question that could not be asked, because a
// registry did not answer or somebody lost patience.
func asAnswer(ctx context.Context, err error) error {
	var unavailable *policies.Unavailable
	if errors.As(err, &unavailable) || ctx.Err() != nil {
		return err
	}
	return answerNo{err}
}

// subjectFlags adds what names a subject to a command.
func subjectFlags(cmd *cobra.Command) func(target string) (*subject, error) {
	repo, config := repoFlag(cmd), configFlag(cmd)
	return func(target string) (*subject, error) { return openSubject(*repo, *config, target) }
}
