package cluster

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/pawl-dev/pawl/drift"
)

// deletion is an object that left a release and is not surely gone yet.
type deletion struct {
	id     drift.ObjectID
	target *target
	// guarded by Cluster.mu
	watcher *watcher // held, so that the end is seen
	entry   drift.Entry
	uid     string
}

// outcome is how an attempt to delete an object ended.
type outcome int

const (
	gone    outcome = iota // the API server said so
	begun                  // finalizers or a grace period hold it; watching will see the end
	spared                 // it must not be deleted after all
	refused                // tried again later
)

// prune looks at the live object and deletes it if that still is right. held are
// the names of what the release holds, see heldAs.
func (c *Cluster) prune(ctx context.Context, d *deletion, held map[string]drift.ObjectID) (outcome, drift.Step) {
	step := drift.Step{Object: d.id, Action: drift.Delete, Reason: "left the release"}
	c.mu.Lock()
	entry, kind := d.entry, d.watcher.kind
	c.mu.Unlock()
	for range 5 {
		object, err := c.get(ctx, kind, d.id)
		switch {
		case isGone(err):
			return gone, step
		case err != nil:
			step.Reason += fmt.Sprintf("; it could not be read, and is tried again: %v", err)
			return refused, step
		}
		live := drift.Observe(object)
		step.Action, step.Reason = drift.DecidePrune(d.id, entry, live, d.target.mark)
		if step.Action != drift.Delete {
			return spared, step
		}
		if same, ok := held[live.UID]; ok {
			step.Action, step.Reason = drift.Keep, fmt.Sprintf("left the release, but is the same object as its %s, so it was not deleted", same)
			return spared, step
		}
		if live.Terminating {
			step.Reason += "; it is being deleted, and waits for something"
			if f := object.GetFinalizers(); len(f) > 0 {
				step.Reason += fmt.Sprintf(" (finalizers %v)", f)
			}
			return begun, step
		}
		done, err := c.delete(ctx, d.target, kind, d.id, live)
		switch {
		case err == nil && done, isGone(err):
			return gone, step
		case err == nil:
			c.mu.Lock()
			d.uid = live.UID
			c.mu.Unlock()
			step.Reason += "; its deletion has begun"
			return begun, step
		case !apierrors.IsConflict(err): // a conflict says that it changed since it was read
			step.Reason += fmt.Sprintf("; deleting it was refused, and is tried again: %v", err)
			return refused, step
		}
	}
	step.Reason += "; it changed each time it was to be deleted, and is tried again"
	return refused, step
}

// heldAs are the names by which a target's release holds objects, by their uids.
// What is to be deleted may be one of them, see drift.Inventory.Rename: a watch may
// have been behind when that was decided on.
func (c *Cluster) heldAs(t *target) map[string]drift.ObjectID {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := make(map[string]drift.ObjectID, len(t.inventory.Entries))
	for id, e := range t.inventory.Entries {
		if k := c.kept[id]; e.UID != "" && k != nil && k.target == t && c.deleting[id] == nil {
			names[e.UID] = id
		}
	}
	return names
}

// pursue goes on with a deletion that did not end at once.
func (c *Cluster) pursue(d *deletion) {
	result, step := c.prune(c.ctx, d, c.heldAs(d.target))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deleting[d.id] != d {
		return
	}
	switch result {
	case gone:
		c.pruned(d)
	case spared:
		c.options.Log.Warn().Stringer("object", d.id).Str("target", d.target.name).Str("reason", step.Reason).Msg("not pruned")
		c.letGo(d)
	case refused:
		c.retry.AddRateLimited(d.id)
	}
}

// pruned forgets an object that is surely gone. c.mu is held.
func (c *Cluster) pruned(d *deletion) {
	c.letGo(d)
	if _, ok := d.target.inventory.Entries[d.id]; ok {
		delete(d.target.inventory.Entries, d.id)
		c.flush(d.target)
	}
}

// letGo ends a deletion, however it went. c.mu is held.
func (c *Cluster) letGo(d *deletion) {
	if c.deleting[d.id] == d {
		delete(c.deleting, d.id)
		c.release(d.watcher)
	}
	c.retry.Forget(d.id)
	c.changed()
}

// leave stores which deletions were decided before the first of them, so that
// what is cut off now goes on whatever comes next.
func (c *Cluster) leave(ctx context.Context, w *work) error {
	c.mu.Lock()
	inventory, changed := w.target.inventory.Leave(w.plan.Steps)
	w.target.inventory = inventory
	c.mu.Unlock()
	if !changed {
		return nil
	}
	return c.store(ctx, w.target)
}

// pruneAll deletes what left the release, and returns the steps as they went
// and what is not surely gone. What an earlier prune could not end is tried again.
func (c *Cluster) pruneAll(ctx context.Context, t *target, steps []drift.Step, watchers map[drift.ObjectID]*watcher) (taken []drift.Step, pending []drift.ObjectID, err error) {
	results := make([]drift.Step, len(steps))
	copy(results, steps)
	byStage := make([][]int, drift.Stages)
	for i, s := range steps {
		if s.Action == drift.Delete {
			byStage[s.Object.Stage()] = append(byStage[s.Object.Stage()], i)
		}
	}
	for stage := drift.Stages - 1; stage >= 0; stage-- {
		deletions := make([]*deletion, 0, len(byStage[stage]))
		outcomes := map[drift.ObjectID]outcome{}
		for _, i := range byStage[stage] {
			id := steps[i].Object
			c.mu.Lock()
			if k := c.kept[id]; k != nil && k.target == t { // no repair of it runs, see holdStill
				c.unkeep(k)
			}
			d, w := c.deleting[id], watchers[id]
			if d == nil {
				d = &deletion{id: id, target: t}
				c.deleting[id] = d
			}
			if d.watcher != w { // by another version than before, perhaps
				w.users++
				if d.watcher != nil {
					c.release(d.watcher)
				}
				d.watcher = w
			}
			d.entry = t.inventory.Entries[id]
			c.changed()
			c.mu.Unlock()
			deletions = append(deletions, d)
		}
		indexes := make(map[drift.ObjectID]int, len(deletions))
		for _, i := range byStage[stage] {
			indexes[steps[i].Object] = i
		}
		held := c.heldAs(t)
		err := each(ctx, c.turns, deletions, func(ctx context.Context, d *deletion) {
			result, step := c.prune(context.WithoutCancel(ctx), d, held)
			c.mu.Lock()
			defer c.mu.Unlock()
			results[indexes[d.id]], outcomes[d.id] = step, result
			switch result {
			case gone:
				c.pruned(d)
			case spared:
				c.letGo(d)
			case refused:
				c.retry.AddRateLimited(d.id)
			}
		})
		if err != nil {
			return nil, nil, err
		}
		if err := c.deletionsConfirmed(ctx, deletions, outcomes); err != nil {
			return nil, nil, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, s := range results {
		if steps[i].Action == drift.Delete && c.deleting[s.Object] != nil {
			pending = append(pending, s.Object)
		}
	}
	return results, pending, nil
}

// deletionsConfirmed gives deletions that have begun a moment to end.
func (c *Cluster) deletionsConfirmed(ctx context.Context, deletions []*deletion, outcomes map[drift.ObjectID]outcome) error {
	short, cancel := context.WithTimeout(ctx, deletionTimeout)
	defer cancel()
	err := c.wait(short, func() bool {
		for _, d := range deletions {
			if outcomes[d.id] == begun && c.deleting[d.id] == d {
				return false
			}
		}
		return true
	})
	if err != nil && ctx.Err() == nil && c.ctx.Err() == nil {
		return nil // pending
	}
	return err
}
