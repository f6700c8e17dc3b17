package agent

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/promote"
)

// Status returns the state of every environment that the agent owns.
func (a *Agent) Status() Status {
	status := Status{Leadership: a.options.Leadership()}
	var order []string
	if p := a.current.Load(); p != nil {
		status.Commit = p.Revision.Commit
		for _, e := range p.Pipeline.Order() {
			order = append(order, e.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.edges.Clusters)) {
		if !slices.Contains(order, name) {
			order = append(order, name)
		}
	}
	for _, name := range order {
		if state, ok := a.board.environment(name); ok {
			status.Environments = append(status.Environments, a.environmentStatus(state))
		}
	}
	return status
}

func (a *Agent) environmentStatus(state promote.EnvironmentState) EnvironmentStatus {
	e := EnvironmentStatus{
		Name: state.Environment, Commit: state.Commit, Problem: problemStatus(state.Problem),
		State:   string(state.ReportState()),
		Targets: []TargetStatus{},
	}
	for _, t := range state.Targets {
		s := TargetStatus{
			Target: t.Target.String(), Application: t.Target.Application, Stage: string(t.Stage),
			State: string(t.Condition()), Problem: problemStatus(t.Problem),
		}
		s.Images = a.board.runs(t.Target)
		for _, i := range t.Images {
			if !slices.Contains(s.Wants, i.Pinned()) {
				s.Wants = append(s.Wants, i.Pinned())
			}
		}
		if sameImages(s.Wants, s.Images) {
			s.Wants = nil
		}
		p := a.board.progressAt(t.Target, state.Commit)
		s.Since, s.Tries, s.NextTry = moment(cmp.Or(t.Since, p.since)), p.tries, moment(p.next)
		for _, d := range a.board.driftOf(t.Target) {
			s.Drift = append(s.Drift, driftStatus(d))
		}
		e.Targets = append(e.Targets, s)
	}
	var applications []string
	for _, t := range state.Targets {
		applications = append(applications, t.Target.Application)
	}
	e.Entering = a.journal.of(state.Environment, applications)
	return e
}

// sameImages reports whether two lists have the same images, in whatever order.
func sameImages(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}

// moment is a time as the status page has it, empty if there is none.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func problemStatus(p promote.Problem) *ProblemStatus {
	if p == (promote.Problem{}) {
		return nil
	}
	return &ProblemStatus{Reason: p.Reason, Text: p.Text, Did: p.Did, Hint: p.Hint}
}

func driftStatus(d drift.Drift) DriftStatus {
	s := DriftStatus{
		Object: d.Object.String(), Deleted: d.Deleted, Manager: d.Manager,
		SeenAt: d.SeenAt.UTC().Format(time.RFC3339Nano),
	}
	s.Fields, s.Fight, s.Corrections = paths(d.Changes), string(d.Fight), d.Corrections
	if !d.CorrectedAt.IsZero() {
		took := float64(d.CorrectedAt.Sub(d.SeenAt).Microseconds()) / 1000
		s.TookMillis = &took
	}
	if d.Err != nil {
		s.Error = d.Err.Error()
	}
	return s
}
