package cluster_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
)

// catalogue 89
func TestARefusedDeletionStaysInTheInventoryUntilItIsDone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(configMap("a", "k", "1"), configMap("b", "k", "1"), configMap("c", "k", "1"))
	w.guard("keep-"+w.namespace, "DELETE", `oldObject.metadata.name != 'a'`)
	applied := w.apply(configMap("c", "k", "2"))
	if len(applied.Pending) != 1 || applied.Pending[0].Name != "a" {
		t.Errorf("pending is %v, want a", applied.Pending)
	}
	steps := actions(applied.Steps)
	if !strings.HasPrefix(steps[1], "delete ConfigMap/a: left the release; deleting it was refused, and is tried again: ") || !strings.Contains(steps[1], "keep-") {
		t.Errorf("got %q, want the refusal", steps[1])
	}
	if w.lookup("ConfigMap/b") != nil {
		t.Error("b should have gone nevertheless")
	}
	inv, err := w.stored()
	if err != nil {
		t.Fatal(err)
	}
	a := drift.ObjectID{Kind: "ConfigMap", Namespace: w.namespace, Name: "a"}
	if _, ok := inv.Entries[a]; !ok || len(inv.Entries) != 2 {
		t.Errorf("the inventory is %+v; want a and c", inv.Entries)
	}
	// Other releases are applied meanwhile.
	if applied := w.apply(configMap("c", "k", "3")); len(applied.Pending) != 1 {
		t.Errorf("got %+v", applied)
	}
	w.unguard("keep-" + w.namespace)
	w.eventually("a to go once that is allowed, from the inventory too", func() (bool, string) {
		inv, err := w.stored()
		_, ok := inv.Entries[a]
		return w.lookup("ConfigMap/a") == nil && err == nil && !ok, fmt.Sprintf("%+v %v", inv.Entries, err)
	})
}

// catalogue 61
func TestOnlyWhatTheInventoryHasIsKeptWithoutACommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settings.Prune.MaxPercent = new(100)
	w.apply(configMap("a", "k", "1"), configMap("b", "k", "1"), configMap("c", "k", "1"), configMap("d", "k", "1"))
	w.guard("keep-"+w.namespace, "DELETE", `oldObject.metadata.name != 'a'`)
	w.apply(configMap("c", "k", "1"), configMap("d", "k", "1")) // b is gone, and a pending
	w.restart()
	w.unguard("keep-" + w.namespace)
	start := w.mark()
	w.edit("ConfigMap/c", `{"data":{"k":"2"}}`)
	whole := w.verified(configMap("a", "k", "1"), configMap("b", "k", "1"), configMap("c", "k", "1"))
	if _, err := w.cluster.Apply(t.Context(), whole, drift.Terms{Environment: w.settings, Returning: true, Keeps: true}); err != nil {
		t.Fatal(err)
	}
	if data := w.get("ConfigMap/c").Object["data"].(map[string]any); data["k"] != "1" {
		t.Errorf("c was not put back: %v", data)
	}
	if w.lookup("ConfigMap/b") != nil {
		t.Error("what was deleted came back")
	}
	for _, e := range w.writesSince(start) {
		if e.Verb == "delete" || e.Name == "a" {
			t.Errorf("more was done than to keep: %v", e)
		}
	}
	inv, err := w.stored()
	if err != nil || len(inv.Entries) != 3 {
		t.Errorf("the inventory is %+v (%v); want a, c and d", inv.Entries, err)
	}

	// The next commit goes on from there.
	w.apply(configMap("c", "k", "1"))
	w.eventually("what left to go", func() (bool, string) {
		return w.lookup("ConfigMap/a") == nil && w.lookup("ConfigMap/d") == nil, "a or d is there"
	})
}

