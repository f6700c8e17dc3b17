package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/drift/cluster"
	"github.com/pawl-dev/pawl/environments"
)

// stored is the inventory as it is in the cluster.
func (w *world) stored() (drift.Inventory, error) {
	inv, _, err := w.storedIn()
	return inv, err
}

// storedIn is stored with the parts that it is in.
func (w *world) storedIn() (drift.Inventory, []drift.Part, error) {
	list, err := w.dynamic.Resource(resources["ConfigMap"]).Namespace(w.own).List(context.Background(), metav1.ListOptions{LabelSelector: "pawl.dev/inventory-of"})
	if err != nil || len(list.Items) != 1 {
		return drift.Inventory{}, nil, fmt.Errorf("%d inventories, %w", len(list.Items), err)
	}
	var content struct{ BinaryData map[string][]byte }
	if err := convert(list.Items[0].Object, &content); err != nil {
		return drift.Inventory{}, nil, err
	}
	parts := w.parts()
	inv, in, err := drift.DecodeInventory(content.BinaryData["inventory.json.gz"], func(name string) []byte { return parts[name] })
	// Shares that say the same, as empty ones do, may be in one part.
	slices.SortFunc(in, func(a, b drift.Part) int { return strings.Compare(a.Name, b.Name) })
	return inv, slices.Compact(in), err
}

// parts are the parts of inventories that are stored, by their names.
func (w *world) parts() map[string][]byte {
	w.t.Helper()
	list, err := w.dynamic.Resource(resources["ConfigMap"]).Namespace(w.own).List(context.Background(), metav1.ListOptions{LabelSelector: "pawl.dev/inventory-part-of=" + w.agent})
	if err != nil {
		w.t.Fatal(err)
	}
	found := map[string][]byte{}
	for _, part := range list.Items {
		var content struct{ BinaryData map[string][]byte }
		if err := convert(part.Object, &content); err != nil {
			w.t.Fatal(err)
		}
		found[part.GetName()] = content.BinaryData["inventory.json.gz"]
	}
	return found
}

// numbered are n ConfigMaps that say a value.
func numbered(n int, value string) (documents []string) {
	for i := range n {
		documents = append(documents, configMap(fmt.Sprint("c", i), "k", value))
	}
	return documents
}

// names are the ConfigMaps of the world's namespace that the agent made.
func (w *world) names() (names []string) {
	w.t.Helper()
	list, err := w.dynamic.Resource(resources["ConfigMap"]).Namespace(w.namespace).List(context.Background(), metav1.ListOptions{LabelSelector: "pawl.dev/target"})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, o := range list.Items {
		names = append(names, o.GetName())
	}
	return names
}

// catalogue 92
func TestALargeInventoryIsSplitAndPrunes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, cluster.SplitInventories(1<<10))
	w.settings.Prune = pruneAll
	documents := numbered(48, "1") // with room in the parts, as uids compress by chance
	w.apply(documents...)
	before := w.parts()
	if inv, err := w.stored(); err != nil || len(inv.Entries) != 48 || len(before) < 4 {
		t.Fatalf("%d objects in %d parts, %v", len(inv.Entries), len(before), err)
	}

	// What changes is little: a part in the place of another, and the head.
	mark := w.mark()
	documents[7] = configMap("c7", "k", "2")
	w.apply(documents...)
	var wrote []string
	for _, e := range w.writesSince(mark) {
		if e.Namespace == w.own {
			wrote = append(wrote, e.Verb)
		}
	}
	if !slices.Equal(wrote, []string{"create", "update", "delete"}) || len(w.parts()) != len(before) {
		t.Errorf("for one changed object: %v, and %d parts are %d", wrote, len(before), len(w.parts()))
	}

	w.restart()
	mark = w.mark()
	w.apply(documents...)
	if writes := w.writesSince(mark); len(writes) > 0 {
		t.Errorf("a restart wrote %v", writes)
	}
	w.apply(documents[:40]...)
	if n := len(w.names()); n != 40 {
		t.Errorf("%d objects are left, want 40", n)
	}
	// And it is whole again once it is small.
	w.apply(documents[0])
	if inv, err := w.stored(); err != nil || len(inv.Entries) != 1 || len(w.parts()) != 0 || len(w.names()) != 1 {
		t.Errorf("%d objects and parts %v, %v", len(inv.Entries), slices.Collect(maps.Keys(w.parts())), err)
	}
}

