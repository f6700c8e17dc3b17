package cluster_test

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/drift/cluster"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/render"
)

// population is 2,000 ConfigMaps in 20 namespaces, kept by an agent, and
// somebody who watches from outside when each is as it should be.
type population struct {
	*world
	namespaces []string
	names      []types.NamespacedName
	release    policies.Verified

	mu   sync.Mutex
	last map[types.NamespacedName]string    // the value of data.k
	at   map[types.NamespacedName]time.Time // when it was last seen as released
}

func populate(b *testing.B, objects int) *population {
	p := &population{world: newWorld(b), last: map[types.NamespacedName]string{}, at: map[types.NamespacedName]time.Time{}}
	release := render.Release{Target: p.target, Commit: "8888888888888888888888888888888888888888", Digest: "sha256:population"}
	for i := range 20 {
		namespace := fmt.Sprintf("%s-%d", p.namespace, i)
		p.namespaces = append(p.namespaces, namespace)
		p.create("apiVersion: v1\nkind: Namespace\nmetadata: {name: " + namespace + "}\n")
		b.Cleanup(func() { p.delete("Namespace/" + namespace) })
	}
	for i := range objects {
		name := types.NamespacedName{Namespace: p.namespaces[i%20], Name: fmt.Sprint("c", i)}
		p.names = append(p.names, name)
		release.Objects = append(release.Objects, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap",
			"metadata": map[string]any{"name": name.Name, "namespace": name.Namespace, "labels": map[string]any{"app": "web", "population": p.namespace}},
			"data":     map[string]any{"k": "released", "other": "value", "more": "text"},
		}})
	}
	b.Cleanup(p.cluster.Close)
	started := time.Now()
	p.release = judged(b, release)
	if _, err := p.cluster.Apply(b.Context(), p.release, drift.Terms{Environment: environments.Environment{Drift: environments.DriftCorrect}}); err != nil {
		b.Fatal(err)
	}
	b.Logf("first apply of %d objects: %v", objects, time.Since(started))
	p.observe()
	return p
}

