package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/policies/cosign"
	"github.com/pawl-dev/pawl/render"
)

// verification is a row of `pawl verify`.
type verification struct {
	Image    string   `json:"image"` // pinned
	SignedBy []string `json:"signedBy"`
	Verdict  string   `json:"verdict"` // verified or refused
	Why      string   `json:"why,omitempty"`
}

func verifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "verify TARGET",
		Short:             "Show which image of a target is signed by whom, and the agent's verdict",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeTargets,
	}
	repo, configFile := repoFlag(cmd), configFlag(cmd)
	output := outputFlag(cmd, "table", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		release, rules, evidence, err := gather(cmd, *repo, *configFile, args[0])
		if err != nil {
			return err
		}
		_, verdict := policies.Judge(release, rules, evidence)
		rows := verifications(release, evidence, verdict)
		if *output == "json" {
			if err := json.NewEncoder(cmd.OutOrStdout()).Encode(rows); err != nil {
				return err
			}
		} else {
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "image\tsigned by\tverdict")
			for _, r := range rows {
				fmt.Fprintf(table, "%s\t%s\t%s\n", r.Image, orDash(strings.Join(r.SignedBy, ", ")), r.Verdict)
			}
			table.Flush()
		}
		if verdict != nil {
			return answerNo{verdict}
		}
		return nil
	}
	return cmd
}

// gather renders a target and collects the evidence for its images, as the agent does.
func gather(cmd *cobra.Command, repo, configFile, target string) (render.Release, policies.Trust, map[string]policies.Evidence, error) {
	fail := func(err error) (render.Release, policies.Trust, map[string]policies.Evidence, error) {
		return render.Release{}, policies.Trust{}, nil, err
	}
	c, err := openCheckout(repo)
	if err != nil {
		return fail(err)
	}
	t, err := c.target(target)
	if err != nil {
		return fail(err)
	}
	config, err := loadConfig(configFile)
	if err != nil {
		return fail(err)
	}
	rules, err := trust(config)
	if err != nil {
		return fail(err)
	}
	client, err := registries(config)
	if err != nil {
		return fail(err)
	}
	result, err := render.New(render.Options{}).Render(cmd.Context(), c.Revision, t)
	if err != nil {
		return fail(answerNo{err})
	}
	evidence, err := cosign.New(client, cosign.Options{}).Collect(cmd.Context(), result.Release.Images, rules)
	if err != nil {
		return fail(err)
	}
	return result.Release, rules, evidence, nil
}

// verifications says for each image, once, what was found and judged.
func verifications(release render.Release, evidence map[string]policies.Evidence, verdict error) []verification {
	var refusal *policies.Refusal
	errors.As(verdict, &refusal)
	rows := []verification{}
	for _, image := range release.Images {
		if slices.ContainsFunc(rows, func(r verification) bool { return r.Image == image.Pinned() }) {
			continue
		}
		row := verification{Image: image.Pinned(), SignedBy: []string{}, Verdict: "verified"}
		for _, s := range evidence[image.Pinned()].Signatures {
			row.SignedBy = append(row.SignedBy, fmt.Sprintf("%s (%s)", s.Key, s.Scheme))
		}
		if refusal != nil {
			for _, r := range refusal.Images {
				if r.Image == image.Pinned() {
					row.Verdict, row.Why = "refused", r.Demanded
				}
			}
		}
		rows = append(rows, row)
	}
	return rows
}
