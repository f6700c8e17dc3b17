package github

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"

	"github.com/google/go-github/v60/github"

	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/promote"
)

const pullsWrite = "pull_requests: write"

// label marks the agent's pull requests for people. Nothing is decided by it.
const label = "pawl"

// Propose makes the pull request be as proposed and returns it as it is now.
// Doing it again changes nothing, whatever was lost the first time. A branch
// that somebody else changed is left alone. What a person closed with exactly
// these digests stays closed, and what a person took back stays back.
func (f *Forge) Propose(ctx context.Context, p promote.Proposal) (promote.PullRequest, error) {
	doing := "propose " + p.Branch
	if p.Branch == "" || p.Branch == p.BaseBranch || len(p.Files) == 0 {
		return promote.PullRequest{}, fmt.Errorf("%s: nothing to propose from the branch %q to %q", doing, p.Branch, p.BaseBranch)
	}
	me, err := f.whoami(ctx)
	if err != nil {
		return promote.PullRequest{}, err
	}
	open, ended, err := f.look(ctx, doing, me, p)
	switch {
	case err != nil:
		return promote.PullRequest{}, err
	case ended != nil:
		return *ended, nil
	case open == nil:
		open, err = f.open(ctx, doing, me, p)
		if err != nil {
			return f.blockedBranch(p, err)
		}
	}
	if stranger := f.stranger(open, me, p); stranger != "" {
		return promote.PullRequest{Number: open.GetNumber(), URL: open.GetHTMLURL(), Head: commitOf(open.GetHead().GetSHA()), State: promote.Open, Blocked: stranger}, nil
	}
	return f.bring(ctx, doing, me, p, open)
}

// look finds the open pull request of the branch, or an earlier one that
// already ended the matter.
func (f *Forge) look(ctx context.Context, doing string, me account, p promote.Proposal) (open *github.PullRequest, ended *promote.PullRequest, err error) {
	pulls, err := f.pullsOf(ctx, doing, p.Branch)
	if err != nil {
		return nil, nil, err
	}
	mark, overtaken := p.Marker().Fingerprint, false
	for _, pull := range pulls {
		if pull.GetState() == "open" {
			if open == nil && pull.GetBase().GetRef() == p.BaseBranch {
				open = pull
			}
			continue
		}
		marker, ok := promote.ParseMarker(pull.GetBody())
		if !ok || ended != nil || f.stranger(pull, me, p) != "" {
			continue
		}
		merged := pull.MergedAt != nil
		if marker.Fingerprint != mark {
			overtaken = overtaken || merged
			continue
		}
		now := promote.PullRequest{Number: pull.GetNumber(), URL: pull.GetHTMLURL(), Head: commitOf(pull.GetHead().GetSHA())}
		if !merged {
			now.State = promote.Closed
			ended = &now
			continue
		}
		arrived, err := f.before(ctx, doing, commitOf(pull.GetMergeCommitSHA()), p.Base)
		switch {
		case err != nil:
			return nil, nil, err
		case !arrived:
			now.State = promote.Merged // and not fetched yet
		case overtaken:
			// Other digests went in since, so these are wanted anew; what was closed
			// before they were merged does not count any more.
			return open, nil, nil
		default:
			now.State = promote.Reverted
		}
		ended = &now
	}
	return open, ended, nil
}

// pullsOf are the pull requests from a branch of this repository, the newest first.
func (f *Forge) pullsOf(ctx context.Context, doing, branch string) ([]*github.PullRequest, error) {
	pulls, _, err := f.client.PullRequests.List(ctx, f.owner, f.repo, &github.PullRequestListOptions{
		State: "all", Head: f.owner + ":" + branch, Sort: "created", Direction: "desc", ListOptions: github.ListOptions{PerPage: 30},
	})
	return pulls, failure(doing, pullsWrite, err)
}

