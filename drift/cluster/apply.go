package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/render"
)

// Apply makes the live objects those of the release, and keeps them so until
// the next Apply for the target, Forget or Close.
//
// An object that is as it was applied costs no request. All others are first
// tried by dry run, and if the API server refuses one, nothing is written and
// the error is *drift.Rejected. Objects whose namespace or kind comes with
// the same release can only be tried once that is written; if one of these is
// refused, Rejected.Written is set.
//
// What is to be created is in the inventory before it is; pruning comes last,
// and only after everything else succeeded; what needs a word in git and does not
// have it waits, and Applied.Held says so. An error leaves the inventory with
// whatever may exist.
//
// A nil error says that the objects were written, not that they are healthy:
// that is told by Notify, for each successful Apply at least once.
func (c *Cluster) Apply(ctx context.Context, v policies.Verified, terms drift.Terms) (drift.Applied, error) {
	started := time.Now()
	if v.IsZero() {
		return drift.Applied{}, drift.ErrUnverified
	}
	release := v.Release()
	if len(release.Objects) == 0 {
		return drift.Applied{}, fmt.Errorf("%s: %w", release.Target, drift.ErrEmpty)
	}
	t, err := c.acquire(ctx, release.Target)
	if err != nil {
		return drift.Applied{}, err
	}
	defer func() { <-t.apply }()
	applied, err := c.bring(ctx, t, release, terms)
	c.mu.Lock()
	c.await(t, err)
	c.mu.Unlock()
	applied.Took = time.Since(started)
	return applied, located(err, release)
}

// bring brings a target to a release.
func (c *Cluster) bring(ctx context.Context, t *target, release render.Release, terms drift.Terms) (drift.Applied, error) {
	ctx = c.turns.enter(ctx)
	w, err := c.prepare(ctx, t, release, terms)
	if err != nil {
		return drift.Applied{}, err
	}
	defer c.abandon(w)
	return c.carryOut(ctx, w)
}

func (c *Cluster) carryOut(ctx context.Context, w *work) (drift.Applied, error) {
	now, later := w.writes()
	if tried := now; len(tried) > 1 || len(later) > 0 || len(tried) == 1 && w.mustTry(tried[0]) {
		if _, err := c.try(ctx, w, tried, false); err != nil {
			return drift.Applied{}, err
		}
	} // else the only write is its own trial: if it is refused, nothing was written

	if err := c.intend(ctx, w); err != nil {
		return drift.Applied{}, err
	}
	if err := c.writeStages(ctx, w, later); err != nil {
		return drift.Applied{}, err
	}
	if err := c.leave(ctx, w); err != nil {
		return drift.Applied{}, err
	}
	steps, pending, err := c.pruneAll(ctx, w.target, w.plan.Steps, w.watchers)
	if err != nil {
		return drift.Applied{}, err
	}
	if err := c.finish(ctx, w); err != nil {
		return drift.Applied{}, err
	}
	return drift.Applied{Steps: steps, Pending: pending, Held: w.plan.Held, Unrestored: w.plan.Unrestored}, nil
}

// mustTry reports whether a single write cannot be its own trial: because it
// needs an entry in the inventory first, may need more than one request, or
// because its answer says whether the image that would run is the verified one,
// or whether it would be changed at all.
func (w *work) mustTry(s *drift.Step) bool {
	return w.live[s.Object].State == drift.Absent || w.adopted[s.Object] || w.wanted[s.Object].Recreate || w.terms.Returning || w.wanted[s.Object].Exceptions != nil || len(w.wanted[s.Object].Images) > 0 ||
		w.inventory.Entries[s.Object].Rewritten(w.wanted[s.Object])
}

// intend stores what may exist from the first write on, and starts the release.
// What a repair made meanwhile is not noted in between: that would be without
// what is intended.
func (c *Cluster) intend(ctx context.Context, w *work) error {
	w.target.storing.Lock()
	defer w.target.storing.Unlock()
	intended, grown := w.inventory.Intend(w.order, w.adopted)
	if grown {
		if err := c.inventories.save(ctx, w.target, intended); err != nil {
			return err
		}
	}
	c.start(w, intended)
	return nil
}

