package github

import (
	"strings"
	"testing"

	gogithub "github.com/google/go-github/v60/github"

	"github.com/pawl-dev/pawl/internal/testworld/git"
)

func TestACommitIsMadeFromBlobsAndTrees(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	ctx := t.Context()
	_, _, err := w.bot.Git.CreateBlob(ctx, "acme", "shop", &gogithub.Blob{Content: gogithub.String("x"), Encoding: gogithub.String("utf-8")})
	wantStatus(t, err, 409) // nothing can be made in an empty repository
	base := w.push("main", map[string]string{"a.txt": "one\n", "dir/b.txt": "two\n", "dir/c.txt": "three\n"})

	parent, _, err := w.bot.Git.GetCommit(ctx, "acme", "shop", base)
	w.must(err)
	blob, _, err := w.bot.Git.CreateBlob(ctx, "acme", "shop", &gogithub.Blob{Content: gogithub.String("Zm91cgo="), Encoding: gogithub.String("base64")})
	w.must(err)
	tree, _, err := w.bot.Git.CreateTree(ctx, "acme", "shop", parent.GetTree().GetSHA(), []*gogithub.TreeEntry{
		{Path: gogithub.String("dir/b.txt"), Mode: gogithub.String("100644"), Type: gogithub.String("blob"), SHA: blob.SHA},
		{Path: gogithub.String("new/d.txt"), Mode: gogithub.String("100644"), Type: gogithub.String("blob"), Content: gogithub.String("inline\n")},
		{Path: gogithub.String("dir/c.txt"), Mode: gogithub.String("100644"), Type: gogithub.String("blob")}, // deleted
	})
	w.must(err)
	made, _, err := w.bot.Git.CreateCommit(ctx, "acme", "shop", &gogithub.Commit{
		Message: gogithub.String("bump"), Tree: &gogithub.Tree{SHA: tree.SHA}, Parents: []*gogithub.Commit{{SHA: &base}},
	}, nil)
	w.must(err)
	if !made.GetVerification().GetVerified() || made.GetAuthor().GetName() != "pawl[bot]" {
		t.Errorf("an App's commit is %v", made)
	}
	_, _, err = w.bot.Git.CreateRef(ctx, "acme", "shop", &gogithub.Reference{Ref: gogithub.String("refs/heads/pawl/bump"), Object: &gogithub.GitObject{SHA: made.SHA}})
	w.must(err)
	_, _, err = w.bot.Git.CreateRef(ctx, "acme", "shop", &gogithub.Reference{Ref: gogithub.String("refs/heads/pawl/bump"), Object: &gogithub.GitObject{SHA: made.SHA}})
	wantStatus(t, err, 422)
	for path, want := range map[string]string{"a.txt": "one\n", "dir/b.txt": "four\n", "new/d.txt": "inline\n"} {
		if got, err := w.repo.ReadFile(ctx, "pawl/bump", path); err != nil || got != want {
			t.Errorf("%s is %q, %v", path, got, err)
		}
	}
	if files, err := w.repo.Files(ctx, "pawl/bump"); err != nil || len(files) != 3 {
		t.Errorf("the files are %v, %v", files, err)
	}
	whole, _, err := w.bot.Git.GetTree(ctx, "acme", "shop", made.GetTree().GetSHA(), true)
	if w.must(err); len(whole.Entries) != 5 {
		t.Errorf("the tree is %v", whole.Entries)
	}
	read, _, err := w.bot.Git.GetBlobRaw(ctx, "acme", "shop", blob.GetSHA())
	if w.must(err); string(read) != "four\n" {
		t.Errorf("the blob is %q", read)
	}
	refs, _, err := w.bot.Git.ListMatchingRefs(ctx, "acme", "shop", &gogithub.ReferenceListOptions{Ref: "heads/pawl/"})
	if w.must(err); len(refs) != 1 || refs[0].GetObject().GetSHA() != made.GetSHA() {
		t.Errorf("matching refs are %v", refs)
	}

	// A person's commit, and an App's with an author of its own, are unsigned.
	signed := &gogithub.Commit{
		Message: gogithub.String("bump"), Tree: &gogithub.Tree{SHA: tree.SHA}, Parents: []*gogithub.Commit{{SHA: &base}},
		Author: &gogithub.CommitAuthor{Name: gogithub.String("x"), Email: gogithub.String("x@example.com")},
	}
	authored, _, err := w.bot.Git.CreateCommit(ctx, "acme", "shop", signed, nil)
	if w.must(err); authored.GetVerification().GetVerified() {
		t.Error("a commit with an author of its own is verified")
	}
	_, _, err = w.bot.Git.UpdateRef(ctx, "acme", "shop", &gogithub.Reference{Ref: gogithub.String("refs/heads/pawl/bump"), Object: &gogithub.GitObject{SHA: authored.SHA}}, false)
	wantStatus(t, err, 422) // no fast-forward
	_, _, err = w.bot.Git.UpdateRef(ctx, "acme", "shop", &gogithub.Reference{Ref: gogithub.String("refs/heads/pawl/bump"), Object: &gogithub.GitObject{SHA: authored.SHA}}, true)
	w.must(err)
	heard := w.heard("push")
	if last := heard[len(heard)-1].Payload; last["forced"] != true {
		t.Errorf("the forced update was announced as %v", last["forced"])
	}
}

