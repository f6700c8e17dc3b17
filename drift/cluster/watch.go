package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/pawl-dev/pawl/drift"
)

// watcher sees all objects of a kind that bear a mark, of whatever agent, so
// that conflicts are known without a request. It keeps drift.Live of each,
// never the objects.
type watcher struct {
	c    *Cluster
	kind kind
	stop context.CancelFunc

	// The rest is guarded by Cluster.mu.

	users int // what needs it; nobody: it stops
	seen  map[drift.ObjectID]drift.Live
	// synced says that seen is the cluster's state, and broken why it may be
	// behind.
	synced bool
	broken error
	// failing is since when it is broken, however often it began anew for a moment,
	// look the timer that looks at it again, and unwatched what people are told.
	failing   time.Time
	look      *time.Timer
	unwatched drift.Unwatched
	// streamed is what a watch that was accepted said instead of the cluster's
	// state: that a kind's conversion webhook is down, say.
	streamed error
}

// watch makes sure that a kind is watched, and holds the watcher until release.
// c.mu is held.
func (c *Cluster) watch(k kind) *watcher {
	w, ok := c.watchers[k.gvr]
	if !ok {
		w = &watcher{c: c, kind: k, seen: map[drift.ObjectID]drift.Live{}}
		c.watchers[k.gvr] = w
		w.start()
	}
	w.users++
	return w
}

// release gives up a hold. c.mu is held.
func (c *Cluster) release(w *watcher) {
	if w.users--; w.users == 0 {
		w.stop()
		w.failing = time.Time{}
		if w.look != nil {
			w.look.Stop()
		}
		if c.watchers[w.kind.gvr] == w {
			delete(c.watchers, w.kind.gvr)
		}
	}
}

func (w *watcher) start() {
	ctx, stop := context.WithCancel(w.c.ctx)
	w.stop = stop
	source := &source{
		list: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = drift.LabelTarget
			return w.c.client.Resource(w.kind.gvr).List(ctx, o)
		},
		watch: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = drift.LabelTarget
			return w.c.client.Resource(w.kind.gvr).Watch(ctx, o)
		},
		outcome: w.reached,
		said: func(err error) {
			w.c.mu.Lock()
			defer w.c.mu.Unlock()
			w.streamed = err
		},
	}
	w.c.reflect(ctx, "marked "+w.kind.gvr.Resource, source, &store{w: w})
}

// reflect runs client-go's reflector until ctx ends. It reconnects, lists
// again when the server has forgotten (410), and backs off. c.mu is held.
func (c *Cluster) reflect(ctx context.Context, name string, s *source, into cache.ReflectorStore) {
	backoff := wait.Backoff{Duration: 100 * time.Millisecond, Cap: 15 * time.Second, Steps: 12, Factor: 2, Jitter: 0.2}
	var expected any = &unstructured.Unstructured{}
	if s.partial {
		expected = nil
	}
	r := cache.NewReflectorWithOptions(s, expected, into, cache.ReflectorOptions{Name: name, Backoff: &backoff})
	c.spawn(func() { r.RunWithContext(ctx) })
}

// source is the ListerWatcher of a reflector, which also tells how it goes.
type source struct {
	list    func(context.Context, metav1.ListOptions) (runtime.Object, error)
	watch   func(context.Context, metav1.ListOptions) (watch.Interface, error)
	outcome func(error)
	// partial says that metadata is listed, and listed that it must be: what is
	// watched is more than that.
	partial, listed bool
	said            func(error) // within an answer; may be nil
}

// IsWatchListSemanticsUnSupported keeps the reflector from listing by watching.
func (s *source) IsWatchListSemanticsUnSupported() bool { return s.listed }

func (s *source) ListWithContext(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	list, err := s.list(ctx, o)
	if err != nil && ctx.Err() == nil {
		s.outcome(err)
	}
	return list, err
}

