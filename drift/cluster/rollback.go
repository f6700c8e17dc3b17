package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
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
	for {
		secret, err := secrets.Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return "", fmt.Errorf("%s: %w", t, ErrNoRollback)
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", doing, err)
		}
		if secret.Annotations[annotationRequest] != "" {
			return "", fmt.Errorf("%s: somebody else asked, and the agent has not answered yet; is it running?", doing)
		}
		secret.Annotations = with(secret.Annotations, annotationRequest, string(text))
		delete(secret.Annotations, annotationAnswer)
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
	err = wait.PollUntilContextCancel(ctx, 200*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		secret, err := secrets.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		answer = secret.Annotations[annotationAnswer]
		return secret.Annotations[annotationRequest] == "", nil
	})
	if err != nil {
		return "", fmt.Errorf("%s: the agent did not answer: %w; it may still do so", doing, err)
	}
	return answer, nil
}

// Answer ends a request, with what came of it.
func (c *Cluster) Answer(ctx context.Context, t environments.Target, answer string) error {
	name := goodName(c.options.Owner, t)
	defer c.releases.lock(name)()
	index, err := c.goodIndex(ctx, name, t)
	if err != nil || index.object == nil {
		return err
	}
	next := *index
	next.object = index.object.DeepCopy()
	delete(next.object.Annotations, annotationRequest)
	next.object.Annotations = with(next.object.Annotations, annotationAnswer, answer)
	return c.releases.save(ctx, name, &next)
}

// watchRequests sees what people ask for. releases.mu is held.
func (c *Cluster) watchRequests() {
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

func (s requestStore) Add(object any) error    { s.c.take(object); return nil }
func (s requestStore) Update(object any) error { s.c.take(object); return nil }
func (s requestStore) Delete(any) error        { return nil }
func (s requestStore) Resync() error           { return nil }

func (s requestStore) Replace(objects []any, _ string) error {
	for _, o := range objects {
		s.c.take(o)
	}
	return nil
}

// take takes in an index as it is in the cluster, and hands on what is asked.
func (c *Cluster) take(object any) {
	o, ok := object.(*unstructured.Unstructured)
	if !ok {
		return
	}
	secret := &corev1.Secret{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, secret); err != nil {
		return
	}
	r := &c.releases
	r.mu.Lock()
	known := r.known[secret.Name]
	if known == nil || known.object == nil {
		r.mu.Unlock()
		return // not looked at by anybody yet
	}
	text := secret.Annotations[annotationRequest]
	asked := text != "" && known.object.Annotations[annotationRequest] != text
	if known.object.ResourceVersion != secret.ResourceVersion && asked {
		index := *known
		secret.Data, secret.ManagedFields = nil, nil
		index.object = secret
		r.known[secret.Name] = &index
	}
	r.mu.Unlock()
	if !asked {
		return
	}
	environment, application, _ := strings.Cut(known.Target, "/")
	t := environments.Target{Environment: environment, Application: application}
	var request drift.RollbackRequest
	if err := json.Unmarshal([]byte(text), &request); err != nil || request.By == "" || strings.TrimSpace(request.Reason) == "" {
		c.mu.Lock()
		c.spawn(func() { _ = c.Answer(c.ctx, t, "refused: the request has no name or no reason") })
		c.mu.Unlock()
		return
	}
	c.options.Notify(drift.Notice{Target: t, Rollback: &request})
}