// observe watches from outside, with a connection of its own. The API server
// ends the watch of somebody who reads too slowly; then it begins again.
func (p *population) observe() {
	elsewhere := rest.CopyConfig(p.config)
	elsewhere.UserAgent = "observer"
	elsewhere.Dial = (&net.Dialer{}).DialContext // or connections are shared
	dynamicClient, err := dynamic.NewForConfig(elsewhere)
	if err != nil {
		p.t.Fatal(err)
	}
	client, ctx := dynamicClient.Resource(resources["ConfigMap"]), p.t.Context()
	first := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			selector := metav1.ListOptions{LabelSelector: "population=" + p.namespace}
			list, err := client.List(ctx, selector)
			if err == nil {
				there := map[types.NamespacedName]bool{}
				for i := range list.Items {
					there[p.note(watch.Added, &list.Items[i])] = true
				}
				p.mu.Lock()
				for name := range p.last {
					if !there[name] {
						p.last[name] = ""
					}
				}
				p.mu.Unlock()
				selector.ResourceVersion = list.GetResourceVersion()
				var events watch.Interface
				if events, err = client.Watch(ctx, selector); err == nil {
					select {
					case first <- nil:
					default:
					}
					for e := range events.ResultChan() {
						if o, ok := e.Object.(*unstructured.Unstructured); ok {
							p.note(e.Type, o)
						}
					}
					continue
				}
			}
			select {
			case first <- err:
			default:
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	if err := <-first; err != nil {
		p.t.Fatal(err)
	}
}

func (p *population) note(kind watch.EventType, o *unstructured.Unstructured) types.NamespacedName {
	now := time.Now()
	name := types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
	value, _, _ := unstructured.NestedString(o.Object, "data", "k")
	if kind == watch.Deleted {
		value = ""
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last[name] = value
	if value == "released" {
		p.at[name] = now
	}
	return name
}

// disturb edits or deletes an object and returns when the API server had
// answered that.
func (p *population) disturb(name types.NamespacedName, remove bool) time.Time {
	client := p.dynamic.Resource(resources["ConfigMap"]).Namespace(name.Namespace)
	var err error
	if remove {
		err = client.Delete(context.Background(), name.Name, metav1.DeleteOptions{})
	} else {
		_, err = client.Patch(context.Background(), name.Name, types.MergePatchType, []byte(`{"data":{"k":"edited"}}`), metav1.PatchOptions{FieldManager: "kubectl-edit"})
	}
	if err != nil {
		p.t.Error(err)
	}
	return time.Now()
}

// backSince waits until an object is as released again, and returns when that
// was seen.
func (p *population) backSince(name types.NamespacedName, begun time.Time) time.Time {
	deadline := time.Now().Add(patience)
	for {
		p.mu.Lock()
		at, value := p.at[name], p.last[name]
		p.mu.Unlock()
		if value == "released" && at.After(begun) {
			return at
		}
		if time.Now().After(deadline) {
			live, err := p.dynamic.Resource(resources["ConfigMap"]).Namespace(name.Namespace).Get(context.Background(), name.Name, metav1.GetOptions{})
			p.t.Fatalf("%s was not put back; it was last seen as %q, and is %v, %v", name, value, live, err)
		}
		time.Sleep(200 * time.Microsecond)
	}
}

// BenchmarkPutBack is the time from the API server's answer to an edit or a
// deletion by hand, among 2,000 objects, until somebody who watches sees the
// object as it was released.
func BenchmarkPutBack(b *testing.B) {
	p := populate(b, 2000)
	for _, kind := range []string{"edited", "deleted"} {
		b.Run(kind, func(b *testing.B) {
			p.t = b
			var took []time.Duration
			i := 0
			for b.Loop() {
				name := p.names[(i*97)%len(p.names)]
				i++
				begun := time.Now()
				answered := p.disturb(name, kind == "deleted")
				took = append(took, max(0, p.backSince(name, begun).Sub(answered)))
			}
			quantiles(b, took)
		})
	}
	next := 0
	for _, at := range []int{40, 500} {
		b.Run(fmt.Sprintf("%d-at-once", at), func(b *testing.B) {
			p.t = b
			var took []time.Duration
			before := p.mark()
			for b.Loop() {
				names := make([]types.NamespacedName, at) // others each time: who comes back to the same ones is put off
				for i := range names {
					names[i] = p.names[next%len(p.names)]
					next++
				}
				begun := time.Now()
				var wg sync.WaitGroup
				slots := make(chan struct{}, 40)
				for i, name := range names {
					slots <- struct{}{}
					wg.Go(func() { p.disturb(name, i%2 == 1); <-slots })
				}
				wg.Wait()
				last := begun
				for _, name := range names {
					if back := p.backSince(name, begun); back.After(last) {
						last = back
					}
				}
				took = append(took, last.Sub(begun))
			}
			quantiles(b, took)
			again := 0
			for _, e := range p.requestsSince(before) {
				if e.Verb == "watch" || e.Verb == "list" {
					again++
				}
			}
			b.ReportMetric(float64(again), "watches-begun-again")
		})
	}
}

func quantiles(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	at := func(q float64) float64 {
		return float64(took[min(len(took)-1, int(q*float64(len(took))))].Microseconds()) / 1000
	}
	b.ReportMetric(at(0.5), "p50-ms")
	b.ReportMetric(at(0.99), "p99-ms")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkRestart is the time until a new process has found that all of 4,000
// objects are as they were left. It fails if that takes a write.
func BenchmarkRestart(b *testing.B) {
	p := populate(b, 4000)
	var without float64
	for b.Loop() {
		p.cluster.Close()
		b.StopTimer()
		without = heap()
		b.StartTimer()
		p.start()
		before := p.mark()
		if _, err := p.cluster.Apply(b.Context(), p.release, drift.Terms{Environment: environments.Environment{Drift: environments.DriftCorrect}}); err != nil {
			b.Fatal(err)
		}
		if writes := p.writesSince(before); len(writes) > 0 {
			b.Fatalf("a restart wrote: %v", writes)
		}
	}
	b.ReportMetric(heap()-without, "held-MiB")
}

// heap is what the process holds, in MiB.
func heap() float64 {
	var memory runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&memory)
	return float64(memory.HeapAlloc) / (1 << 20)
}

// BenchmarkHealthKnown is the time from the API server's answer to a change of
// an object's status until the agent is told the target's health.
func BenchmarkHealthKnown(b *testing.B) {
	type telling struct {
		status drift.HealthStatus
		at     time.Time
	}
	told := make(chan telling, 1000)
	w := newWorld(b, func(o *cluster.Options) {
		o.Notify = func(n drift.Notice) {
			if n.Health != nil {
				told <- telling{n.Health.Status, time.Now()}
			}
		}
	})
	becomes := func(status drift.HealthStatus) time.Time {
		for t := range told {
			if t.status == status {
				return t.at
			}
		}
		return time.Time{}
	}
	gvk := schema.GroupVersionKind{Group: "known-" + w.namespace + ".acme.dev", Version: "v1", Kind: "Database"}
	gvr := w.define(gvk, "databases")
	w.apply("apiVersion: " + gvk.GroupVersion().String() + "\nkind: Database\nmetadata: {name: db, namespace: '{ns}'}\nspec: {size: 1}\n")
	becomes(drift.Current)
	var took []time.Duration
	for b.Loop() {
		for _, is := range []struct {
			ready  string
			status drift.HealthStatus
		}{{"False", drift.Progressing}, {"True", drift.Current}} {
			w.reports(gvr, "db", `{"conditions":[{"type":"Ready","status":"`+is.ready+`"}]}`)
			answered := time.Now()
			took = append(took, max(0, becomes(is.status).Sub(answered)))
		}
	}
	quantiles(b, took)
}
