package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/drift"
)

// heldBack says that a commit asks for a release that failed and is held.
type heldBack struct {
	returned
	// refused is why no good release may return; nil if there is none.
	refused error
}

func (e *heldBack) Error() string {
	text := fmt.Sprintf("the release failed at %s and is held: %s", e.hold.Commit.Short(), e.hold.Why)
	if e.refused != nil {
		text += "; what runs is left as it is, because no good release may return: " + e.refused.Error()
	}
	return text
}

// distance orders good releases by whether a target was returned to them.
func distance(g drift.Good, hold drift.Hold) int {
	if g.Release.Commit == hold.To {
		return 0
	}
	return 1
}

// stayBack keeps a target at its good release though its commit asks for the
// one that is held. After a restart the good one is applied again, so that
// drift is put back. It is false where the hold has ended, because the held
// release is what runs and nothing can take its place.
func (a *Agent) stayBack(ctx context.Context, cluster Cluster, j job, hold drift.Hold) (back bool, err error) {
	held := &heldBack{returned: returned{hold: hold}}
	if a.board.isBack(j.target, j.revision.Commit, hold.Release) {
		return true, nil
	}
	goods, refused, err := a.goods(ctx, cluster, j.target)
	if err != nil {
		return false, err
	}
	slices.SortStableFunc(goods, func(a, b drift.Good) int { // the one that it was returned to comes first
		return cmp.Compare(distance(a, hold), distance(b, hold))
	})
	for _, g := range goods {
		if g.Release.Digest == hold.Release {
			continue
		}
		verified, err := a.mayReturn(ctx, j, g)
		if err == nil && held.hold.To != g.Release.Commit {
			held.hold.To = g.Release.Commit
			if err := cluster.Hold(ctx, j.target, &held.hold); err != nil {
				return false, err
			}
		}
		if err == nil {
			_, err = a.putBack(ctx, cluster, j, g, verified, &held.returned, time.Time{})
		}
		if err == nil || mayPass(ctx, err) {
			return err == nil, err
		}
		refused = errors.Join(refused, fmt.Errorf("not to %s: %w", g.Release.Commit.Short(), err))
	}
	accepted, err := cluster.Accepted(ctx, j.target)
	if err != nil {
		return false, err
	}
	if runs, ok := demands.AcceptedFor(accepted, j.target); ok && runs.Release == hold.Release {
		// The return was cut off, and cannot be carried out any more.
		if !hold.Gate {
			return false, cluster.Hold(ctx, j.target, nil)
		}
		hold.To = ""
		return false, cluster.Hold(ctx, j.target, &hold)
	}
	held.hold.To, held.refused = hold.To, refused
	return false, held
}