// stranger says why a pull request is not the agent's own, empty if it is.
// Title, label and marker are what anybody can write: not asked.
func (f *Forge) stranger(pull *github.PullRequest, me account, p promote.Proposal) string {
	switch {
	case pull.GetUser().GetID() != me.id:
		return fmt.Sprintf("#%d was opened by %s, not by Pawl (%s); close it and delete its branch %s", pull.GetNumber(), pull.GetUser().GetLogin(), me.login, p.Branch)
	case pull.GetHead().GetRepo() == nil || pull.GetHead().GetRepo().GetID() != pull.GetBase().GetRepo().GetID():
		return fmt.Sprintf("#%d comes from another repository; close it", pull.GetNumber())
	case pull.GetHead().GetRef() != p.Branch:
		return fmt.Sprintf("#%d comes from the branch %s, not from %s; close it", pull.GetNumber(), pull.GetHead().GetRef(), p.Branch)
	case pull.GetBase().GetRef() != p.BaseBranch:
		return fmt.Sprintf("#%d goes to %s, not to %s; close it, or change its base back", pull.GetNumber(), pull.GetBase().GetRef(), p.BaseBranch)
	}
	return ""
}

// before reports whether a commit is in the history of another.
func (f *Forge) before(ctx context.Context, doing string, commit, of gitsync.Commit) (bool, error) {
	if commit == of {
		return true, nil
	}
	c, _, err := f.client.Repositories.CompareCommits(ctx, f.owner, f.repo, string(commit), string(of), &github.ListOptions{PerPage: 1})
	if err != nil {
		return false, failure(doing, "contents: read", err)
	}
	return c.GetStatus() == "ahead" || c.GetStatus() == "identical", nil
}

// errForeign says that the branch holds commits that are not the agent's.
var errForeign = errors.New("somebody else committed to the branch")

func (f *Forge) blockedBranch(p promote.Proposal, err error) (promote.PullRequest, error) {
	if !errors.Is(err, errForeign) {
		return promote.PullRequest{}, err
	}
	return promote.PullRequest{Blocked: fmt.Sprintf("the branch %s has commits that are not Pawl's; it is not overwritten. Delete it if they are not needed", p.Branch)}, nil
}

// open makes the branch and the pull request.
func (f *Forge) open(ctx context.Context, doing string, me account, p promote.Proposal) (*github.PullRequest, error) {
	commit, err := f.makeCommit(ctx, doing, p.Base, []gitsync.Commit{p.Base}, p.CommitMessage(), p.Files, true)
	if err != nil {
		return nil, err
	}
	f.known.made(commit, contentOf(p.Files), p.Base)
	if err := f.setBranch(ctx, doing, me, p, commit); err != nil {
		return nil, err
	}
	pull, _, err := f.client.PullRequests.Create(ctx, f.owner, f.repo, &github.NewPullRequest{
		Title: &p.Title, Head: &p.Branch, Base: &p.BaseBranch, Body: &p.Body, MaintainerCanModify: github.Bool(false),
	})
	err = failure(doing, pullsWrite, err)
	// The answer was lost, or another replica was faster: it is there already.
	if unavailable(err) || rejected(err, "already exists", http.StatusUnprocessableEntity) {
		pulls, again := f.pullsOf(ctx, doing, p.Branch)
		if again != nil {
			return nil, err
		}
		for _, found := range pulls {
			if found.GetState() == "open" && found.GetBase().GetRef() == p.BaseBranch {
				return found, nil
			}
		}
	}
	if err != nil {
		return nil, err
	}
	if _, _, err := f.client.Issues.AddLabelsToIssue(ctx, f.owner, f.repo, pull.GetNumber(), []string{label}); err != nil {
		f.log.Debug().Err(failure(doing, "issues: write", err)).Msg("the pull request has no label")
	}
	return pull, nil
}

// setBranch makes the branch point to a commit that starts a new pull request.
// What an earlier one left there is overwritten if it is the agent's own.
func (f *Forge) setBranch(ctx context.Context, doing string, me account, p promote.Proposal, commit gitsync.Commit) error {
	ref := &github.Reference{Ref: github.String("refs/heads/" + p.Branch), Object: &github.GitObject{SHA: github.String(string(commit))}}
	_, _, err := f.client.Git.CreateRef(ctx, f.owner, f.repo, ref)
	err = failure(doing, "contents: write", err)
	if !unavailable(err) && !rejected(err, "already exists", http.StatusUnprocessableEntity) {
		return err
	}
	there, _, again := f.client.Git.GetRef(ctx, f.owner, f.repo, "heads/"+p.Branch)
	if again != nil {
		return err
	}
	head := commitOf(there.GetObject().GetSHA())
	if head == commit || head == p.Base {
		if head == commit {
			return nil
		}
	} else if own, err := f.ours(ctx, doing, me, head); err != nil {
		return err
	} else if !own {
		return errForeign
	}
	_, _, err = f.client.Git.UpdateRef(ctx, f.owner, f.repo, ref, true)
	return failure(doing, "contents: write", err)
}

