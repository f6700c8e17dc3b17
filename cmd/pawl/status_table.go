package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/pawl-dev/pawl/agent"
	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/promote"
)

// writeStatus prints the table for people: the rows of an application stand
// together, in the order in which digests go through the environments.
func writeStatus(w io.Writer, status agent.Status, now time.Time) {
	if l := status.Leadership; l.Standby {
		fmt.Fprintf(w, "This replica stands by; %s works. Ask that one.\n", orNone(l.Leader))
		return
	}
	type row struct{ application, text string }
	var rows []row
	for _, e := range status.Environments {
		if e.Problem != nil {
			rows = append(rows, row{"", fmt.Sprintf("—\t%s\t\t\t✗ %s\t%s", e.Name, e.State, oneLine(e.Problem.Reason+": "+e.Problem.Text))})
		}
		for _, t := range e.Targets {
			rows = append(rows, row{t.Application, fmt.Sprintf("%s\t%s\t%s\t%s\t%s %s\t%s", orDash(t.Application), e.Name,
				orDash(oneLine(runs(t))), orDash(since(t, now)), mark(t.Stage), state(t), notes(e, t, now))})
		}
	}
	slices.SortStableFunc(rows, func(a, b row) int { return strings.Compare(a.application, b.application) })
	if len(rows) == 0 {
		fmt.Fprintln(w, "The agent has not read the config repo yet.")
		return
	}
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "application\tenvironment\timages\tsince\tstate\tnotes")
	for _, r := range rows {
		fmt.Fprintln(table, r.text)
	}
	table.Flush()
	for line := range strings.Lines(text.String()) {
		fmt.Fprintln(w, strings.TrimRight(line, " \n")) // the padding of empty notes
	}
}

// orNone names a replica.
func orNone(replica string) string {
	if replica == "" {
		return "none"
	}
	return oneLine(replica)
}

// notes say what a target waits for, most urgent first.
func notes(e agent.EnvironmentStatus, t agent.TargetStatus, now time.Time) string {
	var notes []string
	if note := tries(t, now); note != "" {
		notes = append(notes, note)
	}
	if t.Problem != nil {
		notes = append(notes, t.Problem.Reason+": "+t.Problem.Text)
	}
	if n := len(t.Drift); n > 0 && t.Drift[n-1].Error != "" {
		notes = append(notes, driftNote(t.Drift[n-1]))
	}
	if n := len(t.Drift); n > 0 && t.Drift[n-1].Fight == string(drift.FightBegan) {
		d := t.Drift[n-1]
		notes = append(notes, fmt.Sprintf("%s of %s is fought for by %s", strings.Join(d.Fields, ", "), d.Object, cmp.Or(d.Manager, "somebody")))
	}
	for _, p := range e.Entering {
		if p.Application == t.Application || p.Application == "" {
			notes = append(notes, entering(p))
		}
	}
	for i := range notes {
		notes[i] = oneLine(notes[i])
	}
	return strings.Join(slices.DeleteFunc(notes, func(n string) bool { return n == "" }), "; ")
}

// entering says how far a promotion is; nothing where none is on its way.
func entering(p agent.Promotion) string {
	pull := fmt.Sprintf("#%d", p.PullRequest)
	switch {
	case p.Verdict == string(promote.Wait):
		return "waits: " + p.Why
	case p.Verdict != string(promote.Go):
		return ""
	case p.Blocked != "" && p.PullRequest > 0 && !strings.HasPrefix(p.Blocked, pull):
		return pull + ": " + p.Blocked
	case p.Blocked != "":
		return p.Blocked
	case p.PullRequest > 0 && p.State == string(promote.Open):
		return pull + " is open"
	}
	return ""
}

// state is whose turn it is where something went wrong, and else how far the
// target is. What is tried again may do no more than wait for what it lacks.
func state(t agent.TargetStatus) string {
	s := promote.Condition(t.State)
	if s == promote.ConditionStalled || s == promote.ConditionRetrying || promote.Stage(t.Stage) == promote.StageRetrying {
		return t.State
	}
	return t.Stage
}

// driftNote says why drift is not put back. That the object is meant stands in
// most errors already.
func driftNote(d agent.DriftStatus) string {
	if strings.Contains(d.Error, d.Object) {
		return "drift: " + d.Error
	}
	return "drift of " + d.Object + ": " + d.Error
}

// tries says how often a target was tried in vain, and when it is tried again.
func tries(t agent.TargetStatus, now time.Time) string {
	if t.Tries == 0 {
		return ""
	}
	note := fmt.Sprintf("%d tries", t.Tries)
	if t.Tries == 1 {
		note = "1 try"
	}
	if at, err := time.Parse(time.RFC3339, t.NextTry); err == nil {
		note += ", next in " + age(at.Sub(now))
	}
	return note
}

// since is for how long the target has been in its state.
func since(t agent.TargetStatus, now time.Time) string {
	at, err := time.Parse(time.RFC3339, t.Since)
	if err != nil {
		return ""
	}
	return age(now.Sub(at))
}

// mark is a stage at a glance.
func mark(stage string) string {
	switch promote.Stage(stage) {
	case promote.StageHealthy:
		return "●"
	case promote.StageFailed:
		return "✗"
	case promote.StageRetrying, promote.StagePruneHeld:
		return "!"
	default:
		return "◐"
	}
}

// runs are the images that run, and behind an arrow those that the commit asks for,
// where they are others.
func runs(t agent.TargetStatus) string {
	text := strings.Join(shortImages(t.Images), " ")
	if len(t.Wants) > 0 {
		text = strings.TrimSpace(text + " → " + strings.Join(shortImages(t.Wants), " "))
	}
	return text
}

// shortImages shortens "ghcr.io/acme/web@sha256:3f1c…" to "web@3f1c1a2b".
func shortImages(images []string) []string {
	const shown = 8
	short := make([]string, 0, len(images))
	for _, image := range images {
		repository, digest, _ := strings.Cut(image, "@sha256:")
		if len(digest) > shown {
			digest = digest[:shown]
		}
		short = append(short, repository[strings.LastIndex(repository, "/")+1:]+"@"+digest)
	}
	return short
}

// age is a duration as people say it: "9 d", "2 h", "40 s".
func age(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d d", d/(24*time.Hour))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d m", d/time.Minute)
	default:
		return fmt.Sprintf("%d s", max(d, 0)/time.Second) // two clocks may disagree
	}
}
