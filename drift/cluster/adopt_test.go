package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
)

// applied makes an object on the server's side as another tool does.
func (w *world) applied(manager, text string) {
	w.t.Helper()
	o := object(w.t, strings.ReplaceAll(text, "{ns}", w.namespace))
	body, err := o.MarshalJSON()
	if err != nil {
		w.t.Fatal(err)
	}
	client, name := w.at(o.GetKind() + "/" + o.GetName())
	if _, err := client.Patch(context.Background(), name, types.ApplyPatchType, body, metav1.PatchOptions{FieldManager: manager}); err != nil {
		w.t.Fatal(err)
	}
}

// byTool is a ConfigMap with the given metadata, a declared field and a stale one.
func byTool(metadata string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: '{ns}', " + metadata + "}\ndata: {k: old, stale: x}\n"
}

// catalogue 99
func TestWhatAnotherToolOwnsIsTakenOverOnlyWhereThatIsDeclared(t *testing.T) {
	t.Parallel()
	const client = "kubectl-client-side-apply"
	for name, c := range map[string]struct {
		manager, metadata string
		tool              environments.Tool
		update            bool
		refused           string // where it is not declared
	}{
		"helm 3": {"helm", "labels: {app.kubernetes.io/managed-by: Helm}, annotations: {meta.helm.sh/release-name: web, meta.helm.sh/release-namespace: shop}",
			environments.Helm, true, "Helm release shop/web"},
		"helm on the server": {"helm", "labels: {app.kubernetes.io/managed-by: Helm}, annotations: {meta.helm.sh/release-name: web, meta.helm.sh/release-namespace: shop}",
			environments.Helm, false, "Helm release shop/web"},
		"flux": {"kustomize-controller", "labels: {kustomize.toolkit.fluxcd.io/name: web, kustomize.toolkit.fluxcd.io/namespace: flux-system}",
			environments.Flux, false, "Flux Kustomization flux-system/web"},
		"argo cd": {"argocd-controller", "annotations: {'argocd.argoproj.io/tracking-id': 'web:/ConfigMap:shop/a'}",
			environments.ArgoCD, true, "Argo CD Application web"},
		"config sync": {"configsync", "annotations: {configmanagement.gke.io/managed: enabled, configsync.gke.io/manager: ':root'}",
			environments.ConfigSync, false, "Config Sync :root"},
		"kubectl apply":               {client, "annotations: {kubectl.kubernetes.io/last-applied-configuration: '{}'}", environments.Kubectl, true, ""},
		"kubectl apply --server-side": {"kubectl", "labels: {app: a}", environments.Kubectl, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if c.update {
				o := object(t, strings.ReplaceAll(byTool(c.metadata), "{ns}", w.namespace))
				at, _ := w.at("ConfigMap/a")
				if _, err := at.Create(t.Context(), o, metav1.CreateOptions{FieldManager: c.manager}); err != nil {
					t.Fatal(err)
				}
			} else {
				w.applied(c.manager, byTool(c.metadata))
			}
			w.edit("ConfigMap/a", `{"data":{"others":"y"}}`)
			uid := w.get("ConfigMap/a").GetUID()
			release := []string{configMap("a", "k", "new"), configMap("b")}
			if c.refused != "" {
				err := w.refused(release...)
				var conflict *drift.Conflict
				if !errors.As(err, &conflict) || !strings.Contains(err.Error(), "ConfigMap "+w.namespace+"/a belongs to "+c.refused) || !strings.Contains(err.Error(), `"adopt: [`+string(c.tool)+`]"`) {
					t.Fatalf("got %v", err)
				}
				another := environments.Environment{Adopt: []environments.Tool{environments.Kubectl}}
				if _, err := w.cluster.Apply(t.Context(), w.verified(release...), drift.Terms{Environment: another}); !errors.As(err, &conflict) {
					t.Fatalf("another tool was named, and got %v", err)
				}
			}

			w.settings.Adopt = []environments.Tool{c.tool}
			before := w.mark()
			plan, err := w.cluster.Plan(t.Context(), w.verified(release...), drift.Terms{Environment: w.settings})
			if err != nil || len(w.writesSince(before)) > 0 {
				t.Fatal(err, w.writesSince(before))
			}
			if reason := plan.Steps[0].Reason; !strings.Contains(reason, "is there already; taken over") || !strings.Contains(reason, c.refused) {
				t.Errorf("got %q", reason)
			}
			w.apply(release...)
			after := w.get("ConfigMap/a")
			if after.GetUID() != uid {
				t.Error("it was replaced")
			}
			if diff := cmp.Diff(map[string]any{"k": "new", "others": "y"}, after.Object["data"]); diff != "" {
				t.Error("what the tool declared goes, what others did stays:", diff)
			}
			if len(after.GetAnnotations()) > 0 || len(after.GetLabels()) != 2 {
				t.Errorf("its marks are still there: %v, %v", after.GetLabels(), after.GetAnnotations())
			}
			for _, m := range after.GetManagedFields() {
				if m.Manager == c.manager {
					t.Errorf("%s still owns fields", m.Manager)
				}
			}
			before = w.mark()
			w.restart()
			w.apply(release...)
			if writes := w.writesSince(before); len(writes) > 0 {
				t.Errorf("it is not steady: %v", writes)
			}
		})
	}
}

