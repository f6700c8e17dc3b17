package github_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	gogithub "github.com/google/go-github/v60/github"

	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/internal/testworld/git"
	standin "github.com/pawl-dev/pawl/internal/testworld/github"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/promote"
	"github.com/pawl-dev/pawl/promote/github"
)

func (w *world) person(login string) *standin.Person {
	w.t.Helper()
	p, err := w.Person(login)
	w.must(err)
	return p
}

// topic opens a pull request of ann's with one commit on the branch topic.
func (w *world) topic() (number int, head gitsync.Commit) {
	w.t.Helper()
	sha, err := w.ann.Push(w.t.Context(), shop, git.Commit{Branch: "topic", From: "main", Write: map[string]string{"topic.txt": "1\n"}})
	w.must(err)
	number, err = w.ann.OpenPull(w.t.Context(), shop, "topic", "main", "topic", "")
	w.must(err)
	return number, gitsync.Commit(sha)
}

func (w *world) merge(by *standin.Person, number int, method string) gitsync.Commit {
	w.t.Helper()
	sha, err := by.Merge(w.t.Context(), shop, number, method)
	w.must(err)
	return gitsync.Commit(sha)
}

func (w *world) origin(commit gitsync.Commit) *policies.PullRequest {
	w.t.Helper()
	found, err := w.forge().PullRequest(w.t.Context(), "main", w.resolve("main"), commit)
	w.must(err)
	return found
}

// expectOrigin compares with "#1 by ann, approved by bob carol; rejected: …".
func (w *world) expectOrigin(commit gitsync.Commit, want string) {
	w.t.Helper()
	got := "none"
	if p := w.origin(commit); p != nil {
		words, err := json.Marshal([]any{p.Number, p.Author, p.Approvals, p.Rejected})
		w.must(err)
		got = string(words)
	}
	if got != want {
		w.t.Errorf("it came by %s, want %s", got, want)
	}
}

func TestTheMergedPullRequestOfACommit(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"merge", "squash", "rebase"} {
		for _, moved := range []bool{false, true} {
			w := start(t)
			bob, carol := w.person("bob"), w.person("carol")
			number, _ := w.topic()
			w.must(bob.Approve(t.Context(), shop, number))
			w.must(carol.Approve(t.Context(), shop, number))
			if moved {
				w.push("main", map[string]string{"other.txt": "1\n"})
			}
			commit := w.merge(bob, number, method)
			w.expectOrigin(commit, `[1,"ann",["bob","carol"],null]`)
			// What comes after it came by no pull request.
			w.expectOrigin(w.push("main", map[string]string{"later.txt": "1\n"}), "none")
			// Nor is the merge somewhere else the one that brought it here.
			if other, err := w.forge().PullRequest(t.Context(), "release", commit, commit); err != nil || other != nil {
				t.Errorf("%s: of another branch: %v, %v", method, other, err)
			}
		}
	}
}

// Each commit of a rebase came by it, as long as all of them are deployed.
func TestTheCommitsOfARebaseCameByIt(t *testing.T) {
	t.Parallel()
	w := start(t)
	bob := w.person("bob")
	w.topic()
	w.push("topic", map[string]string{"topic.txt": "2\n"})
	before := w.push("main", map[string]string{"other.txt": "1\n"})
	w.must(bob.Approve(t.Context(), shop, 1))
	commit := w.merge(bob, 1, "rebase")
	first := w.resolve("main^")
	for _, c := range []gitsync.Commit{commit, first} {
		w.expectOrigin(c, `[1,"ann",["bob"],null]`)
	}
	w.expectOrigin(before, "none")
	after := w.push("main", map[string]string{"later.txt": "1\n"})
	w.expectOrigin(after, "none")
	w.expectOrigin(first, `[1,"ann",["bob"],null]`)
	// Back to the first of them, which nobody approved alone.
	_, err := w.ann.Push(t.Context(), shop, git.Commit{From: string(first), Write: map[string]string{"x": "1"}})
	w.must(err)
	w.expectOrigin(first, "none")
}

