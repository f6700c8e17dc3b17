package drift

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pawl-dev/pawl/environments"
)

func TestMarksOfOtherTools(t *testing.T) {
	t.Parallel()
	for metadata, want := range map[string]string{
		"labels: {kustomize.toolkit.fluxcd.io/name: web, kustomize.toolkit.fluxcd.io/namespace: flux-system}":                                                                                                         "Flux Kustomization flux-system/web",
		"labels: {helm.toolkit.fluxcd.io/name: web, helm.toolkit.fluxcd.io/namespace: shop, app.kubernetes.io/managed-by: Helm}, annotations: {meta.helm.sh/release-name: web, meta.helm.sh/release-namespace: shop}": "Flux HelmRelease shop/web",
		"labels: {app.kubernetes.io/managed-by: Helm}, annotations: {meta.helm.sh/release-name: web, meta.helm.sh/release-namespace: shop}":                                                                           "Helm release shop/web",
		"labels: {app.kubernetes.io/managed-by: Helm}":                                                                              "", // charts that were rendered
		"annotations: {meta.helm.sh/release-name: web, meta.helm.sh/release-namespace: shop}":                                       "",
		"annotations: {argocd.argoproj.io/tracking-id: 'web:apps/Deployment:shop/web'}":                                             "Argo CD Application web",
		"labels: {app.kubernetes.io/instance: web}":                                                                                 "", // as charts have it, too
		"labels: {app.kubernetes.io/instance: web}, managedFields: [{manager: argocd-controller, operation: Update, fieldsV1: {}}]": "Argo CD Application web",
		"annotations: {configmanagement.gke.io/managed: enabled, configsync.gke.io/manager: ':root'}":                               "Config Sync :root",
		"annotations: {configmanagement.gke.io/managed: disabled, configsync.gke.io/manager: ':root'}":                              "",
		"labels: {applyset.kubernetes.io/part-of: applyset-x}":                                                                      "kubectl ApplySet applyset-x",
		"annotations: {kubectl.kubernetes.io/last-applied-configuration: '{}'}":                                                     "",
		"labels: {app.kubernetes.io/managed-by: Helm, applyset.kubernetes.io/part-of: applyset-x}, annotations: {meta.helm.sh/release-name: web, meta.helm.sh/release-namespace: shop, argocd.argoproj.io/tracking-id: 'web:/ConfigMap:shop/c'}": "Argo CD Application web and kubectl ApplySet applyset-x and Helm release shop/web",
	} {
		if got := Observe(object(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, "+metadata+"}}")).Claims; names(got) != want {
			t.Errorf("%s: got %q, want %q", metadata, names(got), want)
		}
	}
}

// All that the tools declared becomes ours, by whatever way they wrote it, and
// nothing that others did, or that a tool wrote through a subresource.
func TestInheriting(t *testing.T) {
	t.Parallel()
	live := object(t, `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  managedFields:
  - {manager: helm, operation: Update, apiVersion: apps/v1, fieldsV1: {f:spec: {f:replicas: {}, f:paused: {}}}}
  - {manager: helm, operation: Apply, apiVersion: apps/v1, fieldsV1: {f:spec: {f:minReadySeconds: {}}}}
  - {manager: helm, operation: Update, apiVersion: apps/v1, subresource: scale, fieldsV1: {f:spec: {f:replicas: {}}}}
  - {manager: kubectl-edit, operation: Update, apiVersion: apps/v1, fieldsV1: {f:spec: {f:strategy: {}}}}
`)
	got, err := json.Marshal(Inherit(live, []environments.Tool{environments.Helm}))
	if err != nil {
		t.Fatal(err)
	}
	const want = `[
	 {"manager": "helm", "operation": "Update", "apiVersion": "apps/v1", "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
	 {"manager": "kubectl-edit", "operation": "Update", "apiVersion": "apps/v1", "fieldsV1": {"f:spec": {"f:strategy": {}}}},
	 {"manager": "pawl", "operation": "Apply", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
	  "fieldsV1": {"f:spec": {"f:replicas": {}, "f:paused": {}, "f:minReadySeconds": {}}}}]`
	if diff := cmp.Diff(tree(t, want), tree(t, string(got))); diff != "" {
		t.Error(diff)
	}
	if managers := Inherit(live, []environments.Tool{environments.Flux}); managers != nil {
		t.Errorf("Flux declared nothing, but got %v", managers)
	}
}

// catalogue 90
func TestAMarkOfAnotherToolIsAConflictUnlessItIsAdopted(t *testing.T) {
	t.Parallel()
	flux := Claim{environments.Flux, "Flux Kustomization flux-system/web"}
	decide := func(live Live, known map[ObjectID]Entry, adopt ...environments.Tool) (Plan, error) {
		return Decide(Situation{Mark: ours, Wanted: []Wanted{{ID: web, Digest: "wanted", Adopt: adopt}}, Inventory: Inventory{Entries: known}, Live: map[ObjectID]Live{web: live}})
	}
	strange := Live{State: Present, UID: "x", Claims: []Claim{flux}}
	if _, err := decide(strange, nil, environments.Helm); err == nil {
		t.Error("taken over from Flux, though only Helm was named")
	}
	plan, err := decide(strange, nil, environments.Helm, environments.Flux)
	if err != nil || plan.Steps[0].Reason != "is there already; taken over from "+flux.Name {
		t.Errorf("got %+v, %v", plan, err)
	}
	both := Live{State: Present, UID: "x", Claims: []Claim{flux, {environments.Helm, "Helm release shop/web"}}}
	_, err = decide(both, nil, environments.Flux)
	if err == nil || strings.Contains(err.Error(), "Flux") || !strings.Contains(err.Error(), "belongs to Helm release shop/web") {
		t.Errorf("of two tools one was named, and got %v", err)
	}
	if plan, err = decide(both, nil, environments.Flux, environments.Helm); err != nil {
		t.Errorf("got %+v, %v", plan, err)
	}
	// The very object that we applied: somebody took our mark off it.
	if plan, err := decide(strange, map[ObjectID]Entry{web: {UID: "x"}}); err != nil {
		t.Errorf("got %+v, %v", plan, err)
	}
}
