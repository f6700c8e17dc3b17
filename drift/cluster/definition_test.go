package cluster_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
)

func base64Of(content []byte) string { return base64.StdEncoding.EncodeToString(content) }

func gzipped(t testing.TB, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// definitionOf defines a namespaced kind with spec.size, an integer, and more fields.
func definitionOf(plural, kind string, more ...string) string {
	fields := "size: {type: integer}"
	for _, f := range more {
		fields += ", " + f + ": {type: string}"
	}
	return fmt.Sprintf(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[1]s.acme.example}
spec:
  group: acme.example
  scope: Namespaced
  names: {plural: %[1]s, singular: %[3]s, kind: %[2]s, listKind: %[2]sList}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {%[4]s}}}}}
`, plural, kind, strings.ToLower(kind)+plural, fields)
}

// ownKind makes the names of a kind that no other test has.
func (w *world) ownKind() (plural, kind string) {
	suffix := strings.ReplaceAll(w.namespace, "-", "")
	return "widgets" + suffix, "Widget" + suffix
}

func custom(kind, name, spec string) string {
	return fmt.Sprintf("apiVersion: acme.example/v1\nkind: %s\nmetadata: {name: %s, namespace: '{ns}'}\nspec: {%s}\n", kind, name, spec)
}

// catalogue 86
func TestADefinitionAndItsObjectsInOneRelease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	plural, kind := w.ownKind()
	applied := w.apply(custom(kind, "one", "size: 1"), custom(kind, "two", "size: 2"), definitionOf(plural, kind))
	t.Cleanup(func() { w.cluster.Close(); w.delete("CustomResourceDefinition/" + plural + ".acme.example") })
	if applied.Steps[0].Object.Kind != "CustomResourceDefinition" {
		t.Errorf("got %v", actions(applied.Steps))
	}
	w.healthBecomes(drift.Current)

	// The kind changes and its object uses the new field, in one release.
	w.apply(custom(kind, "one", "size: 1, colour: red"), definitionOf(plural, kind, "colour"))
	widgets := w.dynamic.Resource(schema.GroupVersionResource{Group: "acme.example", Version: "v1", Resource: plural}).Namespace(w.namespace)
	one, err := widgets.Get(t.Context(), "one", metav1.GetOptions{})
	if err != nil || one.Object["spec"].(map[string]any)["colour"] != "red" {
		t.Errorf("got %v, %v", one, err)
	}
	if _, err := widgets.Get(t.Context(), "two", metav1.GetOptions{}); err == nil {
		t.Error("two was not pruned")
	}
	// Its objects are kept like all others.
	if err := widgets.Delete(t.Context(), "one", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if d := w.noticed(); !d.Deleted || d.CorrectedAt.IsZero() || d.Object.Kind != kind {
		t.Errorf("got %+v", d)
	}
}

func TestABadObjectOfANewKindIsRefusedOnceTheKindIsThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	plural, kind := w.ownKind()
	documents := []string{definitionOf(plural, kind), custom(kind, "one", "sice: 1"), configMap("a")}
	_, err := w.cluster.Apply(t.Context(), w.verified(documents...), drift.Terms{Environment: environments.Environment{Drift: environments.DriftCorrect}})
	t.Cleanup(func() { w.cluster.Close(); w.delete("CustomResourceDefinition/" + plural + ".acme.example") })
	var rejected *drift.Rejected
	if !errors.As(err, &rejected) || !rejected.Written || rejected.Problems[0].Field != "spec.sice" {
		t.Errorf("got %v", err)
	}
	if w.lookup("ConfigMap/a") != nil {
		t.Error("what could be held back was written")
	}
	// The definition is in the inventory: had it been another kind, it could be pruned.
	if inv, err := w.stored(); err != nil || len(inv.Entries) != 3 {
		t.Errorf("got %+v, %v", inv, err)
	}
	documents[1] = custom(kind, "one", "size: 1")
	w.apply(documents...)
}

// catalogue 97
func TestAKindThatIsNotServedIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	err := w.refused(configMap("a"), strings.Replace(deployment("web", 1, ""), "apps/v1", "apps/v1beta1", 1))
	var rejected *drift.Rejected
	if !errors.As(err, &rejected) || !strings.Contains(err.Error(), "does not serve Deployment in apps/v1beta1") {
		t.Errorf("got %v", err)
	}
}

// catalogue 87
func TestADefinitionDeletedByHandDoesNotWedge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	plural, kind := w.ownKind()
	id := "CustomResourceDefinition/" + plural + ".acme.example"
	w.apply(definitionOf(plural, kind), custom(kind, "one", "size: 1"), configMap("a"))
	uid := w.get(id).GetUID()
	w.delete(id)
	widgets := w.dynamic.Resource(schema.GroupVersionResource{Group: "acme.example", Version: "v1", Resource: plural}).Namespace(w.namespace)
	w.eventually("definition and object to be there again", func() (bool, string) {
		d := w.lookup(id)
		if d == nil || d.GetUID() == uid {
			return false, "the definition is not back"
		}
		_, err := widgets.Get(t.Context(), "one", metav1.GetOptions{})
		return err == nil, fmt.Sprint(err)
	})
	// And with the definition gone for good, its objects leave the inventory.
	w.cluster.Close()
	w.delete(id)
	w.eventually("the definition to be gone", func() (bool, string) { return w.lookup(id) == nil, "there" })
	w.restart()
	w.eventually("what had the definition to be forgotten", func() (bool, string) { // discovery may be a moment behind
		w.apply(configMap("a"))
		inv, err := w.stored()
		return err == nil && len(inv.Entries) == 1, fmt.Sprint(inv.Entries, err)
	})
}

// A definition is slow to be established, here because its names are still
// taken.
//
// catalogue 86
func TestADefinitionThatIsSlowIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	plural, kind := w.ownKind()
	w.create(strings.Replace(definitionOf("old"+plural, "Old"+kind), "singular: old"+strings.ToLower(kind)+"old"+plural, "singular: "+strings.ToLower(kind)+plural, 1))
	id := "CustomResourceDefinition/" + plural + ".acme.example"
	t.Cleanup(func() { w.cluster.Close(); w.delete(id) })
	w.eventually("the names to be taken", func() (bool, string) {
		o := w.get("CustomResourceDefinition/old" + plural + ".acme.example")
		return drift.Assess(o, nil).Status == drift.Current, fmt.Sprint(o.Object["status"])
	})
	release := w.verified(definitionOf(plural, kind), custom(kind, "one", "size: 1"))
	done := make(chan error, 1)
	go func() {
		_, err := w.cluster.Apply(t.Context(), release, drift.Terms{Environment: w.settings})
		done <- err
	}()
	w.eventually("the names to be refused", func() (bool, string) {
		o := w.lookup(id)
		if o == nil {
			return false, "not there"
		}
		return drift.Assess(o, nil).Status == drift.Failed, fmt.Sprint(o.Object["status"])
	})
	select {
	case err := <-done:
		t.Fatalf("it was not waited for: %v", err)
	default:
	}
	w.delete("CustomResourceDefinition/old" + plural + ".acme.example")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	w.healthBecomes(drift.Current)
	for _, n := range w.all() {
		if n.Health != nil && n.Health.Status == drift.Failed {
			t.Errorf("failed on the way: %+v", n.Health)
		}
	}
}

// catalogue 87
func TestADefinitionGoesWithItsObjects(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	plural, kind := w.ownKind()
	id := "CustomResourceDefinition/" + plural + ".acme.example"
	w.apply(definitionOf(plural, kind), custom(kind, "one", "size: 1"), custom(kind, "two", "size: 2"), configMap("a"), configMap("b"))
	applied := w.meant(3, configMap("a"), configMap("b"))
	if applied.Held != nil {
		t.Fatalf("held: %+v", applied.Held)
	}
	w.eventually("all to be gone, and forgotten", func() (bool, string) {
		inv, err := w.stored()
		return w.lookup(id) == nil && err == nil && len(inv.Entries) == 2, fmt.Sprintf("%+v, %v", inv.Entries, err)
	})
	if steps := w.apply(configMap("a", "k", "2"), configMap("b")).Steps; len(steps) != 2 {
		t.Errorf("got %v", actions(steps))
	}
	// And back again.
	w.apply(definitionOf(plural, kind), custom(kind, "one", "size: 1"), configMap("a"), configMap("b"))
	t.Cleanup(func() { w.cluster.Close(); w.delete(id) })
	w.healthBecomes(drift.Current)
}

// A newer commit ends an apply that waits for a kind that will never be served.
//
// catalogue 86
func TestAnApplyThatWaitsIsEndedByANewerOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	plural, kind := w.ownKind()
	first := definitionOf(plural, kind)
	w.apply(first, configMap("a", "k", "1"))
	t.Cleanup(func() {
		w.cluster.Close()
		for _, name := range []string{plural, "more" + plural} {
			if id := "CustomResourceDefinition/" + name + ".acme.example"; w.lookup(id) != nil {
				w.delete(id)
			}
		}
	})
	// The names of the second are taken, so it is never established.
	second := strings.Replace(definitionOf("more"+plural, kind), "singular: "+strings.ToLower(kind)+"more"+plural, "singular: "+strings.ToLower(kind), 1)
	bad := w.verified(first, second, configMap("a", "k", "2"), configMap("b", "k", "2"))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := w.cluster.Apply(ctx, bad, drift.Terms{Environment: w.settings})
		done <- err
	}()
	w.eventually("the second definition to be written", func() (bool, string) {
		return w.lookup("CustomResourceDefinition/more"+plural+".acme.example") != nil, "not there"
	})
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was ended", err)
	}
	w.apply(first, configMap("a", "k", "3"))
	if data := w.get("ConfigMap/a").Object["data"].(map[string]any); data["k"] != "3" {
		t.Errorf("got %v", data)
	}
	// What it had begun is known: the definition is in the inventory, and kept as
	// it left the release.
	inv, err := w.stored()
	id := drift.ObjectID{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition", Name: "more" + plural + ".acme.example"}
	if _, ok := inv.Entries[id]; err != nil || !ok {
		t.Errorf("got %+v, %v", inv, err)
	}
}
