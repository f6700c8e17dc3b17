package promote

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/policies"
)

const (
	// summaryLimit is what GitHub takes in a check run's summary, in bytes.
	summaryLimit = 65_535
	// titleLimit is what a commit status takes as its description, so that both
	// say the same.
	titleLimit = 140
)

// Check says how far an environment is, for the check on its commit. at is
// now; it becomes the time of completion where the state is final.
func Check(s EnvironmentState, at time.Time) Report {
	r := Report{Commit: s.Commit, Environment: s.Environment, State: s.ReportState(), StartedAt: s.StartedAt}
	if r.State.Final() {
		r.CompletedAt = at
		r.Annotations = s.annotations()
	}
	r.Title = plain(s.title(r.State), titleLimit)
	r.Summary = s.summary(r)
	return r
}

// Supersede ends the report of a commit that a newer one overtook.
func Supersede(s EnvironmentState, at time.Time) Report {
	return Report{
		Commit: s.Commit, Environment: s.Environment, State: Superseded, StartedAt: s.StartedAt, CompletedAt: at,
		Title:   "superseded by a newer commit",
		Summary: "**What happened.** A newer commit arrived before this one was through. Its own check says how that one does.\n",
	}
}

// ReportState is the truth in one word. Success needs every target verified,
// applied and healthy; what is only said to be healthy is still in progress.
func (s EnvironmentState) ReportState() ReportState {
	queued, good := 0, 0
	for i := range s.Targets {
		t := &s.Targets[i] // a state is large, and this is asked at each change of one of a thousand
		switch {
		case t.Stage == StageFailed:
			return Failure
		case t.done():
			good++
		case t.Stage == StageQueued:
			queued++
		}
	}
	switch {
	case s.Problem.Text != "":
		return Failure
	case queued == len(s.Targets):
		return Queued
	case good == len(s.Targets):
		return Success
	}
	return InProgress
}

// done reports whether all that success needs was really seen.
func (t *TargetState) done() bool {
	return t.Stage == StageHealthy && t.verified() && t.Applied != nil && t.Health.Status == drift.Current
}

func (t *TargetState) verified() bool {
	if len(t.Unpinned) > 0 || len(t.Evidence) != len(t.Images) {
		return false
	}
	for _, p := range t.Policies {
		if p.Problem != "" || len(p.Denied) > 0 {
			return false
		}
	}
	for i, e := range t.Evidence {
		if e.Image != t.Images[i].Pinned() || !e.Exists || len(e.Signatures) == 0 {
			return false
		}
	}
	return true
}

func (t TargetState) label() string {
	if t.Target.Application != "" {
		return t.Target.Application
	}
	return t.Target.Environment
}

func (s EnvironmentState) title(state ReportState) string {
	var failed []TargetState
	for _, t := range s.Targets {
		if t.Stage == StageFailed {
			failed = append(failed, t)
		}
	}
	switch {
	case s.Problem.Text != "":
		return firstLine(s.Problem.Text)
	case len(failed) == 1:
		return about(failed[0])
	case len(failed) > 1:
		return fmt.Sprintf("%d of %d failed, first %s", len(failed), len(s.Targets), about(failed[0]))
	case state == Queued:
		return "queued"
	case state == Success:
		if len(s.Targets) == 1 {
			return s.Targets[0].label() + " is healthy"
		}
		return fmt.Sprintf("%d of %d healthy", len(s.Targets), len(s.Targets))
	}
	if i := slices.IndexFunc(s.Targets, func(t TargetState) bool { return t.Stage == StagePruneHeld }); i >= 0 {
		held := s.Targets[i]
		return strings.TrimSpace(about(held) + " " + held.Problem.Hint)
	}
	healthy, others := 0, map[Stage]int{}
	for _, t := range s.Targets {
		if t.done() {
			healthy++
		} else {
			others[t.Stage]++
		}
	}
	var parts []string
	for _, stage := range []Stage{StageRetrying, StageAwaiting, StageHealthy, StageWaiting, StageApplying, StageVerifying, StageRendering, StageQueued} {
		if n := others[stage]; n > 0 {
			word := string(stage)
			if stage == StageHealthy {
				word = "being confirmed"
			}
			parts = append(parts, fmt.Sprintf("%d %s", n, word))
		}
	}
	return fmt.Sprintf("%d of %d healthy: %s", healthy, len(s.Targets), strings.Join(parts, ", "))
}

// about is a failure in one line. The reason usually names the target already.
func about(t TargetState) string {
	text := firstLine(t.Problem.Text)
	switch {
	case text == "":
		return t.label() + " failed"
	case strings.HasPrefix(text, t.label()), strings.HasPrefix(text, t.Target.String()):
		return text
	}
	return t.label() + ": " + text
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return strings.TrimSpace(s)
}

// plain is one line of text of at most n characters. Titles and descriptions
// are not markdown.
func plain(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case hidden(r):
			return '�'
		case r < ' ', r >= 0x7f && r < 0xa0, r == 0x2028, r == 0x2029:
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "�"))
	return clip(strings.TrimSpace(s), n)
}

