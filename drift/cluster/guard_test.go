package cluster_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

var (
	admissionPolicies = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicies"}
	admissionBindings = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicybindings"}
)

// guard makes the API server itself refuse an operation on the ConfigMaps of
// the world's namespace unless the CEL expression holds, and waits until it does.
func (w *world) guard(name, operation, expression string) {
	w.t.Helper()
	ctx := context.Background()
	w.admit(name, operation, "configmaps", fmt.Sprintf("{expression: %q}", expression))
	client, _ := w.at("ConfigMap/a")
	w.eventually("the policy to be enforced", func() (bool, string) {
		var err error
		if operation == "DELETE" {
			err = client.Delete(ctx, "a", metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}})
		} else {
			_, err = client.Patch(ctx, "a", types.MergePatchType, []byte(`{"data":{"probe":"1"}}`), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
		}
		return err != nil && strings.Contains(err.Error(), name), fmt.Sprint(err)
	})
}

// admit makes the API server validate an operation in the world's namespace; it
// may take a moment until it does.
func (w *world) admit(name, operation, resource, validation string) {
	w.t.Helper()
	ctx := context.Background()
	policy := object(w.t, fmt.Sprintf(`
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: %[1]s}
spec:
  failurePolicy: Fail
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %[2]s}}
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [%[3]s], resources: [%[4]s]}]
  validations: [%[5]s]
`, name, w.namespace, operation, resource, validation))
	binding := object(w.t, fmt.Sprintf(`
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: %[1]s}
spec: {policyName: %[1]s, validationActions: [Deny]}
`, name))
	if _, err := w.dynamic.Resource(admissionPolicies).Create(ctx, policy, metav1.CreateOptions{}); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.dynamic.Resource(admissionBindings).Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { w.unguard(name) })
}

// unguard takes the policy away; it may take a moment until it is forgotten.
func (w *world) unguard(name string) {
	w.t.Helper()
	for _, resource := range []schema.GroupVersionResource{admissionBindings, admissionPolicies} {
		err := w.dynamic.Resource(resource).Delete(context.Background(), name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			w.t.Error(err)
		}
	}
}

func convert(from, to any) error {
	content, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(content, to)
}
