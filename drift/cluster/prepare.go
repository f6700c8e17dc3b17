package cluster

import (
	"context"
	"errors"
	"slices"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/render"
)

// work is what an apply goes through: a release beside all that is known of
// its objects, and the plan made of that.
type work struct {
	target    *target
	release   render.Release
	terms     drift.Terms
	wanted    map[drift.ObjectID]drift.Wanted
	order     []drift.Wanted // as in the release
	kinds     map[drift.ObjectID]kind
	brought   map[schema.GroupKind]definition
	watchers  map[drift.ObjectID]*watcher // held until close
	live      map[drift.ObjectID]drift.Live
	inventory drift.Inventory
	adopted   map[drift.ObjectID]bool // what writing takes over from somebody
	others    *drift.Others
	given     map[drift.ObjectID]drift.Entry // by the targets that had them
	plan      drift.Plan
	// rewriting are declared fields that admission would change again as it did.
	rewriting map[drift.ObjectID][]drift.Change
	// recreated are the uids of objects that are deleted and made again.
	recreated map[drift.ObjectID]string
	// named are the objects by what the release calls them.
	named map[string][]drift.ObjectID

	held []*watcher
	// renamed are names that objects have no more, see drift.Inventory.Rename.
	renamed []drift.ObjectID
	// still are kept objects that left the release and are not repaired until it
	// is applied, or not.
	still []*kept
}

// prepare gathers and decides. Nothing is written.
func (c *Cluster) prepare(ctx context.Context, t *target, release render.Release, terms drift.Terms) (*work, error) {
	w := &work{
		target: t, release: release, terms: terms,
		wanted: map[drift.ObjectID]drift.Wanted{}, kinds: map[drift.ObjectID]kind{},
		watchers: map[drift.ObjectID]*watcher{}, live: map[drift.ObjectID]drift.Live{},
		adopted: map[drift.ObjectID]bool{}, given: map[drift.ObjectID]drift.Entry{}, recreated: map[drift.ObjectID]string{}, rewriting: map[drift.ObjectID][]drift.Change{}, named: map[string][]drift.ObjectID{}, brought: definitions(release.Objects),
	}
	if err := c.gather(ctx, w); err != nil {
		c.abandon(w)
		return nil, err
	}
	plan, err := drift.Decide(drift.Situation{Target: release.Target, Mark: t.mark, Mode: terms.Environment.Drift, Wanted: w.order, Inventory: w.inventory, Live: w.live,
		MaxPercent: terms.Environment.Prune.Percent(), Word: terms.Word, GoodAt: terms.GoodAt, Reach: c.reach(release.Target.Environment),
		Keeps: terms.Keeps, Others: w.others, ReachOf: c.reach, Given: w.given})
	if err != nil {
		c.abandon(w)
		return nil, err
	}
	w.plan = plan
	for _, s := range plan.Steps {
		if s.Action == drift.Configure && (w.inventory.Entries[s.Object].Adopts(w.live[s.Object]) || w.given[s.Object].Adopted) {
			w.adopted[s.Object] = true
		}
	}
	return w, nil
}

func (c *Cluster) gather(ctx context.Context, w *work) error {
	if err := c.findKinds(ctx, w); err != nil {
		return err
	}
	err := c.reach(w.release.Target.Environment).Check(w.release.Target, w.release.Objects)
	if err != nil {
		return err
	}
	if w.order, err = drift.Want(w.release.Objects, w.target.mark); err != nil {
		return w.rejected(err)
	}
	images, looks := w.byObject(w.release.Images), w.byObject(w.release.Images, w.release.Unlisted)
	if err := drift.Except(w.order, w.terms.Environment.Ignore, looks); err != nil {
		return w.rejected(err)
	}
	for i := range w.order {
		w.order[i].Images = images[w.order[i].ID]
		w.order[i].Adopt = slices.Concat(w.terms.Environment.Adopt, w.order[i].Adopt)
		w.wanted[w.order[i].ID] = w.order[i]
	}
	if w.inventory, err = c.inventories.load(ctx, w.target); err != nil {
		return err
	}
	if w.terms.Keeps {
		w.keepOnly()
	}
	if err := c.claim(w); err != nil {
		return c.letsGo(ctx, w, err)
	}
	if err := c.watchAll(ctx, w); err != nil {
		return err
	}
	if err := c.holdStill(ctx, w); err != nil {
		return err
	}
	c.mu.Lock()
	c.recall(w.target, w.inventory)
	c.mu.Unlock()
	if err := c.readLeft(ctx, w); err != nil {
		return err
	}
	return c.askOthers(ctx, w)
}

// keepOnly leaves out of the release what the inventory does not have, or has
// on its way out, see drift.Terms.
func (w *work) keepOnly() {
	w.order = slices.DeleteFunc(w.order, func(wanted drift.Wanted) bool {
		entry, ok := w.inventory.Entries[wanted.ID]
		if ok && entry.Leaving == "" {
			return false
		}
		delete(w.wanted, wanted.ID)
		return true
	})
}

// rejected names the target in what was found without asking.
func (w *work) rejected(err error) error {
	var refused *drift.Rejected
	if errors.As(err, &refused) {
		refused.Target, refused.Offline = w.release.Target, true
	}
	return err
}

