package cluster

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pawl-dev/pawl/drift"
)

// tryAlone makes sure that an object can be made of what is declared alone: what
// its tools declared beside that is removed when it is taken over, which cannot
// be tried as a whole.
func (c *Cluster) tryAlone(ctx context.Context, t *target, k kind, wanted drift.Wanted) error {
	if len(wanted.Adopt) == 0 {
		return nil
	}
	made := &unstructured.Unstructured{}
	if err := made.UnmarshalJSON(wanted.Whole()); err != nil {
		return err
	}
	// That the name is taken is said last: after nothing was wrong with the object.
	if err := c.tryCreation(ctx, t, k, made); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	return nil
}

// inherit makes what the tools declared in an object that is taken over ours,
// so that the apply which follows removes what the release does not declare.
// Cut off between the two, the object bears no mark yet, and the next apply that
// declares it does all of it again. If no commit does any more, what the tools
// declared stays in the object as ours: no object without a mark is deleted or
// changed by us, and the tools' next apply takes the fields that they declare.
func (c *Cluster) inherit(ctx context.Context, w *work, wanted drift.Wanted) error {
	if !w.adopted[wanted.ID] || len(wanted.Adopt) == 0 {
		return nil
	}
	k := w.kinds[wanted.ID]
	for range 5 {
		live, _, err := c.lookFirst(ctx, w.target, k, wanted.ID, w.live[wanted.ID])
		if live == nil {
			return err
		}
		managers := drift.Inherit(live, wanted.Adopt)
		if managers == nil {
			return nil
		}
		_, err = c.own(ctx, w.target, k, wanted.ID, live, managers)
		if err == nil {
			return nil
		}
		if !apierrors.IsConflict(err) { // else it changed since it was read
			return fmt.Errorf("taking over what others declared in it: %w", err)
		}
	}
	return errors.New("it changed each time it was to be taken over")
}
