package cluster

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/workqueue"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
)

// work puts back what a queue says has drifted, so many objects at once. A
// repair that is slow, as behind an admission webhook that does not answer,
// leaves its place to another after a while: up to lendable are waited for so.
func (c *Cluster) work(queue workqueue.TypedRateLimitingInterface[drift.ObjectID], atOnce int) {
	places, all := make(chan struct{}, atOnce), make(chan struct{}, atOnce+lendable)
	for {
		id, shutdown := queue.Get()
		if shutdown {
			return
		}
		places <- struct{}{}
		all <- struct{}{}
		c.running.Go(func() {
			leave := sync.OnceFunc(func() { <-places })
			late := time.AfterFunc(slowRepair, leave)
			c.repair(id)
			late.Stop()
			leave()
			<-all
			queue.Done(id)
		})
	}
}

// slowRepair is after how long a repair leaves its place to another.
const slowRepair = time.Second

// repair looks at one object that may have drifted, and puts it back or
// reports it. The object may long be well: the queues are only hints.
func (c *Cluster) repair(id drift.ObjectID) {
	c.mu.Lock()
	k := c.kept[id]
	if k == nil {
		d := c.deleting[id]
		c.mu.Unlock()
		if d != nil {
			c.pursue(d)
		}
		return
	}
	live, known := k.watcher.seen[id]
	well := k.well(live)
	if well && known && !k.busy {
		c.calm(k)
	}
	if known && !k.busy && k.misjudged(live) { // what it is now is judged first, then put back
		w, check := k.watcher, k.check()
		c.mu.Unlock()
		c.lookAgain(k, w, check)
		return
	}
	if k.busy || !known || well || live.State == drift.Present && live.Terminating {
		c.mu.Unlock() // who writes it now looks again afterwards
		return
	}
	if wait := k.fights.Wait(live, time.Now()); wait > 0 {
		c.fresh.AddAfter(id, wait)
		c.mu.Unlock()
		return
	}
	if k.since.IsZero() {
		k.since = time.Now()
	}
	if held := live.State == drift.Present && !live.Mark.IsZero() && live.Mark != k.target.mark; held {
		c.failed(k, &drift.Conflict{Target: k.target.Target, Objects: []drift.Held{{Object: id, By: live.Mark}}}, "")
		c.mu.Unlock()
		return
	}
	if c.namespaceGoing(id) {
		c.failed(k, fmt.Errorf("putting back %s: its namespace is being deleted; tried again as soon as it is there again", id), "")
		c.mu.Unlock()
		return
	}
	k.busy = true
	t, before, wanted, w, report := k.target, k.drifted, k.wanted(), k.watcher, k.target.mode == environments.DriftReport
	check := k.check()
	if k.urgent() {
		c.turns.repair()
	}
	c.mu.Unlock()

	if before == nil && live.State == drift.Present { // after a list, which keeps no objects
		before, _ = c.get(c.ctx, w.kind, id)
	}
	var after *unstructured.Unstructured
	var err error
	decided := live
	if live.State == drift.Absent {
		if before, err = c.unclaimed(t, w.kind, wanted); before != nil {
			decided = drift.Observe(before)
		}
	}
	switch {
	case err != nil:
	case report:
		after, err = c.tryPut(c.ctx, t, w.kind, wanted)
	default:
		after, err = c.put(c.ctx, t, w.kind, wanted, decided)
	}
	done := time.Now()
	d := drift.Drift{Object: id}
	var answer drift.Live
	var changes []drift.Change // by admission
	if err == nil {            // what takes time is done before anybody has to wait for the lock
		answer = check.Observe(after)
		d.Changes = drift.Edits(before, after)
		if before != nil {
			d.Manager, d.ChangedAt = drift.ChangedBy(before, d.Changes)
		}
		if problems := rewritten(id, wanted.Whole(), after, wanted.Images); len(problems) > 0 && !report {
			err = &imageRewritten{problems}
		}
		changes = rewriting(wanted, after)
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept[id] != k { // forgotten meanwhile
		k.busy = false
		c.changed()
		return
	}
	defer c.end(k)
	var changed *imageRewritten
	if errors.As(err, &changed) {
		c.runsUnverified(k, changed, answer)
	}
	if err != nil {
		if c.ctx.Err() != nil {
			return
		}
		if lack, ok := lacking(err, id, w.kind); ok {
			c.lacks(k, lack)
			c.assess(k, k.watcher.seen[id]) // which names it
			err = errors.New(lack.String() + "; tried again as soon as it is there")
		} else {
			k.lacks = lack
		}
		c.failed(k, fmt.Errorf("putting back %s: %w", id, plain(err, wanted)), apierrors.ReasonForError(err))
		if live.State == drift.Absent {
			c.assess(k, k.watcher.seen[id])
		}
		return
	}
	c.retry.Forget(id)
	d.SeenAt = k.since
	if report {
		d.Deleted = live.State == drift.Absent && answer.UID != k.uid
		k.reported = reportable(live)
		if len(d.Changes) == 0 { // what admission made of it when others wrote it, too
			d.Changes = changes
		}
	} else {
		d.CorrectedAt = done
		d.Deleted = answer.UID != k.uid
		c.rewrote(k, changes)
		if k.applied != answer.Applied || k.uid != answer.UID {
			c.became(k, decided, answer.UID)
			k.applied = answer.Applied
			c.remember(k)
		}
		k.rewritten = ""
		k.watcher.answered(id, answer)
		k.repairs++
		k.settled()
	}
	if live.State == drift.Absent {
		k.unmarked = before != nil
	}
	if !d.Deleted && live.State == drift.Absent && len(d.Changes) == 0 { // came back in between
		d.Changes = []drift.Change{{Path: "metadata.labels[" + drift.LabelTarget + "]", To: k.target.mark.Target}}
	}
	if !report {
		begins, known := k.fights.Corrected(c.options.Fights, live, d.Manager, d.Changes, done)
		if known {
			return // was told when it began, and will be when it ends
		}
		if begins != nil {
			d.Fight, d.Corrections = drift.FightBegan, begins.Count
		}
	}
	if d.Deleted || len(d.Changes) > 0 || d.Fight != "" {
		c.notices.drifted(k.target, d)
	} else {
		// Somebody took fields over without changing them, or wrote other ones of
		// the same managedFields. There is nothing to tell people.
		c.options.Log.Debug().Stringer("object", id).Str("target", k.target.name).Msg("took back fields whose values had not changed")
	}
}

// urgent reports whether applies step aside for the repair of an object. They do
// for drift that is new, not for what is refused or fought over: that may last,
// and would slow them for as long. c.mu is held.
func (k *kept) urgent() bool {
	return k.target.mode != environments.DriftReport && !k.failing && !k.fights.Active()
}

// unclaimed makes sure that an object which is not seen is nobody else's: only
// marked ones are watched, and another tool may have made it meanwhile, or
// written over our mark. It returns what is there, nil if nothing is.
func (c *Cluster) unclaimed(t *target, k kind, wanted drift.Wanted) (*unstructured.Unstructured, error) {
	object, err := c.get(c.ctx, k, wanted.ID)
	if isGone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	live := drift.Observe(object)
	claims := wanted.NotAdopted(live.Claims)
	if live.Mark.IsZero() && len(claims) > 0 || !live.Mark.IsZero() && live.Mark != t.mark {
		return nil, &drift.Conflict{Target: t.Target, Objects: []drift.Held{{Object: wanted.ID, By: live.Mark, Claims: claims}}}
	}
	return object, nil
}

// failed notes that an object could not be put back, and tries again later. It is
// told once an episode, and when what the object lacks, or the API server's
// reason, is another: what was found first may not be what lasts. c.mu is held.
func (c *Cluster) failed(k *kept, err error, reason metav1.StatusReason) {
	c.retry.AddRateLimited(k.id)
	if k.failing && k.told == k.lacks && slices.Contains(k.reasons, reason) {
		return
	}
	k.failing, k.told = true, k.lacks
	if !slices.Contains(k.reasons, reason) {
		k.reasons = append(k.reasons, reason)
	}
	d := drift.Drift{Object: k.id, SeenAt: k.since, Err: err}
	if live, ok := k.watcher.seen[k.id]; ok {
		d.Deleted = live.State == drift.Absent
	}
	if k.drifted != nil {
		d.Manager, d.ChangedAt = drift.ChangedBy(k.drifted, nil)
	}
	c.notices.drifted(k.target, d)
}

// namespaceGoing reports whether the namespace of an object is known to be on
// its way out, so that nothing can be made in it. c.mu is held.
func (c *Cluster) namespaceGoing(id drift.ObjectID) bool {
	ns := c.kept[drift.ObjectID{Kind: "Namespace", Name: id.Namespace}]
	if id.Namespace == "" || ns == nil {
		return false
	}
	live := ns.watcher.seen[ns.id]
	return live.State == drift.Present && live.Terminating
}
