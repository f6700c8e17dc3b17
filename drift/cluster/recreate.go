package cluster

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pawl-dev/pawl/drift"
)

// tryRecreation decides whether an object whose change was refused may be
// deleted and made again, and lets the API server check that it could be made.
// It returns nil where the step became drift.Recreate; else why it did not.
func (c *Cluster) tryRecreation(ctx context.Context, w *work, step *drift.Step, refusal error) error {
	fields := drift.Immutable(statusOf(refusal))
	wanted, k := w.wanted[step.Object], w.kinds[step.Object]
	if len(fields) == 0 || !wanted.Recreate && !w.terms.Returning {
		return refusal
	}
	object, err := c.get(ctx, k, wanted.ID)
	if err != nil {
		return err
	}
	live := drift.Observe(object)
	recreate, reason := drift.DecideRecreation(wanted, w.terms.Returning, w.inventory.Entries[wanted.ID], live, w.target.mark, fields)
	if !recreate {
		return &notRecreated{drift.Problem{Object: wanted.ID, Field: fields[0], Reason: reason}}
	}
	made := &unstructured.Unstructured{}
	if err := made.UnmarshalJSON(wanted.Whole()); err != nil {
		return err
	}
	// The name is taken, which the API server says last: after it has found
	// nothing wrong with the object.
	err = c.tryCreation(ctx, w.target, k, made)
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("it would have to be deleted and made again, and it could not be made: %w", err)
	}
	step.Action, step.Reason, step.Changes = drift.Recreate, reason, drift.Unchangeable(object, made, fields)
	c.mu.Lock()
	defer c.mu.Unlock()
	w.recreated[wanted.ID] = live.UID
	return nil
}

// notRecreated says that an object is not deleted.
type notRecreated struct{ problem drift.Problem }

func (e *notRecreated) Error() string { return e.problem.String() }

func (c *Cluster) tryCreation(ctx context.Context, t *target, k kind, object *unstructured.Unstructured) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, err := at(t.writer.client, k, object.GetNamespace()).Create(ctx, object, metav1.CreateOptions{
		DryRun: []string{metav1.DryRunAll}, FieldManager: drift.FieldManager, FieldValidation: metav1.FieldValidationStrict,
	})
	return err
}

// remove deletes an object that is to be made again, and waits until it is
// gone. It deletes exactly the one that was tried.
func (c *Cluster) remove(ctx context.Context, w *work, wanted drift.Wanted, uid string) error {
	k := w.kinds[wanted.ID]
	for range 5 {
		object, err := c.get(ctx, k, wanted.ID)
		if isGone(err) {
			return nil
		}
		if err != nil {
			return err
		}
		live := drift.Observe(object)
		if live.UID != uid || live.Mark != w.target.mark {
			return errors.New("it was to be deleted and made again, but was replaced by another object meanwhile; that is looked at anew")
		}
		gone := false
		if !live.Terminating {
			gone, err = c.delete(context.WithoutCancel(ctx), w.target, k, wanted.ID, live)
		}
		switch {
		case apierrors.IsConflict(err): // it changed since it was read
			continue
		case err != nil && !isGone(err):
			return fmt.Errorf("deleting it, to make it again: %w", err)
		}
		c.mu.Lock()
		if kept := c.kept[wanted.ID]; kept != nil {
			// Should the wait below end too early, this is what is made as soon as
			// it is gone, not what was before.
			kept.patch, kept.except, kept.adopt, kept.desired = wanted.Patch, wanted.Exceptions, wanted.Adopt, wanted.Digest
			kept.applied, kept.finished = "", "" // what goes is none of this
		}
		c.mu.Unlock()
		if gone || isGone(err) {
			return nil
		}
		return c.goneFor(ctx, w, wanted.ID, uid, object.GetFinalizers())
	}
	return errors.New("it changed each time it was to be deleted, to be made again")
}

// goneFor waits until an object whose deletion has begun is no longer there.
func (c *Cluster) goneFor(ctx context.Context, w *work, id drift.ObjectID, uid string, finalizers []string) error {
	bounded, cancel := context.WithTimeout(ctx, recreateTimeout)
	defer cancel()
	watcher := w.watchers[id]
	err := c.wait(bounded, func() bool {
		live, known := watcher.seen[id]
		return !known || live.State == drift.Absent || live.UID != uid
	})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		waits := ""
		if len(finalizers) > 0 {
			waits = fmt.Sprintf("; it waits for finalizers %v", finalizers)
		}
		return fmt.Errorf("it was deleted, to be made again, and is not gone after %s%s. It is made as soon as it is", inWords(recreateTimeout), waits)
	}
	return err
}

func statusOf(err error) metav1.Status {
	var answer apierrors.APIStatus
	if !errors.As(err, &answer) {
		return metav1.Status{}
	}
	return answer.Status()
}