func TestContentsAreReadAndGuardedByTheirID(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	ctx := t.Context()
	w.push("main", map[string]string{"dir/a b#.txt": "one\n", "c.txt": "two\n"})
	_, folder, _, err := w.bot.Repositories.GetContents(ctx, "acme", "shop", "", nil)
	if w.must(err); len(folder) != 2 || folder[1].GetType() != "dir" {
		t.Errorf("the root is %v", folder)
	}
	file, _, _, err := w.bot.Repositories.GetContents(ctx, "acme", "shop", "c.txt", &gogithub.RepositoryContentGetOptions{Ref: "main"})
	w.must(err)
	if text, err := file.GetContent(); err != nil || text != "two\n" {
		t.Errorf("c.txt is %q, %v", text, err)
	}
	change := func(sha, branch string) *gogithub.RepositoryContentFileOptions {
		o := &gogithub.RepositoryContentFileOptions{Message: gogithub.String("change"), Content: []byte("three\n"), Branch: &branch}
		if sha != "" {
			o.SHA = &sha
		}
		return o
	}
	_, _, err = w.bot.Repositories.UpdateFile(ctx, "acme", "shop", "c.txt", change("", "main"))
	wantStatus(t, err, 422)
	_, _, err = w.bot.Repositories.UpdateFile(ctx, "acme", "shop", "c.txt", change(strings.Repeat("0", 40), "main"))
	wantStatus(t, err, 409)
	_, _, err = w.bot.Repositories.UpdateFile(ctx, "acme", "shop", "c.txt", change(file.GetSHA(), "nowhere"))
	wantStatus(t, err, 404)
	done, _, err := w.bot.Repositories.UpdateFile(ctx, "acme", "shop", "c.txt", change(file.GetSHA(), "main"))
	w.must(err)
	if got, err := w.repo.ReadFile(ctx, "main", "c.txt"); err != nil || got != "three\n" {
		t.Errorf("c.txt is %q, %v", got, err)
	}
	// go-github's own DeleteFile sends a field that GitHub does not describe.
	request, err := w.bot.NewRequest("DELETE", "repos/acme/shop/contents/c.txt", map[string]string{"message": "gone", "sha": done.GetContent().GetSHA()})
	w.must(err)
	_, err = w.bot.Do(ctx, request, nil)
	w.must(err)
	_, _, _, err = w.bot.Repositories.GetContents(ctx, "acme", "shop", "c.txt", nil)
	wantStatus(t, err, 404)

	// The first file of an empty repository makes its branch.
	bare, err := w.CreateRepo("acme", "empty")
	w.must(err)
	_, _, err = w.bot.Repositories.CreateFile(ctx, "acme", "empty", "a.txt", change("", "main"))
	w.must(err)
	if log, err := bare.Log(ctx, "main", 5); err != nil || len(log) != 1 {
		t.Errorf("the log is %v, %v", log, err)
	}
}

