package github

import (
	"context"
	"fmt"
	"net/http"

	"github.com/google/go-github/v60/github"

	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/promote"
)

// Commit writes files on top of parent to the branch, if that still is its
// head. If it is not, the error is a *promote.Conflict and nothing changed.
func (f *Forge) Commit(ctx context.Context, branch string, parent gitsync.Commit, message string, files map[string][]byte) (gitsync.Commit, error) {
	doing := "commit to " + branch
	if len(files) == 0 {
		return "", fmt.Errorf("%s: no files are given", doing)
	}
	// GitHub compares ancestry, not heads: after a forced push back behind
	// parent, the update below would bring parent back.
	there, _, err := f.client.Git.GetRef(ctx, f.owner, f.repo, "heads/"+branch)
	if err != nil {
		return "", failure(doing, "contents: write", err)
	}
	if commitOf(there.GetObject().GetSHA()) != parent {
		return "", &promote.Conflict{Branch: branch, Parent: parent}
	}
	commit, err := f.makeCommit(ctx, doing, parent, []gitsync.Commit{parent}, message, files, false)
	if err != nil {
		return "", err
	}
	_, _, err = f.client.Git.UpdateRef(ctx, f.owner, f.repo, &github.Reference{
		Ref: github.String("refs/heads/" + branch), Object: &github.GitObject{SHA: github.String(string(commit))},
	}, false)
	err = failure(doing, "contents: write", err)
	switch {
	case err == nil:
		return commit, nil
	case rejected(err, "fast forward", http.StatusUnprocessableEntity):
		return "", &promote.Conflict{Branch: branch, Parent: parent}
	case unavailable(err):
		// Lost on the way there or back: what the branch says decides.
		there, _, again := f.client.Git.GetRef(ctx, f.owner, f.repo, "heads/"+branch)
		if again == nil && commitOf(there.GetObject().GetSHA()) == commit {
			return commit, nil
		}
	}
	return "", err
}
