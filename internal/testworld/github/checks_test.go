package github

import (
	"net/http/httptest"
	"strings"
	"testing"

	gogithub "github.com/google/go-github/v60/github"
)

func TestChecksAreWrittenByAppsOnly(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	ctx := t.Context()
	sha := w.push("main", map[string]string{"a.txt": "one\n"})
	opts := gogithub.CreateCheckRunOptions{Name: "pawl / dev", HeadSHA: sha, Status: gogithub.String("in_progress")}

	_, _, err := w.ann.API().Checks.CreateCheckRun(ctx, "acme", "shop", opts)
	wantStatus(t, err, 403)
	fine, err := w.Client(w.AddToken("ann", map[string]string{"contents": "write", "checks": "write"}))
	w.must(err)
	_, _, err = fine.Checks.CreateCheckRun(ctx, "acme", "shop", opts)
	if wantStatus(t, err, 403); err != nil && !strings.Contains(err.Error(), "Resource not accessible by personal access token") {
		t.Errorf("the refusal says %v", err)
	}

	run, _, err := w.bot.Checks.CreateCheckRun(ctx, "acme", "shop", opts)
	w.must(err)
	if run.GetStatus() != "in_progress" || run.Conclusion != nil || run.GetApp().GetSlug() != "pawl" {
		t.Errorf("created as %v", run)
	}
	run, _, err = w.bot.Checks.UpdateCheckRun(ctx, "acme", "shop", run.GetID(), gogithub.UpdateCheckRunOptions{
		Name: "pawl / dev", Conclusion: gogithub.String("success"), Output: &gogithub.CheckRunOutput{
			Title: gogithub.String("healthy"), Summary: gogithub.String("| app | digest |"),
			Annotations: []*gogithub.CheckRunAnnotation{{Path: gogithub.String("a.txt"), StartLine: gogithub.Int(1), EndLine: gogithub.Int(1), AnnotationLevel: gogithub.String("notice"), Message: gogithub.String("seen")}},
		},
	})
	w.must(err)
	if run.GetStatus() != "completed" || run.CompletedAt == nil || run.GetOutput().GetAnnotationsCount() != 1 {
		t.Errorf("updated to %v", run)
	}
	annotations, _, err := w.bot.Checks.ListCheckRunAnnotations(ctx, "acme", "shop", run.GetID(), nil)
	if w.must(err); len(annotations) != 1 || annotations[0].GetMessage() != "seen" {
		t.Errorf("annotations are %v", annotations)
	}
	list, _, err := w.ann.API().Checks.ListCheckRunsForRef(ctx, "acme", "shop", "main", nil)
	if w.must(err); list.GetTotal() != 1 || list.CheckRuns[0].GetConclusion() != "success" {
		t.Errorf("main's checks are %v", list)
	}
	suites, _, err := w.bot.Checks.ListCheckSuitesForRef(ctx, "acme", "shop", "heads/main", nil)
	if w.must(err); suites.GetTotal() != 1 || suites.CheckSuites[0].GetConclusion() != "success" {
		t.Errorf("main's suites are %v", suites)
	}
	var heard []string
	for _, e := range append(w.heard("check_suite"), w.heard("check_run")...) {
		heard = append(heard, e.Name+"."+e.Action)
	}
	if got := strings.Join(heard, " "); got != "check_suite.requested check_suite.completed check_run.created check_run.completed" {
		t.Errorf("heard %s", got)
	}
}

func TestACheckThatGitHubWouldRefuse(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	sha := w.push("main", map[string]string{"a.txt": "one\n"})
	unknown := strings.Repeat("ab", 20)
	_, _, err := w.bot.Checks.CreateCheckRun(t.Context(), "acme", "shop", gogithub.CreateCheckRunOptions{Name: "x", HeadSHA: unknown})
	wantStatus(t, err, 422)
	_, _, err = w.bot.Repositories.CreateStatus(t.Context(), "acme", "shop", unknown, &gogithub.RepoStatus{State: gogithub.String("success")})
	wantStatus(t, err, 422)

	other, err := w.AddApp(App{Name: "other", Permissions: map[string]string{"checks": "write"}})
	w.must(err)
	bot, err := w.InstallationClient(other)
	w.must(err)
	run, _, err := w.bot.Checks.CreateCheckRun(t.Context(), "acme", "shop", gogithub.CreateCheckRunOptions{Name: "x", HeadSHA: sha})
	w.must(err)
	_, _, err = bot.Checks.UpdateCheckRun(t.Context(), "acme", "shop", run.GetID(), gogithub.UpdateCheckRunOptions{Name: "x", Conclusion: gogithub.String("success")})
	wantStatus(t, err, 403)
}