// An object can be taken over by its own word, and what is wrong with that is said.
func TestAnObjectIsTakenOverByItsOwnWord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.applied("kustomize-controller", byTool("labels: {kustomize.toolkit.fluxcd.io/name: web, kustomize.toolkit.fluxcd.io/namespace: flux-system}"))
	word := func(tools string) string {
		return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: '{ns}', annotations: {pawl.dev/adopt: '" + tools + "'}}\ndata: {k: new}\n"
	}
	if err := w.refused(word("fluxcd"), configMap("b")); !strings.Contains(err.Error(), `metadata.annotations[pawl.dev/adopt]: "fluxcd" is no tool that is known; write one of argocd, configsync, flux, helm, kubectl`) {
		t.Errorf("got %v", err)
	}
	w.apply(word("helm, flux"))
	if diff := cmp.Diff(map[string]any{"k": "new"}, w.get("ConfigMap/a").Object["data"]); diff != "" {
		t.Error(diff)
	}
	mark := w.mark()
	w.apply(configMap("b"))
	if w.lookup("ConfigMap/a") == nil {
		t.Errorf("what was there before was pruned: %v", w.writesSince(mark))
	}
}

// Without the word, fields that kubectl declared stay, as those of anybody do.
func TestWhatKubectlDeclaredStaysUnlessItIsAdopted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.applied("kubectl", byTool("labels: {app: a}"))
	w.apply(configMap("a", "k", "new"))
	if diff := cmp.Diff(map[string]any{"k": "new", "stale": "x"}, w.get("ConfigMap/a").Object["data"]); diff != "" {
		t.Error(diff)
	}
}

// Each tool whose mark an object bears must be named.
func TestWhatTwoToolsClaimIsNotTakenOverForOneOfThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.applied("helm", byTool("labels: {app.kubernetes.io/managed-by: Helm}, annotations: {meta.helm.sh/release-name: web, meta.helm.sh/release-namespace: shop, 'argocd.argoproj.io/tracking-id': 'web:/ConfigMap:shop/a'}"))
	w.settings.Adopt = []environments.Tool{environments.ArgoCD}
	_, err := w.cluster.Apply(t.Context(), w.verified(configMap("a", "k", "new")), drift.Terms{Environment: w.settings})
	var conflict *drift.Conflict
	if !errors.As(err, &conflict) || !strings.Contains(err.Error(), "/a belongs to Helm release shop/web\n") {
		t.Fatalf("got %v", err)
	}
	w.settings.Adopt = append(w.settings.Adopt, environments.Helm)
	w.apply(configMap("a", "k", "new"))
	if diff := cmp.Diff(map[string]any{"k": "new"}, w.get("ConfigMap/a").Object["data"]); diff != "" {
		t.Error(diff)
	}
}

// What another tool makes in place of a kept object is not taken over unasked
// by putting it back.
//
// catalogue 99
func TestARepairTakesNothingOverUnasked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(configMap("a", "k", "1"), configMap("b", "k", "1"))
	w.admit("refuse-"+w.namespace, "CREATE", "configmaps", `{expression: "object.metadata.name != 'a' || has(object.metadata.annotations)"}`)
	client, _ := w.at("ConfigMap/a")
	probe := object(t, strings.ReplaceAll(configMap("a", "k", "1"), "{ns}", w.namespace))
	w.eventually("the policy to be enforced", func() (bool, string) {
		_, err := client.Create(t.Context(), probe, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err != nil && strings.Contains(err.Error(), "refuse-"), fmt.Sprint(err)
	})
	w.delete("ConfigMap/a")
	if d := w.noticed(); d.Err == nil {
		t.Fatalf("got %+v", d)
	}
	w.create(byTool("labels: {app.kubernetes.io/managed-by: Helm}, annotations: {meta.helm.sh/release-name: web, meta.helm.sh/release-namespace: shop}"))
	w.unguard("refuse-" + w.namespace)
	before := w.mark()
	w.eventually("it to be looked at again", func() (bool, string) {
		for _, e := range w.requestsSince(before) {
			if e.Name == "a" {
				return true, ""
			}
		}
		return false, "no request"
	})
	w.calm("ConfigMap/b")
	for _, e := range w.writesSince(before) {
		if e.Name == "a" {
			t.Errorf("what belongs to Helm was written: %s", e)
		}
	}
	if o := w.get("ConfigMap/a"); o.GetLabels()[drift.LabelTarget] != "" {
		t.Errorf("it is marked: %v", o.GetLabels())
	}
}
