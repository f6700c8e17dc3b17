package github_test

import (
	"strings"
	"testing"

	standin "github.com/pawl-dev/pawl/internal/testworld/github"
	"github.com/pawl-dev/pawl/promote"
)

func files(text string) map[string][]byte { return map[string][]byte{overlay: []byte(text)} }

func TestCommit(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.ForgetRequests()
	made, err := w.forge().Commit(t.Context(), "main", w.head, "Deploy web to dev\n\nFound by tag.\n", map[string][]byte{overlay: []byte("a: \"ä\"\r\n"), "new/file": {0xff, 0x00}})
	w.must(err)
	if made != w.resolve("main") || w.read("main", overlay) != "a: \"ä\"\r\n" || w.read("main", "new/file") != "\xff\x00" || w.read("main", "README.md") != "shop\n" {
		t.Error("main does not have what was written")
	}
	commit, _, err := w.ann.API().Repositories.GetCommit(t.Context(), "acme", "shop", "main", nil)
	w.must(err)
	if !commit.GetCommit().GetVerification().GetVerified() || commit.GetAuthor().GetLogin() != "pawl[bot]" || len(commit.Parents) != 1 || commit.Parents[0].GetSHA() != string(w.head) {
		t.Errorf("the commit is %v", commit)
	}
	if sent := w.sent(); len(sent) != 7 { // ref, commit, blob, tree, commit, ref; and ann's look
		t.Errorf("sent %q", sent)
	}
}

func TestACommitOnABranchThatMovedIsAConflict(t *testing.T) {
	t.Parallel()
	w := start(t)
	first, second := w.head, w.push("main", map[string]string{"x": "1"})
	if _, err := w.forge().Commit(t.Context(), "main", first, "m", files("a")); !conflicts(err) || w.resolve("main") != second {
		t.Errorf("moved on: %v", err)
	}
	// Forced back: what was taken away does not return with our commit.
	w.must(w.repo.Push(t.Context(), "ann", "main", string(first)))
	if _, err := w.forge().Commit(t.Context(), "main", second, "m", files("a")); !conflicts(err) || w.resolve("main") != first {
		t.Errorf("forced back: %v", err)
	}
}

func conflicts(err error) bool {
	_, ok := is[*promote.Conflict](err)
	return ok
}

// catalogue 75
func TestACommitWhoseAnswerIsLostIsNotMadeTwice(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.Fail(standin.Match{Method: "PATCH"}, once(standin.LostReply()))
	made, err := w.forge().Commit(t.Context(), "main", w.head, "m", files("a"))
	if err != nil || made != w.resolve("main") {
		t.Errorf("got %s, %v", made, err)
	}
	w.Fail(standin.Match{Method: "PATCH"}, once(standin.ServerError(500)))
	if _, err := w.forge().Commit(t.Context(), "main", made, "m", files("b")); err == nil || w.resolve("main") != made {
		t.Errorf("got %v", err)
	} else if _, ok := is[*promote.Unavailable](err); !ok {
		t.Errorf("got %v", err)
	}
}

// catalogue 74
func TestACommitToAProtectedBranchIsRefusedWithGitHubsWords(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.must(w.Protect(shop, "main", standin.Protection{PullRequests: true, Approvals: 1}))
	_, err := w.forge().Commit(t.Context(), "main", w.head, "m", files("a"))
	if err == nil || conflicts(err) || !strings.Contains(err.Error(), "commit to main: GitHub answered") || w.resolve("main") != w.head {
		t.Errorf("got %v", err)
	}
	w = startAs(t, standin.Options{}, map[string]string{"contents": "read"})
	_, err = w.forge().Commit(t.Context(), "main", w.head, "m", files("a"))
	if denied, ok := is[*promote.Denied](err); !ok || denied.Permission != "contents: write" {
		t.Errorf("got %v", err)
	}
}
