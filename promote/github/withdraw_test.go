package github_test

import (
	"strings"
	"testing"

	"github.com/pawl-dev/pawl/promote"
)

func TestAProposalIsWithdrawnAndMayComeBack(t *testing.T) {
	t.Parallel()
	w := start(t)
	f, p := w.forge(), w.proposal("1")
	first := w.propose(f, p)
	w.must(f.Withdraw(t.Context(), p.Branch, p.BaseBranch, "every digest is in staging already"))
	closed := w.pulls("closed")
	if len(closed) != 1 || closed[0].GetNumber() != first.Number || !strings.HasPrefix(closed[0].GetBody(), "**Withdrawn by Pawl** — every digest is in staging already.") {
		t.Fatalf("GitHub shows %v", closed)
	}
	// It was not a person who closed it: the same digests may be proposed again.
	if again := w.propose(f, p); again.State != promote.Open || again.Number == first.Number {
		t.Errorf("proposed again: %+v", again)
	}
	w.must(f.Withdraw(t.Context(), p.Branch, p.BaseBranch, "twice"))
	w.ForgetRequests()
	w.must(f.Withdraw(t.Context(), p.Branch, p.BaseBranch, "twice"))
	if got := writes(w.sent()); len(got) != 0 {
		t.Errorf("with nothing to withdraw it wrote %q", got)
	}
}

func TestWhatAPersonCommittedToIsNotWithdrawn(t *testing.T) {
	t.Parallel()
	w := start(t)
	f, p := w.forge(), w.proposal("1")
	w.propose(f, p)
	w.push(p.Branch, map[string]string{"README.md": "mine"})
	w.must(w.forge().Withdraw(t.Context(), p.Branch, p.BaseBranch, "not wanted"))
	if open := w.pulls("open"); len(open) != 1 {
		t.Errorf("%d open pull requests; the person's must stay", len(open))
	}
}
