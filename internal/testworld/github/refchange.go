package github

import (
	"context"
	"strings"

	"github.com/pawl-dev/pawl/internal/testworld/git"
)

// refsMoved is the state machine: whatever moves a ref, by whichever way, comes
// through here, with the repository locked.
func (s *Server) refsMoved(ctx context.Context, bare *git.Repository, by string, changes []git.Change) {
	s.mu.Lock()
	r := s.repositories[bare.Name]
	s.mu.Unlock()
	if r == nil {
		return
	}
	who := s.accountOf(by)
	for _, change := range changes {
		if err := s.refMoved(ctx, r, who, change); err != nil {
			s.violate(standInFailed("follow "+change.Ref+" to "+change.After, err))
		}
	}
}

func (s *Server) refMoved(ctx context.Context, r *repository, who *account, change git.Change) error {
	r.pushed = s.now()
	fresh, err := r.newCommits(ctx, change)
	if err != nil {
		return err
	}
	if err := s.emitPush(ctx, r, who, change, fresh); err != nil {
		return err
	}
	branch, ok := strings.CutPrefix(change.Ref, "refs/heads/")
	if !ok {
		return nil
	}
	if change.After != git.Zero {
		if err := s.requestSuites(ctx, r, who, branch, change); err != nil {
			return err
		}
	}
	for _, p := range r.sortedPulls() {
		if p.state != "open" {
			continue
		}
		if p.headRef == branch {
			err = s.headMoved(ctx, r, p, who, change)
		} else if p.baseRef == branch {
			err = s.baseMoved(ctx, r, p, who, change, fresh)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// newCommits are those that a change brings to its ref, the oldest first.
func (r *repository) newCommits(ctx context.Context, change git.Change) ([]*commit, error) {
	if change.After == git.Zero {
		return nil, nil
	}
	args := []string{"--reverse", "--topo-order", "-n", "2048", change.After}
	if change.Before != git.Zero {
		args = append(args, "^"+change.Before)
	} else {
		// A new branch brings what no other branch has.
		args = append(args, "--not", "--exclude="+change.Ref, "--branches")
	}
	return r.commits(ctx, true, args...)
}

func (s *Server) headMoved(ctx context.Context, r *repository, p *pull, who *account, change git.Change) error {
	now := s.now()
	p.updated = now
	if change.After == git.Zero {
		p.state, p.closed = "closed", now
		return s.emitPull(ctx, r, p, who, "closed", nil)
	}
	p.headSHA = change.After
	tip, err := r.git.Resolve(ctx, "refs/heads/"+p.baseRef)
	if err != nil {
		return err
	}
	p.baseSHA = tip
	s.forgetMergeability(p)
	if err := r.setPullRef(ctx, p, "head", change.After); err != nil {
		return err
	}
	if err := s.emitPull(ctx, r, p, who, "synchronize", object{"before": change.Before, "after": change.After}); err != nil {
		return err
	}
	if rule := r.protections[p.baseRef]; rule != nil && rule.DismissStale {
		if err := s.dismissStale(ctx, r, p, who); err != nil {
			return err
		}
	}
	if in, err := r.contains(ctx, p.headSHA, tip); err != nil || in {
		// Nothing is left to merge: the head was reset to the base.
		if err == nil {
			p.state, p.closed = "closed", now
			err = s.emitPull(ctx, r, p, who, "closed", nil)
		}
		return err
	}
	return nil
}

// baseMoved marks a pull request merged when its head has reached the base,
// by whatever way.
func (s *Server) baseMoved(ctx context.Context, r *repository, p *pull, who *account, change git.Change, fresh []*commit) error {
	now := s.now()
	if change.After == git.Zero {
		p.state, p.closed, p.updated = "closed", now, now
		return s.emitPull(ctx, r, p, who, "closed", nil)
	}
	s.forgetMergeability(p)
	for _, c := range fresh {
		if c.sha == p.headSHA {
			// What GitHub then calls the merge commit is not documented. The tip
			// may hold more than was in the pull request, which is the guess that
			// asks more of whoever relies on it.
			p.state, p.merged, p.closed, p.updated, p.mergedBy, p.mergeSHA, p.mergedOnto = "closed", now, now, now, who, change.After, change.Before
			return s.emitPull(ctx, r, p, who, "closed", nil)
		}
	}
	return nil
}
