package agent

import (
	"context"
	"fmt"
	"sync"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
)

// newcomers are targets that nothing was ever accepted for. A commit must not
// bring a target and do away with what is demanded of it, so a newcomer is
// compared with what its environment was brought to before it came.
type newcomers struct {
	mu     sync.Mutex
	before map[string]drift.Accepted // by target
}

// came takes in the targets of an environment, before any of them is worked on
// at the same commit.
func (n *newcomers) came(targets []environments.Target, accepted []drift.Accepted) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, t := range targets {
		if _, waiting := n.before[t.String()]; waiting {
			continue // since an earlier commit
		}
		if _, known := acceptedFor(accepted, t); !known {
			n.before[t.String()] = newestIn(accepted, t.Environment)
		}
	}
}

// lastAccepted is what a job's release is compared with: what its target was
// brought to, or for a newcomer its environment.
func (a *Agent) lastAccepted(ctx context.Context, cluster Cluster, j job) (drift.Accepted, error) {
	all, err := cluster.Accepted(ctx)
	if err != nil {
		return drift.Accepted{}, fmt.Errorf("%s: find out what was accepted last: %w", j.target, err)
	}
	n := &a.newcomers
	n.mu.Lock()
	defer n.mu.Unlock()
	if known, ok := acceptedFor(all, j.target); ok {
		delete(n.before, j.target.String())
		return known, nil
	}
	if before, ok := n.before[j.target.String()]; ok {
		return before, nil
	}
	// The cluster could not be asked when it came, and others may have been
	// brought to its commit meanwhile.
	if len(j.revision.Parents) > 0 && newestIn(all, j.target.Environment).Commit != "" {
		return drift.Accepted{Commit: j.revision.Parents[0]}, nil
	}
	return drift.Accepted{}, nil
}

// remember notes in the cluster what a refused newcomer is compared with, so
// that a restart does not forget it.
func (n *newcomers) remember(ctx context.Context, cluster Cluster, t environments.Target) error {
	n.mu.Lock()
	before, waits := n.before[t.String()]
	n.mu.Unlock()
	if !waits || before.Commit == "" {
		return nil
	}
	before.Target = t
	return cluster.Note(ctx, before)
}

func acceptedFor(all []drift.Accepted, t environments.Target) (drift.Accepted, bool) {
	for _, one := range all {
		if one.Target.String() == t.String() && one.Commit != "" {
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
