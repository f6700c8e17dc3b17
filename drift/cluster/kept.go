package cluster

import (
	"cmp"
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/render"
)

// kept is an object of a release that was applied and is kept so. All of it
// is guarded by Cluster.mu.
type kept struct {
	id      drift.ObjectID
	target  *target
	watcher *watcher
	patch   []byte // what is applied
	except  *drift.Exceptions
	adopt   []environments.Tool // as of drift.Wanted
	desired drift.Digest        // of patch
	applied drift.Digest        // AppliedDigest as the API server answered the apply
	uid     string
	health  drift.ObjectHealth
	// finished is how a Job ended, as desired.
	finished drift.Finished

	// busy is set while a request writes the object. Only its answer tells
	// whether what is seen meanwhile is drift.
	busy bool
	// An episode of drift: when it was seen, what the object looked like, and
	// whether a failed repair, or the drift that is only reported, was told.
	since    time.Time
	drifted  *unstructured.Unstructured
	failing  bool
	reported likeness
	// unmarked is set where the object was out of sight last because somebody took
	// our mark off, or made another one in its place.
	unmarked bool
	// lacks is what the object waits for, and told the one that was told.
	lacks, told lack
	// reasons are those for which the API server refused to have it put back, and
	// that were told.
	reasons []metav1.StatusReason
	// repairs since window, so that one object cannot keep the agent busy.
	repairs int
	window  time.Time
	// rollout is what its controller rolls out and replaces how, cause why the pods of that do not
	// get ready, and refused since when such pods are.
	rollout  string
	replaces drift.Replacement
	refusal  drift.Cause // as of drift.Live
	cause    drift.Cause
	refused  time.Time
	fights   drift.Fights
	// images are those that it declares, and rewritten says that admission made
	// another one of one of them.
	images    []render.Image
	rewritten string
	// rewriting are other declared fields that admission changed, as applied has them.
	rewriting []drift.Change
}

// keep registers that an object is as the release wants it. c.mu is held.
func (c *Cluster) keep(t *target, w *watcher, wanted drift.Wanted, applied drift.Digest, uid string) *kept {
	k, ok := c.kept[wanted.ID]
	if !ok {
		k = &kept{id: wanted.ID, health: drift.ObjectHealth{Object: wanted.ID, Status: drift.Progressing, Message: "was not seen yet"}}
		c.kept[wanted.ID] = k
	}
	if k.watcher != w {
		w.users++
		if k.watcher != nil {
			c.release(k.watcher)
		}
	}
	if k.desired != wanted.Digest {
		k.cause = drift.Cause{} // was that of other pods
	}
	entry := t.inventory.Entries[wanted.ID]
	finished := entry.Finished
	if k.desired == wanted.Digest { // seen since that was noted, perhaps
		finished = cmp.Or(k.finished, finished)
	}
	reported := k.reported
	if k.desired != wanted.Digest || k.applied != applied {
		reported = likeness{}
	}
	k.target, k.watcher, k.patch, k.desired, k.applied, k.uid = t, w, wanted.Patch, wanted.Digest, applied, uid
	k.images, k.except, k.adopt, k.finished = wanted.Images, wanted.Exceptions, wanted.Adopt, finished
	if finished != entry.Finished {
		c.remember(k)
	}
	k.settled()
	k.reported = reported                   // what was told of this release is not told again
	if d, ok := c.deleting[wanted.ID]; ok { // it came back
		delete(c.deleting, wanted.ID)
		c.release(d.watcher)
	}
	live, ok := w.seen[wanted.ID]
	if !ok && k.finished != "" { // gone for so long that it was never seen
		live.State, ok = drift.Absent, w.synced
	}
	if ok {
		c.judge(k, live, nil)
	}
	return k
}

// wanted is what is applied, for a request. c.mu is held.
func (k *kept) wanted() drift.Wanted {
	return drift.Wanted{ID: k.id, Digest: k.desired, Patch: k.patch, Exceptions: k.except, Adopt: k.adopt, Images: k.images}
}

// unkeep stops keeping an object. c.mu is held.
func (c *Cluster) unkeep(k *kept) {
	if c.kept[k.id] != k {
		return
	}
	delete(c.kept, k.id)
	delete(c.claims, k.id)
	c.release(k.watcher)
}

// settled ends an episode of drift. c.mu is held.
func (k *kept) settled() {
	k.since, k.drifted, k.failing, k.reported = time.Time{}, nil, false, likeness{}
	k.lacks, k.told, k.reasons = lack{}, lack{}, nil
}

// judge decides whether what was seen of a kept object is drift. object may be
// nil. c.mu is held.
func (c *Cluster) judge(k *kept, live drift.Live, object *unstructured.Unstructured) {
	c.noteFinished(k, live)
	c.assess(k, live)
	if k.busy {
		k.drifted = object
		return
	}
	if k.well(live) {
		if live.State == drift.Present && live.UID != k.uid {
			c.became(k, live, live.UID)
			c.remember(k)
		}
		if !k.since.IsZero() {
			c.fresh.Forget(k.id)
			k.settled()
		}
		c.calm(k)
		return
	}
	if live.State == drift.Present && live.Terminating {
		return // the event of its deletion will come
	}
	if k.since.IsZero() {
		k.since = time.Now()
	}
	k.drifted = object
	if k.failing || k.target.mode == environments.DriftReport && k.reported == reportable(live) {
		return
	}
	if wait := k.fights.Wait(live, time.Now()); wait > 0 {
		c.fresh.AddAfter(k.id, wait)
		return
	}
	if now := time.Now(); now.Sub(k.window) > repairWindow {
		k.window, k.repairs = now, 0
	}
	if k.repairs >= repairsAtOnce {
		c.fresh.AddAfter(k.id, repairPause)
		return
	}
	c.fresh.Add(k.id)
}

