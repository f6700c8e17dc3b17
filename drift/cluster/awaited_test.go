package cluster_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pawl-dev/pawl/drift"
)

// awaits applies what cannot be made yet, and expects to hear what it lacks. What
// drifted is tried meanwhile, in vain.
func (w *world) awaits(what drift.ObjectID, says string, documents ...string) {
	w.t.Helper()
	err := w.tryApply(documents...)
	var refused *drift.Rejected
	if !errors.As(err, &refused) || !refused.Passes() || refused.Problems[0].Awaits != what || !strings.Contains(err.Error(), says) {
		w.t.Fatalf("got %v, awaiting %v; want it to await %s, which %s", err, refused, what, says)
	}
}

// tryApply applies what may be refused.
func (w *world) tryApply(documents ...string) error {
	w.t.Helper()
	_, err := w.cluster.Apply(w.t.Context(), w.verified(documents...), drift.Terms{Environment: w.settings})
	return err
}

// toldToTryAgain waits until the world's target is.
func (w *world) toldToTryAgain() {
	w.t.Helper()
	w.eventually("a notice to try again", func() (bool, string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		i := slices.IndexFunc(w.notices, func(n drift.Notice) bool { return n.TryAgain && n.Target == w.target })
		if i >= 0 {
			w.notices = slices.Delete(w.notices, i, i+1)
		}
		return i >= 0, fmt.Sprint(w.notices)
	})
}

func (w *world) saidOfDrift(text string) {
	w.t.Helper()
	w.eventually("a word on drift", func() (bool, string) {
		said := fmt.Sprint(w.drifts())
		return strings.Contains(said, text), said
	})
}

// catalogue 95
func TestAForeignNamespaceIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.namespace = "foreign-" + w.namespace
	id := drift.ObjectID{Kind: "Namespace", Name: w.namespace}
	namespace := "{apiVersion: v1, kind: Namespace, metadata: {name: '{ns}'}}"
	w.awaits(id, "is not there", configMap("a", "k", "1"))
	w.create(namespace)
	t.Cleanup(func() {
		_ = w.dynamic.Resource(resources["Namespace"]).Delete(w.t.Context(), w.namespace, metav1.DeleteOptions{})
	})
	w.toldToTryAgain()
	w.apply(configMap("a", "k", "1"))

	w.create("{apiVersion: v1, kind: ConfigMap, metadata: {name: held, namespace: '{ns}', finalizers: [example.com/x]}}")
	w.delete("Namespace/" + w.namespace)
	w.saidOfDrift("its namespace " + w.namespace + " is being deleted")
	w.awaits(id, "is being deleted", configMap("a", "k", "2"), configMap("b"))
	w.edit("ConfigMap/held", `{"metadata":{"finalizers":null}}`)
	w.toldToTryAgain() // another reason is true now
	w.saidOfDrift("its namespace " + w.namespace + " is not there")
	w.awaits(id, "is not there", configMap("a", "k", "2"), configMap("b"))
	w.create(namespace)
	w.toldToTryAgain()
	w.eventually("what runs to be put back", func() (bool, string) {
		o := w.lookup("ConfigMap/a")
		return o != nil, ""
	})
	w.apply(configMap("a", "k", "2"), configMap("b"))
}

// catalogue 87, 95
func TestAForeignDefinitionIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, kind := w.ownKind()
	plural := strings.ToLower(kind) + "s" // as it is guessed where nothing serves it
	id := drift.ObjectID{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition", Name: plural + ".acme.example"}
	release := []string{custom(kind, "one", "size: 1"), configMap("a")}
	w.awaits(id, "does not serve", release...)
	w.create(definitionOf(plural, kind))
	t.Cleanup(func() { w.cluster.Close(); w.delete("CustomResourceDefinition/" + id.Name) })
	w.toldToTryAgain()
	w.eventually("the release to be applied", func() (bool, string) { // discovery may be a moment behind
		err := w.tryApply(release...)
		return err == nil, fmt.Sprint(err)
	})

	w.delete("CustomResourceDefinition/" + id.Name)
	w.saidOfDrift("the definition of its kind, " + id.Name + ", is ")
	w.eventually("the definition to be gone", func() (bool, string) {
		return w.lookup("CustomResourceDefinition/"+id.Name) == nil, ""
	})
	w.create(definitionOf(plural, kind))
	widgets := w.dynamic.Resource(schema.GroupVersionResource{Group: "acme.example", Version: "v1", Resource: plural}).Namespace(w.namespace)
	w.eventually("what runs to be put back", func() (bool, string) {
		_, err := widgets.Get(t.Context(), "one", metav1.GetOptions{})
		return err == nil, fmt.Sprint(err)
	})
}

// catalogue 95
func TestAReleaseWhoseOwnNamespaceIsOnItsWayOutWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.namespace = "own-" + w.namespace
	namespace := "{apiVersion: v1, kind: Namespace, metadata: {name: '{ns}'}}"
	w.apply(namespace, configMap("a", "k", "1"))
	t.Cleanup(func() { w.cluster.Close(); w.delete("Namespace/" + w.namespace) })
	w.create("{apiVersion: v1, kind: ConfigMap, metadata: {name: held, namespace: '{ns}', finalizers: [example.com/x]}}")
	w.delete("Namespace/" + w.namespace)
	w.eventually("its objects to be gone", func() (bool, string) { return w.lookup("ConfigMap/a") == nil, "" })
	w.awaits(drift.ObjectID{Kind: "Namespace", Name: w.namespace}, "is being deleted", namespace, configMap("a", "k", "2"))
	w.edit("ConfigMap/held", `{"metadata":{"finalizers":null}}`)
	w.toldToTryAgain()
	w.eventually("the release to be applied", func() (bool, string) {
		err := w.tryApply(namespace, configMap("a", "k", "2"))
		return err == nil, fmt.Sprint(err)
	})
}
