package policies_test

import (
	"errors"
	"testing"

	"github.com/pawl-dev/pawl/policies"
)

// judgeChange judges a release without images that came about by the change.
func judgeChange(t *testing.T, demands policies.Demands, change *policies.Change) string {
	t.Helper()
	v, err := policies.Judge(releaseOf(), demands, policies.Findings{At: now, Change: change})
	if err == nil {
		return ""
	}
	var refusal *policies.Refusal
	if !errors.As(err, &refusal) || len(refusal.Denials) == 0 || !v.IsZero() {
		t.Errorf("%v is no refusal with denials", err)
	}
	for _, d := range refusal.Denials {
		if d.Kind == "" || d.Subject == "" || d.Demanded == "" || d.Found == "" || d.Hint == "" {
			t.Errorf("a denial must say what was demanded, what was found and what to do: %+v", d)
		}
	}
	return err.Error()
}

func signed(id string) policies.Commit {
	return policies.Commit{ID: id, Author: "Ada", Subject: "use the new queue", SignedBy: "ada"}
}

func unsigned(id string) policies.Commit {
	return policies.Commit{ID: id, Author: "Bob", Subject: "quick fix", Problem: "is not signed"}
}

const accepted = "77be1c2000000000000000000000000000000000"

func TestWhichCommitsMustBeSigned(t *testing.T) {
	t.Parallel()
	doubtful := signed("3f1c3f1c")
	doubtful.Problem = "is signed by an expired key"
	nameless := signed("")
	tests := []struct {
		because string
		signed  policies.SignedCommits
		change  *policies.Change
		refused string
	}{
		{"none are asked for", policies.SignedNone, &policies.Change{Accepted: accepted, Commits: []policies.Commit{unsigned("8d2e1a7b")}}, ""},
		{"nothing new", policies.SignedEvery, nil, ""},
		{"head: the newest is", policies.SignedHead, &policies.Change{Accepted: accepted, Commits: []policies.Commit{signed("8d2e1a7b"), unsigned("3f1c3f1c")}}, ""},
		{"head: the newest is not", policies.SignedHead, &policies.Change{Accepted: accepted, Commits: []policies.Commit{unsigned("8d2e1a7b"), signed("3f1c3f1c")}}, `commit 8d2e1a7 is not signed ("quick fix" by Bob)`},
		{"every: all are", policies.SignedEvery, &policies.Change{Accepted: accepted, Commits: []policies.Commit{signed("8d2e1a7b"), signed("3f1c3f1c")}}, ""},
		{"every: one before is not", policies.SignedEvery, &policies.Change{Accepted: accepted, Commits: []policies.Commit{signed("8d2e1a7b"), unsigned("3f1c3f1c")}}, `commit 3f1c3f1 is not signed`},
		{"a signature with a problem", policies.SignedHead, &policies.Change{Accepted: accepted, Commits: []policies.Commit{doubtful}}, "commit 3f1c3f1 is signed by an expired key"},
		{"a commit without an id", policies.SignedHead, &policies.Change{Accepted: accepted, Commits: []policies.Commit{nameless}}, "is not signed"},
		{"a commit of which nothing is known", policies.SignedHead, &policies.Change{Accepted: accepted, Commits: []policies.Commit{{ID: "8d2e1a7b"}}}, "commit 8d2e1a7 is not signed"},
		{"the agent makes something else of what was accepted", policies.SignedEvery, &policies.Change{Accepted: accepted}, ""},
		{"nothing was accepted, and no commit is known", policies.SignedHead, &policies.Change{}, "brings a change of which no commit is known"},
		{"rewritten, and no commit is known", policies.SignedHead, &policies.Change{Accepted: accepted, Rewritten: true}, "brings a change of which no commit is known"},
		{"the first release", policies.SignedEvery, &policies.Change{Commits: []policies.Commit{signed("8d2e1a7b")}}, ""},
		{"a demand that is not understood", "evry", &policies.Change{Accepted: accepted, Commits: []policies.Commit{signed("8d2e1a7b")}}, `"evry" does not say which must be signed`},
	}
	for _, tt := range tests {
		t.Run(tt.because, func(t *testing.T) {
			t.Parallel()
			demands := policies.Demands{Commit: policies.CommitDemand{Signed: tt.signed, FollowRewrites: true}}
			expect(t, judgeChange(t, demands, tt.change), tt.refused)
		})
	}
}

