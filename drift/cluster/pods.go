package cluster

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/pawl-dev/pawl/drift"
)

var (
	podResource        = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	eventResource      = schema.GroupVersionResource{Version: "v1", Resource: "events"}
	replicaSetResource = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}
)

// podWatch sees the pods and warnings of a namespace while a target's workloads
// there are not ready, for what they say of the reason.
type podWatch struct {
	c         *Cluster
	namespace string
	stop      context.CancelFunc

	// guarded by Cluster.mu
	targets  map[*target]bool
	pods     map[string]drift.Pod     // by name
	warnings map[string]drift.Warning // by uid of what they are about
	sets     map[replicaSet]*revision
	logs     map[string]*lastWords // by pod
}

// replicaSet is one of a Deployment at a revision. Whoever returns to a template
// gives its old ReplicaSet a new revision, so that it must be read again.
type replicaSet struct{ of, name, at string }

// revision is that of a ReplicaSet, once it is known.
type revision struct {
	is    string
	known bool
}

// unready are the namespaces in which a target has workloads that are not
// ready. c.mu is held.
func (c *Cluster) unready(t *target) []string {
	var namespaces []string
	for _, k := range t.objects {
		if k.health.Status != drift.Current && drift.IsWorkload(k.id) && !slices.Contains(namespaces, k.id.Namespace) {
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
			p = &podWatch{
				c: c, namespace: namespace, targets: map[*target]bool{}, pods: map[string]drift.Pod{},
				warnings: map[string]drift.Warning{}, sets: map[replicaSet]*revision{}, logs: map[string]*lastWords{},
			}
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
	p.see(ctx, podResource, "", podStore{p})
	p.see(ctx, eventResource, "type=Warning", warningStore{p})
}

// see watches a resource of the namespace. That it cannot is no error: reasons
// are a help, health does not depend on them.
func (p *podWatch) see(ctx context.Context, resource schema.GroupVersionResource, fields string, into cache.ReflectorStore) {
	objects := p.c.client.Resource(resource).Namespace(p.namespace)
	p.c.reflect(ctx, resource.Resource+" in "+p.namespace, &source{
		list: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = fields
			return objects.List(ctx, o)
		},
		watch: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = fields
			return objects.Watch(ctx, o)
		},
		outcome: func(error) {},
	}, into)
}

// seen is what is kept of a pod or an event. The reflector's own first
// collection gets only this.
type seen[T any] struct {
	metav1.ObjectMeta
	says T
}

func only[T any](object any, says func(*unstructured.Unstructured) T) *seen[T] {
	switch o := object.(type) {
	case *seen[T]:
		return o
	case *unstructured.Unstructured:
		return &seen[T]{metav1.ObjectMeta{Namespace: o.GetNamespace(), Name: o.GetName(), ResourceVersion: o.GetResourceVersion()}, says(o)}
	}
	return &seen[T]{} // a reflector hands out nothing else
}

// podStore receives pods.
type podStore struct{ p *podWatch }

var _ cache.TransformingStore = podStore{}

func podIn(object any) drift.Pod { return only(object, drift.PodOf).says }

func (s podStore) Transformer() cache.TransformFunc {
	return func(object any) (any, error) { return only(object, drift.PodOf), nil }
}

func (s podStore) Add(object any) error    { s.p.take(podIn(object), false); return nil }
func (s podStore) Update(object any) error { s.p.take(podIn(object), false); return nil }
func (s podStore) Delete(object any) error { s.p.take(podIn(object), true); return nil }
func (s podStore) Resync() error           { return nil }

func (s podStore) Replace(objects []any, _ string) error {
	s.p.c.mu.Lock()
	defer s.p.c.mu.Unlock()
	s.p.pods = make(map[string]drift.Pod, len(objects))
	for _, o := range objects {
		pod := podIn(o)
		s.p.pods[pod.Name] = pod
	}
	s.p.explain()
	return nil
}

