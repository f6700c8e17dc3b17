package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/pawl-dev/pawl/drift"
)

const (
	labelInventory  = "pawl.dev/inventory-of" // the agent
	annotationFor   = "pawl.dev/target"       // as people type it
	inventoryKey    = "inventory.json.gz"
	inventoryPrefix = "pawl-inventory-"
	// inventoryPartBytes is how large an inventory is before it is split, and how
	// large its parts may be. The API server would take 1 MiB; this is what a
	// change of one object writes at most.
	inventoryPartBytes = 256 << 10
)

// inventories keeps each target's inventory in a ConfigMap of the agent's
// namespace, and a large one in more of them: there are only names and digests
// in it. All of them are read at first, in two requests, and one again where
// somebody else wrote it or an answer was lost. Else the agent is the only one
// who writes them, and the resourceVersion guards against an agent that does not
// know it no longer is.
type inventories struct {
	configMaps corev1client.ConfigMapInterface
	namespace  string
	agent      string
	partBytes  int
	log        zerolog.Logger

	// listing is held while all are read for the first time.
	listing sync.Mutex

	mu    sync.Mutex         // no request is made under it
	known map[string]*stored // by the ConfigMap's name; nil: not read yet
	// unsure are inventories that were sent and not answered, by the ConfigMap's
	// name: they may be stored or not.
	unsure map[string]drift.Inventory
	// surplus are ConfigMaps that no inventory may need any more, by its name.
	surplus map[string][]string
	// seen are the ConfigMaps as they were last seen, and sure the versions of parts
	// that hold what was written.
	seen map[string]sighting
	sure map[string]string
	// busy has those that are being read or written. One target never waits for
	// another.
	busy map[string]*sync.Mutex
}

// lock is held while one inventory is read or written.
func (s *inventories) lock(name string) (unlock func()) {
	s.mu.Lock()
	one := s.busy[name]
	if one == nil {
		one = &sync.Mutex{}
		s.busy[name] = one
	}
	s.mu.Unlock()
	one.Lock()
	return one.Unlock
}

// of is what is known of one inventory, nil if there is none.
func (s *inventories) of(name string) *stored {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[name]
}

// set notes what is known of one inventory. It is locked.
func (s *inventories) set(name string, known *stored) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known == nil {
		delete(s.known, name)
	} else {
		s.known[name] = known
	}
}

// stored is an inventory as it is in the cluster.
type stored struct {
	inventory drift.Inventory
	object    *corev1.ConfigMap // without data and managedFields
	parts     []drift.Part      // that it is in; none: it is whole
	content   drift.Digest      // of what the object holds
	// unsaved says that somebody edited or deleted the object, or a part.
	unsaved bool
	// err says that an inventory must not be used or replaced.
	err error
	// stale says that somebody else wrote it, so it must be read again first.
	stale bool
}

// version is that of the ConfigMap, empty if there is none.
func (s *stored) version() string {
	if s.object == nil {
		return ""
	}
	return s.object.ResourceVersion
}

var errStale = errors.New("its inventory was written by somebody else meanwhile, and nothing is done on an old view; the next apply reads it again")

// inventoryName has the agent in it: agents of several repositories may share
// a namespace.
func inventoryName(mark drift.Mark) string {
	// A label value has capitals and underscores, a name has not. What could then
	// be taken for another mark's ends in a hash.
	whole := mark.Agent + "." + mark.Target
	name := strings.ToLower(strings.ReplaceAll(whole, "_", "."))
	if strings.ToLower(whole) != whole || strings.ContainsAny(mark.Agent, "._") || strings.Contains(mark.Target, ".") {
		name += "-" + string(drift.DigestOf(mark.Agent + "/" + mark.Target)[:8])
	}
	return inventoryPrefix + name
}

// load returns the inventory of a target as it is stored, empty if there is none.
func (s *inventories) load(ctx context.Context, t *target) (drift.Inventory, error) {
	if err := s.list(ctx); err != nil {
		return drift.Inventory{}, err
	}
	name := inventoryName(t.mark)
	defer s.lock(name)()
	if err := s.settle(ctx, name); err != nil {
		return drift.Inventory{}, err
	}
	known, err := s.fresh(ctx, name)
	switch {
	case err != nil:
		return drift.Inventory{}, err
	case known == nil:
		return drift.Inventory{Target: t.name, Entries: map[drift.ObjectID]drift.Entry{}}, nil
	case known.err != nil:
		return drift.Inventory{}, known.err
	}
	inv := known.inventory.Clone()
	inv.Target = t.name
	return inv, nil
}

