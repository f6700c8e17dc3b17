package github

import (
	"slices"
	"strings"
	"testing"

	gogithub "github.com/google/go-github/v60/github"

	"github.com/pawl-dev/pawl/internal/testworld/git"
)

func TestAPullRequestFollowsItsHeadUntilItIsMerged(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	ctx := t.Context()
	w.push("main", map[string]string{"a.txt": "one\n"})
	first := w.branchOff("bump", map[string]string{"a.txt": "two\n"})

	made, _, err := w.bot.PullRequests.Create(ctx, "acme", "shop", &gogithub.NewPullRequest{
		Title: gogithub.String("bump"), Head: gogithub.String("bump"), Base: gogithub.String("main"), Body: gogithub.String("because"),
	})
	w.must(err)
	n := made.GetNumber()
	if made.GetHead().GetSHA() != first || made.GetUser().GetLogin() != "pawl[bot]" || made.Mergeable != nil {
		t.Errorf("opened as %v", made)
	}
	if ok, state := w.mergeable(n); !ok || state != "clean" {
		t.Errorf("mergeable is %v, %s", ok, state)
	}

	second := w.push("bump", map[string]string{"b.txt": "new\n"})
	if p := w.pull(n); p.GetHead().GetSHA() != second || p.Mergeable != nil || p.GetCommits() != 2 || p.GetAdditions() != 2 || p.GetChangedFiles() != 2 {
		t.Errorf("after the push: head %s, mergeable %v, %d commits, %d additions, %d files", p.GetHead().GetSHA(), p.Mergeable, p.GetCommits(), p.GetAdditions(), p.GetChangedFiles())
	}
	if ref, err := w.repo.Resolve(ctx, "refs/pull/1/head"); err != nil || ref != second {
		t.Errorf("refs/pull/1/head is %s, %v", ref, err)
	}
	files, _, err := w.bot.PullRequests.ListFiles(ctx, "acme", "shop", n, nil)
	w.must(err)
	if len(files) != 2 || files[0].GetFilename() != "a.txt" || !strings.Contains(files[0].GetPatch(), "-one\n+two") {
		t.Errorf("files are %v", files)
	}
	commits, _, err := w.bot.PullRequests.ListCommits(ctx, "acme", "shop", n, nil)
	w.must(err)
	if len(commits) != 2 || commits[0].GetSHA() != first {
		t.Errorf("commits are %v", commits)
	}

	_, _, err = w.bot.PullRequests.Merge(ctx, "acme", "shop", n, "", &gogithub.PullRequestOptions{SHA: first})
	wantStatus(t, err, 409)
	merged, _, err := w.bot.PullRequests.Merge(ctx, "acme", "shop", n, "", &gogithub.PullRequestOptions{SHA: second})
	w.must(err)
	if tip, err := w.repo.Resolve(ctx, "main"); err != nil || tip != merged.GetSHA() {
		t.Errorf("main is %s after the merge, %v", tip, err)
	}
	if p := w.pull(n); !p.GetMerged() || p.GetMergeCommitSHA() != merged.GetSHA() || p.GetMergedBy().GetLogin() != "pawl[bot]" {
		t.Errorf("after the merge: %v", p)
	}
	_, _, err = w.bot.PullRequests.Merge(ctx, "acme", "shop", n, "", nil)
	wantStatus(t, err, 405)

	var actions []string
	for _, e := range w.heard("pull_request") {
		actions = append(actions, e.Action)
	}
	if got := strings.Join(actions, " "); got != "opened synchronize closed" {
		t.Errorf("heard %s", got)
	}
	pushes := w.heard("push")
	last := pushes[len(pushes)-1].Payload
	if last["ref"] != "refs/heads/main" || last["after"] != merged.GetSHA() || len(last["commits"].([]any)) != 3 {
		t.Errorf("the merge was pushed as %v", last)
	}
}

func TestAConflictIsNotMergeable(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	w.push("main", map[string]string{"a.txt": "one\n"})
	w.branchOff("left", map[string]string{"a.txt": "left\n"})
	n, err := w.ann.OpenPull(t.Context(), shop, "left", "main", "left", "")
	w.must(err)
	if ok, _ := w.mergeable(n); !ok {
		t.Error("mergeable before the conflict: false")
	}
	w.push("main", map[string]string{"a.txt": "right\n"})
	if ok, state := w.mergeable(n); ok || state != "dirty" {
		t.Errorf("mergeable is %v, %s", ok, state)
	}
	_, err = w.ann.Merge(t.Context(), shop, n, "")
	wantStatus(t, err, 405)
}

func TestMergeMethods(t *testing.T) {
	t.Parallel()
	for method, want := range map[string]string{
		"merge":  "Merge pull request #1 from acme/topic|third|second|moved|first",
		"squash": "topic (#1)|moved|first",
		"rebase": "third|second|moved|first",
	} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			w := start(t, Options{})
			ctx := t.Context()
			commit := func(branch, from, message string, files map[string]string) {
				t.Helper()
				_, err := w.ann.Push(ctx, shop, git.Commit{Branch: branch, From: from, Message: message, Write: files})
				w.must(err)
			}
			commit("main", "", "first", map[string]string{"a.txt": "1\n"})
			commit("topic", "main", "second", map[string]string{"b.txt": "2\n"})
			commit("topic", "", "third", map[string]string{"b.txt": "3\n"})
			commit("main", "", "moved", map[string]string{"a.txt": "4\n"})
			n, err := w.ann.OpenPull(ctx, shop, "topic", "main", "topic", "")
			w.must(err)
			sha, err := w.bob.Merge(ctx, shop, n, method)
			w.must(err)
			log, err := w.repo.Log(ctx, "main", 10)
			w.must(err)
			var subjects []string
			for _, one := range log {
				subject, _, _ := strings.Cut(one.Message, "\n")
				subjects = append(subjects, subject)
			}
			if got := strings.Join(subjects, "|"); log[0].SHA != sha || sortedWords(got) != sortedWords(want) {
				t.Errorf("main's history is %s, want %s", got, want)
			}
			for path, want := range map[string]string{"a.txt": "4\n", "b.txt": "3\n"} {
				if got, err := w.repo.ReadFile(ctx, "main", path); err != nil || got != want {
					t.Errorf("%s is %q, %v", path, got, err)
				}
			}
		})
	}
}

// sortedWords makes histories comparable whose commits have one date.
func sortedWords(s string) string {
	words := strings.Split(s, "|")
	slices.Sort(words)
	return strings.Join(words, "|")
}