func (s *source) WatchWithContext(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	w, err := s.watch(ctx, o)
	if ctx.Err() == nil {
		s.outcome(err)
	}
	if err != nil || s.said == nil {
		return w, err
	}
	return watch.Filter(w, func(e watch.Event) (watch.Event, bool) {
		if e.Type == watch.Error {
			s.said(apierrors.FromObject(e.Object))
		}
		return e, true
	}), nil
}

func (s *source) List(o metav1.ListOptions) (runtime.Object, error) {
	return s.ListWithContext(context.Background(), o)
}

func (s *source) Watch(o metav1.ListOptions) (watch.Interface, error) {
	return s.WatchWithContext(context.Background(), o)
}

// reached notes whether the API server could be asked.
func (w *watcher) reached(err error) {
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	w.broken = err
	w.noteFailing()
	w.c.changed()
}

// live returns what is known of an object. c.mu is held.
func (w *watcher) live(id drift.ObjectID) drift.Live {
	switch live, ok := w.seen[id]; {
	case !w.synced || w.broken != nil:
		return drift.Live{State: drift.Unknown, Why: w.why()}
	case !ok:
		return drift.Live{State: drift.Absent}
	default:
		return live
	}
}

func (w *watcher) why() error {
	switch {
	case apierrors.IsForbidden(w.broken):
		return &drift.NoRight{Err: fmt.Errorf("watching %s: %w", w.kind.gvr.GroupResource(), w.broken)}
	case w.broken == nil && w.streamed != nil:
		return fmt.Errorf("watching %s: %w", w.kind.gvr.GroupResource(), w.streamed)
	case w.broken != nil:
		return fmt.Errorf("watching %s: %w", w.kind.gvr.GroupResource(), w.broken)
	}
	return fmt.Errorf("watching %s: no answer yet", w.kind.gvr.GroupResource())
}

