package cluster

import (
	"context"
	"errors"

	"github.com/pawl-dev/pawl/drift"
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