func TestAnnotationsAreAppended(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	ctx := t.Context()
	sha := w.push("main", map[string]string{"a.txt": "one\n"})
	notes := func(n int, message, title string) *gogithub.CheckRunOutput {
		out := &gogithub.CheckRunOutput{Title: gogithub.String("x"), Summary: gogithub.String("x")}
		for i := range n {
			out.Annotations = append(out.Annotations, &gogithub.CheckRunAnnotation{
				Path: gogithub.String("a.txt"), StartLine: gogithub.Int(i + 1), EndLine: gogithub.Int(i + 1),
				AnnotationLevel: gogithub.String("failure"), Message: &message, Title: &title,
			})
		}
		return out
	}
	run, _, err := w.bot.Checks.CreateCheckRun(ctx, "acme", "shop", gogithub.CreateCheckRunOptions{Name: "x", HeadSHA: sha, Output: notes(50, "m", "t")})
	w.must(err)
	update := func(output *gogithub.CheckRunOutput) error {
		_, _, err := w.bot.Checks.UpdateCheckRun(ctx, "acme", "shop", run.GetID(), gogithub.UpdateCheckRunOptions{Name: "x", Output: output})
		return err
	}
	w.must(update(notes(2, strings.Repeat("m", 64<<10), strings.Repeat("t", 255))))
	wantStatus(t, update(notes(1, strings.Repeat("m", 64<<10+1), "t")), 422)
	wantStatus(t, update(notes(1, "m", strings.Repeat("t", 256))), 422)
	var total int
	for at := 1; at != 0; {
		list, response, err := w.bot.Checks.ListCheckRunAnnotations(ctx, "acme", "shop", run.GetID(), &gogithub.ListOptions{Page: at})
		w.must(err)
		total, at = total+len(list), response.NextPage
	}
	if total != 52 {
		t.Errorf("there are %d annotations, want 52", total)
	}
}

func TestAButtonOfACheckReachesItsAppAlone(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	others := &listener{}
	receiver := httptest.NewServer(others)
	t.Cleanup(receiver.Close)
	_, err := w.AddHook(shop, receiver.URL, secret, "check_run")
	w.must(err)
	sha := w.push("main", map[string]string{"a.txt": "one\n"})
	run, _, err := w.bot.Checks.CreateCheckRun(t.Context(), "acme", "shop", gogithub.CreateCheckRunOptions{Name: "x", HeadSHA: sha, Conclusion: gogithub.String("failure")})
	w.must(err)
	w.forget()
	w.must(w.Rerequest(t.Context(), shop, run.GetID(), "ann"))
	w.must(w.PressAction(t.Context(), shop, run.GetID(), "ann", "retry"))
	heard := w.heard("check_run")
	if len(heard) != 2 || heard[0].Action != "rerequested" || heard[1].Action != "requested_action" {
		t.Errorf("heard %v", heard)
	}
	others.mu.Lock()
	defer others.mu.Unlock()
	var actions []string
	for _, e := range others.events {
		actions = append(actions, e.Action)
	}
	// The ping has no action; the buttons are not for the repository's hook.
	if got := strings.Join(actions, " "); got != " created completed" {
		t.Errorf("the repository's hook heard %q", got)
	}
}

func TestStatusesCombine(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	ctx := t.Context()
	sha := w.push("main", map[string]string{"a.txt": "one\n"})
	combined := func() *gogithub.CombinedStatus {
		t.Helper()
		c, _, err := w.bot.Repositories.GetCombinedStatus(ctx, "acme", "shop", "main", nil)
		w.must(err)
		return c
	}
	if c := combined(); c.GetState() != "pending" || c.GetTotalCount() != 0 {
		t.Errorf("with nothing reported: %v", c)
	}
	for _, one := range []struct{ context, state, want string }{
		{"dev", "pending", "pending"}, {"DEV", "success", "success"}, {"staging", "failure", "failure"},
	} {
		_, _, err := w.ann.API().Repositories.CreateStatus(ctx, "acme", "shop", sha, &gogithub.RepoStatus{
			State: &one.state, Context: &one.context, Description: gogithub.String("text"), TargetURL: gogithub.String("http://127.0.0.1/x"),
		})
		w.must(err)
		if c := combined(); c.GetState() != one.want {
			t.Errorf("after %s of %s: %s, want %s", one.state, one.context, c.GetState(), one.want)
		}
	}
	if c := combined(); c.GetTotalCount() != 2 {
		t.Errorf("the case of a context counted: %v", c)
	}
	if heard := w.heard("status"); len(heard) != 3 || heard[2].Payload["state"] != "failure" {
		t.Errorf("heard %v", heard)
	}
}
