package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/render"
)

// pruneWord is what the commits since the one that was accepted last say about
// what may be deleted of a target, nil if nothing. The deployed commit's own
// word always counts: a deploy that was cut off needs it again.
func (a *Agent) pruneWord(ctx context.Context, j job, built render.Result, accepted drift.Accepted) (*drift.PruneWord, error) {
	commits := []gitsync.CommitInfo{headOf(j.revision)}
	if accepted.Commit != "" && (accepted.Release != built.Release.Digest || accepted.Held) {
		line, err := a.history.line(ctx, j.revision.Commit, accepted.Commit)
		var long *gitsync.HistoryTooLong
		var gone *gitsync.CommitUnavailable
		switch {
		case errors.As(err, &long), errors.As(err, &gone): // a rewritten branch that is followed
		case err != nil:
			return nil, fmt.Errorf("%s: find out what the commits from %s to %s say about pruning: %w", j.target, accepted.Commit.Short(), j.revision.Commit.Short(), err)
		case line.Ancestor && len(line.Commits) > 0:
			commits = line.Commits
		}
	}
	if word, ok := drift.PruneWordsFor(j.target, commits); ok {
		return &word, nil
	}
	return nil, nil
}
