package cluster_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/internal/testworld/controlplane"
)

// ownPlane is a control plane of this test alone, for what would disturb
// others.
func ownPlane(t testing.TB) *controlplane.ControlPlane {
	t.Helper()
	plane, err := controlplane.Start(t.Context(), controlplane.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := plane.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return plane
}

// breakGroup has acme.example/v1 served by a Service that is not there, as when
// the server of an aggregated API is down, and waits until nobody gets an
// answer from it. mend leaves the group to its definitions again.
func (w *world) breakGroup(served schema.GroupVersionResource) (mend func()) {
	w.t.Helper()
	ctx := context.Background()
	services := w.dynamic.Resource(schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"})
	// Without the label the API server itself leaves it as it is.
	broken := `{"metadata":{"labels":{"kube-aggregator.kubernetes.io/automanaged":null}},
		"spec":{"service":{"namespace":"default","name":"nobody","port":443},"insecureSkipTLSVerify":true}}`
	if _, err := services.Patch(ctx, "v1.acme.example", types.MergePatchType, []byte(broken), metav1.PatchOptions{}); err != nil {
		w.t.Fatal(err)
	}
	answers := func() (bool, string) {
		_, err := w.dynamic.Resource(served).Namespace(w.namespace).List(ctx, metav1.ListOptions{})
		return err == nil, fmt.Sprint(err)
	}
	w.eventually("the group to be down", func() (bool, string) { ok, saw := answers(); return !ok, saw })
	return func() {
		w.t.Helper()
		if err := services.Delete(ctx, "v1.acme.example", metav1.DeleteOptions{}); err != nil {
			w.t.Fatal(err)
		}
		w.eventually("the group to be served again", answers)
	}
}

// catalogue 103
func TestNothingIsPrunedWhileAnAggregatedAPIIsDown(t *testing.T) {
	t.Parallel()
	w := newWorldOn(t, ownPlane(t))
	plural, kind := w.ownKind()
	definition := definitionOf(plural, kind)
	widgets := schema.GroupVersionResource{Group: "acme.example", Version: "v1", Resource: plural}
	resources := w.dynamic.Resource(widgets).Namespace(w.namespace)
	widget := drift.ObjectID{Group: "acme.example", Kind: kind, Namespace: w.namespace, Name: "leaves"}
	all := []string{definition, custom(kind, "leaves", "size: 1"), configMap("a", "k", "1"), configMap("b", "k", "1"), configMap("c", "k", "1"), configMap("d", "k", "1")}
	w.apply(all...)
	uid := func() types.UID {
		o, err := resources.Get(t.Context(), "leaves", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return o.GetUID()
	}
	made := uid()

	for _, restarted := range []bool{false, true} { // a new process cannot even find out what the group has
		t.Run(fmt.Sprintf("restarted %t", restarted), func(t *testing.T) {
			mend := w.breakGroup(widgets)
			mark := w.mark()
			if restarted {
				w.restart()
			}
			value := fmt.Sprintf("while it is down, restarted %t", restarted)
			left := []string{definition, configMap("a", "k", value), configMap("c", "k", "1"), configMap("d", "k", "1")}
			applied := w.apply(left...)
			if w.get("ConfigMap/a").Object["data"].(map[string]any)["k"] != value {
				t.Error("the other objects were not applied")
			}
			if h := applied.Held; h == nil || len(h.Unread) != 1 || h.Unread[0].Object != widget || !strings.Contains(h.Error(), "leaves") {
				t.Errorf("held is %+v; want what could not be read", applied.Held)
			}
			if w.lookup("ConfigMap/b") == nil {
				t.Error("b was pruned, on partial knowledge")
			}
			inv, err := w.stored()
			if _, ok := inv.Entries[widget]; err != nil || !ok {
				t.Errorf("the widget is no longer in the inventory: %+v, %v", inv, err)
			}
			before := len(w.drifts())
			w.edit("ConfigMap/a", `{"data":{"k":"by hand"}}`)
			w.delete("ConfigMap/c")
			w.eventually("drift to be put back", func() (bool, string) {
				a, c := w.get("ConfigMap/a"), w.lookup("ConfigMap/c")
				return len(w.drifts()) == before+2 && a.Object["data"].(map[string]any)["k"] == value && c != nil, fmt.Sprint(a.Object["data"], c)
			})
			for _, e := range w.requestsSince(mark) {
				if e.Verb == "delete" {
					t.Errorf("deleted: %s", e)
				}
			}
			// What is wanted of the group cannot be written, and is not taken for gone.
			_, err = w.cluster.Apply(t.Context(), w.verified(all...), drift.Terms{Environment: w.settings})
			if err == nil || !strings.Contains(err.Error(), "acme.example") {
				t.Errorf("applied what cannot be seen: %v", err)
			}
			mend()
			if uid() != made {
				t.Error("the widget is another one")
			}
			// The way to it opens by itself, however long it was closed.
			w.eventually("the whole release to be applied", func() (bool, string) {
				_, err := w.cluster.Apply(t.Context(), w.verified(all...), drift.Terms{Environment: w.settings})
				return err == nil, fmt.Sprint(err)
			})
			if _, err := resources.Patch(t.Context(), "leaves", types.MergePatchType, []byte(`{"spec":{"size":7}}`), metav1.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
			w.eventually("the widget to be put back", func() (bool, string) {
				o, err := resources.Get(t.Context(), "leaves", metav1.GetOptions{})
				if err != nil {
					return false, err.Error()
				}
				size, _, _ := unstructured.NestedInt64(o.Object, "spec", "size")
				return size == 1 && o.GetUID() == made, fmt.Sprint(size)
			})
		})
	}
	w.apply(definition, configMap("a", "k", "2"), configMap("b", "k", "1"), configMap("c", "k", "1"), configMap("d", "k", "1"))
	if _, err := resources.Get(t.Context(), "leaves", metav1.GetOptions{}); err == nil {
		t.Error("with the group served again, the widget was not pruned")
	}
}
