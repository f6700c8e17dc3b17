package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pawl-dev/pawl/agent"
	"github.com/pawl-dev/pawl/drift"
)

func diffCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "diff TARGET",
		Short: "Show what applying a target would change in its cluster, by server-side dry run",
		Long: `Renders and verifies the target as the agent would, and asks the API server
what applying it would do. Nothing is written. The values of Secrets are not
shown. The exit code is 0 if nothing would change, 1 if something would or the
release would be refused, and 2 if that could not be found out.`,
		Example:           "  pawl diff production/web --config agent.yaml",
		Args:              oneTarget,
		ValidArgsFunction: completeTargets,
	}
	open := subjectFlags(cmd)
	output := outputFlag(cmd, "text", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := open(args[0])
		if err != nil {
			return err
		}
		environment, err := s.environment()
		if err != nil {
			return err
		}
		show := progressOn(cmd.ErrOrStderr())
		found, err := s.examine(cmd.Context(), show)
		if err != nil {
			return err
		}
		verified, err := found.judge()
		if err != nil {
			return answerNo{err}
		}
		c, err := connect(environment, s.config, "", nil, nil, logger(s.config, io.Discard))
		if err != nil {
			return err
		}
		defer c.Close()
		show.say("trying %s", count(len(found.release.Objects), "object"))
		declared, _ := s.checkout.Pipeline.Environment(s.target.Environment)
		plan, err := c.Plan(cmd.Context(), verified, drift.Terms{
			Environment: declared,
			Others:      func(ctx context.Context) (*drift.Others, error) { return s.others(ctx, environment) },
		})
		show.done()
		if err != nil {
			return s.planError(err)
		}
		d := newDifference(s.target.String(), plan)
		if *output == "json" {
			err = writeJSON(cmd.OutOrStdout(), d)
		} else {
			d.write(cmd.OutOrStdout())
		}
		if err == nil && d.Changes > 0 {
			return no
		}
		return err
	}
	return cmd
}

// environment is the target's environment as the agent's configuration has it.
func (s *subject) environment() (agent.EnvironmentConfig, error) {
	i := slices.IndexFunc(s.config.Environments, func(e agent.EnvironmentConfig) bool { return e.Name == s.target.Environment })
	if i < 0 {
		return agent.EnvironmentConfig{}, fmt.Errorf("%s: the agent's configuration has no environment %q, so its cluster is not known", s.target, s.target.Environment)
	}
	return s.config.Environments[i], nil
}

// planError tells a refusal, which is an answer, from a question that could
// not be asked.
func (s *subject) planError(err error) error {
	var (
		rejected *drift.Rejected
		conflict *drift.Conflict
		unknown  *drift.UnknownLive
		outside  *drift.OutOfReach
	)
	switch {
	case errors.As(err, &rejected), errors.As(err, &outside), errors.As(err, &conflict), errors.Is(err, drift.ErrEmpty):
		return answerNo{err}
	case errors.As(err, &unknown):
		return err
	default:
		return fmt.Errorf("%s: ask its cluster: %w", s.target, err)
	}
}

// difference is what `pawl diff` found.
type difference struct {
	Target  string      `json:"target"`
	Changes int         `json:"changes"` // how many objects would change
	Objects []differing `json:"objects"` // all of them, in the order in which they are applied
	// Held says what would not be deleted though it left, and what to do about it.
	Held string `json:"held,omitempty"`
}

type differing struct {
	Object    string         `json:"object"` // "Deployment shop/web"
	Group     string         `json:"group,omitempty"`
	Kind      string         `json:"kind"`
	Namespace string         `json:"namespace,omitempty"`
	Name      string         `json:"name"`
	Action    string         `json:"action"` // create, configure, recreate, unchanged, delete or keep
	Reason    string         `json:"reason,omitempty"`
	Fields    []changedField `json:"fields,omitempty"`
}

// changedField has no values where it is of a Secret.
type changedField struct {
	Field  string  `json:"field"`
	Live   *string `json:"live,omitempty"`
	Wanted *string `json:"wanted,omitempty"`
}

func newDifference(target string, plan drift.Plan) difference {
	d := difference{Target: target, Objects: []differing{}}
	d.Changes = len(plan.Steps) - plan.Count(drift.Unchanged) - plan.Count(drift.Keep)
	if plan.Held != nil {
		d.Held = plan.Held.Error() + "\n" + plan.Held.Hint()
	}
	for _, s := range plan.Steps {
		o := differing{
			Object: s.Object.String(), Group: s.Object.Group, Kind: s.Object.Kind, Namespace: s.Object.Namespace, Name: s.Object.Name,
			Action: string(s.Action), Reason: s.Reason,
		}
		for _, c := range s.Changes {
			field := changedField{Field: c.Path}
			if s.Object.Group != "" || s.Object.Kind != "Secret" {
				field.Live, field.Wanted = &c.From, &c.To
			}
			o.Fields = append(o.Fields, field)
		}
		d.Objects = append(d.Objects, o)
	}
	return d
}

// write shows people the objects that would change, and those that are kept.
func (d difference) write(out io.Writer) {
	for _, o := range d.Objects {
		if o.Action == string(drift.Unchanged) && o.Reason == "" { // else admission changes it
			continue
		}
		reason := ""
		if o.Reason != "" {
			reason = "  (" + o.Reason + ")"
		}
		fmt.Fprintf(out, "%-9s  %s\n", o.Action, printable(o.Object+reason))
		for _, f := range o.Fields {
			fmt.Fprintf(out, "             %s: %s\n", printable(f.Field), f.change())
		}
	}
	for line := range strings.Lines(d.Held) {
		fmt.Fprintln(out, printable(strings.TrimRight(line, "\n")))
	}
	fmt.Fprintf(out, "%d of %s would change\n", d.Changes, count(len(d.Objects), "object"))
}

func (f changedField) change() string {
	if f.Live == nil || f.Wanted == nil {
		return "differs; values of Secrets are not shown"
	}
	return value(*f.Live) + " → " + value(*f.Wanted)
}

// value is what a field holds, on one line and no longer than people read.
func value(s string) string {
	const shown = 80
	if s == "" {
		return "—"
	}
	text := []rune(printable(strings.ReplaceAll(s, "\n", "⏎")))
	if len(text) > shown {
		return string(text[:shown]) + "…"
	}
	return string(text)
}
