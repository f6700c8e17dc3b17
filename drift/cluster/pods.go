package cluster

import (
	"context"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/pawl-dev/pawl/drift"
)

var podResource = schema.GroupVersionResource{Version: "v1", Resource: "pods"}

// podWatch sees the pods of a namespace while a target's workloads there are
// not ready, and keeps those that say why.
type podWatch struct {
	c         *Cluster
	namespace string
	stop      context.CancelFunc

	// guarded by Cluster.mu
	targets map[*target]bool
	failing map[string]*unstructured.Unstructured // by name, without managedFields
}

// workloads are the kinds whose pods can say why they are not ready.
var workloads = map[[2]string]bool{
	{"apps", "Deployment"}: true, {"apps", "StatefulSet"}: true, {"apps", "DaemonSet"}: true, {"apps", "ReplicaSet"}: true, {"batch", "Job"}: true,
}

// unready are the namespaces in which a target has workloads that are not
// ready. c.mu is held.
func (c *Cluster) unready(t *target) []string {
	var namespaces []string
	for _, k := range t.objects {
		if k.health.Status != drift.Current && workloads[[2]string{k.id.Group, k.id.Kind}] && !slices.Contains(namespaces, k.id.Namespace) {
			namespaces = append(namespaces, k.id.Namespace)
		}
	}
	return namespaces
}

// watchPods watches the pods of exactly these namespaces for a target. c.mu is held.
func (c *Cluster) watchPods(t *target, namespaces []string) {
	for _, namespace := range namespaces {
		p, ok := c.pods[namespace]
		if !ok {
			p = &podWatch{c: c, namespace: namespace, targets: map[*target]bool{}, failing: map[string]*unstructured.Unstructured{}}
			c.pods[namespace] = p
			p.start()
		}
		if !p.targets[t] {
			p.targets[t] = true
			p.explain()
		}
	}
	for namespace, p := range c.pods {
		if p.targets[t] && !slices.Contains(namespaces, namespace) {
			delete(p.targets, t)
			if len(p.targets) == 0 {
				p.stop()
				delete(c.pods, namespace)
			}
		}
	}
}

func (p *podWatch) start() {
	ctx, stop := context.WithCancel(p.c.ctx)
	p.stop = stop
	pods := p.c.client.Resource(podResource).Namespace(p.namespace)
	p.c.reflect(ctx, "pods in "+p.namespace, &source{
		list: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return pods.List(ctx, o)
		},
		watch: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return pods.Watch(ctx, o)
		},
		outcome: func(error) {}, // reasons are a help, health does not depend on them
	}, podStore{p})
}

// podStore receives pods. The reflector's own first collection gets only those
// that fail.
type podStore struct{ p *podWatch }

var _ cache.TransformingStore = podStore{}

func (s podStore) Transformer() cache.TransformFunc {
	return func(object any) (any, error) {
		pod, ok := object.(*unstructured.Unstructured)
		if !ok {
			return object, nil
		}
		if _, fails := drift.CauseOf(pod); fails {
			unstructured.RemoveNestedField(pod.Object, "metadata", "managedFields")
			return pod, nil
		}
		slim := &unstructured.Unstructured{}
		slim.SetNamespace(pod.GetNamespace())
		slim.SetName(pod.GetName())
		return slim, nil
	}
}

func (s podStore) Add(object any) error    { s.take(object, false); return nil }
func (s podStore) Update(object any) error { s.take(object, false); return nil }
func (s podStore) Delete(object any) error { s.take(object, true); return nil }
func (s podStore) Resync() error           { return nil }

func (s podStore) Replace(objects []any, _ string) error {
	s.p.c.mu.Lock()
	defer s.p.c.mu.Unlock()
	s.p.failing = map[string]*unstructured.Unstructured{}
	for _, o := range objects {
		s.note(o, false)
	}
	s.p.explain()
	return nil
}

func (s podStore) take(object any, gone bool) {
	s.p.c.mu.Lock()
	defer s.p.c.mu.Unlock()
	if s.note(object, gone) {
		s.p.explain()
	}
}

// note reports whether the pod failed before or does now. c.mu is held.
func (s podStore) note(object any, gone bool) bool {
	pod, ok := object.(*unstructured.Unstructured)
	if !ok {
		return false
	}
	_, before := s.p.failing[pod.GetName()]
	delete(s.p.failing, pod.GetName())
	_, fails := drift.CauseOf(pod)
	if fails && !gone {
		unstructured.RemoveNestedField(pod.Object, "metadata", "managedFields")
		s.p.failing[pod.GetName()] = pod
	}
	return before || fails
}

// explain finds the cause for each workload in the namespace. c.mu is held.
func (p *podWatch) explain() {
	names := make([]string, 0, len(p.failing))
	for name := range p.failing {
		names = append(names, name)
	}
	slices.Sort(names) // the same pods give the same cause
	for t := range p.targets {
		for _, k := range t.objects {
			if k.id.Namespace != p.namespace || !workloads[[2]string{k.id.Group, k.id.Kind}] {
				continue
			}
			cause := p.causeFor(k, names)
			if cause != k.cause {
				k.cause = cause
				p.c.notices.healthChanged(t)
			}
		}
	}
}

// causeFor finds why the pods of a workload's present template do not get
// ready. The first fatal cause wins. c.mu is held.
func (p *podWatch) causeFor(k *kept, names []string) drift.Cause {
	var found drift.Cause
	var workload *unstructured.Unstructured
	for _, name := range names {
		pod := p.failing[name]
		if !drift.OwnedBy(pod, k.id) {
			continue
		}
		if workload == nil {
			workload = &unstructured.Unstructured{}
			if err := workload.UnmarshalJSON(k.patch); err != nil {
				return drift.Cause{} // it was made by json.Marshal
			}
		}
		if !drift.RunsTemplate(pod, workload) {
			continue
		}
		cause, _ := drift.CauseOf(pod)
		if cause.Fatal {
			return cause
		}
		if found.Message == "" {
			found = cause
		}
	}
	return found
}
