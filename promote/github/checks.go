package github

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/google/go-github/v60/github"

	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/promote"
)

// checks is what was reported: as check runs, or as statuses where the
// credentials cannot write checks. Never both: GitHub would demand both where
// the name is required.
type checks struct {
	mu    sync.Mutex
	as    form
	marks map[markKey]*mark
	order []markKey
	// looked are the names of which a commit was looked up since the start.
	looked map[string]bool
}

type form int

const (
	undecided form = iota
	asChecks
	asStatuses
)

type markKey struct {
	commit gitsync.Commit
	name   string
}

// mark is the check of one name on one commit. Its lock is held while GitHub is
// asked, so that reports arrive in the order in which they were made.
type mark struct {
	mu sync.Mutex
	id int64 // the check run; 0 until known
	// state and text are what GitHub shows; zero until known. Of texts only digests
	// are kept: a summary may be 64 KiB, and there are many commits.
	state promote.ReportState
	text  digest
	// lost says that a run may have been made whose answer did not arrive.
	lost bool
	// noted are the annotations that the run has. GitHub adds those that it is
	// sent to those that it has, so each is sent once. unsure says that some may
	// have been sent whose answer did not arrive.
	noted  map[digest]bool
	unsure bool
}

// shows reports whether GitHub shows all of a report already.
func (m *mark) shows(r promote.Report) bool {
	return m.state == r.State && m.text == textOf(r) && len(m.fresh(r)) == 0
}

// shown notes that GitHub shows a report, but for its annotations.
func (m *mark) shown(r promote.Report) { m.state, m.text = r.State, textOf(r) }

// digest stands for a text, to know it again.
type digest [sha256.Size]byte

func textOf(r promote.Report) digest { return digestOf(r.Title, r.Summary) }

func noteOf(a promote.Annotation) digest {
	return digestOf(a.File, strconv.Itoa(a.Line), string(a.Level), a.Title, a.Message)
}

func digestOf(parts ...string) (d digest) {
	h := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(h, "%d\n%s", len(part), part)
	}
	h.Sum(d[:0])
	return d
}

