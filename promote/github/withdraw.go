package github

import (
	"context"
	"fmt"

	"github.com/google/go-github/v60/github"

	"github.com/pawl-dev/pawl/promote"
)

// Withdraw closes the agent's open pull request from a branch, because its
// digests are no longer wanted. It loses its marker in the same request, so
// that it is never taken for one that a person closed. A pull request that
// somebody else opened or committed to is theirs to close.
func (f *Forge) Withdraw(ctx context.Context, branch, baseBranch, why string) error {
	doing := "withdraw " + branch
	me, err := f.whoami(ctx)
	if err != nil {
		return err
	}
	pulls, err := f.pullsOf(ctx, doing, branch)
	if err != nil {
		return err
	}
	for _, pull := range pulls {
		own := promote.Proposal{Branch: branch, BaseBranch: baseBranch}
		if pull.GetState() != "open" || f.stranger(pull, me, own) != "" {
			continue
		}
		ours, err := f.ours(ctx, doing, me, commitOf(pull.GetHead().GetSHA()))
		if err != nil {
			return err
		}
		if !ours {
			continue
		}
		closed := &github.PullRequest{State: github.String("closed"), Body: github.String(promote.Withdrawn(pull.GetBody(), why))}
		if _, _, err := f.client.PullRequests.Edit(ctx, f.owner, f.repo, pull.GetNumber(), closed); err != nil {
			return failure(fmt.Sprintf("withdraw #%d", pull.GetNumber()), pullsWrite, err)
		}
		f.known.withdraw(pull.GetNumber())
	}
	return nil
}
