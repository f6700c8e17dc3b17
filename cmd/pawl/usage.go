package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pawl-dev/pawl/environments"
)

// What is wrong with a command line, in words that say how to put it right.

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("%s takes no arguments, and %q is one; see %q", cmd.Name(), args[0], cmd.CommandPath()+" --help")
}

func oneTarget(cmd *cobra.Command, args []string) error {
	if len(args) == 1 {
		return nil
	}
	return fmt.Errorf("%s takes one target, such as production/web; see %q", cmd.Name(), cmd.CommandPath()+" --help")
}

// oneOf accepts exactly one of the command's ValidArgs.
func oneOf(cmd *cobra.Command, args []string) error {
	if len(args) == 1 {
		if err := cobra.OnlyValidArgs(cmd, args); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%s takes one of %s", cmd.Name(), strings.Join(cmd.ValidArgs, ", "))
}

// knownCommand is for the root, where an argument is a command that does not exist.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var known []string
	for _, c := range cmd.Commands() {
		known = append(known, c.Name())
	}
	next := environments.DidYouMean(args[0], known)
	if next == "" {
		next = fmt.Sprintf("; see %q", cmd.CommandPath()+" --help")
	}
	return fmt.Errorf("there is no command %q%s", args[0], next)
}

func flagError(cmd *cobra.Command, err error) error {
	return fmt.Errorf("%w; see %q", err, cmd.CommandPath()+" --help")
}
