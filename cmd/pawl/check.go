package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/environments"
)

func checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Validate a config repo, offline: pawl.yaml, and that every target renders pinned",
		Long: `Reads pawl.yaml and renders every target, as the agent would, and reports all
problems. It needs no network and no cluster: run it on pull requests.

The policies and keys that pawl.yaml demands must be usable; whether releases
satisfy them is for "pawl verify" and the agent to say. With the agent's
configuration its limits and image fields hold, without it the standard ones.

Every image must be a digest, except where the agent writes it: a tag that the
first environment tracks, and an image that stands without a tag until its
first promotion.`,
		Args: noArguments,
	}
	repo, configFile, output := repoFlag(cmd), configFlag(cmd), outputFlag(cmd, "text", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var report checkReport
		config, err := optionalConfig(*configFile)
		if err != nil {
			return err
		}
		c, err := openCheckout(*repo)
		var document *environments.Problems
		switch {
		case errors.As(err, &document):
			report = checkReport{Problems: problemsOf(document), Targets: []checkedTarget{}, err: document}
		case err != nil:
			return err
		default:
			if report, err = checkTargets(cmd.Context(), c, config, progressOn(cmd.ErrOrStderr())); err != nil {
				return err
			}
			policies := newRegoPolicies()
			defer policies.close()
			if err := demands.Check(c.Repository, policies); err != nil {
				report.Problems, report.err = problemsOf(err), err
			}
		}
		if *output == "json" {
			if err := writeJSON(cmd.OutOrStdout(), report); err != nil {
				return err
			}
		} else {
			report.write(cmd.OutOrStdout())
		}
		return report.verdict()
	}
	return cmd
}

// checkReport is what `pawl check` found.
type checkReport struct {
	Problems []problem       `json:"problems"` // of pawl.yaml and what it demands
	Targets  []checkedTarget `json:"targets"`
	err      error
}

// checkedTarget is what `pawl check` says about a target.
type checkedTarget struct {
	Target   string     `json:"target"`
	State    checkState `json:"state"`
	Objects  int        `json:"objects,omitempty"`
	Images   int        `json:"images,omitempty"`
	Waiting  []string   `json:"waiting,omitempty"` // images whose digest the agent writes
	Problems []problem  `json:"problems,omitempty"`
	err      error
}

type checkState string

const (
	pinnedState  checkState = "pinned"
	waitingState checkState = "waiting" // for a digest that the agent writes
	failedState  checkState = "failed"
)

func (r checkReport) write(out io.Writer) {
	if r.err != nil {
		fmt.Fprintf(out, "✗ %s\n", printable(r.err.Error()))
	}
	for _, t := range r.Targets {
		switch t.State {
		case failedState:
			text := strings.TrimPrefix(t.err.Error(), t.Target+": ") // most errors name it, some only the file
			fmt.Fprintf(out, "✗ %s: %s\n", t.Target, printable(text))
		case waitingState:
			fmt.Fprintf(out, "◐ %s: waits for the digest of %s, which the agent writes\n", t.Target, printable(strings.Join(t.Waiting, ", ")))
		default:
			fmt.Fprintf(out, "✓ %s: %s, %s pinned\n", t.Target, count(t.Objects, "object"), count(t.Images, "image"))
		}
	}
}

// verdict is no if anything is wrong. What is said of pawl.yaml has been said.
func (r checkReport) verdict() error {
	if r.err != nil {
		return no
	}
	failed := 0
	for _, t := range r.Targets {
		if t.State == failedState {
			failed++
		}
	}
	switch {
	case failed == 0:
		return nil
	case len(r.Targets) == 1:
		return no
	default:
		return answerNo{fmt.Errorf("%d of %s failed", failed, count(len(r.Targets), "target"))}
	}
}