// start makes the release the one that is kept. From here on what is
// unchanged is protected, what is still to be written is kept as it was, and
// the target has no health until all is written.
func (c *Cluster) start(w *work, intended drift.Inventory) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := w.target
	c.recall(t, intended)
	t.Target, t.release, t.inventory, t.whole = w.release.Target, w.release.Digest, intended, false
	t.checks = w.terms.Health
	if w.inventory.Accepted.Release != w.release.Digest { // else it failed with this very release
		c.excuse(w)
	}
	t.mode, t.healthTimeout = w.terms.Environment.Drift, time.Duration(cmp.Or(w.terms.Environment.HealthTimeout, environments.Duration(environments.DefaultHealthTimeout)))
	t.health.stop()
	t.health.since = time.Time{}
	for _, id := range w.renamed { // else it would be put back by its old name over the new one
		if k := c.kept[id]; k != nil && k.target == t {
			c.unkeep(k)
		}
	}
	for _, s := range w.plan.Steps {
		if s.Action == drift.Unchanged {
			entry := intended.Entries[s.Object]
			changes, rewritten := w.rewriting[s.Object]
			if rewritten {
				entry.Applied = w.live[s.Object].Applied // as the trial showed
			}
			c.rewrote(c.keep(t, w.watchers[s.Object], w.wanted[s.Object], entry.Applied, entry.UID), changes)
		}
	}
}

// excuse notes what has failed before a new release is written. What mends it
// may take a while to show: a status that does not say of which generation it
// is, such as that of Flagger's Canary, stays until its controller looks again,
// and a pod that lacks a ConfigMap is as it was when that is there, until its
// kubelet tries again. c.mu is held.
func (c *Cluster) excuse(now *work) {
	t := now.target
	t.former, t.excused = map[drift.ObjectID]drift.ObjectHealth{}, map[drift.Cause]bool{}
	for _, k := range t.objects {
		k.cause = drift.Cause{} // it is found again if it lasts
	}
	for id, live := range now.live {
		if live.State != drift.Present || !drift.Recovers(id) {
			continue
		}
		if live.Health.Status == drift.Failed {
			t.former[id] = live.Health
		}
		p := c.pods[id.Namespace]
		if p == nil || !drift.IsWorkload(id) {
			continue
		}
		w := drift.Workload{ID: id, UID: live.UID}
		for _, pod := range p.pods {
			if pod.Cause.Fatal && w.Has(pod) {
				t.excused[pod.Cause] = true
			}
		}
		if cause, ok := p.refusalOf(w, live.Refusal); ok {
			t.excused[cause] = true
		}
	}
}

// writeStages writes what differs, stage by stage.
func (c *Cluster) writeStages(ctx context.Context, w *work, later []*drift.Step) error {
	byStage := make([][]drift.ObjectID, drift.Stages)
	for _, s := range w.plan.Steps {
		if s.Action.Writes() {
			byStage[s.Object.Stage()] = append(byStage[s.Object.Stage()], s.Object)
		}
	}
	for stage, ids := range byStage {
		if err := c.write(ctx, w, ids); err != nil {
			return err
		}
		if stage > 0 {
			continue
		}
		if err := c.established(ctx, w, ids); err != nil {
			return err
		}
		if len(later) == 0 {
			continue
		}
		if err := c.tryLater(ctx, w, later); err != nil {
			return err
		}
	}
	return nil
}

// tryLater tries what depended on the first stage.
func (c *Cluster) tryLater(ctx context.Context, w *work, later []*drift.Step) error {
	_, err := c.try(ctx, w, later, false)
	var refused *drift.Rejected
	if errors.As(err, &refused) && w.redefines() {
		// A definition that was changed stays established, and nothing tells when
		// its new schema is used. So a refusal is believed only after a while.
		bounded, cancel := context.WithTimeout(ctx, schemaTimeout)
		defer cancel()
		again := wait.Backoff{Duration: 50 * time.Millisecond, Factor: 1.5, Steps: 10, Cap: time.Second}
		_ = again.DelayFunc().Until(bounded, false, true, func(context.Context) (bool, error) {
			_, err = c.try(ctx, w, later, false)
			return !errors.As(err, &refused), nil
		})
	}
	if errors.As(err, &refused) {
		refused.Written = true
	}
	if err != nil {
		return err
	}
	c.mu.Lock()
	intended, grown := w.target.inventory.Intend(w.order, w.adoptedOf(later))
	w.target.inventory = intended
	c.mu.Unlock()
	if !grown {
		return nil
	}
	return c.store(ctx, w.target)
}

