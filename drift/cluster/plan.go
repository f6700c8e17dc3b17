package cluster

import (
	"context"
	"fmt"
	"strings"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/policies"
)

// Plan tells what Apply would do, field by field, by dry run. Nothing is
// written. Objects whose namespace or kind comes with the same release cannot
// be tried, so their fields are not checked.
func (c *Cluster) Plan(ctx context.Context, v policies.Verified, terms drift.Terms) (drift.Plan, error) {
	if v.IsZero() {
		return drift.Plan{}, drift.ErrUnverified
	}
	release := v.Release()
	if len(release.Objects) == 0 {
		return drift.Plan{}, fmt.Errorf("%s: %w", release.Target, drift.ErrEmpty)
	}
	t, err := c.acquire(ctx, release.Target)
	if err != nil {
		return drift.Plan{}, err
	}
	defer func() { <-t.apply }()
	terms.Environment.Drift = environments.DriftCorrect // drift is told, whatever is done about it
	w, err := c.prepare(ctx, t, release, terms)
	if err != nil {
		return drift.Plan{}, located(err, release)
	}
	defer c.abandon(w)
	now, _ := w.writes()
	trials, err := c.try(ctx, w, now, true)
	if err != nil {
		return drift.Plan{}, located(err, release)
	}
	for _, s := range now {
		t := trials[s.Object]
		if s.Action == drift.Configure {
			s.Changes = drift.Changes(t.before, t.after)
			switch n := len(s.Changes); n {
			case 0:
				if s.Reason == "differs from the release" {
					s.Action, s.Reason = drift.Unchanged, ""
				}
			case 1:
				s.Reason += "; 1 field differs"
			default:
				s.Reason += fmt.Sprintf("; %d fields differ", n)
			}
		}
		if t.after == nil || w.rewriting[s.Object] != nil { // is said already
			continue
		}
		if changes := rewriting(w.wanted[s.Object], t.after); len(changes) > 0 {
			s.Reason = strings.TrimPrefix(s.Reason+"; "+(&drift.Rewriting{Changes: changes}).Error(), "; ")
		}
	}
	return w.plan, nil
}
