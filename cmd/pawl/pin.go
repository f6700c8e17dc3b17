package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pawl-dev/pawl/agent"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/internal/oci"
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
Either all that can be written is written, or nothing. Without a configuration
registries are asked anonymously. Whether the images are signed is for
"pawl verify" and the agent to judge.`,
		Example:           "  pawl pin production/web --dry-run\n  pawl pin production/web --config agent.yaml",
		Args:              oneTarget,
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
		config, err := optionalConfig(*configFile)
		if err != nil {
			return err
		}
		client, err := registries(config)
		if err != nil {
			return err
		}
		show := progressOn(cmd.ErrOrStderr())
		defer show.done()
		return pin(cmd.Context(), cmd.OutOrStdout(), show, c, t, config, registry.New(client), *dryRun)
	}
	return cmd
}

func pin(ctx context.Context, out io.Writer, show progress, c *checkout, t environments.Target, config agent.Config, tags *registry.Resolver, dryRun bool) error {
	_, err := c.render(ctx, t, config)
	var unpinned *render.UnpinnedError
	switch {
	case err == nil:
		fmt.Fprintf(out, "%s: every image is pinned already\n", t)
		return nil
	case !errors.As(err, &unpinned):
		return answerNo{err}
	}

	if err := severalTags(unpinned.Unpinned); err != nil {
		return answerNo{fmt.Errorf("%s: %w", t, err)}
	}
	var lines, byHand []string
	changes := map[string][]promote.Change{} // by file
	for _, image := range once(unpinned.Unpinned) {
		if image.ByHand {
			byHand = append(byHand, fmt.Sprintf("%s (%s, %s)", image.Reference, image.Object, image.Field))
			continue
		}
		name, tag := splitTag(image.Reference)
		show.say("looking up %s", image.Reference)
		found, err := tags.Resolve(ctx, image.Repository, environments.Track{Image: image.Repository, Tag: tag})
		switch {
		case errors.Is(err, oci.ErrNotFound):
			return answerNo{fmt.Errorf("%s: there is no tag %q of %s, so nothing was written; push it, or correct newTag in %s", t, tag, name, image.File)}
		case err != nil:
			return fmt.Errorf("%s: look up %s: %w; nothing was written", t, image.Reference, err)
		}
		changes[image.File] = append(changes[image.File], promote.Change{Repository: image.Repository, Name: name, Digest: found.Digest})
		lines = append(lines, fmt.Sprintf("%s: %s → %s", image.File, image.Reference, found.Digest))
	}
	show.done()
	if err := c.write(changes, dryRun); err != nil {
		return fmt.Errorf("%s: write digests: %w", t, err)
	}
	for _, line := range lines {
		fmt.Fprintln(out, printable(line))
	}
	if dryRun {
		fmt.Fprintln(out, "nothing was written")
	}
	if len(byHand) > 0 {
		return answerNo{fmt.Errorf("%s: images: does not reach these; write \"@sha256:…\" where they stand:\n  %s", t, strings.Join(byHand, "\n  "))}
	}
	return nil
}

// once leaves out what would be looked up and written twice.
func once(images []render.Unpinned) []render.Unpinned {
	type key struct{ file, reference string }
	seen := map[key]bool{}
	return slices.DeleteFunc(slices.Clone(images), func(i render.Unpinned) bool {
		k := key{i.File, i.Reference}
		if i.ByHand || !seen[k] {
			seen[k] = seen[k] || !i.ByHand
			return false
		}
		return true
	})
}

// severalTags refuses a repository that stands with several tags: an entry of
// images: would give all of them the same digest.
func severalTags(images []render.Unpinned) error {
	type key struct{ file, repository string }
	tags := map[key][]string{}
	for _, i := range images {
		_, tag := splitTag(i.Reference)
		if k := (key{i.File, i.Repository}); !i.ByHand && !slices.Contains(tags[k], tag) {
			tags[k] = append(tags[k], tag)
		}
	}
	for k, several := range tags {
		if len(several) > 1 {
			slices.Sort(several)
			return fmt.Errorf("%s has several tags (%s), and images: in %s can give it only one digest, so nothing was written; write the digests where the images stand", k.repository, strings.Join(several, ", "), k.file)
		}
	}
	return nil
}

// write changes the digests in kustomizations, all or none where the files can
// be read and edited.
func (c *checkout) write(changes map[string][]promote.Change, dryRun bool) error {
	next := map[string][]byte{}
	for file, change := range changes {
		text, err := c.Revision.Tree.Read(file)
		if err != nil {
			return err
		}
		if next[file], err = promote.Bump(text, file, change); err != nil {
			return err
		}
	}
	if dryRun {
		return nil
	}
	for _, file := range slices.Sorted(maps.Keys(next)) {
		if err := replaceFile(filepath.Join(c.folder, filepath.FromSlash(file)), next[file]); err != nil {
			return err
		}
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
