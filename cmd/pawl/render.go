package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/pawl-dev/pawl/render"
)

func renderCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "render TARGET",
		Short:             "Show exactly what the agent would apply for a target",
		Example:           "  pawl render production/web\n  pawl render apps/web/overlays/production -o json",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeTargets,
	}
	repo := repoFlag(cmd)
	output := outputFlag(cmd, "yaml", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := openCheckout(*repo)
		if err != nil {
			return err
		}
		t, err := c.target(args[0])
		if err != nil {
			return err
		}
		result, err := render.New(render.Options{}).Render(cmd.Context(), c.Revision, t)
		if err != nil {
			return answerNo{err}
		}
		out := cmd.OutOrStdout()
		if *output == "json" {
			return json.NewEncoder(out).Encode(result.Release)
		}
		for i, o := range result.Release.Objects {
			if i > 0 {
				fmt.Fprintln(out, "---")
			}
			text, err := yaml.Marshal(o.Object)
			if err != nil {
				return fmt.Errorf("%s: write object %d: %w", t, i+1, err)
			}
			out.Write(text)
		}
		return nil
	}
	return cmd
}