func TestCommitsAreListedAndCompared(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	ctx := t.Context()
	first := w.push("main", map[string]string{"a.txt": "one\n", "old.txt": "a longer text\nthat stays\nthe same\n"})
	w.branchOff("feature/x", map[string]string{"a.txt": "two\n"})
	_, err := w.ann.Push(ctx, shop, git.Commit{Branch: "feature/x", Write: map[string]string{"new.txt": "a longer text\nthat stays\nthe same\n"}, Delete: []string{"old.txt"}})
	w.must(err)
	w.push("main", map[string]string{"b.txt": "three\n"})

	compared, _, err := w.bot.Repositories.CompareCommits(ctx, "acme", "shop", "main", "feature/x", nil)
	w.must(err)
	if compared.GetStatus() != "diverged" || compared.GetAheadBy() != 2 || compared.GetBehindBy() != 1 || compared.GetMergeBaseCommit().GetSHA() != first {
		t.Errorf("compared: %v", compared)
	}
	if files := compared.Files; len(files) != 2 || files[1].GetStatus() != "renamed" || files[1].GetPreviousFilename() != "old.txt" {
		t.Errorf("files are %v", files)
	}
	list, _, err := w.bot.Repositories.ListCommits(ctx, "acme", "shop", &gogithub.CommitsListOptions{SHA: "feature/x", Path: "a.txt"})
	if w.must(err); len(list) != 2 {
		t.Errorf("commits to a.txt: %v", list)
	}
	one, _, err := w.bot.Repositories.GetCommit(ctx, "acme", "shop", "feature/x", nil)
	if w.must(err); len(one.Files) != 1 || one.GetAuthor().GetLogin() != "ann" {
		t.Errorf("the tip is %v", one)
	}
	n, err := w.ann.OpenPull(ctx, shop, "feature/x", "main", "x", "")
	w.must(err)
	pulls, _, err := w.bot.PullRequests.ListPullRequestsWithCommit(ctx, "acme", "shop", compared.Commits[0].GetSHA(), nil)
	if w.must(err); len(pulls) != 1 || pulls[0].GetNumber() != n {
		t.Errorf("the commit's pull requests are %v", pulls)
	}
	diff, _, err := w.bot.PullRequests.GetRaw(ctx, "acme", "shop", n, gogithub.RawOptions{Type: gogithub.Diff})
	if w.must(err); !strings.Contains(diff, "+two") || strings.Contains(diff, "three") {
		t.Errorf("the diff is %s", diff)
	}
}

func TestPullRequestsAreListedLabelledCommentedAndClosed(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	ctx := t.Context()
	w.push("main", map[string]string{"a.txt": "one\n"})
	for _, branch := range []string{"one", "two", "three"} {
		w.branchOff(branch, map[string]string{branch: "x\n"})
		_, err := w.ann.OpenPull(ctx, shop, branch, "main", branch, "")
		w.must(err)
	}
	_, err := w.ann.OpenPull(ctx, shop, "one", "main", "again", "")
	wantStatus(t, err, 422)
	_, err = w.ann.OpenPull(ctx, shop, "main", "one", "nothing", "")
	wantStatus(t, err, 422)

	first, response, err := w.bot.PullRequests.List(ctx, "acme", "shop", &gogithub.PullRequestListOptions{ListOptions: gogithub.ListOptions{PerPage: 2}})
	if w.must(err); len(first) != 2 || first[0].GetTitle() != "three" || response.NextPage != 2 {
		t.Errorf("the first page is %v, the next %d", first, response.NextPage)
	}
	byHead, _, err := w.bot.PullRequests.List(ctx, "acme", "shop", &gogithub.PullRequestListOptions{Head: "acme:two", State: "all"})
	if w.must(err); len(byHead) != 1 || byHead[0].GetTitle() != "two" {
		t.Errorf("by head: %v", byHead)
	}
	n := byHead[0].GetNumber()

	_, _, err = w.bot.Issues.AddLabelsToIssue(ctx, "acme", "shop", n, []string{"promotion", "env: staging"})
	w.must(err)
	_, err = w.bot.Issues.RemoveLabelForIssue(ctx, "acme", "shop", n, "promotion")
	w.must(err)
	comment, _, err := w.bot.Issues.CreateComment(ctx, "acme", "shop", n, &gogithub.IssueComment{Body: gogithub.String("hello")})
	w.must(err)
	_, _, err = w.bot.Issues.EditComment(ctx, "acme", "shop", comment.GetID(), &gogithub.IssueComment{Body: gogithub.String("goodbye")})
	w.must(err)
	_, _, err = w.bot.PullRequests.RequestReviewers(ctx, "acme", "shop", n, gogithub.ReviewersRequest{Reviewers: []string{"bob"}})
	w.must(err)
	_, _, err = w.bot.PullRequests.Edit(ctx, "acme", "shop", n, &gogithub.PullRequest{Title: gogithub.String("new"), Body: gogithub.String("text")})
	w.must(err)
	p := w.pull(n)
	if p.GetTitle() != "new" || p.GetComments() != 1 || len(p.Labels) != 1 || p.Labels[0].GetName() != "env: staging" || len(p.RequestedReviewers) != 1 {
		t.Errorf("the pull request is %v", p)
	}
	w.must(w.bob.Close(ctx, shop, n))
	if heard := w.heard("pull_request"); heard[len(heard)-1].Action != "closed" {
		t.Errorf("heard %v", heard)
	}
	_, _, err = w.bot.PullRequests.Edit(ctx, "acme", "shop", n, &gogithub.PullRequest{State: gogithub.String("open")})
	w.must(err)
	if got := len(w.heard("issue_comment")); got != 2 {
		t.Errorf("%d comments were heard of", got)
	}
}
