package cluster

import (
	"fmt"
	"sync"
	"testing"

	"github.com/rs/zerolog"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/internal/testworld/controlplane"
)

// catalogue 92
func TestAnInventoryOfTenThousandObjectsIsStored(t *testing.T) {
	t.Parallel()
	plane := controlplane.Shared(t)
	config, err := plane.RESTConfig()
	if err != nil {
		t.Fatal(err)
	}
	core, err := corev1client.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	namespace := plane.Namespace(t)
	maps := core.ConfigMaps(namespace)
	process := func() *inventories {
		return &inventories{configMaps: maps, namespace: namespace, agent: "pawl", partBytes: inventoryPartBytes, log: zerolog.New(zerolog.NewTestWriter(t)), busy: map[string]*sync.Mutex{}, seen: map[string]sighting{}, sure: map[string]string{}}
	}
	mark := drift.MarkFor("pawl", environments.Target{Environment: "production", Application: "web"})
	web := &target{name: "production/web", mark: mark}

	s := process()
	inv, err := s.load(t.Context(), web)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10_000 {
		// Longer names than people write, and as little alike.
		id := drift.ObjectID{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: string(drift.DigestOf(fmt.Sprint(i)) + drift.DigestOf(fmt.Sprint(-i)) + drift.DigestOf(fmt.Sprint("name", i)))}
		inv.Entries[id] = drift.Entry{Version: "v1", UID: string(drift.DigestOf(fmt.Sprint("uid", i))), Desired: drift.DigestOf(fmt.Sprint("desired", i)), Applied: drift.DigestOf(fmt.Sprint("applied", i))}
	}
	save := func(s *inventories, inv drift.Inventory) (bytes int) {
		t.Helper()
		before := sizes(t, maps)
		if err := s.save(t.Context(), web, inv); err != nil {
			t.Fatal(err)
		}
		after := sizes(t, maps)
		for name, size := range after {
			if _, known := before[name]; !known || size != before[name] {
				bytes += size
			}
		}
		return bytes
	}
	whole := save(s, inv)
	if whole < 1<<20 {
		t.Errorf("it has %d bytes, which one ConfigMap might hold", whole)
	}

	s = process()
	read, err := s.load(t.Context(), web)
	if err != nil || !inv.Equal(read) {
		t.Fatalf("read were %d objects, %v", len(read.Entries), err)
	}
	id := read.IDs()[77]
	entry := read.Entries[id]
	entry.UID = "another"
	read.Entries[id] = entry
	if written := save(s, read); written > 2*inventoryPartBytes {
		t.Errorf("for one changed object %d KiB of %d were written", written>>10, whole>>10)
	}
	again, err := process().load(t.Context(), web)
	if err != nil || !read.Equal(again) {
		t.Errorf("read were %d objects, %v", len(again.Entries), err)
	}
	if n := len(sizes(t, maps)); n != 1+len(s.known[inventoryName(mark)].parts) {
		t.Errorf("%d ConfigMaps for a head and %d parts", n, len(s.known[inventoryName(mark)].parts))
	}
}

// sizes are how many bytes of inventories each ConfigMap holds.
func sizes(t *testing.T, maps corev1client.ConfigMapInterface) map[string]int {
	t.Helper()
	list, err := maps.List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for _, m := range list.Items {
		if content, ok := m.BinaryData[inventoryKey]; ok {
			found[m.Name] = len(content)
		}
	}
	return found
}
