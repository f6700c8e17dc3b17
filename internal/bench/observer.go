package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// labelSet is on every object that is observed; its value names the set.
const labelSet = "bench-set"

// place is an object of a set.
type place struct{ kind, namespace, name string }

// observer sees by watching, from outside, what the objects of a set say and
// since when. How often it is asked does not change what it answers.
type observer struct {
	mu   sync.Mutex
	seen map[place]sight
}

// sight is an object as it was last seen. at is when that was news: when its
// content changed, or a Deployment became what it says or ceased to be.
type sight struct {
	text    string
	settled bool
	version string // of what has no status
	at      time.Time
}

// observe watches the kinds that sets are made of, until ctx ends.
func observe(ctx context.Context, client kubernetes.Interface, set string) (*observer, error) {
	o := &observer{seen: map[place]sight{}}
	watching := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTweakListOptions(func(options *metav1.ListOptions) {
		options.LabelSelector = labelSet + "=" + set
	}))
	for _, informer := range []cache.SharedInformer{
		watching.Core().V1().ConfigMaps().Informer(), watching.Core().V1().Services().Informer(),
		watching.Core().V1().ServiceAccounts().Informer(), watching.Apps().V1().Deployments().Informer(),
	} {
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: o.see, UpdateFunc: func(_, object any) { o.see(object) }, DeleteFunc: o.gone,
		}); err != nil {
			return nil, err
		}
	}
	watching.Start(ctx.Done())
	for kind, synced := range watching.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return nil, fmt.Errorf("watch %v: %w", kind, ctx.Err())
		}
	}
	return o, nil
}

func (o *observer) see(object any) {
	now := time.Now()
	at, next := look(object)
	next.at = now
	o.mu.Lock()
	defer o.mu.Unlock()
	if last := o.seen[at]; last.text != next.text || last.settled != next.settled || last.version != next.version {
		o.seen[at] = next
	}
}

func (o *observer) gone(object any) {
	if last, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = last.Obj
	}
	at, _ := look(object)
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.seen, at)
}

// look reads what an object says. What has no status is what it says at once.
func look(object any) (place, sight) {
	switch o := object.(type) {
	case *corev1.ConfigMap:
		return place{"ConfigMap", o.Namespace, o.Name}, sight{text: o.Data["text"], settled: true, version: o.ResourceVersion}
	case *corev1.Service:
		return place{"Service", o.Namespace, o.Name}, sight{text: o.Annotations["text"], settled: true, version: o.ResourceVersion}
	case *corev1.ServiceAccount:
		return place{"ServiceAccount", o.Namespace, o.Name}, sight{text: o.Annotations["text"], settled: true, version: o.ResourceVersion}
	case *appsv1.Deployment:
		s := sight{settled: o.Status.ObservedGeneration == o.Generation && o.Status.UpdatedReplicas == *o.Spec.Replicas &&
			o.Status.Replicas == *o.Spec.Replicas && o.Status.AvailableReplicas == *o.Spec.Replicas}
		for _, v := range o.Spec.Template.Spec.Containers[0].Env {
			if v.Name == "TEXT" {
				s.text = v.Value
			}
		}
		return place{"Deployment", o.Namespace, o.Name}, s
	}
	return place{}, sight{}
}

// until waits until all places say the text, and are as they say if that is
// asked for, and returns when the last one was. What was seen before begun does
// not count.
func (o *observer) until(ctx context.Context, begun time.Time, text string, settled bool, places ...place) (last time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(max(time.Millisecond, time.Duration(len(places))*5*time.Microsecond))
	defer tick.Stop()
	for {
		missing := 0
		var example place
		o.mu.Lock()
		for _, p := range places {
			s := o.seen[p]
			if s.text != text || settled && !s.settled || !s.at.After(begun) {
				missing, example = missing+1, p
			} else if s.at.After(last) {
				last = s.at
			}
		}
		o.mu.Unlock()
		if missing == 0 {
			return last, nil
		}
		select {
		case <-ctx.Done():
			return last, fmt.Errorf("%d of %d objects did not come to say %q, one is %v: %w", missing, len(places), text, example, ctx.Err())
		case <-tick.C:
		}
	}
}

// patience bounds every wait.
const patience = 10 * time.Minute
