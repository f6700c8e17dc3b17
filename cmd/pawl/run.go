package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// Exit codes, the same for every command.
const (
	exitDone  = 0 // what was asked for is done, or the answer is yes
	exitNo    = 1 // the answer is no: problems found, refused, unhealthy
	exitUsage = 2 // the command line, a file or the world did not let it be tried
)

// answerNo ends a command that worked and whose answer is no.
type answerNo struct{ error }

func (a answerNo) Unwrap() error { return a.error }

// no is an answer that is already told: nothing more is printed.
var no = answerNo{errors.New("")}

// run is the whole command; main and the scripts in testdata call it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var answer answerNo
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &answer):
		if text := answer.Error(); text != "" {
			fmt.Fprintln(stderr, printable(text))
		}
		return exitNo
	default:
		fmt.Fprintln(stderr, "pawl:", printable(err.Error()))
		return exitUsage
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "pawl",
		Short: "Digests move one way: from the first environment to the last, signed, proven and pinned",
		Long: `Pawl is a GitOps agent. In a cluster it runs as "pawl agent"; the other
commands are for people, in a checkout of a config repo or beside a cluster.

Exit codes: 0 done, or the answer is yes; 1 the answer is no (problems found,
refused); 2 it could not be tried (command line, files, network).`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          knownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate(versionLine())
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(agentCommand(), checkCommand(), renderCommand(), verifyCommand(), diffCommand(), pinCommand(), policyCommand(), rollbackCommand(), schemaCommand(), statusCommand(), versionCommand())
	root.AddCommand(worldCommands()...)
	return root
}
