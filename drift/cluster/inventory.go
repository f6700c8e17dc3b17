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
// in it. All of them are read once, in two requests; after that the agent is the only one who writes them,
// and the resourceVersion guards against an agent that does not know it no
// longer is.
type inventories struct {
	configMaps corev1client.ConfigMapInterface
	namespace  string
	agent      string
	partBytes  int
	log        zerolog.Logger

	mu    sync.Mutex
	known map[string]*stored // by the ConfigMap's name; nil: not read yet
	// unsure are inventories that were sent and not answered, by the ConfigMap's
	// name: they may be stored or not.
	unsure map[string]drift.Inventory
	// surplus are ConfigMaps that no inventory may need any more, by its name.
	surplus map[string][]string
}

// stored is an inventory as it is in the cluster.
type stored struct {
	inventory drift.Inventory
	object    *corev1.ConfigMap // without data and managedFields
	parts     []drift.Part      // that it is in; none: it is whole
	// err says that an inventory must not be used or replaced.
	err error
	// stale says that somebody else wrote it, so it must be read again first.
	stale bool
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
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		if err := s.list(ctx); err != nil {
			return drift.Inventory{}, err
		}
	}
	name := inventoryName(t.mark)
	if err := s.settle(ctx, name); err != nil {
		return drift.Inventory{}, err
	}
	if known := s.known[name]; known != nil && known.stale {
		if err := s.read(ctx, name); err != nil {
			return drift.Inventory{}, err
		}
	}
	known, ok := s.known[name]
	switch {
	case !ok:
		return drift.Inventory{Target: t.name, Entries: map[drift.ObjectID]drift.Entry{}}, nil
	case known.err != nil:
		return drift.Inventory{}, known.err
	}
	inv := known.inventory.Clone()
	inv.Target = t.name
	return inv, nil
}

func (s *inventories) list(ctx context.Context) error {
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
	s.known, s.unsure, s.surplus = map[string]*stored{}, map[string]drift.Inventory{}, map[string][]string{}
	for i := range list.Items {
		s.take(&list.Items[i], parts)
	}
	for name := range parts {
		s.spare(headOf(name), name)
	}
	return nil
}

// read reads one inventory again.
func (s *inventories) read(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	object, err := s.configMaps.Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		delete(s.known, name)
	case err != nil:
		return fmt.Errorf("reading the inventory in ConfigMap %s/%s: %w", s.namespace, name, err)
	default:
		parts, err := s.readParts(ctx, object)
		if err != nil {
			return err
		}
		s.take(object, parts)
	}
	return nil
}

// take reads one ConfigMap. One that cannot be read is treated as lost:
// nothing is pruned by it, and the next apply writes a new one. What it named
// and the release no longer has stays in the cluster.
func (s *inventories) take(object *corev1.ConfigMap, parts map[string][]byte) {
	inv, in, err := drift.DecodeInventory(object.BinaryData[inventoryKey], func(name string) []byte { return parts[name] })
	known := &stored{inventory: inv, parts: in}
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
	s.known[object.Name] = known
}

// save stores an inventory, if it differs from what is stored. Ended at any
// point, what is stored is the one before or this one: parts are written under
// names of their own, then the head that names them, and what no head names any
// more goes last.
func (s *inventories) save(ctx context.Context, t *target, inv drift.Inventory) error {
	name := inventoryName(t.mark)
	s.mu.Lock()
	err := s.settle(ctx, name)
	known := s.known[name]
	s.mu.Unlock()
	switch {
	case err != nil:
		return err
	case known == nil:
	case known.err != nil:
		return known.err
	case known.stale:
		return fmt.Errorf("%s: %w", t.name, errStale)
	case known.inventory.Equal(inv):
		return nil
	}
	// Once begun it is not ended by a newer commit: whether it was stored must be known.
	ctx = context.WithoutCancel(ctx)
	next, err := s.write(ctx, t, name, known, inv)
	if known != nil && apierrors.IsNotFound(err) { // deleted by hand; memory has it all
		next, err = s.write(ctx, t, name, nil, inv)
	}
	s.mu.Lock()
	switch {
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		s.known[name] = &stored{stale: true}
		err = fmt.Errorf("%s: %w (ConfigMap %s/%s)", t.name, errStale, s.namespace, name)
	case err != nil:
		if passing(err) {
			s.unsure[name] = inv
		}
		err = fmt.Errorf("%s: storing its inventory (ConfigMap %s/%s): %w", t.name, s.namespace, name, err)
	default:
		s.known[name] = next
	}
	s.mu.Unlock()
	if err == nil {
		s.sweep(ctx, name, next.parts)
	}
	return err
}

// settle finds out whether what was sent is stored, where no answer told. What
// then is stored is our own, and no reason to wait for the next apply. s.mu is held.
func (s *inventories) settle(ctx context.Context, name string) error {
	sent, ok := s.unsure[name]
	if !ok {
		return nil
	}
	before := s.known[name]
	if err := s.read(ctx, name); err != nil {
		return err
	}
	delete(s.unsure, name)
	known := s.known[name]
	if known == nil || known.err != nil || before != nil && known.object.ResourceVersion == before.object.ResourceVersion {
		return nil
	}
	found := known.inventory.Clone()
	if found.Target = sent.Target; !found.Equal(sent) {
		s.known[name] = &stored{stale: true}
	}
	return nil
}

// write stores an inventory in place of a known one, or of none.
func (s *inventories) write(ctx context.Context, t *target, name string, known *stored, inv drift.Inventory) (*stored, error) {
	next := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
	var before []drift.Part
	if known != nil {
		next, before = known.object.DeepCopy(), known.parts
	}
	content, parts, err := s.writeParts(ctx, t, name, before, inv)
	if err != nil {
		return nil, err
	}
	next.Labels = with(next.Labels, labelInventory, s.agent)
	next.Annotations = with(next.Annotations, annotationFor, t.name)
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
	return &stored{inventory: inv.Clone(), object: written, parts: parts}, nil
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
	entry.UID, entry.Applied, entry.Desired = k.uid, k.applied, k.desired
	k.target.inventory.Entries[k.id] = entry
	c.flush(k.target)
}

// flushDelay gathers what changes at about the same time.
const flushDelay = 100 * time.Millisecond

// flush stores the inventory soon. c.mu is held.
func (c *Cluster) flush(t *target) {
	if t.flushing {
		return
	}
	t.flushing = true
	c.spawn(func() {
		for delay := flushDelay; ; delay = min(2*delay, lastRetry) {
			select {
			case <-time.After(delay):
			case <-c.ctx.Done():
				return
			}
			c.mu.Lock()
			t.flushing = false
			c.mu.Unlock()
			err := c.store(c.ctx, t)
			if err == nil || c.ctx.Err() != nil || errors.Is(err, errStale) {
				return // what is stale is read, and then stored, by the next apply
			}
			c.options.Log.Error().Err(err).Str("target", t.name).Msg("what was put back could not be noted in the inventory; tried again")
			c.mu.Lock()
			if t.flushing { // another one has begun
				c.mu.Unlock()
				return
			}
			t.flushing = true
			c.mu.Unlock()
		}
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
