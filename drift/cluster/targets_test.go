package cluster_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pawl-dev/pawl/drift/cluster"
	"github.com/pawl-dev/pawl/environments"
)

func TestTargetsAreKnownAfterARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	targets := func(c *cluster.Cluster, want ...environments.Target) {
		t.Helper()
		got, err := c.Targets(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	targets(w.cluster)
	whole := environments.Target{Environment: "staging", Overlay: "overlays/staging"}
	w.apply(configMap("a"))
	if _, err := w.cluster.Apply(t.Context(), w.verifiedFor(whole, configMap("b")), w.settings); err != nil {
		t.Fatal(err)
	}
	want := []environments.Target{{Environment: "production", Application: "web"}, {Environment: "staging"}}
	targets(w.cluster, want...)

	// Another agent that keeps its inventories in the same namespace.
	options := w.options
	options.Owner += "-2"
	other, err := cluster.New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	api := environments.Target{Environment: "production", Application: "api"}
	if _, err := other.Apply(t.Context(), w.verifiedFor(api, configMap("c")), w.settings); err != nil {
		t.Fatal(err)
	}
	targets(other, api)

	w.restart()
	targets(w.cluster, want...)

	// What the annotation says is believed only of the target's own inventory.
	w.cluster.Close()
	inventories := w.dynamic.Resource(resources["ConfigMap"]).Namespace(w.own)
	list, err := inventories.List(t.Context(), metav1.ListOptions{LabelSelector: "pawl.dev/inventory-of"})
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range list.Items {
		patch := fmt.Sprintf(`{"metadata":{"annotations":{"pawl.dev/target":"production/other-%d"}}}`, i)
		if _, err := inventories.Patch(t.Context(), o.GetName(), types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	w.restart()
	targets(w.cluster, want...)
}