// byObject sorts images by the objects that they stand in.
func (w *work) byObject(lists ...[]render.Image) map[drift.ObjectID][]render.Image {
	images := map[drift.ObjectID][]render.Image{}
	for _, list := range lists {
		for _, image := range list {
			for _, id := range w.named[image.Object] {
				images[id] = append(images[id], image)
			}
		}
	}
	return images
}

// recall adds to an inventory, as it was stored, what repairs made and watching
// saw since: one that could not be noted yet would be taken for somebody else's
// object, and a Job that has finished would run again. c.mu is held.
func (c *Cluster) recall(t *target, inventory drift.Inventory) {
	for id, entry := range inventory.Entries {
		made, ok := t.inventory.Entries[id]
		if made.Finished != "" && made.Desired == entry.Desired {
			entry.Finished = made.Finished
			inventory.Entries[id] = entry
		}
		if k := c.kept[id]; ok && k != nil && k.target == t && made.UID == k.uid && entry.UID != "" && entry.UID != made.UID {
			entry.UID, entry.Adopted = made.UID, made.Adopted
			inventory.Entries[id] = entry
		}
	}
}

// findKinds says where each object is served, and gives namespaced ones
// without a namespace the one that kubectl would: "default".
func (c *Cluster) findKinds(ctx context.Context, w *work) error {
	found, missing := map[schema.GroupVersionKind]kind{}, map[schema.GroupVersionKind]*notServed{}
	refused := &drift.Rejected{Target: w.release.Target, Of: len(w.release.Objects)}
	for _, object := range w.release.Objects {
		gvk := object.GroupVersionKind()
		k, known := found[gvk]
		if !known && missing[gvk] == nil {
			var err error
			var not *notServed
			k, err = c.kindOf(gvk, w.brought)
			switch {
			case errors.As(err, &not):
				missing[gvk] = not.named(ctx, c)
			case err != nil:
				return err
			default:
				found[gvk] = k
			}
		}
		if not := missing[gvk]; not != nil {
			refused.Problems = append(refused.Problems, drift.Problem{Object: drift.IDOf(object), Field: "apiVersion", Reason: not.Error(), Awaits: not.awaits()})
			continue
		}
		name := drift.NameOf(object)
		switch {
		case k.namespaced && object.GetNamespace() == "":
			object.SetNamespace("default")
		case !k.namespaced && object.GetNamespace() != "":
			unstructured.RemoveNestedField(object.Object, "metadata", "namespace") // as the API server does
		}
		id := drift.IDOf(object)
		if _, twice := w.kinds[id]; twice {
			refused.Problems = append(refused.Problems, drift.Problem{Object: id, Reason: "is in the release twice"})
		}
		w.kinds[id] = k
		w.named[name] = append(w.named[name], id)
	}
	if len(refused.Problems) > 0 {
		return refused
	}
	return nil
}

// claim takes the objects for this target, so that of two targets with the
// same new object only one gets it.
func (c *Cluster) claim(w *work) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	conflict := &drift.Conflict{Target: w.release.Target}
	for _, wanted := range w.order {
		if other := c.claims[wanted.ID]; other != nil && other != w.target {
			conflict.Objects = append(conflict.Objects, drift.Held{Object: wanted.ID, By: other.mark})
		}
	}
	if len(conflict.Objects) > 0 {
		return conflict
	}
	for _, wanted := range w.order {
		c.claims[wanted.ID] = w.target
	}
	w.target.coming = w.terms.Health
	return nil
}

// watchAll watches every kind that is served and takes what is seen.
func (c *Cluster) watchAll(ctx context.Context, w *work) error {
	c.mu.Lock()
	for _, wanted := range w.order {
		c.hold(w, wanted.ID)
	}
	c.mu.Unlock()
	if err := c.ready(ctx, w.held); err != nil {
		return err
	}
	if err := c.stillServed(ctx, w); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, wanted := range w.order {
		if watcher := w.watchers[wanted.ID]; watcher != nil {
			w.live[wanted.ID] = watcher.live(wanted.ID)
		} else {
			w.live[wanted.ID] = drift.Live{State: drift.Absent} // its kind is still to come
		}
	}
	return nil
}

// stillServed refuses objects in versions that the cluster served before. Kinds
// that the release itself defines come, or come back.
func (c *Cluster) stillServed(ctx context.Context, w *work) error {
	refused := &drift.Rejected{Target: w.release.Target, Of: len(w.order)}
	missing := map[schema.GroupVersionResource]*notServed{}
	for _, wanted := range w.order {
		watcher := w.watchers[wanted.ID]
		if watcher == nil {
			continue
		}
		if d, comes := w.brought[wanted.GVK.GroupKind()]; comes {
			c.comesBack(w, wanted, d)
			continue
		}
		gvr := watcher.kind.gvr
		if _, asked := missing[gvr]; !asked {
			c.mu.Lock()
			lost := apierrors.IsNotFound(watcher.broken)
			c.mu.Unlock()
			missing[gvr] = nil
			if lost && c.surelyNotServed(ctx, wanted.GVK) {
				missing[gvr] = (&notServed{gvk: wanted.GVK, resource: gvr.Resource}).named(ctx, c)
			}
		}
		if m := missing[gvr]; m != nil {
			refused.Problems = append(refused.Problems, drift.Problem{Object: wanted.ID, Field: "apiVersion", Reason: m.Error(), Awaits: m.awaits()})
		}
	}
	if len(refused.Problems) > 0 {
		return refused
	}
	return nil
}

