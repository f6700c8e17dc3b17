package cluster

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
)

// Accepted is what each target that this agent has an inventory for in the
// cluster was last brought to, now or before a restart, in the order of their
// names; if targets are given, what those were. The first call of a process reads
// the inventories, unless an apply did; more calls cost no request.
func (c *Cluster) Accepted(ctx context.Context, of ...environments.Target) ([]drift.Accepted, error) {
	s := &c.inventories
	if err := s.list(ctx); err != nil {
		return nil, err
	}
	// An agent starts here. What people asked of a target that nothing is deployed
	// to any more is to be answered, too.
	c.releases.mu.Lock()
	c.watchReleases()
	c.releases.mu.Unlock()
	var names []string
	for _, t := range of {
		names = append(names, inventoryName(drift.MarkFor(c.options.Owner, t)))
	}
	if len(of) == 0 {
		s.mu.Lock()
		names = slices.Collect(maps.Keys(s.known))
		s.mu.Unlock()
	}
	var accepted []drift.Accepted
	for _, name := range names {
		known := s.of(name)
		if known != nil && known.stale {
			unlock := s.lock(name)
			var err error
			known, err = s.fresh(ctx, name)
			unlock()
			if err != nil {
				return nil, err
			}
		}
		if known == nil {
			continue // there is none, or it was deleted by hand
		}
		target, ok := c.targetOf(name, known)
		if !ok {
			s.log.Warn().Str("configmap", s.namespace+"/"+name).Msg("an inventory does not say whose it is; it is left alone")
			continue
		}
		a := known.inventory.Accepted
		a.Target = target
		accepted = append(accepted, a)
	}
	slices.SortFunc(accepted, func(a, b drift.Accepted) int { return strings.Compare(a.Target.String(), b.Target.String()) })
	return accepted, nil
}

// Note remembers what a target that nothing was ever applied for is compared
// with. It changes nothing for one that there is an inventory of.
func (c *Cluster) Note(ctx context.Context, a drift.Accepted) error {
	t, err := c.acquire(ctx, a.Target)
	if err != nil {
		return err
	}
	defer func() { <-t.apply }()
	inv, err := c.inventories.load(ctx, t)
	if err != nil || inv.Accepted.Commit != "" || len(inv.Entries) > 0 {
		return err
	}
	inv.Accepted = drift.Accepted{Commit: a.Commit, Demands: a.Demands, At: a.At}
	return c.inventories.save(ctx, t, inv)
}

// targetOf believes a name only if the inventory of that target would have the
// name that this one has, as anybody may edit an annotation.
func (c *Cluster) targetOf(name string, known *stored) (environments.Target, bool) {
	for _, text := range []string{known.object.Annotations[annotationFor], known.inventory.Target} {
		t := targetNamed(text)
		if t.Environment != "" && inventoryName(drift.MarkFor(c.options.Owner, t)) == name {
			return t, true
		}
	}
	return environments.Target{}, false
}

// targetNamed is the target that an annotation names, as people type it.
func targetNamed(text string) environments.Target {
	environment, application, _ := strings.Cut(text, "/")
	return environments.Target{Environment: environment, Application: application}
}