// Events are served by two API groups, and are the same objects in both.
//
// catalogue 90
func TestAnObjectThatMovesToAnotherAPIGroupIsNotDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := strings.ReplaceAll(`
apiVersion: v1
kind: Event
metadata: {name: made, namespace: '{ns}'}
involvedObject: {kind: Pod, namespace: '{ns}', name: web}
reportingComponent: example.com/tool
reportingInstance: one
action: Test
reason: Test
type: Normal
eventTime: "2026-01-01T00:00:00.000000Z"
message: %s
`, "{ns}", w.namespace)
	after := strings.ReplaceAll(`
apiVersion: events.k8s.io/v1
kind: Event
metadata: {name: made, namespace: '{ns}'}
regarding: {kind: Pod, namespace: '{ns}', name: web}
reportingController: example.com/tool
reportingInstance: one
action: Test
reason: Test
type: Normal
eventTime: "2026-01-01T00:00:00.000000Z"
note: %s
`, "{ns}", w.namespace)
	event := drift.ObjectID{Group: "events.k8s.io", Kind: "Event", Namespace: w.namespace, Name: "made"}
	w.apply(configMap("a", "k", "1"), fmt.Sprintf(before, "one"))
	uid := w.get("Event/made").GetUID()
	start := w.mark()
	for _, release := range [][]string{
		{configMap("a", "k", "1"), fmt.Sprintf(after, "one")},
		{configMap("a", "k", "2"), fmt.Sprintf(before, "one")},
	} {
		w.apply(release...)
		if got := w.get("Event/made").GetUID(); got != uid {
			t.Errorf("it was made anew: %s was %s", got, uid)
		}
		inv, err := w.stored()
		if err != nil || len(inv.Entries) != 2 {
			t.Errorf("the inventory is %+v (%v); want each object once", inv.Entries, err)
		}
		w.restart()
	}
	for _, e := range w.writesSince(start) {
		if e.Verb == "delete" {
			t.Errorf("something was deleted: %v", e)
		}
	}

	// Under its new name it is kept and pruned like others.
	w.apply(configMap("a", "k", "3"), fmt.Sprintf(after, "one"))
	w.delete("Event/made")
	w.eventually("it to come back", func() (bool, string) { return w.lookup("Event/made") != nil, "not there" })
	applied := w.apply(configMap("a", "k", "4"))
	if w.lookup("Event/made") != nil || !slices.ContainsFunc(applied.Steps, func(s drift.Step) bool { return s.Object == event && s.Action == drift.Delete }) {
		t.Errorf("it left the release, and is there: %v", actions(applied.Steps))
	}
}

// catalogue 89
func TestAnOrphanOfAKilledAgentIsStillPruned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(configMap("a", "k", "1"), configMap("b", "k", "1"))
	w.guard("keep-"+w.namespace, "DELETE", `oldObject.metadata.name != 'a'`)
	w.apply(configMap("b", "k", "1"))
	w.restart()
	w.unguard("keep-" + w.namespace)
	w.apply(configMap("b", "k", "1"))
	w.eventually("a to go", func() (bool, string) { return w.lookup("ConfigMap/a") == nil, "still there" })
}

// catalogue 94
func TestAFinalizerThatNobodyServesHoldsUpNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(configMap("a", "k", "1"), configMap("b", "k", "1"), configMap("c", "k", "1"))
	w.edit("ConfigMap/a", `{"metadata":{"finalizers":["example.com/nobody"]}}`)
	applied := w.apply(configMap("c", "k", "2"))
	if len(applied.Pending) != 1 || applied.Pending[0].Name != "a" || w.lookup("ConfigMap/b") != nil {
		t.Errorf("got %+v", applied)
	}
	if applied = w.apply(configMap("c", "k", "3")); !strings.Contains(strings.Join(actions(applied.Steps), "\n"), "example.com/nobody") {
		t.Errorf("the finalizer is not named: %v", actions(applied.Steps))
	}
	before := w.mark()
	w.edit("ConfigMap/a", `{"metadata":{"finalizers":null}}`)
	a := drift.ObjectID{Kind: "ConfigMap", Namespace: w.namespace, Name: "a"}
	w.eventually("a to leave the inventory", func() (bool, string) {
		inv, err := w.stored()
		_, ok := inv.Entries[a]
		return err == nil && !ok, fmt.Sprintf("%+v %v", inv.Entries, err)
	})
	if n := len(w.writesSince(before)); n != 1 {
		t.Errorf("want the inventory to be written and nothing else: %v", w.writesSince(before))
	}
}

