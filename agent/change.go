package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/render"
)

// inspected bounds the commits whose trees are compared to find those that
// touch a target. Where there are more, all of them count as touching it.
const inspected = 50

// change finds out how a release came about; it is nil where the same release
// was accepted before, and so nothing is new.
func (a *Agent) change(ctx context.Context, j job, built render.Result, accepted drift.Accepted, of asked, base *Baseline) (*policies.Change, error) {
	if accepted.Commit != "" && accepted.Release == built.Release.Digest && accepted.Demands == j.repository.fingerprint(j.environment.Name) {
		return nil, nil
	}
	signed := of.Commit.Signed != policies.SignedNone || of.reads("change", "commits")
	reviewed := of.Approvals > 0 || of.reads("change", "commits", "*", "pullRequest")
	change := &policies.Change{Accepted: string(accepted.Commit)}
	commits := []gitsync.CommitInfo{headOf(j.revision)}
	if accepted.Commit != "" && (signed || reviewed || !of.Commit.FollowRewrites || of.reads("change")) {
		line, err := a.history.line(ctx, j.revision.Commit, accepted.Commit)
		var gone *gitsync.HistoryTooLong
		switch {
		case errors.As(err, &gone) && gone.Unrelated:
			change.Rewritten = true // the head stands for all that came
		case err != nil:
			return nil, fmt.Errorf("%s: find out how the branch came from %s to %s: %w", j.target, accepted.Commit.Short(), j.revision.Commit.Short(), err)
		default:
			change.Rewritten = !line.Ancestor
			if line.Ancestor || len(line.Commits) > 0 { // else the branch was put back to the head
				commits = line.Commits
			}
		}
	}
	if signed || reviewed {
		var err error
		if commits, err = a.touching(ctx, j, built.Inputs, commits, accepted.Commit); err != nil {
			return nil, err
		}
	}
	for i, c := range commits {
		commit := policies.Commit{ID: string(c.Commit), Author: c.Author, Subject: c.Subject}
		if signed && (i == 0 || of.Commit.Signed != policies.SignedHead) {
			if err := a.signature(ctx, c, base, &commit); err != nil {
				return nil, fmt.Errorf("%s: check the signature of commit %s: %w", j.target, c.Commit.Short(), err)
			}
		}
		if reviewed {
			pull, err := a.edges.Forge.PullRequest(ctx, a.options.Branch, j.revision.Commit, c.Commit)
			if err != nil {
				return nil, fmt.Errorf("%s: find out by which pull request commit %s came: %w", j.target, c.Commit.Short(), err)
			}
			commit.PullRequest = pull
		}
		change.Commits = append(change.Commits, commit)
	}
	return change, nil
}

func headOf(rev gitsync.Revision) gitsync.CommitInfo {
	return gitsync.CommitInfo{
		Commit: rev.Commit, Parents: rev.Parents, Author: rev.Author, Committed: rev.Committed,
		Subject: rev.Subject, Words: rev.Words, Signature: rev.Signature,
	}
}

// touching keeps the commits that changed something of what the target's
// release is made of, or of what pawl.yaml demands and sets. A commit says
// nothing about a target that it leaves alone. Where none of them seems to have
// changed what did change, all of them count.
func (a *Agent) touching(ctx context.Context, j job, inputs render.Inputs, commits []gitsync.CommitInfo, base gitsync.Commit) ([]gitsync.CommitInfo, error) {
	if len(commits) < 2 || len(commits) > inspected || base == "" {
		return commits, nil
	}
	var kept []gitsync.CommitInfo
	after := j.revision
	for i, c := range commits {
		earlier := base
		if i+1 < len(commits) {
			earlier = commits[i+1].Commit
		}
		before, err := a.history.at(ctx, earlier)
		if err != nil {
			return nil, fmt.Errorf("%s: find out what commit %s changed: %w", j.target, c.Commit.Short(), err)
		}
		if !inputs.Alike(before.Tree, after.Tree) || !j.repository.alike(before.Tree, after.Tree) {
			kept = append(kept, c)
		}
		after = before
	}
	if len(kept) == 0 {
		return commits, nil
	}
	return kept, nil
}

// signature finds out whose signature a commit bears, if any counts.
func (a *Agent) signature(ctx context.Context, c gitsync.CommitInfo, base *Baseline, commit *policies.Commit) error {
	by, err := base.Signers.Verify(c.Signature, a.now())
	if err == nil {
		commit.SignedBy = by.Signer
		return nil
	}
	commit.Problem = err.Error()
	if !base.GitHub {
		return nil
	}
	said, err := a.edges.Forge.Verification(ctx, c.Commit)
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
