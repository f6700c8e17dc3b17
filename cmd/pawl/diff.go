package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/policies"
)

func diffCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "diff TARGET",
		Short: "Show what applying a target would change in its cluster, by server-side dry run",
		Long: `Renders and verifies the target as the agent would, and asks the API server
what applying it would do. Nothing is written. The values of Secrets are not
shown. The exit code is 0 if nothing would change, and 1 if something would.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeTargets,
	}
	repo, configFile := repoFlag(cmd), configFlag(cmd)
	output := outputFlag(cmd, "text", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		release, rules, evidence, err := gather(cmd, *repo, *configFile, args[0])
		if err != nil {
			return err
		}
		verified, err := policies.Judge(release, rules, evidence)
		if err != nil {
			return answerNo{err}
		}
		config, err := loadConfig(*configFile)
		if err != nil {
			return err
		}
		for _, e := range config.Environments {
			if e.Name != release.Target.Environment {
				continue
			}
			c, err := connect(e, config, nil, logger(config, io.Discard))
			if err != nil {
				return err
			}
			defer c.Close()
			plan, err := c.Plan(cmd.Context(), verified)
			if err != nil {
				return answerNo{err}
			}
			return showPlan(cmd.OutOrStdout(), plan, *output)
		}
		return fmt.Errorf("the configuration has no environment %q", release.Target.Environment)
	}
	return cmd
}

// showPlan prints the steps that would change something.
func showPlan(out io.Writer, plan drift.Plan, form string) error {
	changes := len(plan.Steps) - plan.Count(drift.Unchanged) - plan.Count(drift.Keep)
	if form == "json" {
		if err := json.NewEncoder(out).Encode(plan); err != nil {
			return err
		}
	} else {
		for _, s := range plan.Steps {
			if s.Action == drift.Unchanged {
				continue
			}
			fmt.Fprintf(out, "%-9s  %s", s.Action, s.Object)
			if s.Reason != "" {
				fmt.Fprintf(out, "  (%s)", s.Reason)
			}
			fmt.Fprintln(out)
			for _, c := range s.Changes {
				fmt.Fprintf(out, "             %s: %s → %s\n", c.Path, c.From, c.To)
			}
		}
		fmt.Fprintf(out, "%d of %d objects would change\n", changes, len(plan.Steps))
	}
	if changes > 0 {
		return no
	}
	return nil
}
