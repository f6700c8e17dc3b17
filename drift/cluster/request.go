package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"

	"golang.org/x/net/http2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"

	"github.com/pawl-dev/pawl/drift"
)

// at addresses the objects of a kind.
func at(client *dynamic.DynamicClient, k kind, namespace string) dynamic.ResourceInterface {
	if k.namespaced {
		return client.Resource(k.gvr).Namespace(namespace)
	}
	return client.Resource(k.gvr)
}

// patch makes a server-side apply request. Declared fields are taken from
// whoever else has them; unknown fields are errors.
func (c *Cluster) patch(ctx context.Context, t *target, k kind, id drift.ObjectID, body []byte, dryRun bool) (*unstructured.Unstructured, error) {
	force := true
	options := metav1.PatchOptions{FieldManager: drift.FieldManager, Force: &force, FieldValidation: metav1.FieldValidationStrict}
	if dryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return at(t.writer.client, k, id.Namespace).Patch(ctx, id.Name, types.ApplyPatchType, body, options)
}

func (c *Cluster) get(ctx context.Context, k kind, id drift.ObjectID) (*unstructured.Unstructured, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return at(c.client, k, id.Namespace).Get(ctx, id.Name, metav1.GetOptions{})
}

// delete deletes exactly the object that was looked at. It reports whether the
// API server says that the object is gone, which it is not yet while
// finalizers or a grace period hold it.
func (c *Cluster) delete(ctx context.Context, t *target, k kind, id drift.ObjectID, live drift.Live) (gone bool, err error) {
	uid, version, background := types.UID(live.UID), live.ResourceVersion, metav1.DeletePropagationBackground
	body, err := json.Marshal(metav1.DeleteOptions{
		TypeMeta:          metav1.TypeMeta{APIVersion: "v1", Kind: "DeleteOptions"},
		Preconditions:     &metav1.Preconditions{UID: &uid, ResourceVersion: &version},
		PropagationPolicy: &background,
	})
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	path := []string{"apis", k.gvr.Group, k.gvr.Version}
	if k.gvr.Group == "" {
		path = []string{"api", k.gvr.Version}
	}
	if k.namespaced {
		path = append(path, "namespaces", id.Namespace)
	}
	result := t.writer.rest.Delete().AbsPath(append(path, k.gvr.Resource, id.Name)...).
		SetHeader("Content-Type", "application/json").Body(body).Do(ctx)
	if err := result.Error(); err != nil { // unlike Raw, it has the server's words
		return false, err
	}
	answer, err := result.Raw()
	if err != nil {
		return false, err
	}
	var status metav1.Status
	err = json.Unmarshal(answer, &status)
	return err == nil && status.Kind == "Status" && status.Status == metav1.StatusSuccess, nil
}

// persist makes a request of an apply, again for a while if it fails for a
// reason that may pass: an apply of many objects on a bad day would otherwise
// never get all its requests through. Every request that is made by it may be
// made twice. Repairs do without, as others wait behind them; they have their
// queues.
func persist[T any](ctx context.Context, request func() (T, error)) (result T, err error) {
	held, _ := ctx.Value(turnKey{}).(*turn)
	bounded, cancel := context.WithTimeout(ctx, persistence)
	defer cancel()
	again := wait.Backoff{Duration: firstRetry / 2, Factor: 2, Jitter: 0.5, Steps: 10}
	_ = again.DelayFunc().Until(bounded, true, true, func(context.Context) (done bool, _ error) {
		if err != nil && !held.begin(ctx) {
			return true, nil
		}
		if result, err = request(); !passing(err) {
			return true, nil
		}
		held.end() // others have its slots while it waits
		return false, nil
	})
	return result, err
}

// passing reports whether an error is the way's or the API server's, not the
// request's own.
func passing(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	if answer := statusOf(err); answer.Code != 0 {
		return answer.Code == http.StatusTooManyRequests || answer.Code >= http.StatusInternalServerError && !isUnfit(answer)
	}
	// Before the answer, the way's errors are all net.Error; within it they are not.
	var way net.Error
	var stream http2.StreamError
	var going http2.GoAwayError
	return errors.As(err, &way) || errors.As(err, &stream) || errors.As(err, &going) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || utilnet.IsHTTP2ConnectionLost(err)
}
