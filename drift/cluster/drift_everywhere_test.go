package cluster_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pawl-dev/pawl/drift"
)

// catalogue 104
func TestDeclaredMetadataIsPutBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(strings.Replace(configMap("a", "k", "1"), "metadata: {", `metadata: {annotations: {acme.example/owner: shop}, labels: {team: shop}, finalizers: [acme.example/mine], `, 1))
	t.Cleanup(func() { // or the namespace would never go
		w.cluster.Close()
		client, _ := w.at("ConfigMap/a")
		if _, err := client.Patch(context.Background(), "a", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}); err != nil {
			t.Error(err)
		}
	})
	for i, c := range []struct {
		patch string
		want  drift.Change
	}{
		{`{"metadata":{"annotations":{"acme.example/owner":null}}}`, drift.Change{Path: "metadata.annotations[acme.example/owner]", To: "shop"}},
		{`{"metadata":{"annotations":{"acme.example/owner":"nobody"}}}`, drift.Change{Path: "metadata.annotations[acme.example/owner]", From: "nobody", To: "shop"}},
		{`{"metadata":{"labels":{"team":null}}}`, drift.Change{Path: "metadata.labels.team", To: "shop"}},
		{`{"metadata":{"finalizers":null}}`, drift.Change{Path: "metadata.finalizers[acme.example/mine]", To: "acme.example/mine"}},
	} {
		w.edit("ConfigMap/a", c.patch)
		w.eventually("a notice of drift", func() (bool, string) { return len(w.drifts()) > i, c.patch })
		if diff := cmp.Diff([]drift.Change{c.want}, w.drifts()[i].Changes); diff != "" {
			t.Error(diff)
		}
		o := w.get("ConfigMap/a")
		if o.GetAnnotations()["acme.example/owner"] != "shop" || o.GetLabels()["team"] != "shop" || len(o.GetFinalizers()) != 1 {
			t.Errorf("after %s it has %v, %v, %v", c.patch, o.GetAnnotations(), o.GetLabels(), o.GetFinalizers())
		}
	}
}

// What is deleted or edited while a release is not healthy yet comes back at
// once, and the wait ends as it would have.
//
// catalogue 104
func TestDriftWhileARolloutIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(deployment("web", 2, "testworld.pawl.dev/ready-after: 6s"), configMap("a", "k", "1"), configMap("b", "k", "1"))
	w.healthBecomes(drift.Progressing)
	uid := w.get("Deployment/web").GetUID()
	w.edit("ConfigMap/a", `{"data":{"k":"by hand"}}`)
	w.delete("ConfigMap/b")
	w.delete("Deployment/web")
	w.eventually("three repairs", func() (bool, string) {
		back := map[string]bool{}
		for _, d := range w.drifts() {
			back[d.Object.Name] = !d.CorrectedAt.IsZero()
		}
		return back["a"] && back["b"] && back["web"], fmt.Sprintf("%+v", w.drifts())
	})
	if again := w.get("Deployment/web"); again.GetUID() == uid {
		t.Error("it was never deleted")
	}
	if h := w.health(); h.Status == drift.Current {
		t.Error("that was no rollout to wait for")
	}
	w.healthBecomes(drift.Current)
}