// well reports whether what is seen of an object is as it should be. c.mu is held.
func (k *kept) well(live drift.Live) bool {
	return live.State == drift.Present && live.Applied == k.applied || live.State == drift.Absent && k.finished.Rests(live)
}

// noteFinished notes that a Job ended that is as it was applied: once it is gone
// nothing else tells, also after a restart. c.mu is held.
func (c *Cluster) noteFinished(k *kept, live drift.Live) {
	if live.Finished == "" || live.Finished == k.finished || live.Applied != k.applied {
		return
	}
	k.finished = live.Finished
	c.remember(k)
}

// calm ends the fights for an object that is as it should be, or looks again
// when they may be over. c.mu is held.
func (c *Cluster) calm(k *kept) {
	if !k.fights.Active() {
		return
	}
	over, again := k.fights.Over(c.options.Fights, time.Now())
	if again > 0 {
		c.fresh.AddAfter(k.id, again)
	}
	for _, f := range over {
		c.notices.drifted(k.target, drift.Drift{
			Object: k.id, Manager: f.Manager, Changes: f.Changes, SeenAt: f.Begun, CorrectedAt: k.fights.Held(),
			Fight: drift.FightEnded, Corrections: f.Count,
		})
	}
}

// likeness is what makes two states of a drifted object the same to people.
type likeness struct {
	state   drift.State
	uid     string
	applied drift.Digest
	mark    drift.Mark
}

func reportable(live drift.Live) likeness {
	return likeness{live.State, live.UID, live.Applied, live.Mark}
}

// assess notes the health of a kept object. c.mu is held.
func (c *Cluster) assess(k *kept, live drift.Live) {
	health := live.Health
	switch {
	case live.State == drift.Absent && k.finished.Rests(live):
		health = k.finished.Health(k.id)
	case live.State == drift.Absent:
		health = drift.ObjectHealth{Object: k.id, Status: drift.Progressing, Message: "is not there", Gone: true}
		switch {
		case k.lacks != (lack{}):
			health.Message += ", as " + k.lacks.String()
		case k.failing: // somebody else's may be there
			health.Message = "is not there as this target's, and cannot be put back"
		case k.unmarked: // which cannot be told apart without asking
			health.Message = "has lost its label " + drift.LabelTarget + " to somebody again, or is not there"
		}
	case k.misjudged(live):
		health = drift.ObjectHealth{Object: k.id, Status: drift.Progressing, Message: "is looked at by another health check than before"}
		c.fresh.Add(k.id)
	}
	if before, ok := k.target.former[k.id]; ok {
		if health == before {
			health.Status, health.Message = drift.Progressing, "still as before this release: "+health.Message
		} else {
			delete(k.target.former, k.id)
		}
	}
	if health.Status == drift.Current {
		k.cause = drift.Cause{}
	}
	other := k.rollout != live.Rollout || k.refusal != live.Refusal || (k.health.Status == drift.Current) != (health.Status == drift.Current)
	k.rollout, k.replaces, k.refusal = live.Rollout, live.Replaces, live.Refusal
	if k.health != health {
		k.health = health
		c.notices.healthChanged(k.target)
	}
	if p := c.pods[k.id.Namespace]; other && p != nil && p.targets[k.target] {
		p.explain()
	}
}

// checkOf is the health check of the repository for an object; mostly there is none.
func (c *Cluster) checkOf(id drift.ObjectID) *drift.HealthCheck {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.kept[id]; k != nil {
		return k.check()
	}
	if t := c.claims[id]; t != nil {
		return t.coming.For(id)
	}
	return nil
}

func (k *kept) check() *drift.HealthCheck { return k.target.checks.For(k.id) }

// misjudged reports whether the health of an object was told by another check
// than the one that its release has. c.mu is held.
func (k *kept) misjudged(live drift.Live) bool {
	return live.State == drift.Present && live.CheckedBy != k.check().Digest()
}

// lookAgain reads an object whose health is told by another check now.
func (c *Cluster) lookAgain(k *kept, w *watcher, check *drift.HealthCheck) {
	object, err := c.get(c.ctx, w.kind, k.id)
	if isGone(err) {
		return // which the watch tells
	}
	if err != nil {
		c.retry.AddRateLimited(k.id)
		return
	}
	live := check.Observe(object)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retry.Forget(k.id)
	w.answered(k.id, live)
	c.changed()
}

// begin marks an object as being written, once no other write of it is under
// way. Objects that are not kept yet need no mark: nobody repairs them.
func (c *Cluster) begin(ctx context.Context, id drift.ObjectID) error {
	return c.wait(ctx, func() bool {
		k := c.kept[id]
		if k == nil {
			return true
		}
		if k.busy {
			return false
		}
		k.busy = true
		return true
	})
}

// end undoes begin and looks at what was seen meanwhile. c.mu is held.
func (c *Cluster) end(k *kept) {
	k.busy = false
	if live, ok := k.watcher.seen[k.id]; ok {
		object := k.drifted
		if object != nil && object.GetResourceVersion() != live.ResourceVersion {
			object = nil
		}
		c.judge(k, live, object)
	}
	c.changed()
}
