package github

import (
	"io"
	"net/http"
	"strings"
	"testing"

	gogithub "github.com/google/go-github/v60/github"
)

func TestThePageShowsPullRequestsAndChecksAndRunsNothing(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	ctx := t.Context()
	const evil = `<script>alert(1)</script>`
	w.push("main", map[string]string{"a.txt": "one\n"})
	sha := w.branchOff("bump", map[string]string{"a.txt": evil + "\n"})
	_, err := w.ann.OpenPull(ctx, shop, "bump", "main", "title "+evil, "| app | digest |\n|---|---|\n| web | `sha256:ab` |\n\n<details><summary>more</summary>"+evil+"</details>\n[x](javascript:alert(2))")
	w.must(err)
	_, _, err = w.bot.Checks.CreateCheckRun(ctx, "acme", "shop", gogithub.CreateCheckRunOptions{
		Name: "pawl / staging " + evil, HeadSHA: sha, Conclusion: gogithub.String("failure"),
		Output: &gogithub.CheckRunOutput{Title: gogithub.String("refused"), Summary: gogithub.String("**unsigned** " + evil)},
	})
	w.must(err)
	_, _, err = w.ann.API().Repositories.CreateStatus(ctx, "acme", "shop", sha, &gogithub.RepoStatus{State: gogithub.String("success"), Context: gogithub.String("ci"), TargetURL: gogithub.String("javascript:alert(3)")})
	w.must(err)
	_, _, err = w.bot.Issues.CreateComment(ctx, "acme", "shop", 1, &gogithub.IssueComment{Body: gogithub.String("said " + evil)})
	w.must(err)

	w.must(w.bob.Approve(ctx, shop, 1))

	get := func(path string, want int) string {
		t.Helper()
		response, err := http.Get(w.URL() + path)
		w.must(err)
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		w.must(err)
		if response.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, response.StatusCode, want)
		}
		return string(body)
	}
	for path, wants := range map[string][]string{
		"/":                        {"acme/shop"},
		"/acme/shop":               {"title &lt;script", "Open pull requests", "/acme/shop/pull/1"},
		"/acme/shop/pull/1":        {"<th>digest</th>", "<summary>more</summary>", "refused", "<strong>unsigned</strong>", "&#43;&lt;script", "said", "<strong>bob</strong>", "approved"},
		"/acme/shop/commit/" + sha: {"refused", "ci"},
	} {
		body := get(path, http.StatusOK)
		for _, want := range wants {
			if !strings.Contains(body, want) {
				t.Errorf("%s lacks %q:\n%s", path, want, body)
			}
		}
		for _, never := range []string{"<script", `href="javascript:`} {
			if strings.Contains(body, never) {
				t.Errorf("%s has %q", path, never)
			}
		}
	}
	for _, path := range []string{"/acme/none", "/acme/shop/pull/7", "/acme/shop/commit/--help", "/acme/shop/commit/" + strings.Repeat("0", 40)} {
		get(path, http.StatusNotFound)
	}
}
