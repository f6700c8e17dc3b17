package gogit

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/pawl-dev/pawl/gitsync"
)

// At returns a commit that the branch may have left behind, with its tree. It
// is fetched by its id, without history, and does not change what Fetch holds.
// The error is *gitsync.CommitUnavailable where the remote does not hand it out.
func (m *Mirror) At(ctx context.Context, commit gitsync.Commit) (gitsync.Revision, error) {
	id, err := hash(commit)
	if err != nil {
		return gitsync.Revision{}, err
	}
	held := m.held.Load()
	if held != nil && held.head == id {
		return held.revision, nil
	}
	ctx, done, err := m.stepAside(ctx)
	if err != nil {
		return gitsync.Revision{}, err
	}
	defer done()
	what := "commit " + string(commit)
	session, refs, err := m.ask(ctx)
	if err != nil {
		return gitsync.Revision{}, m.explain(ctx, what, err)
	}
	received, err := m.receive(ctx, session, refs, wish{want: id, alone: true})
	if err != nil {
		return gitsync.Revision{}, m.unavailable(ctx, commit, err)
	}
	then, err := m.build(received, id, held)
	if err != nil {
		return gitsync.Revision{}, m.explain(ctx, what, err)
	}
	return then.revision, nil
}

// History returns how the branch came from base to head.
//
// That the base is an ancestor is proven by the ids of the commits; that it is
// none is the remote's word too, which leaves out what the base leads to. The
// error is *gitsync.HistoryTooLong where there is more to look at than the
// limit, and *gitsync.CommitUnavailable where the remote does not hand out head.
// A base that it does not know is no error: that is no ancestor of anything it
// has.
func (m *Mirror) History(ctx context.Context, head, base gitsync.Commit) (gitsync.Line, error) {
	from, err := hash(head)
	if err != nil {
		return gitsync.Line{}, err
	}
	to, err := hash(base)
	if err != nil {
		return gitsync.Line{}, err
	}
	if from == to {
		return gitsync.Line{Ancestor: true}, nil
	}
	if held := m.held.Load(); held != nil && held.head == from && held.since == to && held.line != nil {
		return gitsync.Line{Ancestor: held.line.Ancestor, Commits: slices.Clone(held.line.Commits)}, nil
	}
	ctx, done, err := m.stepAside(ctx)
	if err != nil {
		return gitsync.Line{}, err
	}
	defer done()
	what := fmt.Sprintf("the history from %s to %s", base.Short(), head.Short())
	session, refs, err := m.ask(ctx)
	if err != nil {
		return gitsync.Line{}, m.explain(ctx, what, err)
	}
	if len(refs.Shallows) > 0 {
		return gitsync.Line{}, m.explain(ctx, what, errors.New("the server itself does not have the whole history"))
	}
	received, err := m.receive(ctx, session, refs, wish{want: from, have: to, commits: true})
	var line gitsync.Line
	if err == nil {
		line, err = m.trace(received, from, to)
	}
	var many *tooManyCommits
	switch {
	case errors.As(err, &many):
		return gitsync.Line{}, &gitsync.HistoryTooLong{Repository: m.options.URL, Head: head, Base: base, Most: m.options.Limits.History, Unrelated: !many.known}
	case received == nil && err != nil:
		return gitsync.Line{}, m.unavailable(ctx, head, err)
	case err != nil:
		return gitsync.Line{}, m.explain(ctx, what, err)
	}
	return line, nil
}

// stepAside waits for its turn and bounds the call.
func (m *Mirror) stepAside(ctx context.Context) (context.Context, func(), error) {
	select {
	case m.aside <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	ctx, cancel := m.bounded(ctx)
	return ctx, func() {
		cancel()
		<-m.aside
	}, nil
}

// unavailable tells a commit that the remote refuses from other failures. Git
// and JGit say so in words alone, and go-git passes them on as such.
func (m *Mirror) unavailable(ctx context.Context, commit gitsync.Commit, err error) error {
	if ctx.Err() == nil && (strings.Contains(err.Error(), "not our ref") || strings.Contains(err.Error(), "want "+string(commit)+" not valid")) {
		return &gitsync.CommitUnavailable{Repository: m.options.URL, Commit: commit}
	}
	return m.explain(ctx, "commit "+string(commit), err)
}

// tooManyCommits says that there are more than the limit.
type tooManyCommits struct {
	known bool // the remote knows the commit that we said to have
}

func (e *tooManyCommits) Error() string { return "too many commits" }

// remember is the line to the head from the commit held before, which is what
// is mostly asked for; nil where what was received does not tell.
func (m *Mirror) remember(received *objects, head, before plumbing.Hash) *gitsync.Line {
	line, err := m.trace(received, head, before)
	if err != nil {
		return nil
	}
	return &line
}

// trace follows parents from head to base within the commits that came when the
// remote was told that we have base: all that lead to head and not to base.
func (m *Mirror) trace(received *objects, head, base plumbing.Hash) (gitsync.Line, error) {
	if len(received.Commits) > m.options.Limits.History {
		return gitsync.Line{}, &tooManyCommits{received.known}
	}
	limits := m.options.Limits
	commits, missing, err := received.reach(head, base, limits)
	if err != nil {
		return gitsync.Line{}, err
	}
	line := gitsync.Line{Ancestor: missing[base]}
	delete(missing, base)
	if len(missing) > 0 && !received.known {
		// Nothing had to be left out.
		return gitsync.Line{}, fmt.Errorf("commits are missing from the answer: %w", errIncomplete)
	}
	// Where commits are dated before their parents, git may notice too late what
	// to leave out. Then the line goes on into what the base leads to: more is
	// looked at than had to be, and never less.
	for at := head; commits[at] != nil; { // the base is not among them
		c := commits[at]
		about, err := info(c)
		if err != nil {
			return gitsync.Line{}, err
		}
		line.Commits = append(line.Commits, about)
		if len(c.ParentHashes) == 0 {
			break
		}
		at = c.ParentHashes[0]
	}
	return line, nil
}

// reach follows parents from one commit, but not beyond another. It returns the
// commits on the way, and those parents that are not among what was received;
// the one not gone beyond counts as such.
func (o *objects) reach(from, notBeyond plumbing.Hash, limits Limits) (commits map[plumbing.Hash]*object.Commit, missing map[plumbing.Hash]bool, err error) {
	commits, missing = map[plumbing.Hash]*object.Commit{}, map[plumbing.Hash]bool{}
	for left := []plumbing.Hash{from}; len(left) > 0; {
		at := left[len(left)-1]
		left = left[:len(left)-1]
		switch {
		case commits[at] != nil:
			continue
		case at == notBeyond || o.Commits[at] == nil:
			missing[at] = true
			continue
		}
		if commits[at], err = o.commit(at, limits); err != nil {
			return nil, nil, err
		}
		left = append(left, commits[at].ParentHashes...)
	}
	return commits, missing, nil
}

var wholeID = regexp.MustCompile(`^[0-9a-f]{40}$`)

// hash reads a commit id; go-git's own way fills up what is too short.
func hash(c gitsync.Commit) (plumbing.Hash, error) {
	if !wholeID.MatchString(string(c)) {
		return plumbing.ZeroHash, fmt.Errorf("%q is no full commit id", plain(errors.New(string(c))))
	}
	return plumbing.NewHash(string(c)), nil
}
