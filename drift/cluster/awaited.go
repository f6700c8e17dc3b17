package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/pawl-dev/pawl/drift"
)

// lack is a namespace or a definition without which an object cannot be made. The
// zero value is none.
type lack struct {
	id    drift.ObjectID
	going bool // it is there, on its way out
}

func (l lack) String() string {
	what := "its namespace " + l.id.Name
	if l.id.Kind != "Namespace" {
		what = "the definition of its kind, " + l.id.Name + ","
	}
	if l.going {
		return what + " is being deleted, so that nothing can be made there"
	}
	return what + " is not there"
}

func definitionID(gr schema.GroupResource) drift.ObjectID {
	return drift.ObjectID{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition", Name: gr.String()}
}

// lacking finds in an API server's answer what an object cannot be made without.
func lacking(err error, id drift.ObjectID, k kind) (lack, bool) {
	s := statusOf(err)
	namespace, definition := drift.ObjectID{Kind: "Namespace", Name: id.Namespace}, definitionID(k.gvr.GroupResource())
	switch {
	case s.Code == http.StatusForbidden && apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return lack{id: namespace, going: true}, true
	case s.Code == http.StatusForbidden && strings.HasSuffix(s.Message, "custom resource definition is terminating"):
		return lack{id: definition, going: true}, true
	case s.Code != http.StatusNotFound:
		return lack{}, false
	case s.Details != nil && s.Details.Group == "" && s.Details.Kind == "namespaces" && s.Details.Name == id.Namespace && id.Namespace != "":
		return lack{id: namespace}, true
	case apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse) && strings.Contains(k.gvr.Group, "."):
		return lack{id: definition}, true
	}
	return lack{}, false
}

// awaited is what targets or drifted objects lack, watched by its name whatever
// mark it bears. Each change of it lets them be tried again: also that it is wholly
// gone, as their release may bring it, and in any case another reason is true then.
// Where the agent may not watch it, they are tried at their own pace. Its fields are
// guarded by Cluster.mu.
type awaited struct {
	c       *Cluster
	id      drift.ObjectID
	state   lifeState
	stop    context.CancelFunc
	targets map[*target]bool
	objects map[*kept]bool
}

// lifeState is how far something is from being there.
type lifeState int

const (
	notSeen lifeState = iota
	isAbsent
	isGoing
	isThere
)

// await makes a target wait for what the error of its apply says that it lacks, and
// for nothing else. c.mu is held.
func (c *Cluster) await(t *target, err error) {
	for _, a := range c.awaited {
		delete(a.targets, t)
	}
	var refused *drift.Rejected
	if errors.As(err, &refused) && refused.Passes() {
		for _, p := range refused.Problems {
			c.watchAwaited(p.Awaits).targets[t] = true
		}
	}
	c.letAwaitedGo()
}

// lacks makes a drifted object wait. c.mu is held.
func (c *Cluster) lacks(k *kept, l lack) {
	k.lacks = l
	c.watchAwaited(l.id).objects[k] = true
}

// letAwaitedGo ends watching what nobody waits for any more. c.mu is held.
func (c *Cluster) letAwaitedGo() {
	for id, a := range c.awaited {
		for k := range a.objects {
			if c.kept[k.id] != k || k.lacks.id != id {
				delete(a.objects, k)
			}
		}
		if len(a.targets)+len(a.objects) == 0 {
			a.stop()
			delete(c.awaited, id)
		}
	}
}

// watchAwaited watches something by its name, if it is not watched so yet. c.mu is held.
func (c *Cluster) watchAwaited(id drift.ObjectID) *awaited {
	if a := c.awaited[id]; a != nil {
		return a
	}
	ctx, stop := context.WithCancel(c.ctx)
	a := &awaited{c: c, id: id, stop: stop, targets: map[*target]bool{}, objects: map[*kept]bool{}}
	c.awaited[id] = a
	gvr := schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	if id.Kind != "Namespace" {
		gvr = schema.GroupVersionResource{Group: id.Group, Version: "v1", Resource: "customresourcedefinitions"}
	}
	byName := fields.OneTermEqualSelector(metav1.ObjectNameField, id.Name).String()
	c.reflect(ctx, id.String(), &source{
		list: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = byName
			return c.client.Resource(gvr).List(ctx, o)
		},
		watch: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = byName
			return c.client.Resource(gvr).Watch(ctx, o)
		},
		outcome: func(err error) {
			if final(err) { // which only a person changes
				stop()
			}
		},
	}, a)
	return a
}

var _ cache.ReflectorStore = (*awaited)(nil)

// Add, Update, Delete, Replace and Resync are for the reflector.
func (a *awaited) Add(object any) error    { return a.Replace([]any{object}, "") }
func (a *awaited) Update(object any) error { return a.Replace([]any{object}, "") }
func (a *awaited) Delete(any) error        { return a.Replace(nil, "") }
func (a *awaited) Resync() error           { return nil }

func (a *awaited) Replace(objects []any, _ string) error {
	state := isAbsent
	for _, o := range objects {
		object, ok := o.(*unstructured.Unstructured)
		if !ok {
			return fmt.Errorf("unexpected %T from a watch", o)
		}
		switch live := drift.Observe(object); {
		case live.Terminating:
			state = isGoing
		case live.Health.Status == drift.Current:
			state = isThere
		}
	}
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	if a.c.awaited[a.id] != a || state == a.state {
		return nil
	}
	first := a.state == notSeen
	a.state = state
	if first && state != isThere {
		return nil // which is why they wait
	}
	if state == isThere {
		a.c.servedAgain(a.id)
	}
	for t := range a.targets {
		a.c.notices.tryAgain(t)
	}
	for k := range a.objects {
		a.c.retry.Forget(k.id)
		a.c.fresh.Add(k.id)
	}
	return nil
}
