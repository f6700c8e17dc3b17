package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/pawl-dev/pawl/agent"
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

// examined is a target as it renders, and what is known of its images.
type examined struct {
	release  render.Release
	trust    policies.Trust
	evidence map[string]policies.Evidence
}

// examine renders the target and collects the evidence, as the agent does.
func (s *subject) examine(ctx context.Context, show progress) (*examined, error) {
	rules, err := trust(s.config)
	if err != nil {
		return nil, err
	}
	client, err := registries(s.config)
	if err != nil {
		return nil, err
	}
	defer show.done()
	show.say("rendering %s", s.target)
	result, err := render.New(render.Options{}).Render(ctx, s.checkout.Revision, s.target)
	if err != nil {
		return nil, answerNo{err}
	}
	show.say("looking for signatures of %s", count(len(result.Release.Images), "image"))
	evidence, err := cosign.New(client, cosign.Options{}).Collect(ctx, result.Release.Images, rules)
	if err != nil {
		return nil, err // the registry could not be asked, which is no answer
	}
	return &examined{result.Release, rules, evidence}, nil
}

// subjectFlags adds what names a subject to a command.
func subjectFlags(cmd *cobra.Command) func(target string) (*subject, error) {
	repo, config := repoFlag(cmd), configFlag(cmd)
	return func(target string) (*subject, error) { return openSubject(*repo, *config, target) }
}
