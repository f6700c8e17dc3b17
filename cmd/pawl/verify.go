package main

import (
	"github.com/spf13/cobra"
)

func verifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify TARGET",
		Short: "Show what is signed and attested of a target's images, what policies say, and the verdict",
		Long: `Renders the target, asks the registries for signatures and attestations of its
images and the policies for their answers, and judges all that as the agent
would: by what its configuration, the compliance level and pawl.yaml demand.

Which commits and approvals brought the target about is for the agent to judge.
Where the verdict depends on that, the last line says so.

The exit code is 0 if everything is verified, 1 if something is refused, and 2
if that could not be found out, because a registry did not answer, say.`,
		Example:           "  pawl verify production/web --config agent.yaml\n  pawl verify production/web --config agent.yaml -o json",
		Args:              oneTarget,
		ValidArgsFunction: completeTargets,
	}
	open := subjectFlags(cmd)
	output := outputFlag(cmd, "table", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := open(args[0])
		if err != nil {
			return err
		}
		found, err := s.examine(cmd.Context(), progressOn(cmd.ErrOrStderr()))
		if err != nil {
			return err
		}
		_, refusal := found.judge()
		v := newVerification(found, refusal)
		if *output == "json" {
			err = writeJSON(cmd.OutOrStdout(), v)
		} else {
			err = v.write(cmd.OutOrStdout())
		}
		if err != nil {
			return err
		}
		if refusal != nil {
			return answerNo{refusal}
		}
		return nil
	}
	return cmd
}
