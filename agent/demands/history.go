package demands

import (
	"context"
	"sync"

	"k8s.io/utils/lru"

	"github.com/pawl-dev/pawl/gitsync"
)

// history is what is remembered of the branch: of most targets the last change
// is a few commits back, and a commit never changes.
type history struct {
	source Past

	mu sync.Mutex
	// revisions share what their trees have in common, so they cost little.
	revisions *lru.Cache // gitsync.Commit → gitsync.Revision
	commits   *lru.Cache // gitsync.Commit → gitsync.CommitInfo
}

const (
	rememberedRevisions = 64
	rememberedCommits   = 10_000
)

func newHistory(source Past) *history {
	return &history{source: source, revisions: lru.New(rememberedRevisions), commits: lru.New(rememberedCommits)}
}

// saw takes in a revision that was read.
func (h *history) saw(rev gitsync.Revision) {
	h.revisions.Add(rev.Commit, rev)
	h.commits.Add(rev.Commit, rev.Info())
}

// at returns a commit with its tree.
func (h *history) at(ctx context.Context, commit gitsync.Commit) (gitsync.Revision, error) {
	if rev, ok := h.revisions.Get(commit); ok {
		return rev.(gitsync.Revision), nil
	}
	// Several targets want the same one at the same time: one of them fetches.
	h.mu.Lock()
	defer h.mu.Unlock()
	if rev, ok := h.revisions.Get(commit); ok {
		return rev.(gitsync.Revision), nil
	}
	rev, err := h.source.At(ctx, commit)
	if err != nil {
		return gitsync.Revision{}, err
	}
	h.saw(rev)
	return rev, nil
}

// line returns how the branch came from base to head: from memory where that
// alone tells, as it does as long as the branch only grows.
func (h *history) line(ctx context.Context, head, base gitsync.Commit) (gitsync.Line, error) {
	if line, ok := h.walk(head, base); ok {
		return line, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if line, ok := h.walk(head, base); ok {
		return line, nil
	}
	line, err := h.source.History(ctx, head, base)
	if err != nil {
		return gitsync.Line{}, err
	}
	for _, c := range line.Commits {
		h.commits.Add(c.Commit, c)
	}
	return line, nil
}

// walk follows first parents from head to base, if all of them are known and
// base is among them. That it is not proves nothing.
func (h *history) walk(head, base gitsync.Commit) (gitsync.Line, bool) {
	line := gitsync.Line{Ancestor: true}
	for at := head; at != base; {
		known, ok := h.commits.Get(at)
		if !ok || len(line.Commits) > rememberedCommits {
			return gitsync.Line{}, false
		}
		c := known.(gitsync.CommitInfo)
		line.Commits = append(line.Commits, c)
		if len(c.Parents) == 0 {
			return gitsync.Line{}, false
		}
		at = c.Parents[0]
	}
	return line, true
}