// adoptedOf is what steps take over from somebody.
func (w *work) adoptedOf(steps []*drift.Step) map[drift.ObjectID]bool {
	adopted := map[drift.ObjectID]bool{}
	for _, s := range steps {
		if w.adopted[s.Object] {
			adopted[s.Object] = true
		}
	}
	return adopted
}

// redefines reports whether the release changes a definition that was there.
func (w *work) redefines() bool {
	for _, s := range w.plan.Steps {
		for _, d := range w.brought {
			if s.Object == d.id && s.Action == drift.Configure {
				return true
			}
		}
	}
	return false
}

// write writes objects, all at once.
func (c *Cluster) write(ctx context.Context, w *work, ids []drift.ObjectID) error {
	var mu sync.Mutex
	refused := &drift.Rejected{Target: w.release.Target, Of: len(ids), Written: w.plan.Count(drift.Create)+w.plan.Count(drift.Configure)+w.plan.Count(drift.Recreate) > 1}
	var failure error
	err := each(ctx, c.turns, ids, func(ctx context.Context, id drift.ObjectID) {
		wanted := w.wanted[id]
		err := c.writeOne(ctx, w, wanted)
		mu.Lock()
		defer mu.Unlock()
		switch problems := refusal(err, wanted, w.kinds[wanted.ID]); {
		case err == nil:
		case len(problems) > 0:
			refused.Problems = append(refused.Problems, problems...)
		case failure == nil:
			failure = fmt.Errorf("%s: writing %s: %w", w.target.name, id, plain(err, wanted))
		}
	})
	switch {
	case err != nil:
		return err
	case len(refused.Problems) > 0:
		refused.Sort()
		return refused
	}
	return failure
}

func (c *Cluster) writeOne(ctx context.Context, w *work, wanted drift.Wanted) error {
	if err := c.begin(ctx, wanted.ID); err != nil {
		return err
	}
	// A newer commit ends an apply between writes, not within one: what was
	// written is always known and noted.
	whole := context.WithoutCancel(ctx)
	var after *unstructured.Unstructured
	var err error
	decided := w.live[wanted.ID]
	if uid, ok := w.recreated[wanted.ID]; ok {
		err = c.remove(ctx, w, wanted, uid)
		decided = drift.Live{State: drift.Absent}
	}
	if err == nil {
		err = c.inherit(whole, w, wanted)
	}
	if err == nil {
		after, err = persist(ctx, func() (*unstructured.Unstructured, error) {
			return c.put(whole, w.target, w.kinds[wanted.ID], wanted, decided)
		})
	}
	var changes []drift.Change
	if err == nil {
		changes = rewriting(wanted, after)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		if k := c.kept[wanted.ID]; k != nil {
			c.end(k)
		}
		return err
	}
	live := w.terms.Health.For(wanted.ID).Observe(after)
	seen := live
	if problems := rewritten(wanted.ID, wanted.Whole(), after, wanted.Images); len(problems) > 0 {
		// Admission is not what it was in the trial. What is noted of the object
		// makes it be written again, also after a restart.
		err, changes = &imageRewritten{problems}, nil
		wanted.Digest, live.Applied, live.Finished = "", "", ""
	}
	entry := drift.Entry{Version: wanted.GVK.Version, UID: live.UID, Desired: wanted.Digest, Applied: live.Applied, Finished: live.Finished}
	if len(changes) > 0 {
		entry.Applied = ""
	}
	entry.Adopted = w.target.inventory.Entries[wanted.ID].WrittenOver(decided, live.UID, w.target.mark) || w.given[wanted.ID].Adopted
	w.target.inventory.Entries[wanted.ID] = entry
	watcher := w.watchers[wanted.ID]
	c.restored(wanted, changes)
	k := c.keep(w.target, watcher, wanted, live.Applied, live.UID)
	c.rewrote(k, changes)
	k.rewritten = ""
	if err != nil {
		k.rewritten = err.Error()
	}
	watcher.answered(wanted.ID, seen)
	c.end(k)
	return err
}