// ready waits until a watcher has seen the cluster's state, or until what
// keeps it from that will not pass by waiting. Then live says why.
func (c *Cluster) ready(ctx context.Context, watchers []*watcher) error {
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	err := c.wait(ctx, func() bool {
		for _, w := range watchers {
			if (!w.synced || w.broken != nil) && !final(w.broken) {
				return false
			}
		}
		return true
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return nil // what is not synced is unknown, with its reason
	}
	return err
}

// store receives what the reflector sees.
type store struct{ w *watcher }

var _ cache.TransformingStore = (*store)(nil)

// glimpse is an object reduced to what decisions need. The reflector collects
// these during its first stream instead of whole objects.
type glimpse struct {
	metav1.ObjectMeta
	id   drift.ObjectID
	live drift.Live
}

func (c *Cluster) look(object any) (*glimpse, error) {
	switch o := object.(type) {
	case *glimpse:
		return o, nil
	case *unstructured.Unstructured:
		id := drift.IDOf(o)
		return &glimpse{
			ObjectMeta: metav1.ObjectMeta{Namespace: o.GetNamespace(), Name: o.GetName(), ResourceVersion: o.GetResourceVersion()},
			id:         id, live: c.checkOf(id).Observe(o),
		}, nil
	}
	return nil, fmt.Errorf("unexpected %T from a watch", object)
}

// Transformer is for the reflector.
func (s *store) Transformer() cache.TransformFunc {
	return func(object any) (any, error) { return s.w.c.look(object) }
}

// Add, Update and Delete are single events.
func (s *store) Add(object any) error    { return s.event(object, false) }
func (s *store) Update(object any) error { return s.event(object, false) }
func (s *store) Delete(object any) error { return s.event(object, true) }

// event takes in that an object is there, or is gone: deleted, or without the
// label by which it was watched.
func (s *store) event(object any, gone bool) error {
	g, err := s.w.c.look(object)
	if err != nil {
		return err
	}
	if gone {
		g.live = drift.Live{State: drift.Absent, ResourceVersion: g.ResourceVersion}
	}
	full, _ := object.(*unstructured.Unstructured)
	if gone {
		full = nil
	}
	s.w.c.mu.Lock()
	defer s.w.c.mu.Unlock()
	s.w.see(g.id, g.live, full)
	s.w.c.changed()
	return nil
}

// Replace takes in a whole list: what is not in it is gone.
func (s *store) Replace(objects []any, version string) error {
	glimpses := make([]*glimpse, 0, len(objects))
	listed := make(map[drift.ObjectID]bool, len(objects))
	for _, o := range objects {
		g, err := s.w.c.look(o)
		if err != nil {
			return err
		}
		glimpses = append(glimpses, g)
		listed[g.id] = true
	}
	s.w.c.mu.Lock()
	defer s.w.c.mu.Unlock()
	for id := range s.w.seen {
		if !listed[id] {
			s.w.see(id, drift.Live{State: drift.Absent, ResourceVersion: version}, nil)
		}
	}
	for _, g := range glimpses {
		s.w.see(g.id, g.live, nil)
	}
	s.w.synced, s.w.streamed = true, nil
	s.w.c.changed()
	return nil
}

// Resync has no meaning here.
func (s *store) Resync() error { return nil }

// older reports whether a state is surely older than another one of the same
// kind. Versions that are no numbers cannot be compared and count as newer.
func older(a, b string) bool {
	order, err := resourceversion.CompareResourceVersion(a, b)
	return err == nil && order < 0
}

// see takes in a state of an object from watching, unless one that is as new
// is known. object may be nil. c.mu is held.
func (w *watcher) see(id drift.ObjectID, live drift.Live, object *unstructured.Unstructured) {
	if known, ok := w.seen[id]; ok && (older(live.ResourceVersion, known.ResourceVersion) || live.ResourceVersion == known.ResourceVersion && live.State == known.State) {
		return
	}
	w.take(id, live, object)
}

// answered takes in the answer to a request that wrote an object, unless a
// newer state is known. Of two states with the same version the answer is the
// true one: a watch that began before a definition was changed shows objects
// by the old schema, without its new fields. c.mu is held.
func (w *watcher) answered(id drift.ObjectID, live drift.Live) {
	if known, ok := w.seen[id]; ok && older(live.ResourceVersion, known.ResourceVersion) {
		return
	}
	w.take(id, live, nil)
}

func (w *watcher) take(id drift.ObjectID, live drift.Live, object *unstructured.Unstructured) {
	k := w.c.kept[id]
	if k != nil && k.watcher != w {
		k = nil
	}
	d := w.c.deleting[id]
	if live.State == drift.Absent && k == nil && w.c.claims[id] == nil && d == nil {
		delete(w.seen, id) // nobody will ask when it went
	} else {
		w.seen[id] = live
	}
	if k != nil {
		w.c.judge(k, live, object)
	}
	if d != nil && (live.State == drift.Absent || live.UID != d.uid) {
		w.c.retry.Add(id) // make sure, then forget it
	}
	w.c.opened(id, live)
}

// opened lets objects be repaired that waited for their namespace or kind.
// c.mu is held.
func (c *Cluster) opened(id drift.ObjectID, live drift.Live) {
	c.letAwaitedGo()
	if live.State != drift.Present || live.Terminating {
		return
	}
	switch {
	case id.Group == "" && id.Kind == "Namespace":
		for other, k := range c.kept {
			if k.failing && other.Namespace == id.Name {
				c.fresh.Add(other)
			}
		}
	case id.Group == "apiextensions.k8s.io" && id.Kind == "CustomResourceDefinition" && live.Health.Status == drift.Current:
		for other, k := range c.kept {
			if k.failing && id.Name == k.watcher.kind.gvr.GroupResource().String() {
				c.fresh.Add(other)
			}
		}
		c.servedAgain(id)
	}
}

// servedAgain watches the kind of a definition that is there again. c.mu is held.
func (c *Cluster) servedAgain(definition drift.ObjectID) {
	for _, w := range c.watchers {
		if w.broken != nil && definition.Name == w.kind.gvr.GroupResource().String() {
			w.stop() // instead of its next attempt in some seconds
			w.start()
		}
	}
}