// summary is the markdown below the title. Failures come first, so that what
// does not fit is what is well.
func (s EnvironmentState) summary(r Report) string {
	targets := slices.Clone(s.Targets)
	slices.SortStableFunc(targets, func(a, b TargetState) int { return rank(a) - rank(b) })

	foot := s.foot(r)
	story := s.story(targets, summaryLimit/3)
	var b strings.Builder
	if len(targets) > 0 {
		b.WriteString("| application | image | verified by | applied | health |\n| --- | --- | --- | --- | --- |\n")
		room := summaryLimit - len(foot) - len(story) - 200
		for i, t := range targets {
			line := t.row()
			if b.Len()+len(line) > room {
				fmt.Fprintf(&b, "\n%d more applications do not fit here; those that failed come first.\n", len(targets)-i)
				break
			}
			b.WriteString(line)
		}
		b.WriteString("\n")
	}
	return b.String() + story + foot
}

// story is what happened, what was done and what can be done, for what failed
// or is being retried.
func (s EnvironmentState) story(targets []TargetState, room int) string {
	var refused, happened, did, can []string
	add := func(list *[]string, who, text string) {
		text = paragraph(text)
		if text == "" {
			return
		}
		if who != "" && !strings.HasPrefix(text, Escape(who)) && !strings.HasPrefix(text, Escape(s.Environment+"/"+who)) {
			text = Escape(who) + ": " + text
		}
		if !slices.Contains(*list, text) {
			*list = append(*list, text)
		}
	}
	if s.Problem.Text != "" {
		add(&happened, s.Problem.Reason, s.Problem.Text)
		add(&did, "", "Nothing was applied; what ran before keeps running.")
		add(&can, "", s.Problem.Hint)
	}
	for _, t := range targets {
		who := t.label()
		switch t.Stage {
		case StageFailed:
			var refusal *policies.Refusal
			if errors.As(t.Problem.Err, &refusal) && len(refusal.Images)+len(refusal.Denials) > 0 {
				refused = append(refused, refusedRows(who, refusal)...)
				t.Problem.Hint = "" // each row has its own
			} else {
				add(&happened, who, t.Problem.Text)
			}
			done := t.Problem.Did
			switch {
			case done != "":
			case t.Applied == nil:
				done = "Nothing was applied; what ran before keeps running."
			default:
				done = "The release was applied and stays; nothing of it goes on to the next environment."
			}
			add(&did, who, done+t.Retry.words(t.Stage))
			add(&can, who, t.Problem.Hint)
		case StageRetrying:
			add(&happened, who, t.Problem.Text)
			again := cmp.Or(t.Retry.words(t.Stage), strings.TrimSuffix(t.Problem.Did, "."), "It is tried again")
			if t.Applied == nil {
				again += "; until it succeeds what ran before keeps running"
			}
			add(&did, who, again+".")
			add(&can, who, t.Problem.Hint)
		case StagePruneHeld:
			add(&happened, who, t.Problem.Text)
			add(&did, who, "Everything else of the release was applied. It is looked at again.")
			add(&can, who, t.Problem.Hint)
		case StageAwaiting:
			add(&happened, who, t.Problem.Text)
			add(&did, who, t.Problem.Hint)
		}
	}
	warned := s.warnings()
	parts := 3
	for _, more := range []int{len(refused), len(warned)} {
		if more > 0 {
			parts++
		}
	}
	room /= parts
	return refusedTable(refused, room) + part("What happened.", happened, room) + part("What policies warn of.", warned, room) + part("What Pawl did.", did, room) + part("What you can do.", can, room)
}

// paragraph keeps the lines of a text.
func paragraph(text string) string {
	var lines []string
	for _, line := range strings.Split(strings.TrimSpace(clip(text, 4_000)), "\n") {
		lines = append(lines, Escape(line))
	}
	return strings.Join(lines, "<br>")
}

// part is one heading with its texts, as many as fit.
func part(heading string, texts []string, room int) string {
	if len(texts) == 0 {
		return ""
	}
	out := "**" + heading + "**"
	for i, text := range texts {
		line := "\n- " + text
		if len(texts) == 1 {
			line = " " + text
		}
		if len(out)+len(line) > room-60 {
			return out + fmt.Sprintf("\n- and %d more\n\n", len(texts)-i)
		}
		out += line
	}
	return out + "\n\n"
}

func (s EnvironmentState) foot(r Report) string {
	if r.CompletedAt.IsZero() || r.StartedAt.IsZero() {
		return ""
	}
	return fmt.Sprintf("took %s\n", took(r.CompletedAt.Sub(r.StartedAt)))
}

func took(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", max(d.Milliseconds(), 0))
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}

func count(n int, word string) string {
	if n != 1 {
		word += "s"
	}
	return fmt.Sprintf("%d %s", n, word)
}
