package demands

import (
	"context"
	"errors"
	"fmt"

	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/policies"
)

// inspected bounds the commits whose trees are compared to find those that
// touch a target. Where there are more, all of them count as touching it.
const inspected = 50

// change finds out how a release came about; it is nil where the same release
// was accepted before, and so nothing is new.
func (g *Gatherer) change(ctx context.Context, c Case, of asked, base *Baseline) (*policies.Change, error) {
	if c.Accepted.Commit != "" && c.Accepted.Release == c.Built.Release.Digest && c.Accepted.Demands == c.Demanded.Fingerprint(c.Environment.Name) {
		return nil, nil
	}
	signed := of.Commit.Signed != policies.SignedNone || of.reads("change", "commits")
	reviewed := of.Approvals > 0 || of.reads("change", "commits", "*", "pullRequest")
	change := &policies.Change{Accepted: string(c.Accepted.Commit)}
	commits := []gitsync.CommitInfo{c.Revision.Info()}
	if c.Accepted.Commit != "" && (signed || reviewed || !of.Commit.FollowRewrites || of.reads("change")) {
		line, err := g.history.line(ctx, c.Revision.Commit, c.Accepted.Commit)
		var gone *gitsync.HistoryTooLong
		switch {
		case errors.As(err, &gone) && gone.Unrelated:
			change.Rewritten = true // the head stands for all that came
		case err != nil:
			return nil, fmt.Errorf("%s: find out how the branch came from %s to %s: %w", c.Target, c.Accepted.Commit.Short(), c.Revision.Commit.Short(), err)
		default:
			change.Rewritten = !line.Ancestor
			if line.Ancestor || len(line.Commits) > 0 { // else the branch was put back to the head
				commits = line.Commits
			}
		}
	}
	if signed || reviewed {
		var err error
		if commits, err = g.touching(ctx, c, commits); err != nil {
			return nil, err
		}
	}
	for i, one := range commits {
		commit := policies.Commit{ID: string(one.Commit), Author: one.Author, Subject: one.Subject}
		if signed && (i == 0 || of.Commit.Signed != policies.SignedHead) {
			if err := g.signature(ctx, one, base, &commit); err != nil {
				return nil, fmt.Errorf("%s: check the signature of commit %s: %w", c.Target, one.Commit.Short(), err)
			}
		}
		if reviewed {
			pull, err := g.edges.Commits.PullRequest(ctx, g.branch, c.Revision.Commit, one.Commit)
			if err != nil {
				return nil, fmt.Errorf("%s: find out by which pull request commit %s came: %w", c.Target, one.Commit.Short(), err)
			}
			commit.PullRequest = pull
		}
		change.Commits = append(change.Commits, commit)
	}
	return change, nil
}

// touching keeps the commits that changed something of what the target's
// release is made of, or of what pawl.yaml demands and sets. A commit says
// nothing about a target that it leaves alone. Where none of them seems to have
// changed what did change, all of them count.
func (g *Gatherer) touching(ctx context.Context, c Case, commits []gitsync.CommitInfo) ([]gitsync.CommitInfo, error) {
	if len(commits) < 2 || len(commits) > inspected || c.Accepted.Commit == "" {
		return commits, nil
	}
	var kept []gitsync.CommitInfo
	after := c.Revision
	for i, one := range commits {
		earlier := c.Accepted.Commit
		if i+1 < len(commits) {
			earlier = commits[i+1].Commit
		}
		before, err := g.history.at(ctx, earlier)
		if err != nil {
			return nil, fmt.Errorf("%s: find out what commit %s changed: %w", c.Target, one.Commit.Short(), err)
		}
		if !c.Built.Inputs.Alike(before.Tree, after.Tree) || !c.Demanded.alike(before.Tree, after.Tree) {
			kept = append(kept, one)
		}
		after = before
	}
	if len(kept) == 0 {
		return commits, nil
	}
	return kept, nil
}

// signature finds out whose signature a commit bears, if any counts.
func (g *Gatherer) signature(ctx context.Context, c gitsync.CommitInfo, base *Baseline, commit *policies.Commit) error {
	by, err := base.Signers.Verify(c.Signature, g.now())
	if err == nil {
		commit.SignedBy = by.Signer
		return nil
	}
	commit.Problem = err.Error()
	if !base.GitHub {
		return nil
	}
	said, err := g.edges.Commits.Verification(ctx, c.Commit)
	switch {
	case err != nil:
		return err
	case !said.Verified:
		commit.Problem += fmt.Sprintf("; GitHub says %q", said.Reason)
	case said.ByGitHub && said.For.Login != "":
		commit.SignedBy, commit.Problem = "GitHub for "+said.For.Login, ""
	case said.ByGitHub:
		commit.SignedBy, commit.Problem = "GitHub", ""
	default:
		commit.SignedBy, commit.Problem = said.Signer.Login+" (GitHub)", ""
	}
	return nil
}
