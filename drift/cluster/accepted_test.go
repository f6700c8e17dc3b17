package cluster_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/drift/cluster"
	"github.com/pawl-dev/pawl/environments"
)

func TestTargetsAreKnownAfterARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	targets := func(c *cluster.Cluster, want ...environments.Target) {
		t.Helper()
		accepted, err := c.Accepted(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []environments.Target
		for _, a := range accepted {
			got = append(got, a.Target)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	targets(w.cluster)
	whole := environments.Target{Environment: "staging", Overlay: "overlays/staging"}
	w.apply(configMap("a"))
	if _, err := w.cluster.Apply(t.Context(), w.verifiedFor(whole, configMap("b")), drift.Terms{Environment: w.settings}); err != nil {
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
	if _, err := other.Apply(t.Context(), w.verifiedFor(api, configMap("c")), drift.Terms{Environment: w.settings}); err != nil {
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

// catalogue 117
func TestWhatWasAcceptedIsKnownAfterARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	accepted := func() drift.Accepted {
		t.Helper()
		all, err := w.cluster.Accepted(t.Context())
		if err != nil || len(all) != 1 {
			t.Fatalf("got %v, %v", all, err)
		}
		return all[0]
	}
	apply := func(demands string, documents ...string) drift.Accepted {
		t.Helper()
		if _, err := w.cluster.Apply(t.Context(), w.verified(documents...), drift.Terms{Environment: w.settings, Demands: demands}); err != nil {
			t.Fatal(err)
		}
		return accepted()
	}
	first := apply("strict", configMap("a"))
	if first.Commit == "" || first.Release != w.verified(configMap("a")).Release().Digest || first.Demands != "strict" || first.At.IsZero() {
		t.Errorf("got %+v", first)
	}
	w.restart()
	if got := accepted(); got != first {
		t.Errorf("after a restart %+v, before %+v", got, first)
	}
	// Nothing is written of an object, and yet it is noted what was judged.
	if second := apply("lax", configMap("a")); second.Demands != "lax" || second.Release != first.Release {
		t.Errorf("got %+v", second)
	}
	// What is refused is not accepted.
	_ = w.refused(configMap("a"), "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: -1}\n")
	if got := accepted(); got.Demands != "lax" {
		t.Errorf("a refused release is taken for accepted: %+v", got)
	}
}

func TestWhatANewTargetIsComparedWithIsNoted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	note := drift.Accepted{Target: w.target, Commit: "77be1c2", Demands: "strict", At: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)}
	accepted := func() drift.Accepted {
		t.Helper()
		all, err := w.cluster.Accepted(t.Context())
		if err != nil || len(all) != 1 {
			t.Fatalf("got %v, %v", all, err)
		}
		return all[0]
	}
	if err := w.cluster.Note(t.Context(), note); err != nil {
		t.Fatal(err)
	}
	w.restart()
	if a := accepted(); a.Commit != note.Commit || a.Demands != "strict" || a.Release != "" {
		t.Errorf("noted is %+v", a)
	}
	other := environments.Target{Environment: w.target.Environment, Application: "other"}
	if of, err := w.cluster.Accepted(t.Context(), w.target); err != nil || len(of) != 1 || of[0] != accepted() {
		t.Errorf("asked of one target, it is told %+v, %v", of, err)
	}
	if of, err := w.cluster.Accepted(t.Context(), other); err != nil || len(of) != 0 {
		t.Errorf("asked of one that nothing was applied for, it is told %+v, %v", of, err)
	}
	w.apply(configMap("a"))
	applied := accepted()
	if applied.Release == "" || applied.Commit == note.Commit {
		t.Errorf("after an apply it is %+v", applied)
	}
	if err := w.cluster.Note(t.Context(), note); err != nil || accepted() != applied {
		t.Errorf("what was applied is noted over: %+v, %v", accepted(), err)
	}
	// An older release that returns does not bring back what it was judged by.
	if _, err := w.cluster.Apply(t.Context(), w.verified(configMap("b")), drift.Terms{Environment: w.settings, Demands: "lax", Returning: true}); err != nil {
		t.Fatal(err)
	}
	if a := accepted(); a.Commit != applied.Commit || a.Demands != applied.Demands || a.Release == applied.Release {
		t.Errorf("after going back it is %+v; before %+v", a, applied)
	}
}