// take takes in what was seen of a pod. Most pods start without trouble, and
// need no explanation.
func (p *podWatch) take(pod drift.Pod, gone bool) {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	before := p.pods[pod.Name]
	_, warned := p.warnings[pod.UID]
	_, refused := p.warnings[pod.Owner.UID]
	if gone {
		delete(p.pods, pod.Name)
		delete(p.warnings, pod.UID)
		delete(p.logs, pod.Name)
	} else {
		p.pods[pod.Name] = pod
	}
	if before.Cause != pod.Cause || pod.Owner.Kind == "StatefulSet" && (gone || before.Ready != pod.Ready || before.Leaving != pod.Leaving) || gone && pod.Cause.Message != "" || warned || refused && before.UID != pod.UID {
		p.explain()
	}
}

// warningStore receives warning events.
type warningStore struct{ p *podWatch }

var _ cache.TransformingStore = warningStore{}

func (s warningStore) warningOf(event *unstructured.Unstructured) *drift.Warning {
	if w, ok := drift.WarningOf(event, s.p.c.options.PodLogs); ok {
		return &w
	}
	return nil
}

func (s warningStore) Transformer() cache.TransformFunc {
	return func(object any) (any, error) { return only(object, s.warningOf), nil }
}

func (s warningStore) Add(object any) error                  { return s.take([]any{object}) }
func (s warningStore) Delete(any) error                      { return nil } // it happened all the same
func (s warningStore) Resync() error                         { return nil }
func (s warningStore) Update(o any) error                    { return s.take([]any{o}) }
func (s warningStore) Replace(objects []any, _ string) error { return s.take(objects) }

func (s warningStore) take(objects []any) error {
	s.p.c.mu.Lock()
	defer s.p.c.mu.Unlock()
	more := false
	for _, o := range objects {
		w := only(o, s.warningOf).says
		if w == nil || w.Stale(time.Now()) || s.p.warnings[w.UID].Last.After(w.Last) {
			continue
		}
		s.p.warnings[w.UID], more = *w, true
	}
	if more {
		s.p.explain()
	}
	return nil
}

// strayFor is how long a warning waits for what it is about to be seen: the two
// are watched apart.
const strayFor = time.Minute

// forget drops what is of no pod and no workload any more: a namespace may stay
// unready for weeks while its pods come and go. c.mu is held.
func (p *podWatch) forget(now time.Time) {
	workloads, rollouts := map[string]bool{}, map[string]string{} // by uid; of Deployments, by name
	for t := range p.targets {
		for _, k := range t.objects {
			if k.id.Namespace != p.namespace || !drift.IsWorkload(k.id) {
				continue
			}
			if workloads[k.uid] = true; k.id.Kind == "Deployment" {
				rollouts[k.id.Name] = k.rollout
			}
		}
	}
	maps.DeleteFunc(p.warnings, func(uid string, w drift.Warning) bool {
		return w.Stale(now) || p.pods[w.Name].UID != uid && !workloads[uid] && now.Sub(w.Last) > strayFor
	})
	maps.DeleteFunc(p.logs, func(pod string, _ *lastWords) bool { _, ok := p.pods[pod]; return !ok })
	maps.DeleteFunc(p.sets, func(set replicaSet, _ *revision) bool { return rollouts[set.of] != set.at })
}

