package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pawl-dev/pawl/drift"
)

// brokenWebhook puts a webhook that does not answer before all that is written
// of ConfigMaps and Secrets in the world's namespace, and waits until it is asked.
func (w *world) brokenWebhook() (mend func()) {
	w.t.Helper()
	ctx, name := context.Background(), "broken-"+w.namespace
	client := w.dynamic.Resource(schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"})
	webhook := object(w.t, fmt.Sprintf(`
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: %[1]s}
webhooks:
- name: broken.acme.example
  clientConfig: {url: "https://127.0.0.1:1/validate"}
  failurePolicy: Fail
  sideEffects: None
  timeoutSeconds: 1
  admissionReviewVersions: [v1]
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %[2]s}}
  rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [configmaps, secrets]}]
`, name, w.namespace))
	if _, err := client.Create(ctx, webhook, metav1.CreateOptions{}); err != nil {
		w.t.Fatal(err)
	}
	maps, _ := w.at("ConfigMap/a")
	w.eventually("the webhook to be asked", func() (bool, string) {
		_, err := maps.Patch(ctx, "a", types.MergePatchType, []byte(`{"data":{"probe":"1"}}`), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
		return err != nil && strings.Contains(err.Error(), "broken.acme.example"), fmt.Sprint(err)
	})
	mended := false
	mend = func() {
		if !mended {
			mended = true
			if err := client.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
				w.t.Error(err)
			}
		}
	}
	w.t.Cleanup(mend)
	return mend
}

// catalogue 102, 105
func TestABrokenWebhookIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	secret := func(pass string) string {
		return fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: '{ns}'}, stringData: {pass: %s}}", pass)
	}
	w.apply(configMap("a", "k", "1"), secret("hunter22"), configMap("b", "k", "1"))
	mend := w.brokenWebhook()

	// A release is not refused for it, nothing is written, and no value is told.
	release := w.verified(configMap("a", "k", "2"), secret("correct-horse"), configMap("b", "k", "2"))
	_, err := w.cluster.Apply(t.Context(), release, drift.Terms{Environment: w.settings})
	var rejected *drift.Rejected
	if err == nil || errors.As(err, &rejected) || !strings.Contains(err.Error(), "broken.acme.example") {
		t.Errorf("got %v, want what may pass by itself", err)
	}
	for _, value := range []string{"hunter22", "correct-horse", "Y29ycmVjdC1ob3JzZQ"} {
		if strings.Contains(fmt.Sprint(err), value) {
			t.Errorf("the error has a value of the Secret: %v", err)
		}
	}
	for _, name := range []string{"a", "b"} {
		if k := w.get("ConfigMap/" + name).Object["data"].(map[string]any)["k"]; k != "1" {
			t.Errorf("%s is %v: half a release", name, k)
		}
	}

	// Drift waits, is told once, and is put back when the webhook answers again.
	w.delete("ConfigMap/b")
	d := w.noticed()
	if d.Err == nil || !strings.Contains(d.Err.Error(), "broken.acme.example") || !d.Deleted {
		t.Errorf("got %+v", d)
	}
	mend()
	w.eventually("b to be there again", func() (bool, string) {
		return w.lookup("ConfigMap/b") != nil, fmt.Sprintf("%+v", w.drifts())
	})
	if _, err := w.cluster.Apply(t.Context(), release, drift.Terms{Environment: w.settings}); err != nil {
		t.Error(err)
	}
}
