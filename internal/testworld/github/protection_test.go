package github

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	gogithub "github.com/google/go-github/v60/github"
)

func TestAProtectedBranchIsMergedOnlyWhenItsRulesAreMet(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	ctx := t.Context()
	w.push("main", map[string]string{"a.txt": "one\n"})
	sha := w.branchOff("bump", map[string]string{"a.txt": "two\n"})
	w.must(w.Protect(shop, "main", Protection{Checks: []RequiredCheck{{Name: "e2e"}}, Approvals: 1, DismissStale: true}))
	n, err := w.ann.OpenPull(ctx, shop, "bump", "main", "bump", "")
	w.must(err)
	merge := func() error { _, err := w.bob.Merge(ctx, shop, n, ""); return err }

	if _, state := w.mergeable(n); state != "blocked" {
		t.Errorf("the state is %s, want blocked", state)
	}
	err = merge()
	if wantStatus(t, err, 405); err != nil && (!strings.Contains(err.Error(), `"e2e" is expected`) || !strings.Contains(err.Error(), "approving review")) {
		t.Errorf("the refusal says %v", err)
	}
	wantStatus(t, w.ann.Approve(ctx, shop, n), 422)
	w.must(w.bob.Approve(ctx, shop, n))
	wantStatus(t, merge(), 405)

	// A status and a check of one name are both required.
	_, _, err = w.bot.Checks.CreateCheckRun(ctx, "acme", "shop", gogithub.CreateCheckRunOptions{Name: "e2e", HeadSHA: sha, Conclusion: gogithub.String("success")})
	w.must(err)
	if _, state := w.mergeable(n); state != "clean" {
		t.Errorf("the state is %s, want clean", state)
	}
	_, _, err = w.bot.Repositories.CreateStatus(ctx, "acme", "shop", sha, &gogithub.RepoStatus{State: gogithub.String("pending"), Context: gogithub.String("e2e")})
	w.must(err)
	wantStatus(t, merge(), 405)
	_, _, err = w.bot.Repositories.CreateStatus(ctx, "acme", "shop", sha, &gogithub.RepoStatus{State: gogithub.String("success"), Context: gogithub.String("e2e")})
	w.must(err)

	// A new head loses both the checks and the approval.
	second := w.push("bump", map[string]string{"b.txt": "more\n"})
	wantStatus(t, merge(), 405)
	reviews, _, err := w.bot.PullRequests.ListReviews(ctx, "acme", "shop", n, nil)
	if w.must(err); len(reviews) != 1 || reviews[0].GetState() != "DISMISSED" {
		t.Errorf("reviews are %v", reviews)
	}
	_, _, err = w.bot.Checks.CreateCheckRun(ctx, "acme", "shop", gogithub.CreateCheckRunOptions{Name: "e2e", HeadSHA: second, Conclusion: gogithub.String("neutral")})
	w.must(err)
	w.must(w.bob.Approve(ctx, shop, n))
	w.must(w.bob.RequestChanges(ctx, shop, n, "wait"))
	wantStatus(t, merge(), 405)
	w.must(w.bob.Approve(ctx, shop, n))
	w.must(merge())
}

func TestAStrictBranchWantsAnUpToDateHead(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	ctx := t.Context()
	w.push("main", map[string]string{"a.txt": "one\n"})
	w.branchOff("bump", map[string]string{"b.txt": "two\n"})
	w.must(w.Protect(shop, "main", Protection{Strict: true}))
	n, err := w.ann.OpenPull(ctx, shop, "bump", "main", "bump", "")
	w.must(err)
	w.push("main", map[string]string{"c.txt": "three\n"})
	if ok, state := w.mergeable(n); !ok || state != "behind" {
		t.Errorf("the state is %s, want behind", state)
	}
	_, err = w.bob.Merge(ctx, shop, n, "")
	wantStatus(t, err, 405)
	before := w.pull(n).GetHead().GetSHA()
	_, response, _ := w.bot.PullRequests.UpdateBranch(ctx, "acme", "shop", n, nil)
	if response.StatusCode != 202 {
		t.Errorf("update-branch answered %d", response.StatusCode)
	}
	if after := w.pull(n).GetHead().GetSHA(); after == before {
		t.Error("update-branch left the head where it was")
	}
	_, err = w.bob.Merge(ctx, shop, n, "")
	w.must(err)
}

func TestAProtectedBranchRefusesAGitPush(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	w.push("main", map[string]string{"a.txt": "one\n"})
	w.must(w.Protect(shop, "main", Protection{PullRequests: true}))
	dir := filepath.Join(t.TempDir(), "clone")
	run := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=ann", "-c", "user.email=ann@example.com"}, args...)...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for _, args := range [][]string{{"clone", "-q", w.ann.CloneURL(shop), dir}, {"-C", dir, "commit", "-q", "--allow-empty", "-m", "direct"}} {
		if out, err := run(args...); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	if out, err := run("-C", dir, "push", "origin", "HEAD:main"); err == nil || !strings.Contains(out, "GH006") {
		t.Errorf("the push gave %v: %s", err, out)
	}
	if out, err := run("-C", dir, "push", "origin", "HEAD:side"); err != nil {
		t.Errorf("a push to another branch: %v\n%s", err, out)
	}
	side, err := w.repo.Resolve(t.Context(), "side")
	w.must(err)
	_, _, err = w.bot.Git.UpdateRef(t.Context(), "acme", "shop", &gogithub.Reference{Ref: gogithub.String("refs/heads/main"), Object: &gogithub.GitObject{SHA: &side}}, false)
	wantStatus(t, err, 422)
	w.must(w.SetRole(shop, "ann", "admin"))
	if out, err := run("-C", dir, "push", "origin", "HEAD:main"); err != nil {
		t.Errorf("an administrator's push: %v\n%s", err, out)
	}
}

func TestProtectionIsReadAndSetByAdministrators(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	ctx := t.Context()
	w.push("main", map[string]string{"a.txt": "one\n"})
	request := &gogithub.ProtectionRequest{
		RequiredStatusChecks:       &gogithub.RequiredStatusChecks{Strict: true, Contexts: &[]string{}, Checks: &[]*gogithub.RequiredStatusCheck{{Context: "e2e", AppID: &w.app.ID}}},
		RequiredPullRequestReviews: &gogithub.PullRequestReviewsEnforcementRequest{RequiredApprovingReviewCount: 2},
	}
	_, _, err := w.ann.API().Repositories.UpdateBranchProtection(ctx, "acme", "shop", "main", request)
	wantStatus(t, err, 404)
	w.must(w.SetRole(shop, "ann", "admin"))
	_, _, err = w.ann.API().Repositories.UpdateBranchProtection(ctx, "acme", "shop", "main", request)
	w.must(err)
	rule, _, err := w.ann.API().Repositories.GetBranchProtection(ctx, "acme", "shop", "main")
	if w.must(err); rule.GetRequiredPullRequestReviews().RequiredApprovingReviewCount != 2 || (*rule.GetRequiredStatusChecks().Checks)[0].Context != "e2e" {
		t.Errorf("the rule is %v", rule)
	}
	branch, _, err := w.bot.Repositories.GetBranch(ctx, "acme", "shop", "main", 0)
	if w.must(err); !branch.GetProtected() {
		t.Error("the branch does not say that it is protected")
	}
	_, err = w.ann.API().Repositories.RemoveBranchProtection(ctx, "acme", "shop", "main")
	w.must(err)
	_, _, err = w.ann.API().Repositories.GetBranchProtection(ctx, "acme", "shop", "main")
	if err == nil {
		t.Error("the rule is still there")
	}
}
