package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pawl-dev/pawl/agent"
	"github.com/pawl-dev/pawl/environments"
)

func schemaCommand() *cobra.Command {
	schemas := map[string]func() *environments.Schema{"pipeline": environments.PipelineSchema, "agent": agent.ConfigSchema}
	return &cobra.Command{
		Use:       "schema {pipeline|agent}",
		Short:     "Print the JSON Schema of pawl.yaml or of the agent's configuration",
		Long:      "Editors complete from it: put `# yaml-language-server: $schema=FILE` on the first line of pawl.yaml.",
		ValidArgs: []string{"pipeline", "agent"},
		Args:      oneOf,
		RunE: func(cmd *cobra.Command, args []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s", schemas[args[0]]().JSON())
			return err
		},
	}
}
