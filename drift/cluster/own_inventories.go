package cluster

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pawl-dev/pawl/drift"
)

// tendInventory makes what is stored of an inventory what is known of it. What
// another process of the agent wrote is not touched: an apply finds it, and the
// next one reads it.
func (c *Cluster) tendInventory(ctx context.Context, name string) (found drift.Own, err error) {
	s := &c.inventories
	defer s.lock(name)()
	if err := s.settle(ctx, name); err != nil {
		return found, err
	}
	known := s.of(name)
	if known == nil || known.err != nil || known.stale || !s.odd(name, known) {
		return found, nil
	}
	now, err := s.regard(ctx, name, known)
	if err != nil {
		return found, err
	}
	if now == nil {
		return found, nil
	}
	if err := s.wholeParts(ctx, now); err != nil {
		return found, err
	}
	if !now.unsaved {
		s.set(name, now)
		return found, nil
	}
	next, err := s.write(ctx, now.inventory.Target, name, now, now.inventory)
	if err != nil {
		return found, fmt.Errorf("%s: storing its inventory again (ConfigMap %s/%s): %w", now.inventory.Target, s.namespace, name, err)
	}
	s.set(name, next)
	s.sweep(ctx, name, next.parts)
	found.Written = []string{"ConfigMap " + s.namespace + "/" + name}
	return found, nil
}

// odd reports whether something has become of an inventory that was not written so.
func (s *inventories) odd(name string, known *stored) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen[name].newer(known.version()) {
		return true
	}
	for _, p := range known.parts {
		if s.seen[p.Name].newer(s.sure[p.Name]) {
			return true
		}
	}
	return false
}

// regard reads the ConfigMap of an inventory again. It returns what memory knows
// with that as it is now, or nil where another process of the agent wrote it. It
// is locked.
func (s *inventories) regard(ctx context.Context, name string, known *stored) (*stored, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	now := *known
	now.stale = false
	object, err := s.configMaps.Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		now.unsaved = true
		now.object = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
		return &now, nil
	case err != nil:
		return nil, fmt.Errorf("reading the inventory in ConfigMap %s/%s: %w", s.namespace, name, err)
	}
	is := drift.OwnStored{There: true, Content: drift.DigestOf(string(object.BinaryData[inventoryKey])), Noted: drift.Digest(object.Annotations[annotationContent])}
	switch drift.TendOwn(known.content, is) {
	case drift.UpkeepTake:
		return nil, nil
	case drift.UpkeepWrite:
		now.unsaved = true
	}
	object.BinaryData, object.Data, object.ManagedFields = nil, nil, nil
	now.object = object
	return &now, nil
}

// wholeParts notes which parts of an inventory are still what was written, so that
// only the others are written again. It is locked.
func (s *inventories) wholeParts(ctx context.Context, now *stored) error {
	parts := make([]drift.Part, len(now.parts))
	for i, p := range now.parts {
		part, err := s.getPart(ctx, p.Name)
		if err != nil {
			return err
		}
		if part == nil || part.Labels[labelInventoryPart] != s.agent || drift.DigestOf(string(part.BinaryData[inventoryKey])) != p.Digest {
			p.Digest, now.unsaved = "", true
		}
		parts[i] = p
	}
	now.parts = parts
	return nil
}

// sawInventory takes in what became of an inventory, or of a part of one.
func (c *Cluster) sawInventory(o metav1.Object, is sighting) (inventory string, news bool) {
	s, name := &c.inventories, o.GetName()
	inventory = name
	if head := headOf(name); head != "" {
		inventory = head
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[name] = is
	than := s.sure[name]
	if known := s.known[name]; known != nil {
		than = known.version()
	}
	if is.gone && than == "" { // nothing is known of it any more
		delete(s.seen, name)
	}
	return inventory, is.newer(than)
}

// listedHeads takes in that all inventories were listed.
func (s *inventories) listedHeads(there map[string]bool, version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.known {
		if !there[name] {
			s.seen[name] = sighting{version, true}
		}
	}
}

// listedParts takes in that all parts of inventories were listed.
func (s *inventories) listedParts(there map[string]bool, version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.sure {
		if !there[name] {
			s.seen[name] = sighting{version, true}
		}
	}
}
