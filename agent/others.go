package agent

import (
	"context"
	"maps"

	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/render"
)

// declared remembers what the targets of a cluster declare at a commit. When a
// commit takes something from each of a thousand targets, each asks what all
// the others declare.
type declared struct {
	busy   chan struct{}
	commit gitsync.Commit
	ids    map[environments.Target][]drift.ObjectID // of those that were rendered
	all    *drift.Others                            // nil until all were
}

func (a *Agent) declaredIn(cluster Cluster) *declared {
	d, _ := a.declared.LoadOrStore(cluster, &declared{busy: make(chan struct{}, 1)})
	return d.(*declared)
}

// others tells what the other targets of a job's cluster declare at its commit.
// Their workers build the same, so nothing is built twice.
func (a *Agent) others(ctx context.Context, j job, cluster Cluster) (*drift.Others, error) {
	known := a.declaredIn(cluster)
	select {
	case known.busy <- struct{}{}:
		defer func() { <-known.busy }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if known.commit != j.revision.Commit {
		known.commit, known.ids, known.all = j.revision.Commit, map[environments.Target][]drift.ObjectID{}, nil
	}
	if known.all != nil {
		return known.all.To(j.target), nil
	}
	found := &drift.Others{}
	for _, u := range j.repository.Unusable {
		if a.edges.Clusters[u.Target.Environment] == cluster {
			found.Unknown = append(found.Unknown, u.Target)
		}
	}
	var targets []environments.Target
	for _, t := range j.repository.Targets {
		if a.edges.Clusters[t.Environment] == cluster && known.ids[t] == nil {
			targets = append(targets, t)
		}
	}
	ids, unknown, err := demands.Declared(ctx, targets, func(t environments.Target) (render.Result, error) {
		return a.build(ctx, j.revision, t, j.declared)
	})
	maps.Copy(known.ids, ids)
	if err != nil {
		return nil, err
	}
	found.Unknown = append(found.Unknown, unknown...)
	for t, ids := range known.ids {
		found.Add(t, ids)
	}
	if err := a.gone(ctx, j, cluster, found); err != nil {
		return nil, err
	}
	if len(found.Unknown) == 0 { // else it is asked again: it may have been an outage
		known.all, known.ids = found, nil
	}
	return found.To(j.target), nil
}

// gone adds the targets that have no overlay at the commit any more: they
// declare nothing, and let go of what others declare now.
func (a *Agent) gone(ctx context.Context, j job, cluster Cluster, found *drift.Others) error {
	known := map[string]bool{}
	for _, t := range j.repository.Targets {
		known[t.String()] = true
	}
	for _, u := range j.repository.Unusable {
		known[u.Target.String()] = true
		if u.Target.Overlay == "" { // whatever the environment has
			known[u.Target.Environment] = true
		}
	}
	accepted, err := cluster.Accepted(ctx)
	if err != nil {
		return err
	}
	for _, one := range accepted {
		_, declared := j.repository.Pipeline.Environment(one.Target.Environment)
		if declared && a.edges.Clusters[one.Target.Environment] == cluster && !known[one.Target.String()] && !known[one.Target.Environment] {
			found.Add(one.Target, nil)
		}
	}
	return nil
}
