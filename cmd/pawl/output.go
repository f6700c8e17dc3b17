package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

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

// writeJSON writes what programs read. Its keys are a promise: what is written
// has types of its own in the command's file, apart from what the code uses.
func writeJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// count is a number of things in words: "1 image", "2 images".
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

// printable is text, some of which may be a stranger's, without what would
// move a terminal's cursor or hide what is said.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// tableText bounds what one cell of a table says, in characters.
const tableText = 240

// oneLine is what fits in a table: a cause often stands in the second line.
func oneLine(s string) string {
	text := []rune(printable(strings.Join(strings.Fields(s), " ")))
	if len(text) > tableText {
		text = append(text[:tableText-1], '…')
	}
	return string(text)
}

func orDash(s string) string {
	if s == "" {
		return "—"
	}
	return s
}
