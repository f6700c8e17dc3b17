package demands

import (
	"context"
	"errors"
	"fmt"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/gitsync"
)

// PruneWord is what the commits since the one that was accepted last say about
// what may be deleted of a target, nil if nothing. The deployed commit's own
// word always counts: a deploy that was cut off needs it again.
func (g *Gatherer) PruneWord(ctx context.Context, c Case) (*drift.PruneWord, error) {
	commits := []gitsync.CommitInfo{c.Revision.Info()}
	if c.Accepted.Commit != "" && (c.Accepted.Release != c.Built.Release.Digest || c.Accepted.Held) {
		line, err := g.history.line(ctx, c.Revision.Commit, c.Accepted.Commit)
		var long *gitsync.HistoryTooLong
		var gone *gitsync.CommitUnavailable
		switch {
		case errors.As(err, &long), errors.As(err, &gone): // a rewritten branch that is followed
		case err != nil:
			return nil, fmt.Errorf("%s: find out what the commits from %s to %s say about pruning: %w", c.Target, c.Accepted.Commit.Short(), c.Revision.Commit.Short(), err)
		case line.Ancestor && len(line.Commits) > 0:
			commits = line.Commits
		}
	}
	if word, ok := drift.PruneWordsFor(c.Target, commits); ok {
		return &word, nil
	}
	return nil, nil
}