func TestAnObjectThatComesBackWhileItIsDeletedIsMadeAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(configMap("a", "k", "1"), configMap("c", "k", "1"))
	uid := w.get("ConfigMap/a").GetUID()
	w.edit("ConfigMap/a", `{"metadata":{"finalizers":["example.com/nobody"]}}`)
	w.apply(configMap("c", "k", "1"))
	w.apply(configMap("a", "k", "2"), configMap("c", "k", "1"))
	w.edit("ConfigMap/a", `{"metadata":{"finalizers":null}}`)
	w.eventually("a to be made again", func() (bool, string) {
		o := w.lookup("ConfigMap/a")
		return o != nil && o.GetUID() != uid && o.Object["data"].(map[string]any)["k"] == "2", fmt.Sprint(o)
	})
}

// catalogue 90
func TestWhatBecameSomebodyElsesIsNotPruned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(configMap("relabelled", "k", "1"), configMap("replaced", "k", "1"), configMap("c", "k", "1"))
	w.cluster.Close() // or it would put both back at once
	w.edit("ConfigMap/relabelled", `{"metadata":{"labels":{"pawl.dev/target":"production_api"}}}`)
	before := w.get("ConfigMap/replaced")
	w.delete("ConfigMap/replaced")
	copied := before.DeepCopy()
	copied.SetUID("")
	copied.SetResourceVersion("")
	copied.SetManagedFields(nil)
	client, _ := w.at("ConfigMap/replaced")
	if _, err := client.Create(t.Context(), copied, metav1.CreateOptions{FieldManager: "kubectl-create"}); err != nil {
		t.Fatal(err)
	}
	w.restart()
	mark := w.mark()
	applied := w.apply(configMap("c", "k", "1"))
	want := []string{
		"unchanged ConfigMap/c: ",
		"keep ConfigMap/relabelled: left the release, but no longer bears this target's mark, so it was not deleted",
		"keep ConfigMap/replaced: left the release, but no longer bears this target's mark, so it was not deleted",
	}
	if got := strings.Join(actions(applied.Steps), "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s", got)
	}
	for _, e := range w.requestsSince(mark) {
		if e.Verb == "delete" {
			t.Errorf("deleted: %s", e)
		}
	}
}

// catalogue 90
func TestWhatWasThereBeforeUsIsNotPruned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create(configMap("theirs", "own", "data"))
	w.create(configMap("remade", "own", "data"))
	w.apply(configMap("theirs", "k", "1"), configMap("remade", "k", "1"), configMap("c", "k", "1"))
	w.apply(configMap("theirs", "k", "2"), configMap("remade", "k", "2"), configMap("c", "k", "1")) // a newer release
	w.edit("ConfigMap/theirs", `{"data":{"k":"3"}}`)                                                // a repair
	w.noticed()
	w.delete("ConfigMap/remade") // and made again by us: ours from now on
	remade := drift.ObjectID{Kind: "ConfigMap", Namespace: w.namespace, Name: "remade"}
	w.eventually("remade to be ours in the inventory", func() (bool, string) {
		inv, err := w.stored()
		o := w.lookup("ConfigMap/remade")
		return err == nil && o != nil && inv.Entries[remade].UID == string(o.GetUID()) && !inv.Entries[remade].Adopted, fmt.Sprintf("%+v %v", inv.Entries, err)
	})
	w.restart()
	mark := w.mark()
	applied := w.apply(configMap("c", "k", "1"))
	want := []string{
		"unchanged ConfigMap/c: ",
		"delete ConfigMap/remade: left the release",
		"keep ConfigMap/theirs: left the release, but was there before it was first applied, so it was not deleted; it keeps what was applied",
	}
	if got := strings.Join(actions(applied.Steps), "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s", got)
	}
	for _, e := range w.requestsSince(mark) {
		if e.Verb == "delete" && e.Name != "remade" {
			t.Errorf("deleted: %s", e)
		}
	}
	o := w.lookup("ConfigMap/theirs")
	if o == nil || o.Object["data"].(map[string]any)["own"] != "data" {
		t.Errorf("their object is %v", o)
	}
	if w.lookup("ConfigMap/remade") != nil {
		t.Error("what we made was not pruned")
	}
}

