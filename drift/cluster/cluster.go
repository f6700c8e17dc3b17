// Package cluster is the edge of drift to Kubernetes: it applies verified
// releases by server-side apply, remembers in an inventory what it made, and
// watches the live objects to put back what others change.
//
// The API server's answers decide what is drift: see drift.AppliedDigest.
// Nothing is polled; a quiet cluster gets no object requests.
package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/zerologr"
	"github.com/rs/zerolog"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
)

// Options say which cluster and in whose name.
type Options struct {
	// Config reaches the API server. Its rate limits are ignored: requests are
	// bounded by how many run at once.
	Config *rest.Config
	// Namespace is the agent's own, where inventories are kept. It must exist.
	Namespace string
	// Owner is the agent's identity in this cluster. Agents that share a
	// cluster need different ones.
	Owner string
	// Environments say what those may write that are not to write everything, or
	// not as the agent.
	Environments map[string]Access
	// Notify gets what watching finds, one notice at a time and in order for
	// each target. It must not block for long: notices wait meanwhile, though
	// drift is put back all the same. Nil discards them.
	Notify func(drift.Notice)
	// PodLogs says that the end of the log of a container that crashes is told
	// with its health.
	PodLogs bool
	// Fights says when others who undo what is put back are slowed;
	// drift.DefaultFightTerms where it is zero.
	Fights drift.FightTerms
	Log    zerolog.Logger

	// what tests want instead
	inventoryPartBytes int
	unwatchedAfter     time.Duration
}

const (
	// repairing and retrying are how many objects are put back at once. What failed
	// before is retried apart, and what takes long is not counted any more (see
	// work), so that a slow refusal holds up little that can be repaired.
	repairing = 12
	retrying  = 4

	// Backoff of a repair that fails.
	firstRetry, lastRetry = 100 * time.Millisecond, 30 * time.Second

	// An object that was put back so often within the window waits before it is
	// again: somebody else does not let go of it.
	repairsAtOnce, repairWindow, repairPause = 20, 10 * time.Second, time.Second

	requestTimeout = 30 * time.Second
	// persistence is how long an apply makes a request again that fails for a
	// reason that may pass.
	persistence = 5 * time.Second
	// syncTimeout bounds the wait for a first view of a kind, and
	// establishTimeout that for a new kind to be served.
	syncTimeout, establishTimeout = 30 * time.Second, 60 * time.Second
	// schemaTimeout is how long a kind that was redefined may go on refusing by
	// its old schema.
	schemaTimeout = 5 * time.Second
	// deletionTimeout is how long an apply waits for deletions to be confirmed.
	// Those that take longer are pending.
	deletionTimeout = 2 * time.Second
	// recreateTimeout is how long an apply waits for an object to be gone that is
	// to be made again.
	recreateTimeout = 60 * time.Second
)

// Cluster keeps releases applied. Its methods may be called concurrently.
type Cluster struct {
	options     Options
	client      *dynamic.DynamicClient
	rest        rest.Interface
	writers     map[string]writer // by environment, for those with an account of their own
	discovery   discovery.DiscoveryInterface
	mapper      meta.RESTMapper
	inventories inventories
	releases    releases
	upkeep      upkeep

	ctx     context.Context // ends with Close
	stop    context.CancelFunc
	running sync.WaitGroup

	turns   *turns
	fresh   workqueue.TypedRateLimitingInterface[drift.ObjectID]
	retry   workqueue.TypedRateLimitingInterface[drift.ObjectID]
	notices *notices

	mu       sync.Mutex
	closed   bool
	targets  map[string]*target
	watchers map[schema.GroupVersionResource]*watcher
	kept     map[drift.ObjectID]*kept
	claims   map[drift.ObjectID]*target
	deleting map[drift.ObjectID]*deletion
	pods     map[string]*podWatch // by namespace
	awaited  map[drift.ObjectID]*awaited
	waiting  map[*waiter]struct{}
}

