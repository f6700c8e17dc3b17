package cluster

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"

	"github.com/pawl-dev/pawl/drift"
)

// put makes an object as it is wanted, and keeps the live values of what is left
// to others. It writes over what was decided on alone, or makes what is not
// there: an apply that is forced would take over whatever came in between.
// Without exceptions it is one request.
func (c *Cluster) put(ctx context.Context, t *target, k kind, wanted drift.Wanted, decided drift.Live) (*unstructured.Unstructured, error) {
	var after *unstructured.Unstructured
	is, look := decided, wanted.Exceptions != nil
	err := retry.OnError(changing, isAnother, func() (err error) {
		var object *unstructured.Unstructured
		if look {
			if object, is, err = c.lookFirst(ctx, t, k, wanted.ID, decided); err != nil {
				return err
			}
		}
		look = true
		switch {
		case is.State != drift.Present:
			after, err = c.makeNew(ctx, t, k, wanted)
		case wanted.Exceptions == nil:
			after, err = c.applyTo(ctx, t, k, wanted.ID, wanted.Patch, types.UID(is.UID), "")
		default:
			after, err = c.putExcept(ctx, t, k, wanted, object)
		}
		return err
	})
	if isAnother(err) {
		return nil, errors.New("it changed each time it was to be written")
	}
	return after, err
}

// changing are the waits for an object that others write at the same time: its
// controllers while it is rolled out, at most.
var changing = wait.Backoff{Steps: 10, Duration: 5 * time.Millisecond, Factor: 2, Jitter: 0.5, Cap: time.Second}

// errReplaced is of a moment: who looks anew sees whose the other object is.
var errReplaced = errors.New("somebody else made another object of that name meanwhile; it was not written over, and is looked at anew")

// lookFirst reads an object that is not, or not surely, what was decided on.
func (c *Cluster) lookFirst(ctx context.Context, t *target, k kind, id drift.ObjectID, decided drift.Live) (*unstructured.Unstructured, drift.Live, error) {
	object, err := c.get(ctx, k, id)
	switch {
	case isGone(err):
		return nil, drift.Live{State: drift.Absent}, nil
	case err != nil:
		return nil, drift.Live{}, err
	}
	live := drift.Observe(object)
	if !live.MayReplace(decided, t.mark) {
		return nil, live, errReplaced
	}
	return object, live, nil
}

// noVersion is a resourceVersion that no object has: etcd gives the first one
// that is written 2. The API server refuses to apply it to an object that is
// there, whatever that is, and makes one that is not.
const noVersion = "1"

// makeNew makes an object that is not there. Cut off before fields are left to
// others, it differs from what is noted of it, and the next write leaves them.
func (c *Cluster) makeNew(ctx context.Context, t *target, k kind, wanted drift.Wanted) (*unstructured.Unstructured, error) {
	made, err := c.applyTo(ctx, t, k, wanted.ID, wanted.Whole(), "", noVersion)
	if err != nil || wanted.Exceptions == nil {
		return made, err
	}
	return c.disown(ctx, t, k, wanted.ID, made, wanted.Exceptions)
}

// applyTo applies a body to the object with a uid, and to a version of it unless
// that is empty. Should it be gone it is not made: the answer is a conflict.
func (c *Cluster) applyTo(ctx context.Context, t *target, k kind, id drift.ObjectID, body []byte, uid types.UID, version string) (*unstructured.Unstructured, error) {
	o := &unstructured.Unstructured{}
	if err := o.UnmarshalJSON(body); err != nil {
		return nil, err
	}
	o.SetUID(uid)
	o.SetResourceVersion(version)
	body, err := o.MarshalJSON()
	if err != nil {
		return nil, err
	}
	return c.applyOver(ctx, t, k, id, body)
}

// isAnother reports whether an answer says that an object is not the one that a
// write was for: it is gone, has changed, or is another one.
func isAnother(err error) bool {
	answer := statusOf(err)
	return apierrors.IsConflict(err) || answer.Code == http.StatusUnprocessableEntity && answer.Details != nil &&
		slices.ContainsFunc(answer.Details.Causes, func(cause metav1.StatusCause) bool { return cause.Field == "metadata.uid" })
}
