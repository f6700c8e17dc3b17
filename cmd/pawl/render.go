package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/pawl-dev/pawl/render"
)

func renderCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "render TARGET",
		Short: "Show exactly what the agent would apply for a target",
		Long: `Renders the target as the agent does: in a process without network, files or
environment, bounded in time and memory. With the agent's configuration its
limits and image fields hold, without it the standard ones.`,
		Example:           "  pawl render production/web\n  pawl render apps/web/overlays/production -o json",
		Args:              oneTarget,
		ValidArgsFunction: completeTargets,
	}
	repo, configFile := repoFlag(cmd), configFlag(cmd)
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
		config, err := optionalConfig(*configFile)
		if err != nil {
			return err
		}
		release, err := c.render(cmd.Context(), t, config)
		if err != nil {
			return answerNo{err}
		}
		out := cmd.OutOrStdout()
		if *output == "json" {
			return writeJSON(out, newRendered(release))
		}
		for i, o := range release.Objects {
			if i > 0 {
				fmt.Fprintln(out, "---")
			}
			text, err := yaml.Marshal(o.Object)
			if err != nil {
				return fmt.Errorf("%s: write object %d: %w", t, i+1, err)
			}
			if _, err := out.Write(text); err != nil {
				return err
			}
		}
		return nil
	}
	return cmd
}

// rendered is a release as `pawl render -o json` writes it.
type rendered struct {
	Target  string           `json:"target"`
	Digest  string           `json:"digest"` // of the objects, whatever the commit
	Images  []renderedImage  `json:"images"`
	Objects []map[string]any `json:"objects"` // in the order in which they are applied
}

// renderedImage is an image and one place where it stands.
type renderedImage struct {
	Image  string `json:"image"` // by digest alone
	Tag    string `json:"tag,omitempty"`
	Object string `json:"object"`
	Field  string `json:"field"`
}

func newRendered(r render.Release) rendered {
	out := rendered{Target: r.Target.String(), Digest: r.Digest, Images: []renderedImage{}}
	for _, i := range r.Images {
		out.Images = append(out.Images, renderedImage{Image: i.Pinned(), Tag: i.Tag, Object: i.Object, Field: i.Field})
	}
	for _, o := range r.Objects {
		out.Objects = append(out.Objects, o.Object)
	}
	return out
}
