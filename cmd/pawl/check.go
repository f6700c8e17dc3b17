package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pawl-dev/pawl/render"
)

func checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Validate a config repo, offline: pawl.yaml, and that every target renders pinned",
		Long: `Reads pawl.yaml and renders every target, as the agent would, and reports all
problems. It needs no network and no cluster: run it on pull requests.

In environments that track tags an image may stand as a tag; everywhere else
it must be a digest.`,
		Args: cobra.NoArgs,
	}
	repo := repoFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := openCheckout(*repo)
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		problems := 0
		for _, u := range c.Unusable {
			problems++
			fmt.Fprintf(out, "✗ %v\n", u)
		}
		renderer := render.New(render.Options{})
		for _, t := range c.Targets {
			environment, _ := c.Pipeline.Environment(t.Environment)
			result, err := renderer.Render(cmd.Context(), c.Revision, t)
			var unpinned *render.UnpinnedError
			switch {
			case errors.As(err, &unpinned) && len(environment.Track) > 0:
				fmt.Fprintf(out, "✓ %s: %d images wait for their digest, which the agent commits\n", t, len(unpinned.Unpinned))
			case err != nil:
				problems++
				fmt.Fprintf(out, "✗ %v\n", err)
			default:
				fmt.Fprintf(out, "✓ %s: %d objects, %d images pinned\n", t, len(result.Release.Objects), len(result.Release.Images))
			}
		}
		if problems > 0 {
			return answerNo{fmt.Errorf("%d of %d targets and environments have problems", problems, len(c.Targets)+len(c.Unusable))}
		}
		return nil
	}
	return cmd
}
