package github_test

import (
	"strings"
	"testing"

	gogithub "github.com/google/go-github/v60/github"

	standin "github.com/pawl-dev/pawl/internal/testworld/github"
)

func TestABaseThatMovesElsewhereChangesNothing(t *testing.T) {
	t.Parallel()
	w := start(t)
	f := w.forge()
	pr := w.propose(f, w.proposal("1"))
	moved := w.push("main", map[string]string{"elsewhere": "x"})
	w.ForgetRequests()
	if got := w.propose(f, w.proposalOn(moved, "1")); got.Head != pr.Head || got.Blocked != "" {
		t.Errorf("got %+v", got)
	}
	for _, request := range writes(w.sent()) {
		if request != "PATCH pulls/1" { // the body names the commit at which it is healthy
			t.Errorf("it sent %s", request)
		}
	}
}

func TestAConflictIsSolvedOnTheNewBase(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		w := start(t)
		f := w.forge()
		pr := w.propose(f, w.proposal("1"))
		changed := strings.Replace(kustomization("5"), "resources", "# moved\nresources", 1)
		moved := w.push("main", map[string]string{overlay: changed})
		if restart {
			f = w.forge()
		}
		p := w.proposalOn(moved, "1")
		p.Files[overlay] = []byte(strings.Replace(changed, digest("5"), digest("1"), 1))
		got := w.propose(f, p)
		if got.Number != pr.Number || got.Head == pr.Head || got.Blocked != "" {
			t.Errorf("got %+v", got)
		}
		if files := w.changed(got.Number); len(files) != 1 || files[0] != overlay {
			t.Errorf("the pull request changes %q", files)
		}
		w.must(f.Merge(t.Context(), got))
		if text := w.read("main", overlay); text != string(p.Files[overlay]) {
			t.Errorf("main has\n%s", text)
		}
	}
}

func (w *world) changed(number int) []string {
	w.t.Helper()
	files, _, err := w.ann.API().PullRequests.ListFiles(w.t.Context(), "acme", "shop", number, nil)
	w.must(err)
	var out []string
	for _, f := range files {
		out = append(out, f.GetFilename())
	}
	return out
}

func TestAPullRequestThatMustBeUpToDateIsBroughtUp(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.must(w.Protect(shop, "main", standin.Protection{Checks: []standin.RequiredCheck{{Name: "ci"}}, Strict: true}))
	f := w.forge()
	pr := w.propose(f, w.proposal("1"))
	w.green(string(pr.Head))
	moved := w.push("main", map[string]string{"elsewhere": "x"})
	got := w.propose(f, w.proposalOn(moved, "1"))
	if got.Head == pr.Head || w.resolve(branch) != got.Head {
		t.Errorf("got %+v", got)
	}
	if again := w.propose(f, w.proposalOn(moved, "1")); again.Head != got.Head || !strings.Contains(again.Blocked, "reviews or checks") {
		t.Errorf("again: %+v", again)
	}
	w.green(string(got.Head))
	w.must(f.Merge(t.Context(), got))
}

// green lets the check "ci" pass on a commit.
func (w *world) green(sha string) {
	w.t.Helper()
	_, _, err := w.ann.API().Repositories.CreateStatus(w.t.Context(), "acme", "shop", sha, &gogithub.RepoStatus{State: gogithub.String("success"), Context: gogithub.String("ci")})
	w.must(err)
}

func TestUpdateBranchByAPersonIsFine(t *testing.T) {
	t.Parallel()
	w := start(t)
	f := w.forge()
	pr := w.propose(f, w.proposal("1"))
	w.push("main", map[string]string{"elsewhere": "x"})
	_, _, err := w.ann.API().PullRequests.UpdateBranch(t.Context(), "acme", "shop", pr.Number, nil)
	if _, accepted := is[*gogithub.AcceptedError](err); !accepted {
		w.must(err)
	}
	got := w.propose(f, w.proposal("1"))
	if got.Head == pr.Head || got.Blocked != "" {
		t.Fatalf("got %+v after %+v", got, pr)
	}
	w.must(f.Merge(t.Context(), got))
	if text := w.read("main", overlay); text != kustomization("1") {
		t.Errorf("main has\n%s", text)
	}
}
