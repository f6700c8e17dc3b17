package cluster

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pawl-dev/pawl/drift"
)

// trial is what a dry run showed of an object.
type trial struct {
	before, after *unstructured.Unstructured // before is nil unless asked for, or when there was none
}

// try lets the API server check the objects of steps without writing any.
// If it refuses some, the error is *drift.Rejected and names them all.
func (c *Cluster) try(ctx context.Context, w *work, steps []*drift.Step, before bool) (map[drift.ObjectID]trial, error) {
	var mu sync.Mutex
	trials := make(map[drift.ObjectID]trial, len(steps))
	refused := &drift.Rejected{Target: w.release.Target, Of: len(steps)}
	conflict := &drift.Conflict{Target: w.release.Target}
	var failure error
	err := eachTrial(ctx, c.turns, steps, func(ctx context.Context, step *drift.Step) {
		wanted, k := w.wanted[step.Object], w.kinds[step.Object]
		after, err := persist(ctx, func() (*unstructured.Unstructured, error) {
			return c.tryPut(ctx, w.target, k, wanted)
		})
		var over []string // what is in the way; then after is the live object
		if err != nil {
			err = c.tryRecreation(ctx, w, step, err)
			if err == nil {
				return
			}
			after, over, err = c.tryOver(ctx, w.target, k, wanted, err)
		}
		if err == nil && len(over) == 0 {
			if problems := rewritten(wanted.ID, wanted.Whole(), after, wanted.Images); len(problems) > 0 {
				err = &imageRewritten{problems}
			}
		}
		var changes []drift.Change
		if err == nil && len(over) == 0 && w.inventory.Entries[wanted.ID].Rewritten(wanted) {
			changes = rewriting(wanted, after)
		}
		mu.Lock()
		adopts := w.adopted[wanted.ID]
		if len(changes) > 0 && step.Action == drift.Configure && drift.AppliedDigest(after) == w.live[wanted.ID].Applied {
			w.rewriting[wanted.ID] = changes
			step.Action, step.Reason = drift.Unchanged, (&drift.Rewriting{Changes: changes}).Error()
		}
		mu.Unlock()
		if err == nil && adopts {
			err = c.tryAlone(ctx, w.target, k, wanted)
		}
		var t trial
		// An object that is there, though not among the marked ones, may have
		// got the mark of another agent just now; and whoever made it wants
		// to read that it is taken over.
		strange := err == nil && step.Action == drift.Create && after.GetResourceVersion() != ""
		if err == nil && (strange || before && step.Action != drift.Create) {
			if t.before, err = c.get(ctx, k, wanted.ID); err == nil && strange {
				live := drift.Observe(t.before)
				claims := wanted.NotAdopted(live.Claims)
				foreign := live.Mark.IsZero() && len(claims) > 0
				if foreign || !live.Mark.IsZero() && live.Mark != w.target.mark {
					mu.Lock()
					conflict.Objects = append(conflict.Objects, drift.Held{Object: wanted.ID, By: live.Mark, Claims: claims})
					mu.Unlock()
					return
				}
				mu.Lock()
				w.live[wanted.ID] = live
				adopts := w.inventory.Entries[wanted.ID].Adopts(live)
				if adopts {
					w.adopted[wanted.ID] = true
				}
				mu.Unlock()
				if adopts {
					err = c.tryAlone(ctx, w.target, k, wanted)
				}
				if !live.Terminating {
					step.Action, step.Reason = drift.Configure, live.TakenOver()
				}
			}
		}
		if t.after = after; len(over) > 0 {
			t.after = nil
			step.Reason += "; takes out " + strings.Join(over, ", ") + ", which is in the way"
		}
		mu.Lock()
		defer mu.Unlock()
		switch problems := refusal(err, wanted, w.kinds[wanted.ID]); {
		case err == nil:
			trials[wanted.ID] = t
		case len(problems) > 0:
			refused.Problems = append(refused.Problems, problems...)
		case failure == nil:
			failure = fmt.Errorf("%s: trying %s before anything is written: %w", w.target.name, wanted.ID, plain(err, wanted))
		}
	})
	switch {
	case err != nil:
		return nil, err
	case len(conflict.Objects) > 0:
		return nil, conflict
	case len(refused.Problems) > 0:
		refused.Sort()
		return nil, refused
	}
	return trials, failure
}

// writes are the steps that write a wanted object, split into those that can
// be tried now and those that need what an earlier stage writes: their
// namespace, or the present form of their kind.
func (w *work) writes() (now, later []*drift.Step) {
	coming := map[drift.ObjectID]bool{}
	for _, s := range w.plan.Steps {
		if s.Action.Writes() {
			coming[s.Object] = true
		}
	}
	for i := range w.plan.Steps {
		s := &w.plan.Steps[i]
		if !coming[s.Object] {
			continue
		}
		namespace := drift.ObjectID{Kind: "Namespace", Name: s.Object.Namespace}
		noNamespace := s.Object.Namespace != "" && coming[namespace] && w.live[namespace].State == drift.Absent
		defined, ok := w.brought[schema.GroupKind{Group: s.Object.Group, Kind: s.Object.Kind}]
		if noNamespace || ok && coming[defined.id] {
			later = append(later, s)
		} else {
			now = append(now, s)
		}
	}
	return now, later
}
