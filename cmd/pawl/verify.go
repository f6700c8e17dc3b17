package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/pawl-dev/pawl/policies"
)

func verifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify TARGET",
		Short: "Show which image of a target is signed by whom, and the agent's verdict",
		Long: `Renders the target and asks the registries for the signatures of its images, as
the agent would. The exit code is 0 if every image is verified, 1 if one is
refused, and 2 if a registry could not be asked.`,
		Example:           "  pawl verify production/web --config agent.yaml",
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

// verification is what `pawl verify` found.
type verification struct {
	Target  string          `json:"target"`
	Verdict string          `json:"verdict"` // verified or refused
	Images  []verifiedImage `json:"images"`
}

type verifiedImage struct {
	Image    string      `json:"image"` // by digest alone
	SignedBy []signature `json:"signedBy"`
	Verdict  string      `json:"verdict"`
	Demanded string      `json:"demanded,omitempty"` // what would be enough, where it is refused
	Hint     string      `json:"hint,omitempty"`
}

type signature struct {
	Key    string `json:"key"`    // its name in the agent's configuration
	Scheme string `json:"scheme"` // tag or bundle
}

const (
	verifiedVerdict = "verified"
	refusedVerdict  = "refused"
)

// newVerification says for each image, once, what was found and judged.
func newVerification(found *examined, judged error) verification {
	v := verification{Target: found.release.Target.String(), Verdict: verifiedVerdict, Images: []verifiedImage{}}
	var refusal *policies.Refusal
	if judged != nil {
		v.Verdict = refusedVerdict
		errors.As(judged, &refusal)
	}
	for _, image := range found.release.Images {
		if slices.ContainsFunc(v.Images, func(i verifiedImage) bool { return i.Image == image.Pinned() }) {
			continue
		}
		row := verifiedImage{Image: image.Pinned(), SignedBy: []signature{}, Verdict: verifiedVerdict}
		for _, s := range found.found.Images[image.Pinned()].Signatures {
			row.SignedBy = append(row.SignedBy, signature{s.By.Signer, string(s.Scheme)})
		}
		if refusal != nil {
			for _, r := range refusal.Images {
				if r.Image == image.Pinned() {
					row.Verdict, row.Demanded, row.Hint = refusedVerdict, r.Demanded, r.Hint
				}
			}
		}
		v.Images = append(v.Images, row)
	}
	return v
}

// write is the table for people.
func (v verification) write(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "image\tsigned by\tverdict")
	for _, i := range v.Images {
		var signers []string
		for _, s := range i.SignedBy {
			signers = append(signers, fmt.Sprintf("%s (%s)", s.Key, s.Scheme))
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", i.Image, orDash(printable(strings.Join(signers, ", "))), i.Verdict)
	}
	return table.Flush()
}
