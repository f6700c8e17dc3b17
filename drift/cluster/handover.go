package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
)

// askOthers looks up what other targets declare and have let go of, if the plan
// may depend on it: something left, or belongs to one of them.
func (c *Cluster) askOthers(ctx context.Context, w *work) error {
	asks := false
	var had []drift.Held // by other targets, and not there
	for id, live := range w.live {
		e := w.inventory.Entries[id]
		if _, wanted := w.wanted[id]; wanted && live.State == drift.Absent && (e.UID == "" || e.Leaving != "") { // else it was ours, too
			if by, ok := c.hadBy(id, w.target); ok {
				asks, had = true, append(had, drift.Held{Object: id, By: by})
			}
		}
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
	if err != nil {
		return err
	}
	w.others = others
	// Somebody deleted it while no agent ran, say: it is still whose it was, and
	// not that of whoever comes first.
	had = slices.DeleteFunc(had, func(h drift.Held) bool { return !others.Declares(h.By, h.Object) })
	if len(had) > 0 {
		return &drift.Conflict{Target: w.release.Target, Objects: had}
	}
	return nil
}

// hadBy finds another target of the agent that made an object and did not let go
// of it.
func (c *Cluster) hadBy(id drift.ObjectID, t *target) (drift.Mark, bool) {
	s, own := &c.inventories, inventoryName(t.mark)
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, known := range s.known {
		if known == nil || known.err != nil || known.stale || name == own {
			continue
		}
		if e, ok := known.inventory.Entries[id]; !ok || e.UID == "" || e.Leaving != "" {
			continue
		}
		if of, ok := c.targetOf(name, known); ok {
			return drift.MarkFor(c.options.Owner, of), true
		}
	}
	return drift.Mark{}, false
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
// that a target that was renamed in git takes its objects along. Of what nobody
// else declares all is kept as it was, unless the terms have the word that it is
// to be deleted: then the target is pruned to the end, and forgotten.
func (c *Cluster) Leave(ctx context.Context, of environments.Target, terms drift.Terms) (drift.Left, error) {
	left := drift.Left{Target: of}
	t, err := c.acquire(ctx, of)
	if err != nil {
		return left, err
	}
	defer func() { <-t.apply }()
	if t.inventory.Target != "" { // what was put back may not be noted yet
		if err := c.store(ctx, t); err != nil {
			return left, err
		}
	}
	w := &work{target: t, terms: terms, kinds: map[drift.ObjectID]kind{}, watchers: map[drift.ObjectID]*watcher{}, live: map[drift.ObjectID]drift.Live{}}
	defer c.abandon(w)
	if err := c.gatherLeft(ctx, w); err != nil {
		return left, err
	}
	next, waiting := w.others.Leave(w.inventory, w.live, t.mark)
	if err := c.noteLeft(ctx, w, next); err != nil {
		return left, err
	}
	plan := drift.Retire(drift.Situation{Target: of, Mark: t.mark, Inventory: next, Live: w.live, Word: terms.Word, Reach: c.reach(of.Environment), Others: w.others, ReachOf: c.reach})
	left.Waiting, left.Held = waiting, plan.Held
	if err := c.noteLeft(ctx, w, next.Retire(plan)); err != nil {
		return left, err
	}
	if _, left.Pending, err = c.pruneAll(ctx, t, plan.Steps, w.watchers); err != nil {
		return left, err
	}
	c.mu.Lock()
	kept := slices.ContainsFunc(w.still, func(k *kept) bool { return c.kept[k.id] == k })
	next = t.inventory.Retired(w.live, t.mark, kept)
	c.mu.Unlock()
	left.Objects = len(next.Entries)
	return left, c.noteLeft(ctx, w, next)
}

// gatherLeft reads what a target has whose overlay is gone. What cannot be read is
// an error: nothing is decided on half of it.
func (c *Cluster) gatherLeft(ctx context.Context, w *work) (err error) {
	t := w.target
	if w.inventory, err = c.inventories.load(ctx, t); err != nil {
		return err
	}
	if err := c.holdStill(ctx, w); err != nil {
		return err
	}
	if err := c.readLeft(ctx, w); err != nil {
		return err
	}
	c.mu.Lock()
	if t.inventory.Target == "" { // it was not applied since the start
		t.inventory = w.inventory.Clone()
	}
	c.mu.Unlock()
	for _, id := range w.inventory.IDs() {
		if live := w.live[id]; live.State == drift.Unknown {
			return fmt.Errorf("%s: reading %s: %w", t.name, id, live.Why)
		}
	}
	c.mu.Lock()
	held := w.held
	c.mu.Unlock()
	if err := c.ready(ctx, held); err != nil {
		return err
	}
	w.others, err = w.terms.Others(ctx)
	return err
}

// noteLeft stores what is left of a target, notes it beside what repairs made
// before, and stops keeping what went.
func (c *Cluster) noteLeft(ctx context.Context, w *work, next drift.Inventory) error {
	t := w.target
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
		e.UID, e.Adopted, e.Leaving = left.UID, left.Adopted, left.Leaving // no repair runs
		t.inventory.Entries[id] = e
	}
	t.inventory.Accepted = next.Accepted
	for _, k := range w.still {
		if e, ok := next.Entries[k.id]; c.kept[k.id] == k && (!ok || e.Leaving == drift.LeavingHanded) {
			c.unkeep(k)
		}
	}
	t.objects = slices.DeleteFunc(t.objects, func(k *kept) bool { return c.kept[k.id] != k })
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
