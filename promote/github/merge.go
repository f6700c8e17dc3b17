package github

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/google/go-github/v60/github"

	"github.com/pawl-dev/pawl/promote"
)

// Merge merges exactly the given head, if GitHub's own rules allow it. The pull
// request must be one that Propose brought up to date in this process; who
// opened it, from where, that it changes the proposed files and no other, and
// who approved it is asked again first. A nil error means that it is merged, by whomever.
func (f *Forge) Merge(ctx context.Context, pr promote.PullRequest) error {
	doing := fmt.Sprintf("merge #%d", pr.Number)
	blocked := func(format string, args ...any) error {
		return &promote.Blocked{Number: pr.Number, Reason: fmt.Sprintf(format, args...)}
	}
	want, ok := f.known.proposed(pr.Number)
	if !ok {
		return blocked("it is not as proposed, or was not looked at since the agent started; it is proposed again first")
	}
	me, err := f.whoami(ctx)
	if err != nil {
		return err
	}
	pull, err := f.pull(ctx, doing, pr.Number)
	if err != nil {
		return err
	}
	if merged, err := settled(pull, pr); merged || err != nil {
		return err
	}
	if stranger := f.stranger(pull, me, promote.Proposal{Branch: want.branch, BaseBranch: want.base}); stranger != "" {
		return blocked("%s", stranger)
	}
	if reason := blockedBy(pull); reason != "" {
		return blocked("%s", reason)
	}
	has, err := f.changes(ctx, doing, pr.Number)
	if err != nil {
		return err
	}
	if !maps.Equal(has, want.content) {
		f.known.withdraw(pr.Number)
		return blocked("it changes more than the proposed digests: %s", strings.Join(difference(has, want.content), ", "))
	}
	if lacks, err := f.lacksApprovals(ctx, doing, pull, want.approvals); err != nil || lacks != "" {
		if err == nil {
			err = blocked("%s", lacks)
		}
		return err
	}
	method, err := f.mergeMethod(ctx, doing)
	if err != nil {
		return err
	}
	message := ""
	if method == "squash" { // else GitHub would put all commits' messages together
		_, message, _ = strings.Cut(want.message, "\n\n")
	}
	_, _, err = f.client.PullRequests.Merge(ctx, f.owner, f.repo, pr.Number, message, &github.PullRequestOptions{SHA: string(pr.Head), MergeMethod: method})
	err = failure(doing, "contents: write", err)
	if err == nil {
		return nil
	}
	// The answer may have been lost, the head may have moved, or a person was
	// faster: what is true now decides.
	var refused *promote.Rejected
	if !unavailable(err) && !errors.As(err, &refused) {
		return err
	}
	again, readErr := f.pull(ctx, doing, pr.Number)
	if readErr != nil {
		return err
	}
	if merged, settledErr := settled(again, pr); merged || settledErr != nil {
		return settledErr
	}
	if refused != nil {
		if refused.Status == http.StatusConflict { // the head moved, and back
			return &promote.HeadMoved{Number: pr.Number, Want: pr.Head, Have: commitOf(again.GetHead().GetSHA())}
		}
		return blocked("GitHub answered %d (%s)", refused.Status, refused.Message)
	}
	return err
}

func (f *Forge) pull(ctx context.Context, doing string, number int) (*github.PullRequest, error) {
	pull, _, err := f.client.PullRequests.Get(ctx, f.owner, f.repo, number)
	return pull, failure(doing, pullsWrite, err)
}

// settled reports whether there is nothing left to merge, or not this.
func settled(pull *github.PullRequest, pr promote.PullRequest) (merged bool, err error) {
	switch have := commitOf(pull.GetHead().GetSHA()); {
	case pull.GetMerged():
		return true, nil
	case pull.GetState() != "open":
		return false, &promote.Blocked{Number: pr.Number, Reason: "it was closed"}
	case have != pr.Head:
		return false, &promote.HeadMoved{Number: pr.Number, Want: pr.Head, Have: have}
	}
	return false, nil
}

// mergeMethod is the one that leaves the cleanest history of those that the
// repository allows.
func (f *Forge) mergeMethod(ctx context.Context, doing string) (string, error) {
	f.mu.Lock()
	method := f.method
	f.mu.Unlock()
	if method != "" {
		return method, nil
	}
	repo, _, err := f.client.Repositories.Get(ctx, f.owner, f.repo)
	if err != nil {
		return "", failure(doing, "metadata: read", err)
	}
	switch {
	case repo.GetAllowSquashMerge():
		method = "squash"
	case repo.AllowMergeCommit == nil || repo.GetAllowMergeCommit():
		method = "merge"
	default:
		method = "rebase"
	}
	f.mu.Lock()
	f.method = method
	f.mu.Unlock()
	return method, nil
}

// differenceShown bounds how many files a message names.
const differenceShown = 5

// difference names the files in which two contents differ.
func difference(a, b content) []string {
	var out []string
	for path := range a {
		if a[path] != b[path] {
			out = append(out, path)
		}
	}
	for path := range b {
		if _, ok := a[path]; !ok {
			out = append(out, path)
		}
	}
	slices.Sort(out)
	if n := len(out); n > differenceShown {
		out = append(out[:differenceShown], fmt.Sprintf("and %d more", n-differenceShown))
	}
	return out
}

// sameBody compares as GitHub keeps bodies: line ends may have changed.
func sameBody(a, b string) bool {
	plain := func(s string) string { return strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n")) }
	return plain(a) == plain(b)
}
