package github_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	gogithub "github.com/google/go-github/v60/github"

	standin "github.com/pawl-dev/pawl/internal/testworld/github"
	"github.com/pawl-dev/pawl/promote"
	"github.com/pawl-dev/pawl/promote/github"
)

// annotated is a failure with n annotations.
func (w *world) annotated(n int) promote.Report {
	r := w.report(promote.Failure, "refused")
	for i := range n {
		r.Annotations = append(r.Annotations, promote.Annotation{
			File: overlay, Line: i + 1, Level: promote.AnnotationFailure, Title: "staging/web: an image is refused", Message: fmt.Sprintf("image %d\nDemanded: a signature", i),
		})
	}
	return r
}

// annotations are the messages on the lines of a commit's newest run, in order.
func (w *world) annotations() []string {
	w.t.Helper()
	runs := w.runs(w.head, "latest")
	if len(runs) != 1 {
		w.t.Fatalf("there are %d runs", len(runs))
	}
	var out []string
	for page := 1; page != 0; {
		list, resp, err := w.ann.API().Checks.ListCheckRunAnnotations(w.t.Context(), "acme", "shop", runs[0].GetID(), &gogithub.ListOptions{PerPage: 100, Page: page})
		w.must(err)
		for _, a := range list {
			message, _, _ := strings.Cut(a.GetMessage(), "\n")
			out = append(out, fmt.Sprintf("%d %s", a.GetStartLine(), message))
		}
		page = resp.NextPage
	}
	return out
}

func (w *world) expectAnnotations(n int) {
	w.t.Helper()
	got := w.annotations()
	if len(got) != n || n > 0 && (got[0] != "1 image 0" || got[n-1] != fmt.Sprintf("%d image %d", n, n-1)) {
		w.t.Errorf("GitHub shows %d annotations, want %d: %q", len(got), n, got)
	}
}

func TestAnnotations(t *testing.T) {
	t.Parallel()
	for n, requests := range map[int]int{0: 1, 1: 1, 50: 1, 51: 2, 100: 2} {
		w := start(t)
		f := w.forge()
		w.must(f.Report(t.Context(), w.report(promote.InProgress, "on its way")))
		w.ForgetRequests()
		w.must(f.Report(t.Context(), w.annotated(n)))
		if sent := writes(w.sent()); len(sent) != requests {
			t.Errorf("%d annotations: sent %q, want %d requests", n, sent, requests)
		}
		w.expectAnnotations(n)
		// Again, and once more with another title: none is shown twice.
		w.must(f.Report(t.Context(), w.annotated(n)))
		again := w.annotated(n)
		again.Title = "still refused"
		w.must(f.Report(t.Context(), again))
		if sent := writes(w.sent()); len(sent) != 1 {
			t.Errorf("%d annotations: sent %q again", n, sent)
		}
		w.expectAnnotations(n)
	}
}

func TestAnnotationsThatAreNewAreAdded(t *testing.T) {
	t.Parallel()
	w := start(t)
	f := w.forge()
	w.must(f.Report(t.Context(), w.annotated(2)))
	w.must(f.Report(t.Context(), w.annotated(3)))
	w.expectAnnotations(3)
	// What starts over is a new run, which shows what is true then.
	w.must(f.Report(t.Context(), w.report(promote.InProgress, "again")))
	w.expectAnnotations(0)
	w.must(f.Report(t.Context(), w.annotated(1)))
	w.expectAnnotations(1)
}

func TestARestartDoesNotAnnotateTwice(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.must(w.forge().Report(t.Context(), w.annotated(60)))
	w.ForgetRequests()
	f := w.forge()
	w.must(f.Report(t.Context(), w.annotated(60)))
	if sent := writes(w.sent()); len(sent) != 0 {
		t.Errorf("what is shown already was sent again: %q", sent)
	}
	w.must(f.Report(t.Context(), w.annotated(61)))
	w.expectAnnotations(61)
}

func TestALostAnswerDoesNotAnnotateTwice(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		match standin.Match
		fault standin.Fault
	}{
		"the creation":                 {standin.Match{Method: "POST", Path: path("check-runs$").Path}, once(standin.LostReply())},
		"an update":                    {standin.Match{Method: "PATCH"}, once(standin.LostReply())},
		"an update that had no effect": {standin.Match{Method: "PATCH"}, once(standin.ServerError(502))},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := start(t)
			f := w.forge()
			w.Fail(c.match, c.fault)
			err := f.Report(t.Context(), w.annotated(70))
			if _, ok := is[*promote.Unavailable](err); !ok {
				t.Fatalf("got %v", err)
			}
			w.must(f.Report(t.Context(), w.annotated(70)))
			w.expectAnnotations(70)
			if runs := w.runs(w.head, "all"); len(runs) != 1 {
				t.Errorf("there are %d runs", len(runs))
			}
		})
	}
}

// A restart between the two requests.
func TestAnnotationsAreCompletedAfterARestart(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.Fail(standin.Match{Method: "PATCH"}, once(standin.ServerError(502)))
	if err := w.forge().Report(t.Context(), w.annotated(70)); err == nil {
		t.Fatal("the failure is not told")
	}
	w.expectAnnotations(50)
	w.must(w.forge().Report(t.Context(), w.annotated(70)))
	got := w.annotations()
	slices.Sort(got)
	if len(slices.Compact(got)) != 70 {
		t.Errorf("GitHub shows %q", got)
	}
}

func TestATokenAnnotatesNothing(t *testing.T) {
	t.Parallel()
	w := start(t)
	f := w.forge(func(o *github.Options) { as(w.AddUser("robot"))(o) })
	w.must(f.Report(t.Context(), w.annotated(3)))
	w.ForgetRequests()
	w.must(f.Report(t.Context(), w.annotated(3)))
	if sent := w.sent(); len(sent) != 0 {
		t.Errorf("sent again: %q", sent)
	}
	if list := w.statuses(w.head); len(list) != 1 {
		t.Errorf("GitHub shows %v", list)
	}
}