func TestApprovalsThatDoNotCount(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before func(w *world, number int)
		want   string
	}{
		"of another head": {func(w *world, n int) {
			w.must(w.person("bob").Approve(w.t.Context(), shop, n))
			w.push("topic", map[string]string{"topic.txt": "evil\n"})
		}, `[1,"ann",null,["bob approved HEAD, which is not the head"]]`},
		"dismissed": {func(w *world, n int) {
			w.must(w.person("bob").Approve(w.t.Context(), shop, n))
			w.must(w.person("carol").Approve(w.t.Context(), shop, n))
			w.must(w.ann.Dismiss(w.t.Context(), shop, n, "bob", "no"))
		}, `[1,"ann",["carol"],["bob had a review that was dismissed"]]`},
		"changes requested afterwards": {func(w *world, n int) {
			w.must(w.person("bob").Approve(w.t.Context(), shop, n))
			w.must(w.person("bob").RequestChanges(w.t.Context(), shop, n, "wait"))
		}, `[1,"ann",null,["bob asked for changes"]]`},
		"without access": {func(w *world, n int) {
			w.must(w.person("bob").Approve(w.t.Context(), shop, n))
			w.must(w.person("carol").Approve(w.t.Context(), shop, n))
			w.must(w.SetRole(shop, "carol", "triage"))
		}, `[1,"ann",["bob"],["carol may not write to the repository"]]`},
		"by who wrote a commit of it": {func(w *world, n int) {
			_, err := w.person("bob").Push(w.t.Context(), shop, git.Commit{Branch: "topic", Write: map[string]string{"topic.txt": "2\n"}})
			w.must(err)
			w.must(w.person("bob").Approve(w.t.Context(), shop, n))
		}, `[1,"ann",null,["bob wrote a commit of it"]]`},
		"by a program": {func(w *world, n int) {
			other, err := w.AddApp(standin.App{Name: "ci", Permissions: everything})
			w.must(err)
			client, err := w.InstallationClient(other)
			w.must(err)
			_, _, err = client.PullRequests.CreateReview(w.t.Context(), "acme", "shop", n, &gogithub.PullRequestReviewRequest{Event: gogithub.String("APPROVE")})
			w.must(err)
		}, `[1,"ann",null,["ci[bot] is no person"]]`},
		"a comment": {func(w *world, n int) {
			w.must(w.person("bob").Comment(w.t.Context(), shop, n, "LGTM"))
		}, `[1,"ann",null,null]`},
		"after bringing it up to date": {func(w *world, n int) {
			w.push("main", map[string]string{"other.txt": "1\n"})
			_, _, err := w.person("bob").API().PullRequests.UpdateBranch(w.t.Context(), "acme", "shop", n, nil)
			if accepted := (*gogithub.AcceptedError)(nil); err != nil && !asError(err, &accepted) {
				w.must(err)
			}
			w.must(w.person("bob").Approve(w.t.Context(), shop, n))
		}, `[1,"ann",["bob"],null]`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t)
			number, head := w.topic()
			c.before(w, number)
			commit := w.merge(w.person("merger"), number, "squash")
			w.expectOrigin(commit, strings.ReplaceAll(c.want, "HEAD", head.Short()))
		})
	}
}

// An approval is of content, and so may come late: it is how a refused commit
// is satisfied.
func TestAnApprovalAfterTheMergeCounts(t *testing.T) {
	t.Parallel()
	w := start(t)
	number, _ := w.topic()
	commit := w.merge(w.ann, number, "squash")
	w.expectOrigin(commit, `[1,"ann",null,null]`)
	w.must(w.person("bob").Approve(t.Context(), shop, number))
	w.expectOrigin(commit, `[1,"ann",["bob"],null]`)
}

func TestADirectPushHasNoPullRequest(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.topic() // open, and of the same base
	w.expectOrigin(w.push("main", map[string]string{"x": "1"}), "none")
	w.expectOrigin(w.head, "none")
}

