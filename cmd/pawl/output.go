package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// outputFlag adds -o with the given forms, the first being the default.
func outputFlag(cmd *cobra.Command, forms ...string) *string {
	value := forms[0]
	cmd.Flags().VarP(&choice{&value, forms}, "output", "o", "output: "+strings.Join(forms, " or "))
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(forms, cobra.ShellCompDirectiveNoFileComp))
	return &value
}

// choice is a flag with few values.
type choice struct {
	value *string
	of    []string
}

var _ pflag.Value = (*choice)(nil)

func (c *choice) String() string { return *c.value }
func (c *choice) Type() string   { return "form" }

func (c *choice) Set(s string) error {
	if !slices.Contains(c.of, s) {
		return fmt.Errorf("write one of %s", strings.Join(c.of, ", "))
	}
	*c.value = s
	return nil
}