func TestARewrittenBranchIsFollowedOnlyIfThatIsSaid(t *testing.T) {
	t.Parallel()
	rewritten := &policies.Change{Accepted: accepted, Rewritten: true, Commits: []policies.Commit{signed("8d2e1a7b")}}
	expect(t, judgeChange(t, policies.Demands{}, rewritten), "commit 8d2e1a7 does not follow on 77be1c2, which was accepted last: the branch was rewritten")
	expect(t, judgeChange(t, policies.Demands{Commit: policies.CommitDemand{FollowRewrites: true}}, rewritten), "")
}

func TestWhoseApprovalsCount(t *testing.T) {
	t.Parallel()
	by := func(approvals ...string) policies.Commit {
		c := signed("8d2e1a7b")
		c.PullRequest = &policies.PullRequest{Number: 12, Author: "Ada", Approvals: approvals}
		return c
	}
	stale := by("bob")
	stale.PullRequest.Rejected = []string{"eve approved 77be1c2, which is not the head"}
	anonymous := by("bob", "eve")
	anonymous.PullRequest.Author = ""
	pushed := signed("3f1c3f1c")

	tests := []struct {
		because   string
		approvals int
		commits   []policies.Commit
		refused   string
	}{
		{"enough", 2, []policies.Commit{by("bob", "eve")}, ""},
		{"more than enough", 1, []policies.Commit{by("bob", "eve")}, ""},
		{"not enough", 2, []policies.Commit{by("bob")}, "pull request #12 has 1 of 2 approvals (bob)"},
		{"none", 1, []policies.Commit{by()}, "pull request #12 has 0 of 1 approvals"},
		{"the same person twice", 2, []policies.Commit{by("bob", "bob", "Bob ")}, "has 1 of 2 approvals (bob)"},
		{"the author", 1, []policies.Commit{by("ada")}, "has 0 of 1 approvals; that of its author does not count"},
		{"nobody's name", 1, []policies.Commit{by("", " ")}, "has 0 of 1 approvals"},
		{"of another head", 2, []policies.Commit{stale}, "has 1 of 2 approvals (bob); another does not count: eve approved 77be1c2, which is not the head"},
		{"an author who is not known", 1, []policies.Commit{anonymous}, "has an author that is not known"},
		{"no pull request", 1, []policies.Commit{pushed}, `commit 3f1c3f1 came without a pull request ("use the new queue" by Ada)`},
		{"a good one does not carry what was pushed", 1, []policies.Commit{by("bob"), pushed}, "commit 3f1c3f1 came without a pull request"},
		{"no commit is known", 1, nil, "brings a change of which no commit is known"},
		{"none are asked for", 0, []policies.Commit{pushed}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.because, func(t *testing.T) {
			t.Parallel()
			expect(t, judgeChange(t, policies.Demands{Approvals: tt.approvals}, &policies.Change{Commits: tt.commits}), tt.refused)
		})
	}
	t.Run("a pull request of many commits is named once", func(t *testing.T) {
		t.Parallel()
		_, err := policies.Judge(releaseOf(), policies.Demands{Approvals: 1}, policies.Findings{Change: &policies.Change{Commits: []policies.Commit{by(), by(), by()}}})
		var refusal *policies.Refusal
		if !errors.As(err, &refusal) || len(refusal.Denials) != 1 {
			t.Errorf("got %v", err)
		}
	})
}
