package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
)

// askOthers looks up what other targets declare and have let go of, if the plan
// may depend on it: something left, or belongs to one of them.
func (c *Cluster) askOthers(ctx context.Context, w *work) error {
	asks := false
	for id, live := range w.live {
		if live.State != drift.Present || live.Mark.IsZero() {
			continue
		}
		_, wanted := w.wanted[id]
		asks = asks || !wanted
		if wanted && live.Mark != w.target.mark && live.Mark.Agent == w.target.mark.Agent {
			asks = true
			if entry, ok := c.inventories.entry(live.Mark, id); ok {
				w.given[id] = entry
			}
		}
	}
	if !asks || w.terms.Others == nil {
		return nil
	}
	others, err := w.terms.Others(ctx)
	w.others = others
	return err
}

// letsGo notes in a conflict about claims what their holders will give up.
func (c *Cluster) letsGo(ctx context.Context, w *work, err error) error {
	var conflict *drift.Conflict
	if w.terms.Others == nil || !errors.As(err, &conflict) {
		return err
	}
	others, askErr := w.terms.Others(ctx)
	if askErr != nil {
		return err
	}
	for i, held := range conflict.Objects {
		conflict.Objects[i].LetsGo = others.LetsGo(held.By, held.Object)
	}
	return conflict
}

// Leave lets go of what others declare now of a target whose overlay is gone, so
// that a target that was renamed in git takes its objects along. Nothing is
// deleted, and what nobody else declares is kept as it was. It returns how many
// objects are left to the target, and which of them are not taken yet.
func (c *Cluster) Leave(ctx context.Context, of environments.Target, others *drift.Others) (left int, waiting []drift.Handed, err error) {
	t, err := c.acquire(ctx, of)
	if err != nil {
		return 0, nil, err
	}
	defer func() { <-t.apply }()
	if t.inventory.Target != "" { // what was put back may not be noted yet
		if err := c.store(ctx, t); err != nil {
			return 0, nil, err
		}
	}
	inv, err := c.inventories.load(ctx, t)
	if err != nil {
		return 0, nil, err
	}
	live := map[drift.ObjectID]drift.Live{}
	kinds := map[schema.GroupVersionKind]whereabouts{}
	for _, id := range inv.IDs() {
		gvk := schema.GroupVersionKind{Group: id.Group, Version: inv.Entries[id].Version, Kind: id.Kind}
		if kinds[gvk].here == nil {
			kinds[gvk] = c.whereabouts(ctx, gvk)
		}
		object, _, err := c.find(ctx, kinds[gvk], id)
		switch {
		case err != nil:
			return 0, nil, fmt.Errorf("%s: reading %s: %w", t.name, id, err)
		case object != nil:
			live[id] = drift.Observe(object)
		default:
			live[id] = drift.Live{State: drift.Absent}
		}
	}
	next, waiting := others.Leave(inv.Recognise(live, t.mark), live, t.mark)
	if err := c.noteLeft(ctx, t, next); err != nil {
		return 0, nil, err
	}
	for id := range inv.Entries {
		if e, ok := next.Entries[id]; ok && e.Leaving != drift.LeavingHanded {
			continue
		}
		if err := c.begin(ctx, id); err != nil { // a repair that runs ends first
			return 0, nil, err
		}
		c.mu.Lock()
		if k := c.kept[id]; k != nil {
			c.end(k)
			if k.target == t {
				c.unkeep(k)
				t.objects = slices.DeleteFunc(t.objects, func(o *kept) bool { return o == k })
			}
		}
		c.mu.Unlock()
	}
	return len(next.Entries), waiting, nil
}

// noteLeft stores what is left of a target, and notes it beside what repairs make
// meanwhile.
func (c *Cluster) noteLeft(ctx context.Context, t *target, next drift.Inventory) error {
	t.storing.Lock()
	defer t.storing.Unlock()
	if err := c.inventories.save(ctx, t, next); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, e := range t.inventory.Entries {
		left, ok := next.Entries[id]
		if !ok {
			delete(t.inventory.Entries, id)
			continue
		}
		e.Leaving = left.Leaving
		t.inventory.Entries[id] = e
	}
	t.inventory.Accepted = next.Accepted
	return nil
}

// entry is what the inventory of the target with a mark says of an object.
func (s *inventories) entry(mark drift.Mark, id drift.ObjectID) (drift.Entry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.known[inventoryName(mark)]
	if known == nil || known.err != nil || known.stale {
		return drift.Entry{}, false
	}
	entry, ok := known.inventory.Entries[id]
	return entry, ok
}