// What is pushed makes GitHub call a pull request merged that it contains, and
// holds whatever its pusher wanted.
func TestAMergeThatWasPushed(t *testing.T) {
	t.Parallel()
	const more = "#1 was merged by a push that may hold more than was approved; let GitHub merge"
	for name, c := range map[string]struct {
		push func(w *world, head gitsync.Commit) git.Commit
		want string
	}{
		"the head itself": {func(_ *world, head gitsync.Commit) git.Commit {
			return git.Commit{} // below: no commit of its own
		}, `[1,"ann",["bob"],null]`},
		"a commit on top of it": {func(_ *world, head gitsync.Commit) git.Commit {
			return git.Commit{From: string(head), Write: map[string]string{"evil": "1"}}
		}, `[1,"ann",null,["` + more + `"]]`},
		"a merge with more in it": {func(_ *world, head gitsync.Commit) git.Commit {
			return git.Commit{Merge: string(head), Write: map[string]string{"topic.txt": "1\n", "second.txt": "1\n", "evil": "1"}}
		}, `[1,"ann",null,["` + more + `"]]`},
		"a merge of exactly the head": {func(_ *world, head gitsync.Commit) git.Commit {
			return git.Commit{Merge: string(head), Write: map[string]string{"topic.txt": "1\n", "second.txt": "1\n"}}
		}, `[1,"ann",["bob"],null]`},
		"a merge that takes back what came meanwhile": {func(w *world, head gitsync.Commit) git.Commit {
			w.push("main", map[string]string{"fix": "1"})
			return git.Commit{Merge: string(head), Write: map[string]string{"topic.txt": "1\n", "second.txt": "1\n"}, Delete: []string{"fix"}}
		}, `[1,"ann",null,["` + more + `"]]`},
		"a merge the other way round": {func(_ *world, head gitsync.Commit) git.Commit {
			return git.Commit{From: string(head), Merge: "main", Write: map[string]string{"evil": "1"}}
		}, `[1,"ann",null,["#1 was not merged by this commit"]]`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t)
			number, _ := w.topic()
			first := w.resolve("topic")
			head := w.push("topic", map[string]string{"second.txt": "1\n"})
			w.must(w.person("bob").Approve(t.Context(), shop, number))
			commit := c.push(w, head)
			if commit.Write == nil {
				w.must(w.repo.Push(t.Context(), "mallory", "main", string(head)))
			} else {
				_, err := w.person("mallory").Push(t.Context(), shop, commit)
				w.must(err)
			}
			if pulls := w.pulls("closed"); len(pulls) != 1 || pulls[0].MergedAt == nil {
				t.Fatalf("GitHub does not call it merged: %v", pulls)
			}
			w.expectOrigin(w.resolve("main"), c.want)
			if commit.Write == nil {
				w.expectOrigin(first, c.want) // the branch was moved over it
			}
		})
	}
}

// Two pull requests of which one holds the other: the approvals are of the one
// whose head was merged.
func TestTheOneWhoseHeadWasMerged(t *testing.T) {
	t.Parallel()
	w := start(t)
	bob := w.person("bob")
	_, first := w.topic()
	_, err := w.ann.Push(t.Context(), shop, git.Commit{Branch: "more", From: string(first), Write: map[string]string{"evil": "1"}})
	w.must(err)
	second, err := w.ann.OpenPull(t.Context(), shop, "more", "main", "more", "")
	w.must(err)
	w.must(bob.Approve(t.Context(), shop, 1))
	commit := w.merge(w.ann, second, "merge")
	w.expectOrigin(commit, `[2,"ann",null,null]`)
}

// What GitHub never answers: another's pull requests, an open one, one that is
// merged in the list alone.
func TestForgedAnswersAreNoPullRequest(t *testing.T) {
	t.Parallel()
	w := start(t)
	number, _ := w.topic()
	w.must(w.person("bob").Approve(t.Context(), shop, number))
	commit := w.merge(w.ann, number, "squash")
	for what, change := range map[string]func(path string, pull map[string]any){
		"not merged":         func(_ string, p map[string]any) { p["merged_at"] = nil },
		"another commit":     func(_ string, p map[string]any) { p["merge_commit_sha"] = string(w.head) },
		"a branch as commit": func(_ string, p map[string]any) { p["merge_commit_sha"] = "main" },
		"another branch":     func(_ string, p map[string]any) { p["base"].(map[string]any)["ref"] = "release" },
		"another's number":   func(path string, p map[string]any) { p["id"] = len(path) },
		"a head without id":  func(_ string, p map[string]any) { p["head"].(map[string]any)["sha"] = "main" },
		"merged in the list alone": func(path string, p map[string]any) {
			if !strings.HasSuffix(path, "/pulls") {
				p["merged"] = false
			}
		},
	} {
		f := w.forge(func(o *github.Options) {
			o.Transport = rewritten(func(path string, body any) {
				if list, ok := body.([]any); ok && strings.HasSuffix(path, "/pulls") {
					for _, one := range list {
						change(path, one.(map[string]any))
					}
				} else if one, ok := body.(map[string]any); ok && strings.HasSuffix(path, "/pulls/1") {
					change(path, one)
				}
			})
		})
		if found, err := f.PullRequest(t.Context(), "main", commit, commit); err != nil || found != nil {
			t.Errorf("%s: %+v, %v", what, found, err)
		}
	}
}