// fresh are the annotations of a report that the run does not have.
func (m *mark) fresh(r promote.Report) []promote.Annotation {
	var out []promote.Annotation
	for _, a := range r.Annotations {
		if !m.noted[noteOf(a)] && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// marksKept bounds memory: older commits get no more reports.
const marksKept = 1_000

func newChecks() *checks {
	return &checks{marks: map[markKey]*mark{}, looked: map[string]bool{}}
}

// of returns the mark of a report. That an earlier process made its run can be
// only for the first commit of each name.
func (c *checks) of(r promote.Report) (m *mark, as form) {
	key := markKey{r.Commit, r.Name()}
	c.mu.Lock()
	defer c.mu.Unlock()
	m = c.marks[key]
	if m == nil {
		m = &mark{lost: !c.looked[key.name]}
		c.looked[key.name] = true
		c.marks[key] = m
		if c.order = append(c.order, key); len(c.order) > marksKept {
			delete(c.marks, c.order[0])
			c.order = c.order[1:]
		}
	}
	return m, c.as
}

func (c *checks) decide(as form) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.as == undecided {
		c.as = as
	}
}

// Report shows the state of an environment at a commit. What GitHub shows
// already is not sent again.
func (f *Forge) Report(ctx context.Context, r promote.Report) error {
	m, as := f.marks.of(r)
	m.mu.Lock()
	defer m.mu.Unlock()
	if as == asStatuses {
		r.Annotations = nil // a status has none
	}
	if m.shows(r) {
		return nil
	}
	if as != asStatuses {
		err := f.reportCheck(ctx, m, r)
		var denied *promote.Denied
		if err == nil {
			f.marks.decide(asChecks)
		}
		if as == asChecks || !errors.As(err, &denied) || denied.Status == http.StatusUnauthorized {
			if err == nil {
				m.shown(r)
			}
			return err
		}
	}
	// Only an App may write checks.
	if err := f.reportStatus(ctx, r); err != nil {
		return err
	}
	f.marks.decide(asStatuses)
	m.shown(r)
	return nil
}

func (f *Forge) reportCheck(ctx context.Context, m *mark, r promote.Report) error {
	doing := fmt.Sprintf("report %q at %s", r.Name(), r.Commit.Short())
	if m.lost {
		if err := f.findCheck(ctx, m, r, doing); err != nil {
			return err
		}
		m.lost = false
	}
	if m.unsure {
		if err := f.readAnnotations(ctx, m, doing); err != nil {
			return err
		}
	}
	if m.shows(r) {
		return nil
	}
	if err := f.sendCheck(ctx, m, r, doing); err != nil {
		return err
	}
	for rest := m.fresh(r); len(rest) > 0; rest = m.fresh(r) {
		batch := rest[:min(len(rest), annotationsAtOnce)]
		_, _, err := f.client.Checks.UpdateCheckRun(ctx, f.owner, f.repo, m.id, github.UpdateCheckRunOptions{Name: r.Name(), Output: output(r, batch)})
		if err := m.sent(batch, failure(doing, "checks: write", err)); err != nil {
			return err
		}
	}
	return nil
}

// sendCheck makes the run be as reported, with as many new annotations as go
// with one request.
func (f *Forge) sendCheck(ctx context.Context, m *mark, r promote.Report, doing string) error {
	status, conclusion := state(r.State)
	var started, completed *github.Timestamp
	if !r.StartedAt.IsZero() {
		started = &github.Timestamp{Time: r.StartedAt.UTC().Truncate(time.Second)}
	}
	if conclusion != nil && !r.CompletedAt.IsZero() {
		completed = &github.Timestamp{Time: r.CompletedAt.UTC().Truncate(time.Second)}
	}
	// A completed run stays completed: what starts over is a new run, and the
	// newest of a name is the one that counts.
	if m.id != 0 && (r.State.Final() || !m.state.Final()) {
		fresh := m.fresh(r)
		batch := fresh[:min(len(fresh), annotationsAtOnce)]
		_, _, err := f.client.Checks.UpdateCheckRun(ctx, f.owner, f.repo, m.id, github.UpdateCheckRunOptions{
			Name: r.Name(), Status: &status, Conclusion: conclusion, CompletedAt: completed, Output: output(r, batch),
		})
		if err := m.sent(batch, failure(doing, "checks: write", err)); err != nil {
			return err
		}
		m.shown(r)
		return nil
	}
	m.noted = nil
	fresh := m.fresh(r)
	batch := fresh[:min(len(fresh), annotationsAtOnce)]
	run, _, err := f.client.Checks.CreateCheckRun(ctx, f.owner, f.repo, github.CreateCheckRunOptions{
		Name: r.Name(), HeadSHA: string(r.Commit), ExternalID: github.String(externalID(r)),
		Status: &status, Conclusion: conclusion, StartedAt: started, CompletedAt: completed, Output: output(r, batch),
	})
	if err != nil {
		err = aboutCommit(failure(doing, "checks: write", err), r.Commit)
		m.lost = unavailable(err)
		return err
	}
	m.id = run.GetID()
	m.shown(r)
	return m.sent(batch, nil)
}

func externalID(r promote.Report) string { return "pawl/" + r.Environment }

// findCheck finds the run that was made before, by this App only: a run of the
// same name by somebody else is none of ours.
func (f *Forge) findCheck(ctx context.Context, m *mark, r promote.Report, doing string) error {
	name := r.Name()
	options := &github.ListCheckRunsOptions{CheckName: &name, Filter: github.String("latest")}
	if f.appID != 0 {
		options.AppID = &f.appID
	}
	list, _, err := f.client.Checks.ListCheckRunsForRef(ctx, f.owner, f.repo, string(r.Commit), options)
	if err != nil {
		return aboutCommit(failure(doing, "checks: write", err), r.Commit)
	}
	for _, run := range list.CheckRuns {
		if run.GetName() != name || run.GetExternalID() != externalID(r) || run.GetID() <= m.id {
			continue
		}
		m.id = run.GetID()
		m.shown(promote.Report{State: stateOf(run), Title: run.GetOutput().GetTitle(), Summary: run.GetOutput().GetSummary()})
		m.noted, m.unsure = nil, run.GetOutput().GetAnnotationsCount() > 0
	}
	return nil
}

// state is a report's state as a check run has it. A superseded one is
// cancelled: neutral and skipped would satisfy a rule that requires the check.
func state(s promote.ReportState) (status string, conclusion *string) {
	switch s {
	case promote.Success:
		return "completed", github.String("success")
	case promote.Failure:
		return "completed", github.String("failure")
	case promote.Superseded:
		return "completed", github.String("cancelled")
	case promote.InProgress:
		return "in_progress", nil
	}
	return "queued", nil
}

func stateOf(run *github.CheckRun) promote.ReportState {
	switch run.GetStatus() {
	case "completed":
		switch run.GetConclusion() {
		case "success":
			return promote.Success
		case "cancelled":
			return promote.Superseded
		}
		return promote.Failure
	case "in_progress":
		return promote.InProgress
	}
	return promote.Queued
}

// reportStatus reports as a commit status.
func (f *Forge) reportStatus(ctx context.Context, r promote.Report) error {
	to := "pending"
	switch r.State {
	case promote.Success:
		to = "success"
	case promote.Failure:
		to = "failure"
	case promote.Superseded:
		to = "error" // pending would wait for good, and failure would not be true
	}
	description := orElse(r.Title, string(r.State))
	if utf8.RuneCountInString(description) > 140 {
		description = string([]rune(description)[:139]) + "…"
	}
	_, _, err := f.client.Repositories.CreateStatus(ctx, f.owner, f.repo, string(r.Commit), &github.RepoStatus{
		State: &to, Context: github.String(r.Name()), Description: &description,
	})
	err = failure(fmt.Sprintf("report %q at %s", r.Name(), r.Commit.Short()), "checks: write (a GitHub App) or statuses: write", err)
	return aboutCommit(err, r.Commit)
}

func orElse(s, otherwise string) string {
	if strings.TrimSpace(s) == "" {
		return otherwise
	}
	return s
}

// cut shortens text to n bytes, whole characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	const more = "\n\n(cut here: GitHub takes no more)"
	for n -= len(more); n > 0 && !utf8.RuneStart(s[n]); n-- {
	}
	return s[:n] + more
}
