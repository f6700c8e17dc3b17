package cluster_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
)

// define brings a kind to the cluster whose status is written apart from the
// rest, as controllers do.
func (w *world) define(gvk schema.GroupVersionKind, plural string) schema.GroupVersionResource {
	w.t.Helper()
	name := plural + "." + gvk.Group
	w.create(fmt.Sprintf(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %s}
spec:
  group: %s
  scope: Namespaced
  names: {plural: %s, kind: %s}
  versions:
  - name: %s
    served: true
    storage: true
    subresources: {status: {}}
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`, name, gvk.Group, plural, gvk.Kind, gvk.Version))
	w.t.Cleanup(func() { w.delete("CustomResourceDefinition/" + name) })
	gvr := gvk.GroupVersion().WithResource(plural)
	w.eventually(name+" is served", func() (bool, string) {
		_, err := w.dynamic.Resource(gvr).Namespace(w.namespace).List(context.Background(), metav1.ListOptions{})
		return !apierrors.IsNotFound(err), fmt.Sprint(err)
	})
	return gvr
}

// reports writes an object's status, as its controller would.
func (w *world) reports(gvr schema.GroupVersionResource, name, status string) {
	w.t.Helper()
	_, err := w.dynamic.Resource(gvr).Namespace(w.namespace).Patch(context.Background(), name, types.MergePatchType,
		[]byte(`{"status":`+status+`}`), metav1.PatchOptions{FieldManager: "controller"}, "status")
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) message() string { return w.health().Objects[0].Message }

// The statuses are those that Argo Rollouts v1.8 and Flagger v1.41 write.
func TestProgressiveDeliveryIsFollowed(t *testing.T) {
	t.Parallel()
	t.Run("Rollout", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		gvr := w.define(schema.GroupVersionKind{Group: "argoproj.io", Version: "v1alpha1", Kind: "Rollout"}, "rollouts")
		rollout := func(weight int) string {
			return fmt.Sprintf("apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: web, namespace: '{ns}'}\nspec: {replicas: 2, strategy: {canary: {steps: [{setWeight: %d}, {pause: {}}]}}}\n", weight)
		}
		w.apply(rollout(20))
		if w.healthBecomes(drift.Progressing); w.message() != "has no status yet" {
			t.Errorf("got %q", w.message())
		}
		w.reports(gvr, "web", `{"observedGeneration":"1","phase":"Healthy","currentPodHash":"abc","stableRS":"abc"}`)
		w.healthBecomes(drift.Current)

		w.apply(rollout(50)) // what the status says is of the spec before
		if w.healthBecomes(drift.Progressing); !strings.Contains(w.message(), "latest observed generation is 1") {
			t.Errorf("got %q", w.message())
		}
		w.reports(gvr, "web", `{"observedGeneration":"2","phase":"Paused","message":"CanaryPauseStep"}`)
		w.eventually("the pause is told", func() (bool, string) { return w.message() == "Paused: CanaryPauseStep", w.message() })
		// Its pods are those of a ReplicaSet that its controller makes.
		hashed := func(hash string) string {
			return fmt.Sprintf(`{"apiVersion":"apps/v1","kind":"ReplicaSet","metadata":{"name":"web-%[1]s","namespace":"%[2]s"},"spec":{"replicas":1,"selector":{"matchLabels":{"rollouts-pod-template-hash":"%[1]s"}},
				"template":{"metadata":{"labels":{"rollouts-pod-template-hash":"%[1]s"},"annotations":{"testworld.pawl.dev/fail":"crash"}},"spec":{"containers":[{"name":"web","image":"web"}]}}}}`, hash, w.namespace)
		}
		w.create(hashed("before"))
		w.create(hashed("now"))
		w.reports(gvr, "web", `{"currentPodHash":"now"}`)
		w.eventually("the crash is told", func() (bool, string) {
			return w.health().Status == drift.Failed && strings.Contains(w.message(), "pod web-now-"), w.message()
		})
		for _, hash := range []string{"before", "now"} {
			w.delete("ReplicaSet/web-" + hash)
		}
		w.eventually("the pause is told again", func() (bool, string) { return w.message() == "Paused: CanaryPauseStep", w.message() })
		w.reports(gvr, "web", `{"phase":"Degraded","abort":true,"message":"RolloutAborted: metric \"error-rate\" assessed Failed"}`)
		if w.healthBecomes(drift.Failed); w.message() != `Degraded: RolloutAborted: metric "error-rate" assessed Failed` {
			t.Errorf("got %q", w.message())
		}
	})
	t.Run("Canary", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		gvr := w.define(schema.GroupVersionKind{Group: "flagger.app", Version: "v1beta1", Kind: "Canary"}, "canaries")
		canary := func(threshold int) string {
			return fmt.Sprintf("apiVersion: flagger.app/v1beta1\nkind: Canary\nmetadata: {name: web, namespace: '{ns}'}\nspec: {targetRef: {apiVersion: apps/v1, kind: Deployment, name: web}, analysis: {threshold: %d}}\n", threshold)
		}
		w.apply(canary(1))
		w.healthBecomes(drift.Progressing)
		w.reports(gvr, "web", `{"phase":"Initialized","canaryWeight":0,"failedChecks":0,"iterations":0}`)
		w.healthBecomes(drift.Current)
		w.reports(gvr, "web", `{"phase":"Progressing","canaryWeight":20,"conditions":[{"type":"Promoted","status":"Unknown","reason":"Progressing","message":"New revision detected, progressing canary analysis."}]}`)
		w.healthBecomes(drift.Progressing)
		const (
			failed = `{"phase":"Failed","canaryWeight":0,"conditions":[{"type":"Promoted","status":"False","reason":"Failed","message":"Canary analysis failed, Deployment scaled to zero."}]}`
			says   = "Failed: Canary analysis failed, Deployment scaled to zero."
		)
		w.reports(gvr, "web", failed)
		if w.healthBecomes(drift.Failed); w.message() != says {
			t.Errorf("got %q", w.message())
		}
		// That is no failure of the releases after it, whether they change the
		// Canary or what it targets.
		for _, fix := range [][]string{{canary(1), configMap("a")}, {canary(2), configMap("a")}} {
			w.forgetNotices()
			w.apply(fix...)
			w.eventually("the failure of before", func() (bool, string) {
				h := w.health()
				return h.Status == drift.Progressing && strings.HasPrefix(h.Objects[0].Message, "still as before this release: "), fmt.Sprintf("%+v", h)
			})
			for _, n := range w.all() {
				if n.Health != nil && n.Health.Status == drift.Failed {
					t.Errorf("it is blamed: %+v", n.Health)
				}
			}
			w.reports(gvr, "web", `{"phase":"Progressing","conditions":[]}`)
			w.eventually("a new look", func() (bool, string) {
				return strings.Contains(w.health().Objects[0].Message, "is Progressing"), fmt.Sprintf("%+v", w.health())
			})
			w.reports(gvr, "web", failed)
			w.healthBecomes(drift.Failed)
		}
		// After a restart it is still this release's.
		w.restart()
		w.apply(canary(2), configMap("a"))
		w.healthBecomes(drift.Failed)
	})
}

func (w *world) applyWith(checks []environments.HealthCheck, documents ...string) {
	w.t.Helper()
	compiled, _, err := drift.NewHealthChecks(checks)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.cluster.Apply(w.t.Context(), w.verified(documents...), drift.Terms{Environment: w.settings, Health: compiled}); err != nil {
		w.t.Fatal(err)
	}
}

// A commit may change nothing but how health is told; and after a restart
// nothing is asked for it that would not be asked without.
func TestOwnHealthChecksHoldFromTheirCommitOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gvk := schema.GroupVersionKind{Group: "checks-" + w.namespace + ".acme.dev", Version: "v1", Kind: "Database"}
	gvr := w.define(gvk, "databases")
	database := "apiVersion: " + gvk.GroupVersion().String() + "\nkind: Database\nmetadata: {name: db, namespace: '{ns}'}\nspec: {size: 1}\n"
	byPhase := func(current string) []environments.HealthCheck {
		return []environments.HealthCheck{{APIVersion: gvk.GroupVersion().String(), Kind: "Database", Current: "status.phase == '" + current + "'", Failed: "status.phase == 'Broken'"}}
	}

	w.apply(database) // nothing is known of the kind, and nothing speaks against it
	w.healthBecomes(drift.Current)
	w.applyWith(byPhase("Running"), database)
	w.healthBecomes(drift.Progressing)
	w.eventually("it was looked at again", func() (bool, string) { return w.message() == "has no status yet", w.message() })
	w.reports(gvr, "db", `{"phase":"Running"}`)
	w.healthBecomes(drift.Current)
	w.reports(gvr, "db", `{"phase":"Broken","message":"disk full"}`)
	if w.healthBecomes(drift.Failed); w.message() != "Broken: disk full" {
		t.Errorf("got %q", w.message())
	}
	w.applyWith(byPhase("Broken"), database)
	w.eventually("the other check", func() (bool, string) { return w.health().Status == drift.Failed, w.message() })
	w.applyWith(byPhase("Running")[:0], database)
	w.healthBecomes(drift.Current)

	w.applyWith(byPhase("Running"), database)
	w.healthBecomes(drift.Failed)
	w.restart()
	before := w.mark()
	w.applyWith(byPhase("Running"), database)
	if w.healthBecomes(drift.Failed); w.message() != "Broken: disk full" {
		t.Errorf("got %q", w.message())
	}
	for _, e := range w.requestsSince(before) {
		if e.Verb == "get" && strings.Contains(e.RequestURI, "/databases/db") {
			t.Errorf("asked for the object: %s %s", e.Verb, e.RequestURI)
		}
	}
}
