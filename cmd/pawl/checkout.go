package main

import (
	"context"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pawl-dev/pawl/agent"
	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/gitsync/worktree"
	"github.com/pawl-dev/pawl/internal/sealed"
	"github.com/pawl-dev/pawl/render"
	sealedrender "github.com/pawl-dev/pawl/render/sealed"
)

// checkout is a config repo on disk, as the commands that work offline see it.
type checkout struct {
	folder string
	demands.Repository
}

// repoFlag adds --repo to a command.
func repoFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("repo", "", "folder of the config repo (default: the one this is run in)")
}

// openCheckout reads the config repo in a folder, or around the current one.
func openCheckout(folder string) (*checkout, error) {
	if folder == "" {
		here, err := os.Getwd()
		if err != nil {
			return nil, err
		}
		if folder, err = worktree.Find(here, demands.PipelineFile); err != nil {
			return nil, err
		}
	}
	tree, err := worktree.Read(folder)
	if err != nil {
		return nil, err
	}
	if _, ok := tree.Lookup(demands.PipelineFile); !ok {
		return nil, fmt.Errorf("no %s in %s: name the folder of a config repo with --repo", demands.PipelineFile, folder)
	}
	repository, err := demands.ReadRepository(gitsync.Revision{Tree: tree, Subject: "working tree"})
	if err != nil {
		return nil, answerNo{err}
	}
	return &checkout{folder: folder, Repository: repository}, nil
}

// render renders a target as an agent does, in a process of its own.
func (c *checkout) render(ctx context.Context, t environments.Target, config agent.Config) (render.Release, error) {
	pool := sealedrender.New(sealed.Options{Jobs: 1})
	defer pool.Close()
	result, err := render.New(renderOptions(config, pool)).Render(ctx, c.Revision, t, c.ImageFields()...)
	return result.Release, err
}

// target finds the target that a person named: "production/web", or a folder.
func (c *checkout) target(name string) (environments.Target, error) {
	var known []string
	for _, t := range c.Targets {
		if t.String() == name || t.Overlay == path.Clean(name) {
			return t, nil
		}
		known = append(known, t.String())
	}
	for _, u := range c.Unusable {
		if u.Target.String() == name || u.Target.Overlay == path.Clean(name) {
			return environments.Target{}, answerNo{u}
		}
	}
	return environments.Target{}, fmt.Errorf("there is no target %q%s; there are %s", name, environments.DidYouMean(name, known), strings.Join(known, ", "))
}

// completeTargets offers the targets to the shell.
func completeTargets(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	folder, _ := cmd.Flags().GetString("repo")
	c, err := openCheckout(folder)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, t := range c.Targets {
		names = append(names, t.String())
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
