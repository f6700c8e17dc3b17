package agent

import (
	"context"
	"errors"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/render"
)

// others tells what the other targets of a job's cluster declare at its commit.
// Their workers build the same, so nothing is built twice. Whether they may be
// applied does not matter: who declares an object wants it.
func (a *Agent) others(ctx context.Context, j job, cluster Cluster) (*drift.Others, error) {
	found := &drift.Others{}
	for _, u := range j.repository.Unusable {
		if a.edges.Clusters[u.Target.Environment] == cluster && u.Target.String() != j.target.String() {
			found.Unknown = append(found.Unknown, u.Target)
		}
	}
	for _, t := range j.repository.Targets {
		if a.edges.Clusters[t.Environment] != cluster || t == j.target {
			continue
		}
		built, err := a.build(ctx, j.revision, t, j.declared)
		var unpinned *render.UnpinnedError
		switch {
		case errors.As(err, &unpinned):
			found.Add(t, drift.IDsOf(unpinned.Objects))
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			found.Unknown = append(found.Unknown, t)
		default:
			found.Add(t, drift.IDsOf(built.Release.Objects))
		}
	}
	return found, a.gone(ctx, j, cluster, found)
}

// gone adds the targets that have no overlay at the commit any more: they
// declare nothing, and let go of what others declare now.
func (a *Agent) gone(ctx context.Context, j job, cluster Cluster, found *drift.Others) error {
	known := map[string]bool{j.target.String(): true}
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