// fresh is what is known of one inventory, read again if somebody else wrote it. It is locked.
func (s *inventories) fresh(ctx context.Context, name string) (*stored, error) {
	if known := s.of(name); known == nil || !known.stale {
		return known, nil
	}
	return s.read(ctx, name)
}

// list reads all inventories, unless that was done.
func (s *inventories) list(ctx context.Context) error {
	s.listing.Lock()
	defer s.listing.Unlock()
	s.mu.Lock()
	done := s.known != nil
	s.mu.Unlock()
	if done {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	list, err := s.configMaps.List(ctx, metav1.ListOptions{LabelSelector: labelInventory + "=" + s.agent})
	if err != nil {
		return fmt.Errorf("reading the inventories in namespace %s: %w", s.namespace, err)
	}
	// Later than the heads, so that all parts that they name are there.
	parts, err := s.listParts(ctx)
	if err != nil {
		return err
	}
	known := map[string]*stored{}
	for i := range list.Items {
		known[list.Items[i].Name] = s.take(&list.Items[i], parts)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known, s.unsure, s.surplus = known, map[string]drift.Inventory{}, map[string][]string{}
	for name := range parts {
		s.spare(headOf(name), name)
	}
	return nil
}

// read reads one inventory again. It is locked.
func (s *inventories) read(ctx context.Context, name string) (*stored, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var known *stored
	object, err := s.configMaps.Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		return nil, fmt.Errorf("reading the inventory in ConfigMap %s/%s: %w", s.namespace, name, err)
	default:
		parts, err := s.readParts(ctx, object)
		if err != nil {
			return nil, err
		}
		known = s.take(object, parts)
	}
	s.set(name, known)
	return known, nil
}

// take reads one ConfigMap. One that cannot be read is treated as lost:
// nothing is pruned by it, and the next apply writes a new one. What it named
// and the release no longer has stays in the cluster.
func (s *inventories) take(object *corev1.ConfigMap, parts map[string][]byte) *stored {
	inv, in, err := drift.DecodeInventory(object.BinaryData[inventoryKey], func(name string) []byte { return parts[name] })
	known := &stored{inventory: inv, parts: in, content: drift.DigestOf(string(object.BinaryData[inventoryKey]))}
	switch {
	case errors.Is(err, drift.ErrInventoryFormat):
		known.err = fmt.Errorf("ConfigMap %s/%s: %w", s.namespace, object.Name, err)
	case err != nil:
		s.log.Error().Err(err).Str("configmap", s.namespace+"/"+object.Name).
			Msg("an inventory cannot be read; nothing is pruned for its target, and it is made anew from the next release that is applied")
		known.inventory = drift.Inventory{}
	}
	object.BinaryData, object.Data, object.ManagedFields = nil, nil, nil
	known.object = object
	return known
}

// save stores an inventory, if it differs from what is stored. Ended at any
// point, what is stored is the one before or this one: parts are written under
// names of their own, then the head that names them, and what no head names any
// more goes last.
func (s *inventories) save(ctx context.Context, t *target, inv drift.Inventory) error {
	name := inventoryName(t.mark)
	defer s.lock(name)()
	if err := s.settle(ctx, name); err != nil {
		return err
	}
	known := s.of(name)
	switch {
	case known == nil:
	case known.err != nil:
		return known.err
	case known.stale:
		return fmt.Errorf("%s: %w", t.name, errStale)
	case known.inventory.Equal(inv) && !known.unsaved:
		return nil
	}
	// Once begun it is not ended by a newer commit: whether it was stored must be known.
	ctx = context.WithoutCancel(ctx)
	next, err := s.write(ctx, t.name, name, known, inv)
	if known != nil && (apierrors.IsNotFound(err) || apierrors.IsConflict(err)) { // memory has it all
		next, err = s.writeOver(ctx, t.name, name, known, inv, err)
	}
	switch {
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		s.set(name, &stored{stale: true})
		return fmt.Errorf("%s: %w (ConfigMap %s/%s)", t.name, errStale, s.namespace, name)
	case err != nil:
		if passing(err) {
			s.mu.Lock()
			s.unsure[name] = inv
			s.mu.Unlock()
		}
		return fmt.Errorf("%s: storing its inventory (ConfigMap %s/%s): %w", t.name, s.namespace, name, err)
	}
	s.set(name, next)
	s.sweep(ctx, name, next.parts)
	return nil
}

// writeOver stores an inventory after somebody deleted or edited what is known by
// hand. What another process of the agent wrote stays, and the conflict with it. It is locked.
func (s *inventories) writeOver(ctx context.Context, of, name string, known *stored, inv drift.Inventory, conflict error) (*stored, error) {
	now, err := s.regard(ctx, name, known)
	switch {
	case err != nil:
		return nil, err
	case now == nil:
		return nil, conflict
	}
	if err := s.wholeParts(ctx, now); err != nil {
		return nil, err
	}
	return s.write(ctx, of, name, now, inv)
}

// settle finds out whether what was sent is stored, where no answer told. What
// then is stored is our own, and no reason to wait for the next apply. It is locked.
func (s *inventories) settle(ctx context.Context, name string) error {
	s.mu.Lock()
	sent, unsure := s.unsure[name]
	before := s.known[name]
	s.mu.Unlock()
	if !unsure {
		return nil
	}
	known, err := s.read(ctx, name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	delete(s.unsure, name)
	s.mu.Unlock()
	if known == nil || known.err != nil || before != nil && !before.stale && known.object.ResourceVersion == before.object.ResourceVersion {
		return nil
	}
	found := known.inventory.Clone()
	if found.Target = sent.Target; !found.Equal(sent) {
		s.set(name, &stored{stale: true})
	}
	return nil
}

// write stores an inventory in place of a known one, or of none.
func (s *inventories) write(ctx context.Context, of, name string, known *stored, inv drift.Inventory) (*stored, error) {
	next := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
	var before []drift.Part
	if known != nil {
		next, before = known.object.DeepCopy(), known.parts
	}
	content, parts, err := s.writeParts(ctx, of, name, before, inv)
	if err != nil {
		return nil, err
	}
	next.Labels = with(next.Labels, labelInventory, s.agent)
	digest := drift.DigestOf(string(content))
	next.Annotations = with(with(next.Annotations, annotationFor, of), annotationContent, string(digest))
	next.BinaryData = map[string][]byte{inventoryKey: content}

	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var written *corev1.ConfigMap
	if next.ResourceVersion != "" {
		written, err = s.configMaps.Update(ctx, next, metav1.UpdateOptions{FieldManager: drift.FieldManager})
	} else {
		written, err = s.configMaps.Create(ctx, next, metav1.CreateOptions{FieldManager: drift.FieldManager})
	}
	if err != nil {
		return nil, err
	}
	written.BinaryData, written.ManagedFields = nil, nil
	return &stored{inventory: inv.Clone(), object: written, parts: parts, content: digest}, nil
}

func with(m map[string]string, key, value string) map[string]string {
	m = maps.Clone(m)
	if m == nil {
		m = map[string]string{}
	}
	m[key] = value
	return m
}

// remember notes in the inventory what an object has become, and stores it
// soon. c.mu is held.
func (c *Cluster) remember(k *kept) {
	entry, ok := k.target.inventory.Entries[k.id]
	if !ok {
		return
	}
	entry.UID, entry.Applied, entry.Desired, entry.Finished = k.uid, k.applied, k.desired, k.finished
	if len(k.rewriting) > 0 {
		entry.Applied = ""
	}
	k.target.inventory.Entries[k.id] = entry
	c.flush(k.target)
}

// became notes that another object took the place of a kept one, or was made in
// it: before is how it looked. c.mu is held.
func (c *Cluster) became(k *kept, before drift.Live, uid string) {
	if entry, ok := k.target.inventory.Entries[k.id]; ok {
		entry.Adopted = entry.WrittenOver(before, uid, k.target.mark)
		k.target.inventory.Entries[k.id] = entry
	}
	k.uid = uid
}

// flushes gathers what changes at about the same time, and tries again what failed.
var flushes = wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Steps: 10, Cap: lastRetry}

// flush stores the inventory soon. c.mu is held.
func (c *Cluster) flush(t *target) {
	if t.flushing {
		return
	}
	t.flushing = true
	c.spawn(func() {
		_ = flushes.DelayFunc().Until(c.ctx, false, true, func(ctx context.Context) (done bool, _ error) {
			c.mu.Lock()
			t.flushing = false
			c.mu.Unlock()
			err := c.store(ctx, t)
			if err == nil || ctx.Err() != nil || errors.Is(err, errStale) {
				return true, nil // what is stale is read, and then stored, by the next apply
			}
			c.options.Log.Error().Err(err).Str("target", t.name).Msg("what was put back could not be noted in the inventory; tried again")
			c.mu.Lock()
			defer c.mu.Unlock()
			another := t.flushing // has begun
			t.flushing = true
			return another, nil
		})
	})
}

// store writes the inventory of a target as it is now.
func (c *Cluster) store(ctx context.Context, t *target) error {
	t.storing.Lock()
	defer t.storing.Unlock()
	if t.forgotten {
		return nil
	}
	c.mu.Lock()
	inv := t.inventory.Clone()
	c.mu.Unlock()
	return c.inventories.save(ctx, t, inv)
}
