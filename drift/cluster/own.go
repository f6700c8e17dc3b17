package cluster

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"github.com/pawl-dev/pawl/drift"
)

// upkeep looks after what the agent keeps about itself in its own namespace, by
// watching, as after what it applies: what somebody deletes or edits there is
// written again, and whoever does that again and again is slowed. It does so
// for targets that are kept: a person's command keeps none, and who retires an
// application deletes what was known of it for good.
type upkeep struct {
	metadata metadata.Interface
	queue    workqueue.TypedRateLimitingInterface[ownID]

	// The rest is guarded by Cluster.mu.

	on      bool
	of      map[ownID]*target
	fights  map[ownID]*drift.Fights
	failing map[ownID]bool // and that was told
}

// ownID is the inventory of a target, or the index of its good releases.
type ownID struct{ resource, name string }

const (
	ownInventory = "configmaps"
	ownReleases  = "secrets"

	// tending is how many targets are looked after at once.
	tending = 4
)

// sighting is how an object was last seen: its version, and whether that is the
// one of its deletion. The zero value was never seen.
type sighting struct {
	version string
	gone    bool
}

// newer reports whether more has happened than that a version was written, which
// is empty if nothing was.
func (s sighting) newer(than string) bool {
	switch {
	case s.version == "" || s.version == than:
		return false
	case than == "":
		return !s.gone
	}
	return !older(s.version, than)
}

// lookAfter looks after what is kept of a target, now and from now on. c.mu is held.
func (c *Cluster) lookAfter(t *target) {
	if !c.upkeep.on {
		c.upkeep.on = true
		c.watchOwn(ownReleases, labelGoodPart, c.releases.agent, true, ownStore{c, ownReleases, c.sawPart, c.releases.listedParts})
		c.watchOwn(ownInventory, labelInventory, c.inventories.agent, false, ownStore{c, ownInventory, c.sawInventory, c.inventories.listedHeads})
		c.watchOwn(ownInventory, labelInventoryPart, c.inventories.agent, false, ownStore{c, ownInventory, c.sawInventory, c.inventories.listedParts})
		for range tending {
			c.spawn(c.tend)
		}
	}
	for _, id := range []ownID{{ownInventory, inventoryName(t.mark)}, {ownReleases, goodName(c.options.Owner, t.Target)}} {
		c.upkeep.of[id] = t
		c.upkeep.queue.Add(id)
	}
}

// watchOwn watches objects of the agent's namespace by a label. Only their
// metadata is read, but where the last content of what is deleted is wanted: an
// event of that has it. c.mu is held.
func (c *Cluster) watchOwn(resource, label, agent string, contents bool, into ownStore) {
	gvr := schema.GroupVersionResource{Version: "v1", Resource: resource}
	objects := c.upkeep.metadata.Resource(gvr).Namespace(c.options.Namespace)
	selector := label + "=" + agent
	c.reflect(c.ctx, "the agent's own "+resource, &source{
		list: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = selector
			return objects.List(ctx, o)
		},
		watch: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = selector
			if contents {
				return c.client.Resource(gvr).Namespace(c.options.Namespace).Watch(ctx, o)
			}
			return objects.Watch(ctx, o)
		},
		outcome: func(error) {},
		partial: true, listed: contents,
	}, into)
}

// ownStore hands on what is seen of the agent's own objects.
type ownStore struct {
	c        *Cluster
	resource string
	saw      func(object metav1.Object, s sighting) (name string, news bool)
	listed   func(there map[string]bool, version string)
}

var _ cache.ReflectorStore = ownStore{}

func (s ownStore) Add(object any) error    { return s.event(object, false) }
func (s ownStore) Update(object any) error { return s.event(object, false) }
func (s ownStore) Delete(object any) error { return s.event(object, true) }
func (s ownStore) Resync() error           { return nil }

func (s ownStore) event(object any, gone bool) error {
	o, err := meta.Accessor(object)
	if err != nil {
		return err
	}
	if name, news := s.saw(o, sighting{o.GetResourceVersion(), gone}); news {
		s.c.upkeep.queue.Add(ownID{s.resource, name})
	}
	return nil
}

func (s ownStore) Replace(objects []any, version string) error {
	there := map[string]bool{}
	for _, object := range objects {
		o, err := meta.Accessor(object)
		if err != nil {
			return err
		}
		there[o.GetName()] = true
		s.saw(o, sighting{o.GetResourceVersion(), false})
	}
	s.listed(there, version)
	s.c.tendAll(s.resource)
	return nil
}

// tendAll looks after all targets. What is as it was written costs no request.
func (c *Cluster) tendAll(resource string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := range c.upkeep.of {
		if id.resource == resource {
			c.upkeep.queue.Add(id)
		}
	}
	c.changed()
}

func (c *Cluster) tend() {
	for {
		id, shutdown := c.upkeep.queue.Get()
		if shutdown {
			return
		}
		c.tendOne(id)
		c.upkeep.queue.Done(id)
	}
}

// tendOne looks after one inventory or index. It may long be well: the queue is
// only a hint.
func (c *Cluster) tendOne(id ownID) {
	c.mu.Lock()
	t := c.upkeep.of[id]
	if t == nil || c.targets[t.name] != t { // it was forgotten
		delete(c.upkeep.of, id)
		delete(c.upkeep.fights, id)
		delete(c.upkeep.failing, id)
		c.mu.Unlock()
		return
	}
	if len(t.objects) == 0 {
		c.mu.Unlock()
		return
	}
	f := c.upkeep.fights[id]
	if f == nil {
		f = &drift.Fights{}
	}
	if wait := f.Wait(undone, time.Now()); wait > 0 {
		c.upkeep.queue.AddAfter(id, wait)
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()

	var found drift.Own
	var err error
	if id.resource == ownInventory {
		found, err = c.tendInventory(c.ctx, id.name)
	} else {
		found, err = c.tendReleases(c.ctx, id.name, t)
	}
	now := time.Now()

	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		if c.ctx.Err() != nil {
			return
		}
		c.upkeep.queue.AddRateLimited(id)
		if !c.upkeep.failing[id] {
			c.upkeep.failing[id], found.Err = true, err
		}
	} else {
		c.upkeep.queue.Forget(id)
		delete(c.upkeep.failing, id)
	}
	known := false
	if len(found.Written) > 0 {
		var begins *drift.Fight
		c.upkeep.fights[id] = f
		if begins, known = f.Corrected(c.options.Fights, undone, "", nil, now); begins != nil {
			found.Fight, found.Corrections = drift.FightBegan, begins.Count
		}
	}
	if f.Active() {
		ended, again := f.Over(c.options.Fights, now)
		for _, fight := range ended {
			found.Fight, found.Corrections = drift.FightEnded, fight.Count
		}
		if f.Active() {
			c.upkeep.queue.AddAfter(id, again)
		} else {
			delete(c.upkeep.fights, id)
		}
		if known && len(ended) == 0 {
			found.Written = nil // was told when it began, and will be when it ends
		}
	}
	if len(found.Written) > 0 || len(found.Lost) > 0 || found.Fight != "" || found.Err != nil {
		c.notices.tended(t, found)
	}
}

// undone is what somebody does to the agent's own objects, to a fight: whatever
// it was, it had to be written again.
var undone = drift.Live{State: drift.Absent}
