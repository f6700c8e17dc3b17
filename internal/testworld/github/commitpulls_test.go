package github

import (
	"strings"
	"testing"

	"github.com/pawl-dev/pawl/internal/testworld/git"
)

func TestPullRequestsOfACommit(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"merge", "squash", "rebase"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			w := start(t, Options{})
			ctx := t.Context()
			root := w.push("main", map[string]string{"a.txt": "1\n"})
			w.branchOff("topic", map[string]string{"b.txt": "1\n"})
			head := w.push("topic", map[string]string{"b.txt": "2\n"})
			moved := w.push("main", map[string]string{"a.txt": "2\n"})
			n, err := w.ann.OpenPull(ctx, shop, "topic", "main", "topic", "")
			w.must(err)
			sha, err := w.bob.Merge(ctx, shop, n, method)
			w.must(err)
			after := w.push("main", map[string]string{"c.txt": "1\n"})
			want := map[string]bool{root: false, moved: false, head: true, sha: true, after: false}
			if method == "rebase" {
				parent, err := w.repo.Resolve(ctx, sha+"^")
				w.must(err)
				want[parent] = true
			}
			for commit, want := range want {
				pulls, _, err := w.bot.PullRequests.ListPullRequestsWithCommit(ctx, "acme", "shop", commit, nil)
				w.must(err)
				if got := len(pulls) == 1; got != want {
					t.Errorf("%s has %d pull requests, want one: %v", commit[:7], len(pulls), want)
				}
				for _, p := range pulls {
					if p.GetMergeCommitSHA() != sha || p.MergedAt == nil || p.GetHead().GetSHA() != head {
						t.Errorf("%s: %v", commit[:7], p)
					}
				}
			}
		})
	}
}

func TestReviews(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	ctx := t.Context()
	carol, err := w.Person("carol")
	w.must(err)
	w.must(w.SetRole(shop, "carol", "read"))
	dave, err := w.Person("dave")
	w.must(err)
	w.must(w.SetRole(shop, "dave", "none"))
	w.must(w.Protect(shop, "main", Protection{Approvals: 1}))
	_, err = w.ann.Push(ctx, shop, git.Commit{Write: map[string]string{"a.txt": "1\n"}})
	w.must(err)
	w.branchOff("topic", map[string]string{"b.txt": "1\n"})
	n, err := w.ann.OpenPull(ctx, shop, "topic", "main", "topic", "")
	w.must(err)

	w.must(carol.Approve(ctx, shop, n)) // and it does not count
	wantStatus(t, w.ann.Approve(ctx, shop, n), 422)
	wantStatus(t, dave.Approve(ctx, shop, n), 404)
	if _, state := w.mergeable(n); state != "blocked" {
		t.Errorf("approved by a reader it is %s", state)
	}
	w.must(w.bob.Comment(ctx, shop, n, "hm"))
	w.must(w.bob.Approve(ctx, shop, n))
	if _, state := w.mergeable(n); state != "clean" {
		t.Errorf("approved by a writer it is %s", state)
	}
	w.must(w.ann.Dismiss(ctx, shop, n, "bob", "look again"))
	if _, state := w.mergeable(n); state != "blocked" {
		t.Errorf("dismissed it is %s", state)
	}
	reviews, _, err := w.bot.PullRequests.ListReviews(ctx, "acme", "shop", n, nil)
	w.must(err)
	var got []string
	for _, one := range reviews {
		got = append(got, one.GetUser().GetLogin()+" "+one.GetState())
	}
	if got := strings.Join(got, ", "); got != "carol APPROVED, bob COMMENTED, bob DISMISSED" {
		t.Errorf("the reviews are %s", got)
	}
	for login, want := range map[string]string{"bob": "write", "carol": "read", "dave": "none"} {
		level, _, err := w.bot.Repositories.GetPermissionLevel(ctx, "acme", "shop", login)
		if w.must(err); level.GetPermission() != want {
			t.Errorf("%s has %q, want %s", login, level.GetPermission(), want)
		}
	}
	_, _, err = w.bot.Repositories.GetPermissionLevel(ctx, "acme", "shop", "nobody")
	wantStatus(t, err, 404)
}
