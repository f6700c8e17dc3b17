package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pawl-dev/pawl/drift"
)

// applyOver makes an apply request in earnest. If it is refused because items of
// lists that others own collide with declared ones, it takes these over, so that
// the apply removes them, and tries once more.
func (c *Cluster) applyOver(ctx context.Context, t *target, k kind, id drift.ObjectID, body []byte) (*unstructured.Unstructured, error) {
	after, err := c.patch(ctx, t, k, id, body, false)
	for range 3 {
		if err == nil || isAnother(err) {
			break
		}
		live, found, findErr := c.colliding(ctx, k, id, body, err)
		if findErr != nil || len(found.Items) == 0 {
			break // the first refusal says more
		}
		if _, takeErr := c.own(ctx, t, k, id, live, found.ManagedFields); takeErr != nil {
			if apierrors.IsConflict(takeErr) { // it changed since it was read
				continue
			}
			return nil, fmt.Errorf("taking over %s, which is in the way: %w", strings.Join(found.Items, ", "), takeErr)
		}
		after, err = c.patch(ctx, t, k, id, body, false)
	}
	return after, err
}

// colliding reads an object whose apply was refused and finds what is in the way.
func (c *Cluster) colliding(ctx context.Context, k kind, id drift.ObjectID, body []byte, refusal error) (*unstructured.Unstructured, drift.Collisions, error) {
	answer := statusOf(refusal)
	if answer.Details == nil || !drift.SaysDuplicate(answer) {
		return nil, drift.Collisions{}, nil
	}
	live, err := c.get(ctx, k, id)
	if err != nil {
		return nil, drift.Collisions{}, err
	}
	declared := &unstructured.Unstructured{}
	if err := declared.UnmarshalJSON(body); err != nil {
		return nil, drift.Collisions{}, err
	}
	return live, drift.Collide(declared, live, answer), nil
}

// own changes who owns fields of exactly the object that was looked at, and
// nothing else.
func (c *Cluster) own(ctx context.Context, t *target, k kind, id drift.ObjectID, live *unstructured.Unstructured, managedFields []any) (*unstructured.Unstructured, error) {
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": live.GetUID(), "resourceVersion": live.GetResourceVersion(), "managedFields": managedFields,
	}})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return at(t.writer.client, k, id.Namespace).Patch(ctx, id.Name, types.MergePatchType, body, metav1.PatchOptions{FieldManager: drift.FieldManager})
}

// tryOver tries what applyOver would do. That cannot be tried as a whole, as
// taking over is a write of its own. So what is declared is tried by itself: if
// it could be made, it can be made of what is there without what is in the way.
func (c *Cluster) tryOver(ctx context.Context, t *target, k kind, wanted drift.Wanted, refusal error) (live *unstructured.Unstructured, over []string, err error) {
	live, found, findErr := c.colliding(ctx, k, wanted.ID, wanted.Whole(), refusal)
	if findErr != nil || len(found.Items) == 0 {
		return nil, nil, refusal
	}
	made := &unstructured.Unstructured{}
	if err := made.UnmarshalJSON(wanted.Whole()); err != nil {
		return nil, nil, err
	}
	if err := c.tryCreation(ctx, t, k, made); err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, nil, err
	}
	return live, found.Items, nil
}