// catalogue 90
func TestAnAdoptionIsKnownEvenAfterACrash(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create(configMap("theirs", "own", "data"))
	before := w.create(configMap("b", "own", "data"))
	w.apply(configMap("theirs", "k", "1"), configMap("b", "k", "1"), configMap("c"))
	w.tamper(func(name string) { // to what is stored before the first write
		inv, err := w.stored()
		if err != nil {
			t.Fatal(err)
		}
		for id, e := range inv.Entries {
			inv.Entries[id] = drift.Entry{Version: e.Version, Adopted: e.Adopted}
		}
		content, err := inv.Encode()
		if err != nil {
			t.Fatal(err)
		}
		w.writeInventory(name, content)
	})
	w.apply(configMap("theirs", "k", "1"), configMap("c")) // b leaves
	w.apply(configMap("c", "k", "2"))
	if w.lookup("ConfigMap/theirs") == nil || w.lookup("ConfigMap/"+before.GetName()) == nil {
		t.Error("deleted, though it was there before")
	}
}

// catalogue 90
func TestWhatWasThereInANamespaceThatIsTakenOverIsNotPruned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create(configMap("theirs", "own", "data"))
	w.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: '{ns}'}\n", configMap("theirs", "k", "1"), configMap("c"))
	w.apply(configMap("c"))
	if o := w.lookup("ConfigMap/theirs"); o == nil || o.Object["data"].(map[string]any)["own"] != "data" {
		t.Errorf("their object is %v", o)
	}
}

// catalogue 91
func TestALostOrForgedInventoryPrunesNothing(t *testing.T) {
	t.Parallel()
	t.Run("deleted", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.apply(configMap("a", "k", "1"), configMap("b", "k", "1"))
		w.tamper(func(client string) { w.deleteInventory(client) })
		w.apply(configMap("a", "k", "1"))
		if w.lookup("ConfigMap/b") == nil {
			t.Error("b was deleted without an inventory that names it")
		}
		// What is applied from now on is known again.
		w.apply(configMap("c"))
		if w.lookup("ConfigMap/a") != nil {
			t.Error("a was not pruned")
		}
	})
	t.Run("unreadable", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.apply(configMap("a", "k", "1"), configMap("b", "k", "1"))
		w.tamper(func(name string) { w.writeInventory(name, []byte("not gzip")) })
		w.apply(configMap("a", "k", "1"))
		if w.lookup("ConfigMap/b") == nil {
			t.Error("b was deleted without an inventory that names it")
		}
		if inv, err := w.stored(); err != nil || len(inv.Entries) != 1 {
			t.Errorf("it was not made anew: %+v, %v", inv, err)
		}
	})
	t.Run("names what is not ours", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.apply(configMap("a", "k", "1"))
		victim := w.create(configMap("victim", "k", "1"))
		w.tamper(func(name string) {
			inv, err := w.stored()
			if err != nil {
				t.Fatal(err)
			}
			inv.Entries[drift.IDOf(victim)] = drift.Entry{Version: "v1", UID: string(victim.GetUID())}
			content, err := inv.Encode()
			if err != nil {
				t.Fatal(err)
			}
			w.writeInventory(name, content)
		})
		w.apply(configMap("a", "k", "2"))
		if w.lookup("ConfigMap/victim") == nil {
			t.Error("the victim was deleted")
		}
	})
	t.Run("of a newer version", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.apply(configMap("a", "k", "1"))
		w.tamper(func(name string) { w.writeInventory(name, gzipped(t, `{"format":99}`)) })
		// catalogue 117
		if err := w.refused(configMap("a", "k", "2")); !strings.Contains(err.Error(), "format") {
			t.Errorf("got %v", err)
		}
	})
}

