package github

import (
	"context"
	"fmt"

	"github.com/google/go-github/v60/github"

	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/promote"
)

// PullRequest finds the merged pull request that brought a commit of the branch,
// and who approved exactly what was merged; nil if there is none. deployed is
// the commit that the branch is at. One that only contains the commit is none,
// and one that was merged otherwise than as approved has no approvals.
//
// GitHub calls a pull request merged, too, when its head comes to the branch by
// a push, with whatever else was pushed. So it is told apart how it was merged:
//
//   - the commit is the head itself: what was approved, to the letter;
//   - a commit with one parent that does not contain the head: only GitHub's
//     squash or rebase makes that;
//   - one of several that a rebase made, or of the head's own where the branch
//     was moved to it, as long as the last of them is part of what is deployed:
//     people approve what they come to together;
//   - a merge of the branch with the head that GitHub signed, or one by whomever
//     whose content is the head's, which was up to date.
//
// An approval after the merge counts like one before: it is of the same content,
// and it is how people satisfy a demand that was not met in time.
//
// Whoever may make commits as an App, past the branch's protection, can have
// GitHub sign a merge of any content; protection is what prevents that.
func (f *Forge) PullRequest(ctx context.Context, branch string, deployed, commit gitsync.Commit) (*policies.PullRequest, error) {
	doing := fmt.Sprintf("find the pull request that brought %s to %s", commit.Short(), branch)
	if !fullHash(commit) || !fullHash(deployed) {
		return nil, fmt.Errorf("%s: it is not named by its whole hash", doing)
	}
	pulls, err := f.merged(ctx, doing, branch, commit)
	if err != nil {
		return nil, err
	}
	var found *policies.PullRequest
	for _, pull := range pulls {
		part, err := f.partOf(ctx, doing, pull, deployed, commit)
		if err != nil {
			return nil, err
		}
		if !part {
			continue
		}
		why, err := f.mergedOtherwise(ctx, doing, commitOf(pull.GetMergeCommitSHA()), commitOf(pull.GetHead().GetSHA()))
		if err != nil {
			return nil, err
		}
		one := &policies.PullRequest{Number: pull.GetNumber(), Author: pull.GetUser().GetLogin()}
		if why != "" {
			one.Rejected = []string{fmt.Sprintf("#%d %s", one.Number, why)}
			if found == nil {
				found = one
			}
			continue
		}
		by, rejected, err := f.approvals(ctx, doing, pull, 1)
		if err != nil {
			return nil, err
		}
		for _, a := range by {
			one.Approvals = append(one.Approvals, a.Login)
		}
		one.Rejected = rejected
		return one, nil
	}
	return found, nil
}

// merged are the pull requests that GitHub says were merged into the branch and
// brought the commit. Several did, if heads that contain each other were pushed.
func (f *Forge) merged(ctx context.Context, doing, branch string, commit gitsync.Commit) ([]*github.PullRequest, error) {
	var out []*github.PullRequest
	options := &github.ListOptions{PerPage: 100}
	for range reviewPages {
		list, resp, err := f.client.PullRequests.ListPullRequestsWithCommit(ctx, f.owner, f.repo, string(commit), options)
		if err != nil {
			return nil, aboutCommit(failure(doing, "pull_requests: read", err), commit)
		}
		for _, listed := range list {
			if listed.MergedAt == nil || listed.GetBase().GetRef() != branch {
				continue
			}
			// A list may hold those of other repositories with the same commit.
			pull, _, err := f.client.PullRequests.Get(ctx, f.owner, f.repo, listed.GetNumber())
			if err != nil {
				return nil, failure(doing, "pull_requests: read", err)
			}
			if pull.GetID() == listed.GetID() && pull.GetMerged() && pull.GetBase().GetRef() == branch &&
				fullHash(commitOf(pull.GetMergeCommitSHA())) && fullHash(commitOf(pull.GetHead().GetSHA())) {
				out = append(out, pull)
			}
		}
		if resp.NextPage == 0 {
			break
		}
		options.Page = resp.NextPage
	}
	return out, nil
}

