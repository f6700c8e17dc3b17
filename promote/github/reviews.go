package github

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/go-github/v60/github"

	"github.com/pawl-dev/pawl/promote"
)

const (
	// reviewPages bounds what is read of a pull request's reviews and commits,
	// 100 to a page. What has more is not counted: the last word may be missing.
	reviewPages = 10
	// approversAsked bounds of how many people it is asked whether they may write.
	approversAsked = 30
)

// approvals are the people who approve exactly the head of a pull request and
// may write to the repository, and why other approvals do not count. Where there
// cannot be as many as are needed, no more is asked.
func (f *Forge) approvals(ctx context.Context, doing string, pull *github.PullRequest, needed int) (by []promote.Account, rejected []string, err error) {
	me, err := f.whoami(ctx)
	if err != nil {
		return nil, nil, err
	}
	reviewed := promote.Reviewed{
		Head: commitOf(pull.GetHead().GetSHA()), Author: accountOf(pull.GetUser()), Agent: promote.Account{ID: me.id, Login: me.login},
	}
	whole := false
	if reviewed.Reviews, whole, err = f.reviews(ctx, doing, pull.GetNumber()); err != nil {
		return nil, nil, err
	}
	if !whole {
		return nil, []string{fmt.Sprintf("#%d has more than %d reviews, so none is counted", pull.GetNumber(), reviewPages*100)}, nil
	}
	if by, rejected = reviewed.Approvals(); len(by) < max(needed, 1) {
		return by, rejected, nil
	}
	if reviewed.Wrote, whole, err = f.writers(ctx, doing, pull.GetNumber()); err != nil {
		return nil, nil, err
	}
	if !whole {
		return nil, []string{fmt.Sprintf("#%d has more commits than GitHub lists, so nobody knows who wrote them", pull.GetNumber())}, nil
	}
	people, rejected := reviewed.Approvals()
	by = nil
	for i, one := range people {
		if i == approversAsked {
			rejected = append(rejected, fmt.Sprintf("%d more approvals are not looked at", len(people)-i))
			break
		}
		may, err := f.mayWrite(ctx, doing, one)
		if err != nil {
			return nil, nil, err
		}
		if !may {
			rejected = append(rejected, one.Login+" may not write to the repository")
			continue
		}
		by = append(by, one)
	}
	return by, rejected, nil
}

// needed is how many approvals are waited for before the agent merges.
func needed(p promote.Proposal) int {
	if !p.Auto {
		return 0
	}
	return p.Approvals
}

// lacksApprovals says what is missing of the approvals that are needed. Where
// none are, nothing is asked.
func (f *Forge) lacksApprovals(ctx context.Context, doing string, pull *github.PullRequest, needed int) (string, error) {
	if needed <= 0 {
		return "", nil
	}
	by, rejected, err := f.approvals(ctx, doing, pull, needed)
	return promote.LacksApprovals(needed, len(by), rejected), err
}

func accountOf(u *github.User) promote.Account {
	return promote.Account{ID: u.GetID(), Login: u.GetLogin(), Bot: u.GetType() != "User"}
}

// reviews are all that were submitted, the oldest first; not whole if there are
// too many.
func (f *Forge) reviews(ctx context.Context, doing string, number int) (out []promote.Review, whole bool, err error) {
	opinions := map[string]promote.Opinion{
		"APPROVED": promote.Approved, "CHANGES_REQUESTED": promote.ChangesRequested, "DISMISSED": promote.Dismissed,
	}
	options := &github.ListOptions{PerPage: 100}
	for range reviewPages {
		list, resp, err := f.client.PullRequests.ListReviews(ctx, f.owner, f.repo, number, options)
		if err != nil {
			return nil, false, failure(doing, "pull_requests: read", err)
		}
		for _, one := range list {
			out = append(out, promote.Review{By: accountOf(one.GetUser()), Opinion: opinions[one.GetState()], Commit: commitOf(one.GetCommitID())})
		}
		if resp.NextPage == 0 {
			return out, true, nil
		}
		options.Page = resp.NextPage
	}
	return nil, false, nil
}

// commitsListed is how many commits of a pull request GitHub lists at most.
// https://docs.github.com/en/rest/pulls/pulls#list-commits-on-a-pull-request
const commitsListed = 250

// writers are the accounts that the commits of a pull request name as author or
// committer. Git lets anybody write any address there: it finds who approves
// their own work openly, not who hides it. A merge that GitHub made itself, as
// its button "Update branch" does, is nobody's work.
func (f *Forge) writers(ctx context.Context, doing string, number int) (out []promote.Account, whole bool, err error) {
	options := &github.ListOptions{PerPage: 100}
	listed := 0
	for range reviewPages {
		list, resp, err := f.client.PullRequests.ListCommits(ctx, f.owner, f.repo, number, options)
		if err != nil {
			return nil, false, failure(doing, "pull_requests: read", err)
		}
		for _, one := range list {
			if listed++; len(one.Parents) > 1 && madeByGitHub(one.GetCommit()) {
				continue
			}
			for _, who := range []*github.User{one.GetAuthor(), one.GetCommitter()} {
				if who.GetID() != 0 {
					out = append(out, accountOf(who))
				}
			}
		}
		if resp.NextPage == 0 {
			return out, listed < commitsListed, nil
		}
		options.Page = resp.NextPage
	}
	return nil, false, nil
}

// mayWrite asks for somebody's role. The author_association that stands in a
// review does not say it: a member of the organisation may have no access, and
// one who hides the membership looks like a stranger.
func (f *Forge) mayWrite(ctx context.Context, doing string, who promote.Account) (bool, error) {
	level, _, err := f.client.Repositories.GetPermissionLevel(ctx, f.owner, f.repo, who.Login)
	err = failure(doing, "metadata: read", err)
	var denied *promote.Denied
	if errors.As(err, &denied) && denied.Status == http.StatusNotFound {
		return false, nil // no such account any more
	}
	if err != nil {
		return false, err
	}
	// A login may have gone to somebody else since the review.
	same := level.GetUser().GetID() == who.ID
	return same && (level.GetPermission() == "write" || level.GetPermission() == "admin"), nil
}
