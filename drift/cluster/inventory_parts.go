package cluster

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pawl-dev/pawl/drift"
)

const (
	labelInventoryPart = "pawl.dev/inventory-part-of" // the agent
	// partInfix stands in the name of a part between that of its inventory and
	// random characters.
	partInfix = ".part-"
)

// headOf is the name of the inventory that a part was written for.
func headOf(part string) string {
	return part[:max(strings.LastIndex(part, partInfix), 0)]
}

// listParts reads the parts of all inventories, by their names.
func (s *inventories) listParts(ctx context.Context) (map[string][]byte, error) {
	list, err := s.configMaps.List(ctx, metav1.ListOptions{LabelSelector: labelInventoryPart + "=" + s.agent})
	if err != nil {
		return nil, fmt.Errorf("reading the parts of inventories in namespace %s: %w", s.namespace, err)
	}
	parts := make(map[string][]byte, len(list.Items))
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, part := range list.Items {
		parts[part.Name] = part.BinaryData[inventoryKey]
		s.sure[part.Name] = part.ResourceVersion
	}
	return parts, nil
}

// readParts reads the parts that a head names; what is not there is left out.
func (s *inventories) readParts(ctx context.Context, head *corev1.ConfigMap) (map[string][]byte, error) {
	parts := map[string][]byte{}
	var failure error
	_, _, _ = drift.DecodeInventory(head.BinaryData[inventoryKey], func(name string) []byte {
		part, err := s.getPart(ctx, name)
		if err != nil {
			failure = err
		}
		if part == nil {
			return nil
		}
		parts[name] = part.BinaryData[inventoryKey]
		return parts[name]
	})
	return parts, failure
}

// getPart reads a part; nil is none.
func (s *inventories) getPart(ctx context.Context, name string) (*corev1.ConfigMap, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	part, err := s.configMaps.Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading a part of an inventory, ConfigMap %s/%s: %w", s.namespace, name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sure[name] = part.ResourceVersion
	return part, nil
}

// writeParts writes what differs from the parts before, and returns what the
// inventory's own ConfigMap holds.
func (s *inventories) writeParts(ctx context.Context, of, name string, before []drift.Part, inv drift.Inventory) (content []byte, parts []drift.Part, err error) {
	packed, err := inv.Pack(len(before), s.partBytes)
	if err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	for _, p := range before { // until the head is written all of them may be needed
		s.spare(name, p.Name)
	}
	s.mu.Unlock()
	if packed.Whole != nil {
		return packed.Whole, nil, nil
	}
	for _, content := range packed.Parts {
		digest := drift.DigestOf(string(content))
		if i := slices.IndexFunc(before, func(p drift.Part) bool { return p.Digest == digest }); i >= 0 {
			parts = append(parts, before[i])
			continue
		}
		p := drift.Part{Name: name + partInfix + strings.ToLower(rand.Text()), Digest: digest}
		s.mu.Lock()
		s.spare(name, p.Name)
		s.mu.Unlock()
		if err := s.createPart(ctx, of, p, content); err != nil {
			return nil, nil, err
		}
		parts = append(parts, p)
	}
	content, err = inv.EncodeHead(parts)
	return content, parts, err
}

func (s *inventories) createPart(ctx context.Context, of string, p drift.Part, content []byte) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	fixed := true
	created, err := s.configMaps.Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Name: p.Name, Labels: map[string]string{labelInventoryPart: s.agent}, Annotations: map[string]string{annotationFor: of},
		},
		Immutable:  &fixed, // a changed part is another one
		BinaryData: map[string][]byte{inventoryKey: content},
	}, metav1.CreateOptions{FieldManager: drift.FieldManager})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sure[p.Name] = created.ResourceVersion
	return nil
}

// spare notes a part that the inventory may not need once it is written next.
// s.mu is held.
func (s *inventories) spare(name, part string) {
	if !slices.Contains(s.surplus[name], part) {
		s.surplus[name] = append(s.surplus[name], part)
	}
}

// sweep removes the parts that an inventory does not name, right after it was
// written: whoever else was about to write it is refused from then on, so that
// nobody comes to name them.
func (s *inventories) sweep(ctx context.Context, name string, used []drift.Part) {
	s.mu.Lock()
	surplus := s.surplus[name]
	delete(s.surplus, name)
	s.mu.Unlock()
	var failure error
	var left []string
	for _, part := range surplus {
		if slices.ContainsFunc(used, func(p drift.Part) bool { return p.Name == part }) {
			continue
		}
		bounded, cancel := context.WithTimeout(ctx, requestTimeout)
		err := s.configMaps.Delete(bounded, part, metav1.DeleteOptions{})
		cancel()
		if err != nil && !apierrors.IsNotFound(err) {
			failure, left = err, append(left, part)
			continue
		}
		s.mu.Lock()
		delete(s.sure, part)
		delete(s.seen, part)
		s.mu.Unlock()
	}
	if failure == nil {
		return
	}
	s.log.Warn().Err(failure).Strs("configmaps", left).Str("namespace", s.namespace).Msg("parts of an inventory that are no longer used could not be removed; tried again when it is written next")
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, part := range left {
		s.spare(name, part)
	}
}