// bring makes the agent's open pull request be as proposed.
func (f *Forge) bring(ctx context.Context, doing string, me account, p promote.Proposal, pull *github.PullRequest) (promote.PullRequest, error) {
	number, head, want := pull.GetNumber(), commitOf(pull.GetHead().GetSHA()), contentOf(p.Files)
	now := promote.PullRequest{Number: number, URL: pull.GetHTMLURL(), Head: head, State: promote.Open}
	fail := func(err error) (promote.PullRequest, error) { return promote.PullRequest{}, err }

	has := f.known.head(head).content
	if has == nil {
		var err error
		if has, err = f.changes(ctx, doing, number); err != nil {
			return fail(err)
		}
	}
	write := !maps.Equal(has, want)
	if !write && pull.MergeableState == nil { // a list does not say
		var err error
		if pull, _, err = f.client.PullRequests.Get(ctx, f.owner, f.repo, number); err != nil {
			return fail(failure(doing, pullsWrite, err))
		}
		if moved := commitOf(pull.GetHead().GetSHA()); moved != head {
			return fail(&promote.Unavailable{Doing: doing, Err: errors.New("the branch moves at this moment")})
		}
		now.Blocked = blockedBy(pull)
		behind := pull.GetMergeableState() == "behind" || pull.GetMergeableState() == "dirty"
		write = behind && f.known.head(head).base != p.Base
	}
	if write {
		own, err := f.ours(ctx, doing, me, head)
		if err != nil {
			return fail(err)
		}
		if !own {
			f.known.withdraw(number)
			if !maps.Equal(has, want) {
				now.Blocked = fmt.Sprintf("#%d has commits that are not Pawl's, so it is neither updated nor merged. Merge it yourself, or close it and delete the branch %s", number, p.Branch)
			}
			return now, nil
		}
		if now.Head, err = f.rewrite(ctx, doing, p, head, want); err != nil {
			return fail(err)
		}
		now.Blocked = promote.LacksApprovals(needed(p), 0, nil) // nobody saw this head yet
	} else if now.Blocked == "" {
		lacks, err := f.lacksApprovals(ctx, doing, pull, needed(p))
		if err != nil {
			return fail(err)
		}
		now.Blocked = lacks
	}
	f.known.propose(number, p, want)
	if pull.GetTitle() != p.Title || !sameBody(pull.GetBody(), p.Body) {
		_, _, err := f.client.PullRequests.Edit(ctx, f.owner, f.repo, number, &github.PullRequest{Title: &p.Title, Body: &p.Body})
		if err != nil {
			return fail(failure(doing, pullsWrite, err))
		}
	}
	return now, nil
}

// rewrite puts a commit with the proposed content on top of the branch. It is
// never forced: what somebody pushes at the same moment makes it fail.
func (f *Forge) rewrite(ctx context.Context, doing string, p promote.Proposal, head gitsync.Commit, want content) (gitsync.Commit, error) {
	parents := []gitsync.Commit{head}
	if f.known.head(head).base != p.Base {
		// Else the pull request would show what happened on the base as its own.
		parents = append(parents, p.Base)
	}
	commit, err := f.makeCommit(ctx, doing, p.Base, parents, p.CommitMessage(), p.Files, true)
	if err != nil {
		return "", err
	}
	ref := &github.Reference{Ref: github.String("refs/heads/" + p.Branch), Object: &github.GitObject{SHA: github.String(string(commit))}}
	if _, _, err := f.client.Git.UpdateRef(ctx, f.owner, f.repo, ref, false); err != nil {
		return "", failure(doing, "contents: write", err)
	}
	f.known.made(commit, want, p.Base)
	return commit, nil
}

// blockedBy says in words why GitHub would not merge. What GitHub has not
// worked out yet blocks nothing: merging asks again.
func blockedBy(pull *github.PullRequest) string {
	switch pull.GetMergeableState() {
	case "blocked":
		return "the branch's protection asks for reviews or checks that are not there yet"
	case "behind":
		return "it is behind " + pull.GetBase().GetRef()
	case "dirty":
		return "it conflicts with " + pull.GetBase().GetRef()
	case "draft":
		return "it is a draft"
	}
	if pull.GetDraft() {
		return "it is a draft"
	}
	return ""
}