// partOf reports whether a merge made the commit, and not only has it in its
// history.
func (f *Forge) partOf(ctx context.Context, doing string, pull *github.PullRequest, deployed, commit gitsync.Commit) (bool, error) {
	merge, head, n := commitOf(pull.GetMergeCommitSHA()), commitOf(pull.GetHead().GetSHA()), pull.GetCommits()
	if merge == commit {
		return true, nil
	}
	if n < 2 || n > 100 {
		return false, nil // it has no others, or more than are looked through
	}
	// Who moves the branch back to the first of two commits deploys what nobody
	// approved alone.
	if in, err := f.before(ctx, doing, merge, deployed); err != nil || !in {
		return false, err
	}
	var list []*github.RepositoryCommit
	var err error
	if merge == head {
		list, _, err = f.client.PullRequests.ListCommits(ctx, f.owner, f.repo, pull.GetNumber(), &github.ListOptions{PerPage: 100})
	} else {
		list, _, err = f.client.Repositories.ListCommits(ctx, f.owner, f.repo, &github.CommitsListOptions{SHA: string(merge), ListOptions: github.ListOptions{PerPage: n}})
	}
	if err != nil {
		return false, failure(doing, "contents: read", err)
	}
	for _, one := range list {
		if merge != head && len(one.Parents) != 1 {
			return false, nil // no rebase made that
		}
		if commitOf(one.GetSHA()) == commit {
			return true, nil
		}
	}
	return false, nil
}

// mergedOtherwise says why a commit is not just the head merged, empty if it is.
func (f *Forge) mergedOtherwise(ctx context.Context, doing string, commit, head gitsync.Commit) (string, error) {
	if commit == head {
		return "", nil
	}
	made, _, err := f.client.Git.GetCommit(ctx, f.owner, f.repo, string(commit))
	if err != nil {
		return "", failure(doing, "contents: read", err)
	}
	if commitOf(made.GetSHA()) != commit {
		return "", &promote.Rejected{Doing: doing, Status: 200, Message: "the answer is about another commit"}
	}
	const more = "was merged by a push that may hold more than was approved; let GitHub merge"
	switch len(made.Parents) {
	case 1:
		in, err := f.before(ctx, doing, head, commit)
		if err != nil || !in {
			return "", err
		}
		return more, nil
	case 2:
		if commitOf(made.Parents[1].GetSHA()) != head {
			return "was not merged by this commit", nil
		}
		if madeByGitHub(made) {
			return "", nil
		}
		tree, err := f.treeOf(ctx, doing, head)
		if err != nil {
			return "", err
		}
		if tree == "" || tree != made.GetTree().GetSHA() {
			return more, nil
		}
		upToDate, err := f.before(ctx, doing, commitOf(made.Parents[0].GetSHA()), head)
		if err != nil || upToDate {
			return "", err
		}
		return more, nil
	}
	return more, nil
}

// madeByGitHub reports whether GitHub itself made and signed a commit. It
// verifies its own signature only for its own address.
func madeByGitHub(c *github.Commit) bool {
	v := c.GetVerification()
	return v.GetVerified() && v.GetReason() == "valid" && c.GetCommitter().GetEmail() == "noreply@github.com"
}

func fullHash(c gitsync.Commit) bool {
	if len(c) != 40 && len(c) != 64 {
		return false
	}
	for _, r := range c {
		if (r < '0' || r > '9') && (r < 'a' || r > 'f') {
			return false
		}
	}
	return true
}

// Verification is what GitHub says of a commit's signature.
func (f *Forge) Verification(ctx context.Context, commit gitsync.Commit) (promote.Verification, error) {
	doing := "ask who signed " + commit.Short()
	if !fullHash(commit) {
		return promote.Verification{}, fmt.Errorf("%s: it is not named by its whole hash", doing)
	}
	// The one that names accounts also brings the files: one is enough.
	c, _, err := f.client.Repositories.GetCommit(ctx, f.owner, f.repo, string(commit), &github.ListOptions{PerPage: 1})
	if err != nil {
		return promote.Verification{}, aboutCommit(failure(doing, "contents: read", err), commit)
	}
	if commitOf(c.GetSHA()) != commit {
		return promote.Verification{}, &promote.Rejected{Doing: doing, Status: 200, Message: "the answer is about another commit"}
	}
	v := promote.Verification{Reason: c.GetCommit().GetVerification().GetReason(), ByGitHub: madeByGitHub(c.GetCommit())}
	if v.Verified = c.GetCommit().GetVerification().GetVerified() && v.Reason == "valid"; v.Verified {
		v.Signer, v.For = accountOf(c.GetCommitter()), accountOf(c.GetAuthor())
	}
	return v, nil
}
