package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/promote"
	"github.com/pawl-dev/pawl/promote/registry"
	"github.com/pawl-dev/pawl/render"
)

func pinCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pin TARGET",
		Short: "Write the digests of the tags that an overlay still uses into its images",
		Long: `Asks the registry what each tag points to now and writes the digest into the
overlay's kustomization. Comments, order and everything else stay as they are.
Whether the images are signed is for "pawl verify" and the agent to judge.`,
		Example:           "  pawl pin production/web --config agent.yaml\n  pawl pin production/web --dry-run",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeTargets,
	}
	repo, configFile := repoFlag(cmd), configFlag(cmd)
	dryRun := cmd.Flags().Bool("dry-run", false, "only say what would be written")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := openCheckout(*repo)
		if err != nil {
			return err
		}
		t, err := c.target(args[0])
		if err != nil {
			return err
		}
		config, err := loadConfig(*configFile)
		if err != nil {
			return err
		}
		client, err := registries(config)
		if err != nil {
			return err
		}
		return pin(cmd.Context(), cmd.OutOrStdout(), c, t, registry.New(client), *dryRun)
	}
	return cmd
}

func pin(ctx context.Context, out io.Writer, c *checkout, t environments.Target, tags *registry.Resolver, dryRun bool) error {
	_, err := render.New(render.Options{}).Render(ctx, c.Revision, t)
	var unpinned *render.UnpinnedError
	switch {
	case err == nil:
		fmt.Fprintf(out, "%s: every image is pinned already\n", t)
		return nil
	case !errors.As(err, &unpinned):
		return answerNo{err}
	}

	changes := map[string][]promote.Change{} // by file
	var byHand []string
	for _, image := range unpinned.Unpinned {
		if image.ByHand {
			byHand = append(byHand, fmt.Sprintf("%s (%s, %s)", image.Reference, image.Object, image.Field))
			continue
		}
		name, tag := splitTag(image.Reference)
		found, err := tags.Resolve(ctx, image.Repository, environments.Track{Image: image.Repository, Tag: tag})
		if err != nil {
			return fmt.Errorf("%s: look up %s: %w", t, image.Reference, err)
		}
		changes[image.File] = append(changes[image.File], promote.Change{Repository: image.Repository, Name: name, Digest: found.Digest})
		fmt.Fprintf(out, "%s: %s → %s\n", image.File, image.Reference, found.Digest)
	}
	for file, change := range changes {
		text, err := c.Revision.Tree.Read(file)
		if err != nil {
			return err
		}
		pinned, err := promote.Bump(text, file, change)
		if err != nil {
			return err
		}
		if dryRun {
			continue
		}
		if err := replaceFile(filepath.Join(c.folder, filepath.FromSlash(file)), pinned); err != nil {
			return fmt.Errorf("%s: write digests: %w", t, err)
		}
	}
	if len(byHand) > 0 {
		return answerNo{fmt.Errorf("%s: images: does not reach these; write \"@sha256:…\" where they stand:\n  %s", t, strings.Join(byHand, "\n  "))}
	}
	return nil
}

// splitTag splits what an object says into repository and tag, "latest" where
// there is none.
func splitTag(reference string) (repository, tag string) {
	if colon := strings.LastIndexByte(reference, ':'); colon > strings.LastIndexByte(reference, '/') {
		return reference[:colon], reference[colon+1:]
	}
	return reference, "latest"
}

// replaceFile writes a file as a whole or not at all, with its mode kept.
func replaceFile(file string, content []byte) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	next, err := os.CreateTemp(filepath.Dir(file), ".pawl-*")
	if err != nil {
		return err
	}
	defer os.Remove(next.Name()) // gone already where the rename succeeded
	_, err = next.Write(content)
	if err := errors.Join(err, next.Chmod(info.Mode()), next.Close()); err != nil {
		return err
	}
	return os.Rename(next.Name(), file)
}
