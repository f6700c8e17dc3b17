package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
)

// A person asks for a rollback by annotating the Secret that names a target's
// good releases, with rights of their own; the agent, which is the only one to
// write objects, does it and answers there.
const (
	annotationRequest = "pawl.dev/rollback"
	annotationAnswer  = "pawl.dev/rollback-answer"
)

// ErrNoRollback says that there is nothing to ask the agent for.
var ErrNoRollback = errors.New("no good release of it is kept in this cluster")

// errRequestGone says that a request went with its Secret.
var errRequestGone = errors.New("somebody deleted the Secret, and the request with it, which the agent may have seen or not; look at `pawl status` and ask again")

// AskRollback asks the agent of this namespace for a rollback, waits until it
// has answered, and returns its answer. It writes as whoever Options.Config is.
func (c *Cluster) AskRollback(ctx context.Context, t environments.Target, request drift.RollbackRequest) (string, error) {
	name := goodName(c.options.Owner, t)
	doing := fmt.Sprintf("%s: ask the agent for a rollback (Secret %s/%s)", t, c.options.Namespace, name)
	text, err := json.Marshal(request)
	if err != nil {
		return "", err
	}
	secrets := c.releases.secrets
	var uid types.UID
	for {
		secret, err := secrets.Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return "", fmt.Errorf("%s: %w", t, ErrNoRollback)
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", doing, err)
		}
		if secret.Annotations[annotationRequest] != "" { // the agent answers those that have expired with a no
			if asked := askedAt(secret); !(drift.RollbackRequest{At: asked}).Expired(time.Now()) {
				return "", fmt.Errorf("%s: somebody else asked at %s, and the agent has not answered yet; is it running? What is not answered can be asked anew after %s", doing, asked.UTC().Format(time.TimeOnly), drift.RequestLasts)
			}
		}
		secret.Annotations = with(secret.Annotations, annotationRequest, string(text))
		delete(secret.Annotations, annotationAnswer)
		uid = secret.UID
		_, err = secrets.Update(ctx, secret, metav1.UpdateOptions{FieldManager: "pawl-rollback"})
		if apierrors.IsConflict(err) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", doing, err)
		}
		break
	}
	var answer string
	began := time.Now()
	err = wait.PollUntilContextCancel(ctx, 200*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		secret, err := secrets.Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) || err == nil && secret.UID != uid {
			return false, errRequestGone
		}
		if err != nil {
			return false, err
		}
		answer = secret.Annotations[annotationAnswer]
		now := secret.Annotations[annotationRequest]
		if now != "" && now != string(text) {
			return false, errors.New("it was answered, and somebody else asked right after, so that the answer is gone; the check of the commit and the agent's log have what came of it")
		}
		return now == "", nil
	})
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("%s: the agent did not answer in %s (%w); is it running? It still carries it out until %s, and refuses it after that",
			doing, inWords(time.Since(began).Round(time.Second)), ctx.Err(), began.Add(drift.RequestLasts).UTC().Format("15:04:05 MST"))
	case err != nil:
		return "", fmt.Errorf("%s: what came of it is not known: %w", doing, err)
	}
	return answer, nil
}

// Answer ends a request, with what came of it.
func (c *Cluster) Answer(ctx context.Context, t environments.Target, answer string) error {
	name := goodName(c.options.Owner, t)
	defer c.releases.lock(name)()
	return c.changeIndex(ctx, name, t, func(next *goodIndex) bool {
		if next.object == nil {
			return false // the request went with the Secret
		}
		delete(next.object.Annotations, annotationRequest)
		next.object.Annotations = with(next.object.Annotations, annotationAnswer, answer)
		return true
	})
}

// askedAt is when a request was written, by the API server's clock; zero where that
// is not known.
func askedAt(secret *corev1.Secret) (at time.Time) {
	for _, f := range secret.ManagedFields {
		if f.Time != nil && f.FieldsV1 != nil && bytes.Contains(f.FieldsV1.Raw, []byte(`"f:`+annotationRequest+`"`)) && f.Time.After(at) {
			at = f.Time.Time
		}
	}
	return at
}

// watchReleases sees what others do to the Secrets, and so what people ask for. releases.mu is held.
func (c *Cluster) watchReleases() {
	if c.releases.watched {
		return
	}
	c.releases.watched = true
	secrets := c.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "secrets"}).Namespace(c.options.Namespace)
	selector := labelGoodOf + "=" + c.releases.agent
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reflect(c.ctx, "rollback requests", &source{
		list: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = selector
			return secrets.List(ctx, o)
		},
		watch: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = selector
			return secrets.Watch(ctx, o)
		},
		outcome: func(error) {},
	}, requestStore{c})
}

// requestStore receives the indexes of good releases.
type requestStore struct{ c *Cluster }

var _ cache.ReflectorStore = requestStore{}

func (s requestStore) Add(object any) error    { return s.event(object, false) }
func (s requestStore) Update(object any) error { return s.event(object, false) }
func (s requestStore) Delete(object any) error { return s.event(object, true) }
func (s requestStore) Resync() error           { return nil }

func (s requestStore) event(object any, gone bool) error {
	o, err := meta.Accessor(object)
	if err != nil {
		return err
	}
	s.c.sawIndex(o.GetName(), sighting{o.GetResourceVersion(), gone})
	if gone {
		s.c.releases.asks(o.GetName(), "", time.Time{}) // went with it
	} else {
		s.c.take(object)
	}
	return nil
}

func (s requestStore) Replace(objects []any, version string) error {
	there := map[string]bool{}
	for _, object := range objects {
		if err := s.event(object, false); err != nil {
			return err
		}
		if o, err := meta.Accessor(object); err == nil {
			there[o.GetName()] = true
		}
	}
	for _, name := range s.c.releases.missing(there) {
		s.c.sawIndex(name, sighting{version, true})
	}
	return nil
}

// missing are the indexes that are known and not there.
func (r *releases) missing(there map[string]bool) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Collect(maps.Keys(r.known)), func(name string) bool { return there[name] })
}

// take hands on what is asked by an index as it is in the cluster, also by one
// that is found at the start.
func (c *Cluster) take(object any) {
	o, ok := object.(*unstructured.Unstructured)
	if !ok {
		return
	}
	secret := &corev1.Secret{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, secret); err != nil {
		return
	}
	t := targetNamed(secret.Annotations[annotationFor])
	if goodName(c.options.Owner, t) != secret.Name {
		return // who may write this Secret may ask for its target alone
	}
	text, at := secret.Annotations[annotationRequest], askedAt(secret)
	if !c.releases.asks(secret.Name, text, at) {
		return
	}
	var request drift.RollbackRequest
	if err := json.Unmarshal([]byte(text), &request); err != nil || request.By == "" || strings.TrimSpace(request.Reason) == "" {
		c.later(func() { _ = c.Answer(c.ctx, t, "refused: the request has no name or no reason") })
		return
	}
	request.At = at
	c.options.Notify(drift.Notice{Target: t, Rollback: &request})
}

// asks reports whether what an index asks is news.
func (r *releases) asks(name, text string, at time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if text == "" {
		delete(r.asked, name)
		return false
	}
	request := at.String() + text
	if r.asked[name] == request {
		return false
	}
	r.asked[name] = request
	return true
}

// later does what a watch must not wait for.
func (c *Cluster) later(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spawn(f)
}