// established waits until definitions that were written are served, and
// watches the kinds that they bring.
func (c *Cluster) established(ctx context.Context, w *work, ids []drift.ObjectID) error {
	written := map[drift.ObjectID]bool{}
	for _, id := range ids {
		written[id] = true
	}
	var defined []drift.ObjectID
	for _, d := range w.brought {
		if written[d.id] {
			defined = append(defined, d.id)
		}
	}
	if len(defined) == 0 {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, establishTimeout)
	defer cancel()
	missing := func() (drift.ObjectHealth, bool) {
		for _, id := range defined {
			if k := c.kept[id]; k != nil && k.health.Status != drift.Current {
				return k.health, true
			}
		}
		return drift.ObjectHealth{}, false
	}
	err := c.wait(bounded, func() bool { _, wait := missing(); return !wait })
	if err == nil {
		err = c.watchComing(bounded, w)
	}
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		if health, wait := missing(); wait {
			return fmt.Errorf("%s: %s is not established after %s: %s", w.target.name, health.Object, inWords(establishTimeout), health.Message)
		}
		return fmt.Errorf("%s: kinds that the release defines are not served after %s", w.target.name, inWords(establishTimeout))
	}
	return err
}

// watchComing watches the kinds that were not served before. An established
// definition can take a moment longer until its path answers.
func (c *Cluster) watchComing(ctx context.Context, w *work) error {
	var coming []*watcher
	c.mu.Lock()
	for _, wanted := range w.order {
		k := w.kinds[wanted.ID]
		if !k.coming {
			continue
		}
		k.coming = false
		w.kinds[wanted.ID] = k
		c.hold(w, wanted.ID)
		coming = append(coming, w.watchers[wanted.ID])
	}
	c.mu.Unlock()
	if len(coming) == 0 {
		return nil
	}
	return c.wait(ctx, func() bool {
		for _, w := range coming {
			if !w.synced || w.broken != nil && !apierrors.IsForbidden(w.broken) {
				return false
			}
		}
		return true
	})
}

// finish stores what was done and stops keeping what left the release.
func (c *Cluster) finish(ctx context.Context, w *work) error {
	t := w.target
	c.mu.Lock()
	for _, k := range w.still {
		c.unkeep(k)
	}
	t.objects = make([]*kept, 0, len(w.release.Objects))
	for _, wanted := range w.order {
		if k := c.kept[wanted.ID]; k != nil {
			t.objects = append(t.objects, k)
		}
	}
	for _, id := range t.inventory.IDs() { // what was found gone before
		if _, ok := w.wanted[id]; !ok && (w.live[id].State == drift.Absent || drift.Taken(w.inventory.Entries[id], w.live[id], t.mark)) {
			delete(t.inventory.Entries, id)
		}
	}
	a := drift.Accepted{Commit: w.release.Commit, Release: w.release.Digest, Demands: w.terms.Demands, Held: w.plan.Held != nil}
	if before := t.inventory.Accepted; w.terms.Returning && before.Commit != "" {
		a.Commit, a.Demands = before.Commit, before.Demands
		a.Held = a.Held || w.terms.Keeps && before.Held
	}
	if !t.inventory.Accepted.Same(a) {
		a.At = time.Now().UTC().Truncate(time.Second)
		t.inventory.Accepted = a
	}
	t.whole = true
	t.health.told = nil // this release's health is told in any case
	c.watchPods(t, nil)
	c.notices.healthChanged(t)
	c.mu.Unlock()
	if err := c.store(ctx, t); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lookAfter(t)
	return nil
}
