package cluster_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/drift/cluster"
)

// A version that is no longer served breaks its watch. What is not seen is told
// as that, and what happened meanwhile is found once it can be watched again.
func TestABrokenWatchIsTold(t *testing.T) {
	t.Parallel()
	v := newVersioned(t)
	cluster.ToldUnwatchedAfter(500 * time.Millisecond)(&v.options)
	v.restart()
	v.apply(v.object("v1beta1", "one", 1), configMap("a", "k", "1"))
	v.healthBecomes(drift.Current)
	v.removeBeta()
	served := v.dynamic.Resource(schema.GroupVersionResource{Group: "acme.example", Version: "v1", Resource: v.plural}).Namespace(v.namespace)
	if err := served.Delete(t.Context(), "one", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	h := v.healthBecomes(drift.StatusUnwatched)
	text := h.UnwatchedText()
	if !strings.HasPrefix(text, v.plural+".acme.example cannot be watched since ") || strings.Contains(text, "\n") ||
		!strings.Contains(text, "but in acme.example/v1; write that under apiVersion; drift of 1 object is not seen") {
		t.Errorf("got %q", text)
	}

	told := len(v.all())
	patch := []byte(`[{"op":"replace","path":"/spec/versions/1/served","value":true}]`)
	if _, err := v.dynamic.Resource(resources["CustomResourceDefinition"]).Patch(t.Context(), v.plural+".acme.example", types.JSONPatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	v.healthBecomes(drift.Current)
	v.eventually("the object to be put back", func() (bool, string) {
		_, err := v.in("v1beta1").Get(t.Context(), "one", metav1.GetOptions{})
		return err == nil, "not there"
	})
	if h := v.healthBecomes(drift.Current); len(h.Unwatched) > 0 {
		t.Errorf("got %+v", h)
	}
	for _, n := range v.all()[told:] {
		if n.Health != nil && n.Health.Status == drift.Failed {
			t.Errorf("it was never seen to fail, got %+v", n.Health)
		}
	}
}
