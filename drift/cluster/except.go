package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"

	"github.com/pawl-dev/pawl/drift"
)

// put makes an object as it is wanted, and keeps the live values of what is
// left to others. Without exceptions it is one request.
func (c *Cluster) put(ctx context.Context, t *target, k kind, wanted drift.Wanted) (*unstructured.Unstructured, error) {
	if wanted.Exceptions == nil {
		return c.applyOver(ctx, t, k, wanted.ID, wanted.Patch)
	}
	var after *unstructured.Unstructured
	err := retry.RetryOnConflict(changing, func() (err error) { // it may change after it was read
		after, err = c.putExcept(ctx, t, k, wanted)
		return err
	})
	if apierrors.IsConflict(err) {
		return nil, errors.New("it changed each time it was to be written")
	}
	return after, err
}

// changing are the waits for an object that others write at the same time: its
// controllers while it is rolled out, at most.
var changing = wait.Backoff{Steps: 10, Duration: 5 * time.Millisecond, Factor: 2, Jitter: 0.5, Cap: time.Second}

func (c *Cluster) putExcept(ctx context.Context, t *target, k kind, wanted drift.Wanted) (*unstructured.Unstructured, error) {
	id, except := wanted.ID, wanted.Exceptions
	live, err := c.get(ctx, k, id)
	if isGone(err) {
		// Cut off between the two requests, the object differs from what is noted
		// of it, and the next write begins below.
		if live, err = c.applyOver(ctx, t, k, id, wanted.Whole()); err != nil {
			return nil, err
		}
		return c.disown(ctx, t, k, id, live, except)
	}
	if err != nil {
		return nil, err
	}
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
	body, err := of(wanted.Patch, live.GetUID(), "")
	if err != nil {
		return nil, err
	}
	return c.applyOver(ctx, t, k, id, body)
}

// putWithLive declares what is ignored as it is now, as that would go with its
// parents otherwise, and gives it up again. Cut off between the two requests,
// the object differs from what is noted of it, and the next write gives it up.
func (c *Cluster) putWithLive(ctx context.Context, t *target, k kind, id drift.ObjectID, live *unstructured.Unstructured, except *drift.Exceptions) (*unstructured.Unstructured, error) {
	body, err := except.Over(live)
	if err == nil { // a value that changed since it was read must not be written over
		body, err = of(body, live.GetUID(), live.GetResourceVersion())
	}
	if err != nil {
		return nil, err
	}
	if live, err = c.applyOver(ctx, t, k, id, body); err != nil {
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

// of makes a body one for this very object, and for this version of it unless
// that is empty.
func of(body []byte, uid types.UID, version string) ([]byte, error) {
	o := &unstructured.Unstructured{}
	if err := o.UnmarshalJSON(body); err != nil {
		return nil, err
	}
	o.SetUID(uid)
	o.SetResourceVersion(version)
	return o.MarshalJSON()
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
