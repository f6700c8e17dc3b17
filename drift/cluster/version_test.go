package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/render"
)

// versioned is a kind that somebody else defines, in v1beta1 and v1.
type versioned struct {
	*world
	plural, kind string
}

func newVersioned(t *testing.T) *versioned {
	t.Helper()
	w := newWorld(t)
	v := &versioned{world: w}
	v.plural, v.kind = w.ownKind()
	definition := object(t, definitionOf(v.plural, v.kind))
	versions, _, _ := unstructured.NestedSlice(definition.Object, "spec", "versions")
	beta := versions[0].(map[string]any)
	beta = (&unstructured.Unstructured{Object: beta}).DeepCopy().Object
	beta["name"], beta["storage"] = "v1beta1", false
	_ = unstructured.SetNestedSlice(definition.Object, append(versions, beta), "spec", "versions")
	definitions := w.dynamic.Resource(resources["CustomResourceDefinition"])
	if _, err := definitions.Create(t.Context(), definition, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.cluster.Close()
		w.delete("CustomResourceDefinition/" + definition.GetName())
	})
	v.eventually("both versions to be served", func() (bool, string) {
		for _, version := range []string{"v1", "v1beta1"} {
			if _, err := v.in(version).List(t.Context(), metav1.ListOptions{}); err != nil {
				return false, err.Error()
			}
		}
		return true, ""
	})
	return v
}

func (v *versioned) in(version string) interface {
	List(ctx context.Context, o metav1.ListOptions) (*unstructured.UnstructuredList, error)
	Get(ctx context.Context, name string, o metav1.GetOptions, sub ...string) (*unstructured.Unstructured, error)
} {
	return v.dynamic.Resource(schema.GroupVersionResource{Group: "acme.example", Version: version, Resource: v.plural}).Namespace(v.namespace)
}

func (v *versioned) object(version, name string, size int) string {
	return strings.Replace(custom(v.kind, name, fmt.Sprint("size: ", size)), "acme.example/v1", "acme.example/"+version, 1)
}

// removeBeta makes the cluster serve v1 alone.
func (v *versioned) removeBeta() {
	v.t.Helper()
	name := v.plural + ".acme.example"
	if _, err := v.dynamic.Resource(resources["CustomResourceDefinition"]).Patch(v.t.Context(), name, types.JSONPatchType, []byte(`[{"op":"replace","path":"/spec/versions/1/served","value":false}]`), metav1.PatchOptions{}); err != nil {
		v.t.Fatal(err)
	}
	v.eventually("v1beta1 to be gone", func() (bool, string) {
		_, err := v.in("v1beta1").List(v.t.Context(), metav1.ListOptions{})
		return err != nil, "served"
	})
}

// catalogue 97
func TestAnObjectGoesFromOneVersionToAnother(t *testing.T) {
	t.Parallel()
	v := newVersioned(t)
	v.apply(v.object("v1beta1", "one", 1), v.object("v1beta1", "two", 1), configMap("c"))
	before, err := v.in("v1").Get(t.Context(), "one", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	mark := v.mark()
	documents := []string{v.object("v1", "one", 1), v.object("v1beta1", "two", 1), configMap("c")}
	v.apply(documents...)
	after, err := v.in("v1").Get(t.Context(), "one", metav1.GetOptions{})
	if err != nil || after.GetUID() != before.GetUID() {
		t.Errorf("it is another object now: %v", err)
	}
	for _, e := range v.writesSince(mark) {
		if e.Verb == "delete" || e.Resource == v.plural && e.Name != "one" {
			t.Errorf("needless: %s", e)
		}
	}
	// From then on it is as any other.
	mark = v.mark()
	v.apply(documents...)
	v.restart()
	v.apply(documents...)
	if writes := v.writesSince(mark); len(writes) > 0 {
		t.Errorf("nothing had changed, and yet: %v", writes)
	}
	// Two leaves, and is known by a version that the cluster no longer has.
	v.removeBeta()
	v.apply(documents[0], documents[2])
	if _, err := v.in("v1").Get(t.Context(), "two", metav1.GetOptions{}); err == nil {
		t.Error("two was not pruned, as its version is no longer served")
	}
	if after, err = v.in("v1").Get(t.Context(), "one", metav1.GetOptions{}); err != nil || after.GetUID() != before.GetUID() {
		t.Errorf("one is another object now: %v", err)
	}
	if inv, err := v.stored(); err != nil || len(inv.Entries) != 2 {
		t.Errorf("the inventory has %d objects, %v", len(inv.Entries), err)
	}
}

// catalogue 97
func TestAnEntryOfAVersionThatIsGoneIsPrunedAfterARestart(t *testing.T) {
	t.Parallel()
	v := newVersioned(t)
	v.apply(v.object("v1beta1", "one", 1), configMap("c"))
	v.cluster.Close()
	v.removeBeta()
	v.restart()
	v.apply(configMap("c"))
	if _, err := v.in("v1").Get(t.Context(), "one", metav1.GetOptions{}); err == nil {
		t.Error("one was not pruned, as its version is no longer served")
	}
	if inv, err := v.stored(); err != nil || len(inv.Entries) != 1 {
		t.Errorf("the inventory has %d objects, %v", len(inv.Entries), err)
	}
}

// catalogue 97
func TestAVersionThatIsNoLongerServedIsNamed(t *testing.T) {
	t.Parallel()
	v := newVersioned(t)
	documents := []string{v.object("v1beta1", "one", 1), configMap("c")}
	v.apply(documents...)
	v.removeBeta()
	refused := func(when string) {
		t.Helper()
		release := v.verified(documents[0], configMap("c", "k", when)).Release()
		release.Places = map[string]render.Place{v.kind + " " + v.namespace + "/one": {File: "apps/web/one.yaml", Line: 3}}
		mark := v.mark()
		_, err := v.cluster.Apply(t.Context(), judged(t, release), drift.Terms{Environment: environments.Environment{}})
		want := fmt.Sprintf("apps/web/one.yaml:3: %s.acme.example %s/one: apiVersion: the cluster does not serve %s in acme.example/v1beta1, but in acme.example/v1; write that under apiVersion", v.kind, v.namespace, v.kind)
		var rejected *drift.Rejected
		if !errors.As(err, &rejected) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s got %v; want %q", when, err, want)
		}
		if writes := v.writesSince(mark); len(writes) > 0 {
			t.Errorf("%s it wrote %v", when, writes)
		}
	}
	// The watch may not have ended yet; a new one is refused in any case.
	v.eventually("the agent to notice", func() (bool, string) {
		_, err := v.cluster.Apply(t.Context(), v.verified(documents[0], configMap("c", "k", "x")), drift.Terms{Environment: environments.Environment{}})
		return err != nil, "applied"
	})
	refused("as it runs")
	v.restart()
	refused("after a restart")
	// And the way out is what it says.
	v.apply(v.object("v1", "one", 1), configMap("c"))
}
