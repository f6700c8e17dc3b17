package cluster_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/internal/testworld/controlplane"
)

// meant applies with the word of a commit.
func (w *world) meant(n int, documents ...string) drift.Applied {
	w.t.Helper()
	terms := drift.Terms{Environment: w.settings, Word: &drift.PruneWord{Commit: "77be1c2", Target: w.target.String(), Objects: n}}
	applied, err := w.cluster.Apply(w.t.Context(), w.verified(documents...), terms)
	if err != nil {
		w.t.Fatal(err)
	}
	return applied
}

func (w *world) deletionsSince(m controlplane.Marker) []string {
	w.t.Helper()
	var names []string
	for _, e := range w.writesSince(m) {
		if e.Verb == "delete" && !e.DryRun && e.Code == 200 {
			names = append(names, e.Resource+"/"+e.Name)
		}
	}
	return names
}

// catalogue 13
func TestAReleaseThatLosesMostObjectsPrunesNothingUntilACommitSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var documents []string
	for i := range 10 {
		documents = append(documents, configMap(fmt.Sprint("c", i), "k", "1"))
	}
	w.apply(documents...)
	left := append([]string{configMap("c0", "k", "2"), configMap("new")}, documents[1:4]...)
	before := w.mark()
	applied := w.apply(left...)
	if applied.Held == nil || len(applied.Held.Objects) != 6 || applied.Held.Of != 10 {
		t.Fatalf("held is %+v, want 6 of 10", applied.Held)
	}
	if got := w.deletionsSince(before); len(got) != 0 {
		t.Errorf("deleted: %v", got)
	}
	// Everything else was applied.
	if got := w.get("ConfigMap/c0").Object["data"]; !cmp.Equal(got, map[string]any{"k": "2"}) || w.lookup("ConfigMap/new") == nil {
		t.Errorf("the rest was not applied: %v", got)
	}
	accepted, err := w.cluster.Accepted(t.Context())
	if err != nil || len(accepted) != 1 || !accepted[0].Held {
		t.Errorf("accepted is %+v, %v; want it to know that something is held", accepted, err)
	}
	// After a restart too, and whatever else a commit says.
	w.restart()
	if applied := w.meant(5, left...); applied.Held == nil || applied.Held.Said == nil {
		t.Errorf("held is %+v, want the word to be refused", applied.Held)
	}
	if got := w.deletionsSince(before); len(got) != 0 {
		t.Errorf("deleted: %v", got)
	}
	if applied := w.meant(6, left...); applied.Held != nil || len(applied.Pending) != 0 {
		t.Errorf("got %+v, want all to be deleted", applied)
	}
	if got := w.deletionsSince(before); len(got) != 6 {
		t.Errorf("deleted: %v, want 6", got)
	}
	if accepted, err = w.cluster.Accepted(t.Context()); err != nil || accepted[0].Held {
		t.Errorf("accepted is %+v, %v", accepted, err)
	}
}

// catalogue 93
func TestNamespacesDefinitionsClaimsAndMarkedObjectsGoByAWordInReverseOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	space, plural := w.namespace+"-gone", "goners"+strings.ReplaceAll(w.namespace, "-", "")
	w.apply(
		"apiVersion: v1\nkind: Namespace\nmetadata: {name: "+space+"}\n",
		"apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data, namespace: '{ns}'}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n",
		definitionOf(plural, "Goner"),
		"apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db, namespace: '{ns}', annotations: {pawl.dev/prune: confirm}}\nspec: {replicas: 0, serviceName: db, selector: {matchLabels: {app: db}}, template: {metadata: {labels: {app: db}}, spec: {containers: [{name: db, image: ghcr.io/acme/db@"+digestA+"}]}}}\n",
		configMap("a"))
	before := w.mark()
	applied := w.apply(configMap("a"))
	if applied.Held == nil || len(applied.Held.Protected) != 4 || len(w.deletionsSince(before)) != 0 {
		t.Fatalf("held is %+v; deleted %v", applied.Held, w.deletionsSince(before))
	}
	applied = w.meant(4, configMap("a"))
	got := w.deletionsSince(before)
	if applied.Held != nil || len(got) != 4 {
		t.Fatalf("got %+v; deleted %v", applied.Held, got)
	}
	// What was made first goes last: the workload, what it needs, then the rest.
	if got[0] != "statefulsets/db" || got[1] != "persistentvolumeclaims/data" {
		t.Errorf("deleted in the order %v", got)
	}
	w.eventually("the namespace to be on its way out and the others to be gone", func() (bool, string) {
		ns := w.lookup("Namespace/" + space)
		claim, definition := w.lookup("PersistentVolumeClaim/data"), w.lookup("CustomResourceDefinition/"+plural+".acme.example")
		return (ns == nil || ns.GetDeletionTimestamp() != nil) && claim == nil && definition == nil, fmt.Sprint(ns, claim, definition)
	})
}

// catalogue 89, 13: a deletion that was allowed and then refused by the server
// needs no second word.
func TestWhatWasAllowedOnceIsDeletedWhateverComesBetween(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(configMap("a"), configMap("b"), configMap("c"), configMap("d"))
	w.guard("keep-"+w.namespace, "DELETE", `oldObject.metadata.name != 'a'`)
	if applied := w.meant(3, configMap("d")); applied.Held != nil || len(applied.Pending) != 1 {
		t.Fatalf("got %+v", applied)
	}
	w.restart()
	if applied := w.apply(configMap("d", "k", "2")); applied.Held != nil || len(applied.Pending) != 1 {
		t.Errorf("got %+v, want the refused deletion to be pending", applied)
	}
	w.unguard("keep-" + w.namespace)
	w.eventually("a to go", func() (bool, string) { return w.lookup("ConfigMap/a") == nil, "still there" })
}
