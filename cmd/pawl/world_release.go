//go:build release

package main

import "github.com/spf13/cobra"

func worldCommands() []*cobra.Command { return nil }