// target is one application in one environment, as long as it is kept.
type target struct {
	environments.Target
	name string
	mark drift.Mark
	// writer makes the requests that change its objects.
	writer writer
	// apply is held by the one apply that may run.
	apply chan struct{}
	// storing is held while the inventory is written. Once forgotten is set
	// under it, the inventory is no longer this target's to write.
	storing   sync.Mutex
	forgotten bool

	// The rest is guarded by Cluster.mu.

	mode          environments.DriftMode
	healthTimeout time.Duration
	// checks are the health checks of the release, and coming those of one that
	// is about to be applied, by which what is new is judged.
	checks, coming drift.HealthChecks
	release        string
	objects        []*kept // in the order of the release
	// whole is false from the first write of a release to the last one. What is
	// between two releases has no health.
	whole     bool
	inventory drift.Inventory
	flushing  bool
	// former are the failures of objects from before the release, and excused
	// those of pods. They are not its fault until they change.
	former  map[drift.ObjectID]drift.ObjectHealth
	excused map[drift.Cause]bool
	health  targetHealth
}

// New connects to a cluster. It makes no request yet. Close it after use.
func New(o Options) (*Cluster, error) {
	if o.Config == nil || o.Namespace == "" || o.Owner == "" {
		return nil, errors.New("a cluster needs a rest.Config, the agent's namespace and its owner identity")
	}
	if o.Notify == nil {
		o.Notify = func(drift.Notice) {}
	}
	o.unwatchedAfter = cmp.Or(o.unwatchedAfter, unwatchedAfter)
	if o.Fights == (drift.FightTerms{}) {
		o.Fights = drift.DefaultFightTerms
	}
	config := rest.CopyConfig(o.Config)
	config.QPS, config.Burst, config.RateLimiter = -1, 0, nil
	if config.UserAgent == "" {
		config.UserAgent = "pawl"
	}
	config.WarningHandler = &warnings{log: o.Log, said: map[string]bool{}}
	http, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	raw := dynamic.ConfigFor(config)
	raw.GroupVersion = nil
	restClient, err := rest.UnversionedRESTClientForConfigAndClient(raw, http)
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	mapper, err := apiutil.NewDynamicRESTMapper(config, http)
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	disco, err := discovery.NewDiscoveryClientForConfigAndClient(config, http)
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	core, err := corev1.NewForConfigAndClient(config, http)
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	partial, err := metadata.NewForConfigAndClient(config, http)
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster: %w", err)
	}

	others, err := writers(config, o.Environments)
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster: %w", err)
	}

	ctx, stop := context.WithCancel(context.Background())
	ctx = klog.NewContext(ctx, zerologr.New(&o.Log)) // client-go logs where the agent logs
	limits := workqueue.NewTypedItemExponentialFailureRateLimiter[drift.ObjectID](firstRetry, lastRetry)
	c := &Cluster{
		options:     o,
		client:      dynamic.New(restClient),
		rest:        restClient,
		writers:     others,
		discovery:   disco,
		mapper:      mapper,
		inventories: inventories{configMaps: core.ConfigMaps(o.Namespace), namespace: o.Namespace, agent: drift.MarkFor(o.Owner, environments.Target{}).Agent, partBytes: cmp.Or(o.inventoryPartBytes, inventoryPartBytes), log: o.Log, busy: map[string]*sync.Mutex{}, seen: map[string]sighting{}, sure: map[string]string{}},
		releases:    releases{secrets: core.Secrets(o.Namespace), namespace: o.Namespace, agent: drift.MarkFor(o.Owner, environments.Target{}).Agent, writing: make(chan struct{}, storingReleases), busy: map[string]*sync.Mutex{}, asked: map[string]string{}, seen: map[string]sighting{}, parts: map[string]*goodPart{}, doubtful: map[string]bool{}},
		upkeep: upkeep{
			metadata: partial, queue: workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[ownID](firstRetry, lastRetry)),
			of: map[ownID]*target{}, fights: map[ownID]*drift.Fights{}, failing: map[ownID]bool{},
		},
		ctx:      ctx,
		stop:     stop,
		turns:    &turns{closed: ctx.Done()},
		fresh:    workqueue.NewTypedRateLimitingQueue(limits),
		retry:    workqueue.NewTypedRateLimitingQueue(limits),
		targets:  map[string]*target{},
		watchers: map[schema.GroupVersionResource]*watcher{},
		kept:     map[drift.ObjectID]*kept{},
		claims:   map[drift.ObjectID]*target{},
		deleting: map[drift.ObjectID]*deletion{},
		pods:     map[string]*podWatch{},
		awaited:  map[drift.ObjectID]*awaited{},
		waiting:  map[*waiter]struct{}{},
	}
	c.notices = newNotices(c)
	c.running.Go(c.notices.run)
	c.running.Go(func() { c.work(c.fresh, repairing) })
	c.running.Go(func() { c.work(c.retry, retrying) })
	return c, nil
}