// catalogue 91, 92
func TestAnInventoryThatIsNotWholePrunesNothing(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*world, []string){
		"a part is missing": func(w *world, parts []string) { w.deleteInventory(parts[0]) },
		"all parts are missing": func(w *world, parts []string) {
			for _, p := range parts {
				w.deleteInventory(p)
			}
		},
		"a part is edited": func(w *world, parts []string) { w.replacePart(parts[0], []byte("edited")) },
		"a part is that of another share": func(w *world, parts []string) {
			w.replacePart(parts[0], w.parts()[parts[1]])
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, cluster.SplitInventories(512))
			w.settings.Prune = pruneAll
			w.apply(numbered(20, "1")...)
			parts := slices.Sorted(maps.Keys(w.parts()))
			if len(parts) < 2 {
				t.Fatalf("it is in %d parts", len(parts))
			}
			w.tamper(func(string) { spoil(w, parts) })
			w.apply(numbered(10, "1")...)
			if n := len(w.names()); n != 20 {
				t.Errorf("%d objects are left of 20, though the inventory was not whole", n)
			}
			// It is made anew, and nothing of the old one is left.
			inv, err := w.stored()
			if err != nil || len(inv.Entries) != 10 {
				t.Errorf("it was not made anew: %d objects, %v", len(inv.Entries), err)
			}
			for _, old := range parts {
				if _, there := w.parts()[old]; there {
					t.Errorf("%s is still there", old)
				}
			}
			w.apply(numbered(5, "1")...)
			if n := len(w.names()); n != 15 {
				t.Errorf("%d objects are left, want the 5 that stay and the 10 that nobody remembers", n)
			}
		})
	}
}

// An inventory that an earlier version wrote whole is read, still prunes, and is
// split once it has to be.
//
// catalogue 92, 117
func TestAnInventoryOfAnEarlierVersionIsCarriedOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, cluster.SplitInventories(512))
	w.settings.Prune = pruneAll
	w.apply(numbered(20, "1")...)
	w.tamper(func(name string) {
		inv, err := w.stored()
		if err != nil {
			t.Fatal(err)
		}
		var objects []string
		for _, id := range inv.IDs() {
			objects = append(objects, fmt.Sprintf(`{"version":"v1","kind":"ConfigMap","namespace":%q,"name":%q,"uid":%q}`, id.Namespace, id.Name, inv.Entries[id].UID))
		}
		w.writeInventory(name, gzipped(t, fmt.Sprintf(`{"format":1,"target":"production/web","objects":[%s]}`, strings.Join(objects, ","))))
	})
	w.apply(numbered(18, "1")...)
	if inv, in, err := w.storedIn(); err != nil || len(inv.Entries) != 18 || len(in) < 2 || len(in) != len(w.parts()) || len(w.names()) != 18 {
		t.Errorf("%d objects in %d of %d parts, %v; %d objects are there", len(inv.Entries), len(in), len(w.parts()), err, len(w.names()))
	}
}

