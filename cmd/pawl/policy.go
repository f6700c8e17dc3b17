package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/pawl-dev/pawl/policies/shipped"
)

func policyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Test policies, and see those that pawl brings",
		Long: `Policies are written in Rego, with the conventions of conftest. docs/policies.md
says what they see and how they are written.`,
		Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(policyTestCommand(), policyListCommand(), policyShowCommand())
	return cmd
}

func policyListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the policies that pawl brings",
		Args:  noArguments,
	}
	output := outputFlag(cmd, "table", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var list []shippedPolicy
		for _, name := range shipped.Names() {
			summary, err := shipped.Summary(name)
			if err != nil {
				return err
			}
			list = append(list, shippedPolicy{name, summary})
		}
		if *output == "json" {
			return writeJSON(cmd.OutOrStdout(), list)
		}
		table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		for _, p := range list {
			fmt.Fprintf(table, "%s\t%s\n", p.Name, p.Summary)
		}
		return table.Flush()
	}
	return cmd
}

// shippedPolicy is a policy that pawl brings.
type shippedPolicy struct {
	Name    string `json:"name"`
	Summary string `json:"summary"`
}

func policyShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:       "show NAME",
		Short:     "Print a policy that pawl brings, or write it into a folder to change it",
		Example:   "  pawl policy show restricted-pods --to policies/restricted-pods",
		ValidArgs: shipped.Names(),
		Args:      oneOf,
	}
	to := cmd.Flags().String("to", "", "folder into which its files are written, tests among them; it must not be there")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		files, err := shipped.Files(args[0])
		if err != nil {
			return err
		}
		if *to != "" {
			return writeFiles(*to, files)
		}
		return printFiles(cmd.OutOrStdout(), files)
	}
	return cmd
}

func printFiles(out io.Writer, files map[string][]byte) error {
	for i, name := range slices.Sorted(maps.Keys(files)) {
		if i > 0 {
			fmt.Fprintln(out)
		}
		if _, err := fmt.Fprintf(out, "# ---- %s\n%s", name, files[name]); err != nil {
			return err
		}
	}
	return nil
}

// writeFiles makes a folder of files. What is there already is never changed.
func writeFiles(folder string, files map[string][]byte) error {
	if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(folder, 0o755); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := os.WriteFile(filepath.Join(folder, name), files[name], 0o644); err != nil {
			return err
		}
	}
	return nil
}
