package demands

import (
	"context"
	"fmt"
	"sync"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
)

// newcomers are targets that nothing was ever accepted for. A commit must not
// bring a target and do away with what is demanded of it, so a newcomer is
// compared with what its environment was brought to before it came.
type newcomers struct {
	mu sync.Mutex
	// before is what each is compared with, by environment and target.
	before map[string]map[string]drift.Accepted
}

// Came takes in all targets of an environment and what it was brought to, before
// any of them is worked on at the same commit.
func (g *Gatherer) Came(environment string, targets []environments.Target, accepted []drift.Accepted) {
	known := map[string]bool{}
	for _, one := range accepted {
		if one.Commit != "" {
			known[one.Target.String()] = true
		}
	}
	newest, now := newestIn(accepted, environment), map[string]drift.Accepted{}
	n := &g.newcomers
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, t := range targets {
		if before, waiting := n.before[environment][t.String()]; waiting { // since an earlier commit
			now[t.String()] = before
		} else if !known[t.String()] {
			now[t.String()] = newest
		}
	}
	n.before[environment] = now
}

// LastAccepted is what a target's release at a revision is compared with: what the
// target was brought to, or for a newcomer its environment.
func (g *Gatherer) LastAccepted(ctx context.Context, cluster Accepted, t environments.Target, rev gitsync.Revision) (drift.Accepted, error) {
	accepted := func(of ...environments.Target) ([]drift.Accepted, error) {
		found, err := cluster.Accepted(ctx, of...)
		if err != nil {
			return nil, fmt.Errorf("%s: find out what was accepted last: %w", t, err)
		}
		return found, nil
	}
	its, err := accepted(t)
	if err != nil {
		return drift.Accepted{}, err
	}
	n := &g.newcomers
	n.mu.Lock()
	known, ok := AcceptedFor(its, t)
	if ok {
		delete(n.before[t.Environment], t.String())
	}
	before, waits := n.before[t.Environment][t.String()]
	n.mu.Unlock()
	switch {
	case ok:
		return known, nil
	case waits:
		return before, nil
	}
	// The cluster could not be asked when it came, and others may have been
	// brought to its commit meanwhile.
	all, err := accepted()
	if err != nil {
		return drift.Accepted{}, err
	}
	if len(rev.Parents) > 0 && newestIn(all, t.Environment).Commit != "" {
		return drift.Accepted{Commit: rev.Parents[0]}, nil
	}
	return drift.Accepted{}, nil
}

// Refused notes in the cluster what a refused newcomer is compared with, so
// that a restart does not forget it.
func (g *Gatherer) Refused(ctx context.Context, cluster Accepted, t environments.Target) error {
	n := &g.newcomers
	n.mu.Lock()
	before, waits := n.before[t.Environment][t.String()]
	n.mu.Unlock()
	if !waits || before.Commit == "" {
		return nil
	}
	before.Target = t
	return cluster.Note(ctx, before)
}

// AcceptedFor is what a target was last brought to, if it ever was to anything.
func AcceptedFor(all []drift.Accepted, t environments.Target) (drift.Accepted, bool) {
	for _, one := range all {
		if one.Target.Environment == t.Environment && one.Target.Application == t.Application && one.Commit != "" {
			return one, true
		}
	}
	return drift.Accepted{}, false
}

// newestIn is what an environment was brought to last, without the release,
// which is another target's.
func newestIn(all []drift.Accepted, environment string) drift.Accepted {
	var newest drift.Accepted
	for _, one := range all {
		if one.Target.Environment == environment && one.Commit != "" && (newest.Commit == "" || one.At.After(newest.At)) {
			newest = one
		}
	}
	newest.Release = ""
	return newest
}
