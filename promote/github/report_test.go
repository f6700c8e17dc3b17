package github_test

import (
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/pawl-dev/pawl/gitsync"
	standin "github.com/pawl-dev/pawl/internal/testworld/github"
	"github.com/pawl-dev/pawl/promote"
)

func (w *world) report(state promote.ReportState, title string) promote.Report {
	r := promote.Report{Commit: w.head, Environment: "staging", State: state, Title: title, Summary: "| a |\n| --- |\n", StartedAt: w.clock.Now()}
	if state.Final() {
		r.CompletedAt = w.clock.Now().Add(time.Second)
	}
	return r
}

func TestADeployIsThreeRequests(t *testing.T) {
	t.Parallel()
	w := start(t)
	f := w.forge()
	deploy := func() {
		for _, r := range []promote.Report{
			w.report(promote.Queued, "queued"),
			w.report(promote.Queued, "queued"),
			w.report(promote.InProgress, "0 of 2 healthy"),
			w.report(promote.InProgress, "0 of 2 healthy"),
			w.report(promote.Success, "2 of 2 healthy"),
			w.report(promote.Success, "2 of 2 healthy"),
		} {
			w.must(f.Report(t.Context(), r))
		}
	}
	w.ForgetRequests()
	deploy()
	// Only once after the start, and for each environment: was there one before?
	if sent := w.sent(); len(sent) != 4 || !strings.HasPrefix(sent[0], "GET commits/") {
		t.Errorf("the first deploy sent %q", sent)
	}
	w.head = w.push("main", map[string]string{"x": "1"})
	w.ForgetRequests()
	deploy()
	if sent := w.sent(); len(sent) != 3 || sent[0] != "POST check-runs" {
		t.Errorf("a deploy sent %q, want a creation and two updates", sent)
	}
	runs := w.runs(w.head, "all")
	if len(runs) != 1 || runs[0].GetName() != "pawl / staging" || runs[0].GetConclusion() != "success" || runs[0].GetOutput().GetTitle() != "2 of 2 healthy" {
		t.Errorf("GitHub shows %v", runs)
	}
	if len(w.statuses(w.head)) != 0 {
		t.Error("a status was reported beside the check")
	}
}

func TestConclusions(t *testing.T) {
	t.Parallel()
	w := start(t)
	f := w.forge()
	for state, want := range map[promote.ReportState]string{
		promote.Success: "success", promote.Failure: "failure",
		// Neutral and skipped would satisfy a rule that requires the check.
		promote.Superseded: "cancelled",
	} {
		w.head = w.push("main", map[string]string{"x": want})
		w.must(f.Report(t.Context(), w.report(promote.InProgress, "on its way")))
		w.must(f.Report(t.Context(), w.report(state, "ended")))
		if runs := w.runs(w.head, "all"); len(runs) != 1 || runs[0].GetConclusion() != want {
			t.Errorf("%s is shown as %v, want %s", state, runs, want)
		}
	}
}

// catalogue 80
func TestAFailureThatRecoversIsShownAfterwards(t *testing.T) {
	t.Parallel()
	w := start(t)
	f := w.forge()
	for _, r := range []promote.Report{
		w.report(promote.Failure, "failed"), w.report(promote.InProgress, "again"), w.report(promote.Success, "healthy"), w.report(promote.Failure, "fell over"),
	} {
		w.must(f.Report(t.Context(), r))
	}
	latest := w.runs(w.head, "latest")
	if len(latest) != 1 || latest[0].GetConclusion() != "failure" || latest[0].GetOutput().GetTitle() != "fell over" {
		t.Errorf("GitHub shows %v", latest)
	}
}

func TestARestartGoesOnWithTheSameCheck(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.must(w.forge().Report(t.Context(), w.report(promote.InProgress, "on its way")))
	f := w.forge()
	w.ForgetRequests()
	w.must(f.Report(t.Context(), w.report(promote.InProgress, "on its way")))
	if sent := writes(w.sent()); len(sent) != 0 {
		t.Errorf("what is shown already was sent again: %q", sent)
	}
	w.must(f.Report(t.Context(), w.report(promote.Success, "healthy")))
	if runs := w.runs(w.head, "all"); len(runs) != 1 || runs[0].GetConclusion() != "success" {
		t.Errorf("GitHub shows %v", runs)
	}
}