// tamper changes the inventory while no agent runs.
func (w *world) tamper(do func(name string)) {
	w.t.Helper()
	w.eventually("the inventory to be there", func() (bool, string) { _, err := w.stored(); return err == nil, fmt.Sprint(err) })
	w.cluster.Close()
	do("pawl-inventory-" + w.inventoryName())
	w.restart()
}

func (w *world) inventoryName() string {
	list, err := w.dynamic.Resource(resources["ConfigMap"]).Namespace(w.own).List(context.Background(), metav1.ListOptions{LabelSelector: "pawl.dev/inventory-of"})
	if err != nil || len(list.Items) != 1 {
		w.t.Fatal(len(list.Items), err)
	}
	return strings.TrimPrefix(list.Items[0].GetName(), "pawl-inventory-")
}

func (w *world) deleteInventory(name string) {
	w.t.Helper()
	if err := w.dynamic.Resource(resources["ConfigMap"]).Namespace(w.own).Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) writeInventory(name string, content []byte) {
	w.t.Helper()
	patch := fmt.Sprintf(`{"binaryData":{"inventory.json.gz":%q}}`, base64Of(content))
	if _, err := w.dynamic.Resource(resources["ConfigMap"]).Namespace(w.own).Patch(context.Background(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

// catalogue 93
func TestNamespacesDefinitionsAndClaimsAreKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	space, plural := w.namespace+"-kept", "keepers"+strings.ReplaceAll(w.namespace, "-", "")
	kept := []string{
		"apiVersion: v1\nkind: Namespace\nmetadata: {name: " + space + "}\n",
		"apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data, namespace: '{ns}'}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n",
		definitionOf(plural, "Keeper"),
	}
	w.apply(append(kept, configMap("a"))...)
	t.Cleanup(func() {
		w.cluster.Close()
		w.delete("Namespace/" + space)
		w.delete("CustomResourceDefinition/" + plural + ".acme.example")
	})
	applied := w.apply(configMap("a"))
	for _, s := range applied.Steps[1:] {
		if s.Action != drift.Keep || !strings.Contains(s.Reason, `once a commit says "Pawl-Prune: production/web 3"`) {
			t.Errorf("got %s %s: %s", s.Action, s.Object, s.Reason)
		}
	}
	if applied.Held == nil || len(applied.Held.Protected) != 3 {
		t.Errorf("held is %+v", applied.Held)
	}
	if len(applied.Steps) != 4 || w.lookup("Namespace/"+space) == nil || w.lookup("PersistentVolumeClaim/data") == nil || w.lookup("CustomResourceDefinition/"+plural+".acme.example") == nil {
		t.Errorf("got %v", actions(applied.Steps))
	}
	// They are still known when they come back.
	applied = w.apply(append(kept, configMap("a"))...)
	for _, s := range applied.Steps {
		if s.Action != drift.Unchanged {
			t.Errorf("got %s %s: %s", s.Action, s.Object, s.Reason)
		}
	}
}

func TestAnInventoryThatSomebodyElseWroteIsReadAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(configMap("a", "k", "1"))
	// Another process in the same role, as after a leader was frozen.
	thawed := w.cluster
	w.options.Notify = nil
	w.start()
	w.apply(configMap("a", "k", "1"), configMap("b", "k", "1"))
	w.cluster.Close()
	_, err := thawed.Apply(t.Context(), w.verified(configMap("a", "k", "1"), configMap("c", "k", "1")), drift.Terms{Environment: environments.Environment{}})
	if err == nil || !strings.Contains(err.Error(), "written by somebody else") {
		t.Errorf("got %v", err)
	}
	if w.lookup("ConfigMap/c") != nil || w.lookup("ConfigMap/b") == nil {
		t.Error("something was written or pruned on an old view")
	}
	if _, err := thawed.Apply(t.Context(), w.verified(configMap("a", "k", "1"), configMap("c", "k", "1")), drift.Terms{Environment: environments.Environment{}}); err != nil {
		t.Error(err)
	}
	if w.lookup("ConfigMap/c") == nil || w.lookup("ConfigMap/b") != nil {
		t.Error("read again, the inventory names b")
	}
}
