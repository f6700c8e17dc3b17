package policies

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/pawl-dev/pawl/gitsync"
)

// judgeChange refuses a change that did not come about as is demanded. What is
// not known of it was not proven.
func judgeChange(deployed gitsync.Commit, demands Demands, change Change) (denials []Denial) {
	if change.Rewritten && !demands.Commit.FollowRewrites {
		last := "what was accepted last"
		if change.Accepted != "" {
			last = gitsync.Commit(change.Accepted).Short() + ", which was accepted last"
		}
		denials = append(denials, Denial{
			Kind: DeniedByHistory, Subject: "commit " + deployed.Short(),
			Demanded: "a commit that follows on the one that was accepted last",
			Found:    "does not follow on " + last + ": the branch was rewritten",
			Hint:     "Put the branch back, or let the agent's configuration follow rewritten branches in this environment",
		})
	}
	if demands.Commit.Signed == SignedNone && demands.Approvals <= 0 {
		return denials
	}
	if len(change.Commits) == 0 && (change.Accepted == "" || change.Rewritten) {
		// Else the agent itself makes something else of files that were accepted.
		return append(denials, Denial{
			Kind: DeniedByCommit, Subject: "commit " + deployed.Short(),
			Demanded: "commits whose signatures and pull requests can be looked at",
			Found:    "brings a change of which no commit is known",
			Hint:     "See in the agent's log why the history could not be read",
		})
	}
	denials = append(denials, judgeSignatures(demands.Commit.Signed, change.Commits)...)
	if demands.Approvals > 0 {
		denials = append(denials, judgeApprovals(demands.Approvals, change.Commits)...)
	}
	return denials
}

func judgeSignatures(demanded SignedCommits, commits []Commit) (denials []Denial) {
	demand := "a signature that counts on each commit that touches the target"
	switch demanded {
	case SignedNone:
		return nil
	case SignedHead:
		demand = "a signature that counts on the newest commit that touches the target"
		commits = commits[:min(1, len(commits))]
	case SignedEvery:
	default:
		return []Denial{{
			Kind: DeniedByCommit, Subject: "commits", Demanded: fmt.Sprintf("signed commits: %q", Clip(string(demanded), 60)),
			Found: fmt.Sprintf("cannot be judged: %q does not say which must be signed", Clip(string(demanded), 60)),
			Hint:  "Say none, head or every in the agent's configuration",
		}}
	}
	for _, c := range commits {
		if c.ID != "" && c.SignedBy != "" && c.Problem == "" {
			continue
		}
		denials = append(denials, Denial{
			Kind: DeniedByCommit, Subject: "commit " + gitsync.Commit(c.ID).Short(), Demanded: demand,
			Found: cmp.Or(Clip(c.Problem, maxText), "is not signed") + c.described(),
			Hint:  "Sign it with a key that the agent's configuration names under commits, and push that",
		})
	}
	return denials
}

// described is what people know a commit by: ` ("use the new queue" by Ada)`.
func (c Commit) described() string {
	if c.Subject == "" {
		return ""
	}
	return fmt.Sprintf(" (%q by %s)", Clip(c.Subject, 72), Clip(c.Author, 100))
}

// judgeApprovals asks each commit for a pull request that enough people
// approved, and says of each pull request once that it lacks them.
func judgeApprovals(demanded int, commits []Commit) (denials []Denial) {
	d := Denial{
		Kind:     DeniedByApprovals,
		Demanded: fmt.Sprintf("%d approvals by others than the author", demanded),
		Hint:     fmt.Sprintf("Bring it by a pull request that %d people other than its author approve, or have them approve the one that was merged", demanded),
	}
	if demanded == 1 {
		d.Demanded = "1 approval by somebody else than the author"
		d.Hint = "Bring it by a pull request that somebody other than its author approves, or have the one that was merged approved"
	}
	for _, c := range commits {
		d.Subject, d.Found = "commit "+gitsync.Commit(c.ID).Short(), "came without a pull request"+c.described()
		if c.PullRequest != nil {
			if d.Found = c.PullRequest.lacks(demanded); d.Found == "" {
				continue
			}
			d.Subject = fmt.Sprintf("pull request #%d", c.PullRequest.Number)
		}
		if !slices.Contains(denials, d) {
			denials = append(denials, d)
		}
	}
	return denials
}

// lacks says why there are not enough approvals; empty if there are. Names on
// GitHub are the same in upper and lower case.
func (p PullRequest) lacks(demanded int) string {
	author := strings.ToLower(strings.TrimSpace(p.Author))
	if author == "" {
		return "has an author that is not known, so that nobody can be told from the author"
	}
	var approved []string
	own := false
	for _, name := range p.Approvals {
		switch lower := strings.ToLower(strings.TrimSpace(name)); lower {
		case "":
		case author:
			own = true
		default:
			approved = append(approved, Clip(lower, 60))
		}
	}
	approved = set(approved)
	if len(approved) >= demanded {
		return ""
	}
	found := fmt.Sprintf("has %d of %d approvals", len(approved), demanded)
	if len(approved) > 0 {
		found += " (" + strings.Join(approved, ", ") + ")"
	}
	if own {
		found += "; that of its author does not count"
	}
	switch n := len(p.Rejected); n {
	case 0:
	case 1:
		found += "; another does not count: " + Clip(p.Rejected[0], 200)
	default:
		found += fmt.Sprintf("; %d others do not count, the first: %s", n, Clip(p.Rejected[0], 200))
	}
	return found
}