// replacePart writes a part as somebody would who does not let "immutable" stop him.
func (w *world) replacePart(name string, content []byte) {
	w.t.Helper()
	maps := w.dynamic.Resource(resources["ConfigMap"]).Namespace(w.own)
	old, err := maps.Get(context.Background(), name, metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.deleteInventory(name)
	next := &unstructured.Unstructured{Object: map[string]any{"binaryData": map[string]any{"inventory.json.gz": base64Of(content)}}}
	next.SetAPIVersion("v1")
	next.SetKind("ConfigMap")
	next.SetName(name)
	next.SetLabels(old.GetLabels())
	if _, err := maps.Create(context.Background(), next, metav1.CreateOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

var everything = 100

var pruneAll = environments.Prune{MaxPercent: &everything}

// killed is a connection of a process that is killed at its nth request that
// writes an inventory: before the request is sent, or before its answer came.
type killed struct {
	http.RoundTripper
	namespace string
	answered  bool

	mu   sync.Mutex
	left int
	dead bool
}

var errKilled = errors.New("killed")

func (k *killed) RoundTrip(r *http.Request) (*http.Response, error) {
	k.mu.Lock()
	if strings.HasPrefix(r.URL.Path, "/api/v1/namespaces/"+k.namespace+"/configmaps") && r.Method != http.MethodGet {
		k.left--
	}
	now := k.left < 0 && !k.dead
	if k.dead || now && !k.answered {
		k.dead = true
		k.mu.Unlock()
		return nil, errKilled
	}
	k.dead = now
	k.mu.Unlock()
	answer, err := k.RoundTripper.RoundTrip(r)
	if now && err == nil {
		_ = answer.Body.Close()
		return nil, errKilled
	}
	return answer, err
}

// catalogue 92, 107
func TestAnInventoryIsNeverHalfWritten(t *testing.T) {
	t.Parallel()
	for _, answered := range []bool{false, true} {
		t.Run(fmt.Sprintf("answered %v", answered), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, cluster.SplitInventories(1<<10))
			w.settings.Prune = pruneAll
			living := w.options.Config
			// It grows, becomes whole, and is split for the first time.
			sizes := []int{14, 22, 1, 14}
			w.apply(numbered(sizes[0], "0")...)
			attempts, died := 0, 0
			for round, n := range sizes[1:] {
				value := fmt.Sprint(round + 1)
				for at := 0; ; at++ {
					before, err := w.stored()
					if err != nil {
						t.Fatalf("killed %d times, it cannot be read: %v", died, err)
					}
					w.cluster.Close()
					k := &killed{namespace: w.own, answered: answered, left: at}
					mortal := *living
					mortal.WrapTransport = func(rt http.RoundTripper) http.RoundTripper { k.RoundTripper = rt; return k }
					w.options.Config = &mortal
					w.start()
					_, err = w.cluster.Apply(t.Context(), w.verified(numbered(n, value)...), drift.Terms{Environment: w.settings})
					w.cluster.Close()
					k.mu.Lock()
					dead := k.dead
					k.mu.Unlock()
					attempts++
					if !dead {
						if err != nil {
							t.Fatal(err)
						}
						break
					}
					died++
					after, err := w.stored()
					if err != nil {
						t.Fatalf("killed at its write %d, and now it cannot be read: %v", at, err)
					}
					for _, name := range w.names() { // whatever exists is known
						if _, known := after.Entries[drift.ObjectID{Kind: "ConfigMap", Namespace: w.namespace, Name: name}]; !known {
							t.Errorf("killed at its write %d, %s is forgotten; it had %d objects before, and has %d", at, name, len(before.Entries), len(after.Entries))
						}
					}
				}
				inv, err := w.stored()
				if err != nil || len(inv.Entries) != n || len(w.names()) != n {
					t.Errorf("in the end there are %d objects, and %d in the inventory, want %d; %v", len(w.names()), len(inv.Entries), n, err)
				}
			}
			// A last write, by a process that nobody kills, cleans up.
			w.options.Config = living
			w.start()
			w.apply(numbered(22, "last")...)
			w.cluster.Close()
			if _, used, err := w.storedIn(); err != nil || len(used) < 2 || len(used) != len(w.parts()) {
				t.Errorf("%d parts are used, and there are %d; %v", len(used), len(w.parts()), err)
			}
			if died < 8 {
				t.Errorf("killed only %d times in %d attempts", died, attempts)
			}
		})
	}
}