// comesBack finds out whether a kind whose definition left, and is in the
// release again, is still to come, whatever was known of it.
func (c *Cluster) comesBack(w *work, wanted drift.Wanted, d definition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defined := w.watchers[d.id]
	if defined == nil || defined.live(d.id).State != drift.Absent || !apierrors.IsNotFound(w.watchers[wanted.ID].broken) {
		return
	}
	k := w.kinds[wanted.ID]
	k.gvr.Resource, k.namespaced, k.coming = d.kind.gvr.Resource, d.kind.namespaced, true
	w.kinds[wanted.ID] = k
	delete(w.watchers, wanted.ID)
}

// hold makes sure that the kind of an object is watched until close. c.mu is held.
func (c *Cluster) hold(w *work, id drift.ObjectID) {
	k := w.kinds[id]
	if k.coming {
		return
	}
	for _, held := range w.held {
		if held.kind.gvr == k.gvr {
			w.watchers[id] = held
			return
		}
	}
	watcher := c.watch(k)
	w.held = append(w.held, watcher)
	w.watchers[id] = watcher
}

// holdStill ends repairs of what leaves the release before it is looked for:
// what is made again after that would be left over.
func (c *Cluster) holdStill(ctx context.Context, w *work) error {
	var leaving []*kept
	note := func(id drift.ObjectID) {
		if _, ok := w.wanted[id]; ok {
			return
		}
		if k := c.kept[id]; k != nil && k.target == w.target && !slices.Contains(leaving, k) {
			leaving = append(leaving, k)
		}
	}
	c.mu.Lock()
	for id := range w.inventory.Entries {
		note(id)
	}
	for _, k := range w.target.objects { // should the inventory be lost
		note(k.id)
	}
	c.mu.Unlock()
	// Each is taken as it comes free: waiting for one must not let another begin.
	return c.wait(ctx, func() bool {
		leaving = slices.DeleteFunc(leaving, func(k *kept) bool {
			switch {
			case c.kept[k.id] != k:
				return true
			case k.busy:
				return false
			}
			k.busy = true
			w.still = append(w.still, k)
			return true
		})
		return len(leaving) == 0
	})
}

// readLeft reads what is in the inventory and not in the release from the API
// server: what is deleted is never chosen from a cache.
func (c *Cluster) readLeft(ctx context.Context, w *work) error {
	var left []drift.ObjectID
	kinds := map[schema.GroupVersionKind]whereabouts{}
	gvkOf := func(id drift.ObjectID) schema.GroupVersionKind {
		return schema.GroupVersionKind{Group: id.Group, Version: w.inventory.Entries[id].Version, Kind: id.Kind}
	}
	for _, id := range w.inventory.IDs() {
		if _, ok := w.wanted[id]; ok {
			continue
		}
		left = append(left, id)
		if gvk := gvkOf(id); kinds[gvk].here == nil {
			kinds[gvk] = c.whereabouts(ctx, gvk)
		}
	}
	var mu sync.Mutex
	note := func(id drift.ObjectID, live drift.Live) {
		mu.Lock()
		defer mu.Unlock()
		w.live[id] = live
	}
	if err := each(ctx, c.turns, left, func(ctx context.Context, id drift.ObjectID) {
		object, k, err := c.find(ctx, kinds[gvkOf(id)], id)
		switch {
		case err != nil:
			note(id, drift.Live{Why: err})
		case object == nil:
			note(id, drift.Live{State: drift.Absent})
		default:
			mu.Lock()
			w.kinds[id] = k
			mu.Unlock()
			live := drift.Observe(object)
			live.Created = object.GetCreationTimestamp().Time
			note(id, live)
		}
	}); err != nil {
		return err
	}
	before := w.inventory.Recognise(w.live, w.target.mark)
	w.inventory = before.Rename(w.order, w.live, w.target.mark)
	for id := range before.Entries {
		if _, ok := w.inventory.Entries[id]; !ok {
			w.renamed = append(w.renamed, id)
		}
	}
	c.mu.Lock()
	for _, id := range left {
		if w.live[id].State == drift.Present {
			c.hold(w, id)
		}
	}
	c.mu.Unlock()
	return nil
}

// abandon gives up what was taken for work and did not become kept.
func (c *Cluster) abandon(w *work) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, wanted := range w.order {
		if c.kept[wanted.ID] == nil && c.claims[wanted.ID] == w.target {
			delete(c.claims, wanted.ID)
		}
	}
	for _, held := range w.held {
		c.release(held)
	}
	w.held = nil
	for _, k := range w.still {
		if c.kept[k.id] == k { // it did not leave after all
			c.end(k)
		}
	}
	w.still = nil
}
