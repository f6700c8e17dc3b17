package cluster

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pawl-dev/pawl/drift"
)

// putExcept is put for an object that is there and of which fields are left to others.
func (c *Cluster) putExcept(ctx context.Context, t *target, k kind, wanted drift.Wanted, live *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	id, except := wanted.ID, wanted.Exceptions
	uproots, err := except.Uproots(live, wanted.Patch)
	if err != nil {
		return nil, err
	}
	if uproots {
		return c.putWithLive(ctx, t, k, id, live, except)
	}
	if live, err = c.disown(ctx, t, k, id, live, except); err != nil {
		return nil, err
	}
	// Should it be gone by now, it must not be made without the ignored fields.
	return c.applyTo(ctx, t, k, id, wanted.Patch, live.GetUID(), "")
}

// putWithLive declares what is ignored as it is now, as that would go with its
// parents otherwise, and gives it up again. Cut off between the two requests,
// the object differs from what is noted of it, and the next write gives it up.
func (c *Cluster) putWithLive(ctx context.Context, t *target, k kind, id drift.ObjectID, live *unstructured.Unstructured, except *drift.Exceptions) (*unstructured.Unstructured, error) {
	body, err := except.Over(live)
	if err != nil {
		return nil, err
	}
	// A value that changed since it was read must not be written over.
	if live, err = c.applyTo(ctx, t, k, id, body, live.GetUID(), live.GetResourceVersion()); err != nil {
		return nil, err
	}
	return c.disown(ctx, t, k, id, live, except)
}

// disown gives up the ignored fields.
func (c *Cluster) disown(ctx context.Context, t *target, k kind, id drift.ObjectID, live *unstructured.Unstructured, except *drift.Exceptions) (*unstructured.Unstructured, error) {
	owners := except.Disown(live)
	if owners == nil {
		return live, nil
	}
	after, err := c.own(ctx, t, k, id, live, owners)
	if err != nil {
		return nil, fmt.Errorf("leaving fields to others: %w", err)
	}
	return after, nil
}

// tryPut tries what put would do, by one dry run.
func (c *Cluster) tryPut(ctx context.Context, t *target, k kind, wanted drift.Wanted) (*unstructured.Unstructured, error) {
	id, body, except := wanted.ID, wanted.Whole(), wanted.Exceptions
	if except == nil {
		return c.patch(ctx, t, k, id, body, true)
	}
	live, err := c.get(ctx, k, id)
	switch {
	case err == nil:
		body, err = except.Over(live)
	case isGone(err):
		err = nil
	}
	if err != nil {
		return nil, err
	}
	after, err := c.patch(ctx, t, k, id, body, true)
	if err != nil {
		return nil, err
	}
	if problems := except.Problems(id, after); len(problems) > 0 {
		return nil, &notIgnorable{problems}
	}
	return after, nil
}

// notIgnorable says that fields cannot be left to others by themselves.
type notIgnorable struct{ problems []drift.Problem }

func (e *notIgnorable) Error() string {
	return e.problems[0].Field + ": " + e.problems[0].Reason
}