func TestALostAnswerMakesNoSecondCheck(t *testing.T) {
	t.Parallel()
	for what, fault := range map[string]standin.Fault{
		"lost":                  once(standin.LostReply()),
		"500 without an effect": once(standin.ServerError(500)),
		"502 after the effect":  {Status: 502, AfterEffect: true, Times: 1},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := start(t)
			f := w.forge()
			w.Fail(standin.Match{Method: "POST", Path: regexp.MustCompile("/check-runs$")}, fault)
			r := w.report(promote.Queued, "queued")
			if _, ok := is[*promote.Unavailable](f.Report(t.Context(), r)); !ok {
				t.Fatal("want that it is tried again")
			}
			w.must(f.Report(t.Context(), r))
			w.must(f.Report(t.Context(), w.report(promote.Success, "healthy")))
			if runs := w.runs(w.head, "all"); len(runs) != 1 || runs[0].GetConclusion() != "success" {
				t.Errorf("GitHub shows %v", runs)
			}
		})
	}
}

func TestATokenReportsStatuses(t *testing.T) {
	t.Parallel()
	w := start(t)
	for what, token := range map[string]string{
		"classic":      w.AddUser("robot"),
		"fine-grained": w.AddToken("robot", map[string]string{"statuses": "write"}),
	} {
		w.head = w.push("main", map[string]string{"x": what})
		f := w.forge(as(token))
		w.must(f.Report(t.Context(), w.report(promote.Queued, "queued")))
		w.ForgetRequests()
		w.must(f.Report(t.Context(), w.report(promote.InProgress, strings.Repeat("long ä ", 50))))
		w.must(f.Report(t.Context(), w.report(promote.InProgress, strings.Repeat("long ä ", 50))))
		w.must(f.Report(t.Context(), w.report(promote.Success, "2 of 2 healthy")))
		if sent := w.sent(); len(sent) != 2 {
			t.Errorf("%s: sent %q, want two statuses", what, sent)
		}
		list := w.statuses(w.head)
		var states []string
		for _, s := range list {
			states = append(states, s.GetState())
			if s.GetContext() != "pawl / staging" || utf8.RuneCountInString(s.GetDescription()) > 140 {
				t.Errorf("%s: %v", what, s)
			}
		}
		if got := strings.Join(states, " "); got != "success pending pending" {
			t.Errorf("%s: GitHub shows %s", what, got)
		}
		if len(w.runs(w.head, "all")) != 0 {
			t.Errorf("%s: a check beside the statuses", what)
		}
	}
}

func TestNoPermissionToReportIsNamed(t *testing.T) {
	t.Parallel()
	w := startAs(t, standin.Options{}, map[string]string{"contents": "read"})
	err := w.forge().Report(t.Context(), w.report(promote.Queued, "queued"))
	denied, ok := is[*promote.Denied](err)
	if !ok || !strings.Contains(denied.Permission, "statuses: write") || !strings.Contains(err.Error(), `report "pawl / staging" at `) {
		t.Errorf("got %v", err)
	}
	revoked := w.AddUser("robot")
	w.RevokeToken(revoked)
	err = w.forge(as(revoked)).Report(t.Context(), w.report(promote.Queued, "queued"))
	if denied, ok := is[*promote.Denied](err); !ok || denied.Status != http.StatusUnauthorized || !strings.Contains(err.Error(), "expired, revoked or wrong") {
		t.Errorf("got %v", err)
	}
}

// catalogue 81
func TestACommitThatGitHubDoesNotKnowIsNamedSo(t *testing.T) {
	t.Parallel()
	w := start(t)
	r := w.report(promote.Queued, "queued")
	r.Commit = gitsync.Commit(strings.Repeat("ab", 20))
	for what, f := range map[string]interface{ err() error }{
		"App":   reporting(func() error { return w.forge().Report(t.Context(), r) }),
		"token": reporting(func() error { return w.forge(as(w.AddUser("robot"))).Report(t.Context(), r) }),
	} {
		if unknown, ok := is[*promote.UnknownCommit](f.err()); !ok || unknown.Commit != r.Commit {
			t.Errorf("%s: got %v", what, f.err())
		}
	}
}

type reporting func() error

func (r reporting) err() error { return r() }

func TestManyAtOnceMakeOneCheck(t *testing.T) {
	t.Parallel()
	w := start(t)
	f := w.forge()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if err := f.Report(t.Context(), w.report(promote.InProgress, "on its way")); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if runs := w.runs(w.head, "all"); len(runs) != 1 {
		t.Errorf("GitHub shows %v", runs)
	}
}

func TestAChecksSummaryIsCutToWhatGitHubTakes(t *testing.T) {
	t.Parallel()
	w := start(t)
	r := w.report(promote.Queued, "queued")
	r.Summary = strings.Repeat("ä", 50_000)
	w.must(w.forge().Report(t.Context(), r))
}