// explain finds the cause for each workload in the namespace. c.mu is held.
func (p *podWatch) explain() {
	p.forget(time.Now())
	var failing, unready []drift.Pod
	for _, pod := range p.pods {
		if !pod.Ready {
			unready = append(unready, pod)
		}
		if _, warned := p.warnings[pod.UID]; warned || pod.Cause.Message != "" {
			failing = append(failing, pod)
		}
	}
	for _, pods := range [][]drift.Pod{failing, unready} { // the same pods give the same cause
		slices.SortFunc(pods, func(a, b drift.Pod) int { return cmp.Compare(a.Name, b.Name) })
	}
	for t := range p.targets {
		for _, k := range t.objects {
			if k.id.Namespace != p.namespace || !drift.IsWorkload(k.id) || k.health.Status == drift.Current {
				continue
			}
			w := drift.Workload{ID: k.id, UID: k.uid, Rollout: k.rollout, Replaces: k.replaces, Revision: func(set string) (string, bool) { return p.revisionOf(k, set) }}
			cause := drift.Explain(w, failing, p.warnings, t.excused)
			if blocked, ok := drift.Blocked(w, unready, p.warnings); ok && !cause.Fatal {
				cause = blocked
			}
			if refusal, ok := p.refusalOf(w, k.refusal); ok && !cause.Fatal {
				cause = refusal
				cause.Fatal = refusal.Fatal && !t.excused[refusal]
			}
			if p.c.options.PodLogs && cause.Crash != (drift.Crash{}) {
				cause = p.withLog(cause)
			}
			p.blame(k, cause)
		}
	}
}

// refusalOf is why no pods of a workload can be made, by its status or else by a
// warning. c.mu is held.
func (p *podWatch) refusalOf(w drift.Workload, said drift.Cause) (drift.Cause, bool) {
	if said.Message != "" {
		return said, true
	}
	warning, ok := p.warnings[w.UID]
	if !ok {
		return drift.Cause{}, false
	}
	var newest time.Time
	for _, pod := range p.pods {
		if pod.Created.After(newest) && w.Has(pod) {
			newest = pod.Created
		}
	}
	return warning.Refusal(newest)
}

// blame notes why a workload is not ready. c.mu is held.
func (p *podWatch) blame(k *kept, cause drift.Cause) {
	if cause.Grace > 0 {
		if k.cause.Grace > 0 {
			cause.Message = k.cause.Message // they differ in the made-up names of pods only
		} else {
			k.refused = time.Now()
			t := k.target // another one by then, perhaps
			time.AfterFunc(cause.Grace, func() { p.c.tellAgain(t) })
		}
	}
	if cause != k.cause {
		k.cause = cause
		p.c.notices.healthChanged(k.target)
	}
}

// fatal reports whether the cause of an object that is not ready is a failure.
// c.mu is held.
func (k *kept) fatal(now time.Time) bool {
	return k.cause.Fatal && (k.cause.Grace == 0 || now.Sub(k.refused) >= k.cause.Grace)
}

// revisionOf is the revision of a ReplicaSet that failing pods belong to. It is
// asked for once for each revision of its Deployment, which costs less than to
// watch all ReplicaSets. c.mu is held.
func (p *podWatch) revisionOf(k *kept, name string) (string, bool) {
	if k.rollout == "" {
		return "", false
	}
	set := replicaSet{k.id.Name, name, k.rollout}
	if r, asked := p.sets[set]; asked {
		return r.is, r.known
	}
	p.sets[set] = &revision{}
	p.c.spawn(func() {
		ctx, cancel := context.WithTimeout(p.c.ctx, requestTimeout)
		defer cancel()
		object, err := p.c.client.Resource(replicaSetResource).Namespace(p.namespace).Get(ctx, name, metav1.GetOptions{})
		p.c.mu.Lock()
		defer p.c.mu.Unlock()
		switch {
		case err == nil:
			p.sets[set] = &revision{drift.RevisionOf(object), true}
		case apierrors.IsNotFound(err): // its pods go, too
			p.sets[set] = &revision{known: true}
		default:
			if !apierrors.IsForbidden(err) {
				delete(p.sets, set) // asked again with the next news
			}
			p.c.options.Log.Warn().Err(err).Str("object", "ReplicaSet "+p.namespace+"/"+name).Msg("whether a failing pod is of the present rollout cannot be told")
			return
		}
		p.explain()
	})
	return "", false
}