func TestPullRequestAsksLittle(t *testing.T) {
	t.Parallel()
	w := start(t)
	bob := w.person("bob")
	number, _ := w.topic()
	w.must(bob.Approve(t.Context(), shop, number))
	commit := w.merge(bob, number, "squash")
	later := w.push("main", map[string]string{"x": "1"})
	f := w.forge()
	for commit, want := range map[gitsync.Commit]int{commit: 7, later: 1} {
		w.ForgetRequests()
		_, err := f.PullRequest(t.Context(), "main", commit, commit)
		w.must(err)
		if sent := w.sent(); len(sent) != want || len(writes(sent)) != 0 {
			t.Errorf("sent %d requests, want %d: %q", len(sent), want, sent)
		}
	}
}

func TestACommitThatGitHubDoesNotKnow(t *testing.T) {
	t.Parallel()
	w := start(t)
	unknown := gitsync.Commit(strings.Repeat("ab", 20))
	_, err := w.forge().PullRequest(t.Context(), "main", unknown, unknown)
	if _, ok := is[*promote.UnknownCommit](err); !ok {
		t.Errorf("got %v", err)
	}
	_, err = w.forge().Verification(t.Context(), unknown)
	if _, ok := is[*promote.UnknownCommit](err); !ok {
		t.Errorf("got %v", err)
	}
	for _, name := range []gitsync.Commit{"main", "", "../pulls"} {
		w.ForgetRequests()
		_, one := w.forge().PullRequest(t.Context(), "main", name, name)
		_, other := w.forge().Verification(t.Context(), name)
		if one == nil || other == nil || len(w.sent()) != 0 {
			t.Errorf("%q is asked for", name)
		}
	}
}

func TestVerification(t *testing.T) {
	t.Parallel()
	w := start(t)
	number, _ := w.topic()
	merged := w.merge(w.person("bob"), number, "merge")
	sha, err := w.ann.Push(t.Context(), shop, git.Commit{Write: map[string]string{"x": "1"}, Sign: func([]byte) (string, error) {
		return "-----BEGIN SSH SIGNATURE-----\nU1NI\n-----END SSH SIGNATURE-----\n", nil
	}})
	w.must(err)
	signed := gitsync.Commit(sha)
	f := w.forge()
	expect := func(commit gitsync.Commit, verified, byGitHub bool, reason, signer, behind string) {
		t.Helper()
		v, err := f.Verification(t.Context(), commit)
		w.must(err)
		if v.Verified != verified || v.ByGitHub != byGitHub || v.Reason != reason || v.Signer.Login != signer || v.For.Login != behind {
			t.Errorf("%s: %+v", reason, v)
		}
	}
	expect(w.head, false, false, "unsigned", "", "")
	expect(merged, true, true, "valid", "", "bob")
	expect(signed, false, false, "unknown_key", "", "")
	w.must(w.SetVerification(shop, sha, "valid"))
	expect(signed, true, false, "valid", "ann", "ann")
	for _, reason := range []string{"expired_key", "bad_email", "unverified_email", "no_user", "gpgverify_unavailable", "invalid"} {
		w.must(w.SetVerification(shop, sha, reason))
		expect(signed, false, false, reason, "", "")
	}

	// An answer about another commit, or one that contradicts itself.
	w.must(w.SetVerification(shop, sha, "valid"))
	for what, change := range map[string]func(c map[string]any){
		"another commit": func(c map[string]any) { c["sha"] = string(w.head) },
		"no good reason": func(c map[string]any) {
			c["commit"].(map[string]any)["verification"].(map[string]any)["reason"] = "unsigned"
		},
		"no verification": func(c map[string]any) { delete(c["commit"].(map[string]any), "verification") },
	} {
		f := w.forge(func(o *github.Options) {
			o.Transport = rewritten(func(path string, body any) {
				if c, ok := body.(map[string]any); ok && strings.Contains(path, "/commits/") {
					change(c)
				}
			})
		})
		if v, err := f.Verification(t.Context(), signed); err == nil && v.Verified {
			t.Errorf("%s: %+v", what, v)
		}
	}
}

// rewritten passes answers on as a liar would.
func rewritten(change func(path string, body any)) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		return rewrite(resp, func(body any) { change(r.URL.Path, body) })
	})
}
