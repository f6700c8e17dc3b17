//go:build !release

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"github.com/pawl-dev/pawl/agent"
	"github.com/pawl-dev/pawl/internal/demo"
	"github.com/pawl-dev/pawl/internal/testworld"
)

// worldCommands are those that need the test servers. A release build has
// none of them: the agent's image holds no server that is not its own.
func worldCommands() []*cobra.Command { return []*cobra.Command{demoCommand(), worldCommand()} }

func demoCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show the whole loop on this machine, with real servers",
		Args:  cobra.NoArgs,
	}
	once := cmd.Flags().Bool("once", false, "end after the last step instead of staying up")
	kubeconfig := cmd.Flags().String("kubeconfig", "", "use the cluster of this kubeconfig instead of starting one; the demo makes namespaces in it and removes them")
	_ = cmd.MarkFlagFilename("kubeconfig")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		pawl, err := os.Executable()
		if err != nil {
			return err
		}
		file, isFile := cmd.OutOrStdout().(*os.File)
		err = demo.Run(cmd.Context(), demo.Options{
			Out: cmd.OutOrStdout(), Live: isFile && isatty.IsTerminal(file.Fd()), Once: *once, Kubeconfig: *kubeconfig, Pawl: pawl,
			Table: func(w io.Writer, status agent.Status) { writeStatus(w, status, time.Now()) },
		})
		if err != nil {
			return answerNo{fmt.Errorf("the demo failed: %w", err)}
		}
		return nil
	}
	return cmd
}

// stopTimeout bounds the end of the servers, after which they are killed.
const stopTimeout = 20 * time.Second

func worldCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "world",
		Short: "Start the real servers that tests use, and print where they are as JSON",
		Long:  "Starts a control plane, git, a registry and the GitHub stand-in on 127.0.0.1,\nprints their endpoints as JSON, and runs until Ctrl-C, which stops them all.",
		Args:  cobra.NoArgs,
	}
	kubeconfig := cmd.Flags().String("kubeconfig", "", "use the cluster of this kubeconfig instead of starting one")
	dataDir := cmd.Flags().String("data-dir", "", "keep the control plane's data here, and continue from it (default: a temporary folder)")
	_ = cmd.MarkFlagFilename("kubeconfig")
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		ctx := cmd.Context()
		world, err := testworld.Start(ctx, testworld.Options{Kubeconfig: *kubeconfig, DataDir: *dataDir, Progress: cmd.ErrOrStderr()})
		if err != nil {
			return err
		}
		defer func() {
			stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
			defer cancel()
			err = errors.Join(err, world.Stop(stopping))
		}()
		out := json.NewEncoder(cmd.OutOrStdout())
		out.SetIndent("", "  ")
		if err := out.Encode(world.Endpoints()); err != nil {
			return err
		}
		<-ctx.Done()
		fmt.Fprintln(cmd.ErrOrStderr(), "stopping")
		return nil
	}
	return cmd
}