// Run keeps what was applied until ctx ends, then closes the cluster.
func (c *Cluster) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
	case <-c.ctx.Done():
	}
	c.Close()
	return nil
}

// Close stops watching and putting back. Live objects and inventories stay as
// they are. It returns once everything has stopped.
func (c *Cluster) Close() {
	c.mu.Lock()
	c.closed = true
	for _, t := range c.targets {
		t.health.stop()
	}
	for _, w := range c.watchers {
		if w.look != nil {
			w.look.Stop()
		}
	}
	c.mu.Unlock()
	c.stop()
	c.fresh.ShutDown()
	c.retry.ShutDown()
	c.upkeep.queue.ShutDown()
	c.notices.close()
	c.running.Wait()
}

// spawn runs f until Close, which waits for it, unless that has begun. c.mu is held.
func (c *Cluster) spawn(f func()) {
	if !c.closed {
		c.running.Go(f)
	}
}

// Forget stops keeping a target. Its objects and its inventory stay, so that
// a later Apply finds them.
func (c *Cluster) Forget(t environments.Target) {
	c.mu.Lock()
	known, ok := c.targets[t.String()]
	c.mu.Unlock()
	if !ok {
		return
	}
	known.apply <- struct{}{} // an apply that runs ends first
	defer func() { <-known.apply }()
	known.storing.Lock()
	known.forgotten = true
	known.storing.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range known.objects {
		c.unkeep(k)
	}
	known.objects, known.whole = nil, false
	for id, d := range c.deleting {
		if d.target == known {
			delete(c.deleting, id)
			c.release(d.watcher)
		}
	}
	known.health.stop()
	c.watchPods(known, nil)
	c.await(known, nil)
	delete(c.targets, known.name)
}

// acquire returns the target, made if it is new, once no other apply of it
// runs. The caller gives it back by receiving from target.apply.
func (c *Cluster) acquire(ctx context.Context, t environments.Target) (*target, error) {
	for {
		c.mu.Lock()
		known, ok := c.targets[t.String()]
		if !ok {
			known = &target{Target: t, name: t.String(), mark: drift.MarkFor(c.options.Owner, t), writer: c.writer(t.Environment), apply: make(chan struct{}, 1)}
			c.targets[known.name] = known
		}
		c.mu.Unlock()
		select {
		case known.apply <- struct{}{}:
		case <-ctx.Done():
			return nil, fmt.Errorf("%s: waiting for an apply that runs: %w", t, ctx.Err())
		}
		if !known.forgotten { // or Forget came first, and it is made anew
			return known, nil
		}
		<-known.apply
	}
}

// waiter waits for something that watching may bring.
type waiter struct {
	met  func() bool
	done chan struct{}
}

// wait blocks until met, which is asked with c.mu held after every change.
func (c *Cluster) wait(ctx context.Context, met func() bool) error {
	c.mu.Lock()
	if met() {
		c.mu.Unlock()
		return nil
	}
	w := &waiter{met, make(chan struct{})}
	c.waiting[w] = struct{}{}
	c.mu.Unlock()
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
	case <-c.ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, still := c.waiting[w]; !still {
		return nil // met at the last moment, and met may have taken something
	}
	delete(c.waiting, w)
	if err := ctx.Err(); err != nil {
		return err
	}
	return errClosed
}

var errClosed = errors.New("the agent is stopping")

// changed lets waiters look again. c.mu is held.
func (c *Cluster) changed() {
	for w := range c.waiting {
		if w.met() {
			delete(c.waiting, w)
			close(w.done)
		}
	}
}
