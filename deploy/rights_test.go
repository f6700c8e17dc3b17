package deploy_test

import (
	"context"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/pawl-dev/pawl/deploy"
)

// rulesOf are the rules of all roles among the objects, by the role's name.
func rulesOf(t *testing.T, objects []*unstructured.Unstructured) map[string][]rbacv1.PolicyRule {
	t.Helper()
	rules := map[string][]rbacv1.PolicyRule{}
	for _, o := range objects {
		switch o.GetKind() {
		case "ClusterRole":
			rules[o.GetName()] = into[rbacv1.ClusterRole](t, o).Rules
		case "Role":
			rules[o.GetNamespace()+"/"+o.GetName()] = into[rbacv1.Role](t, o).Rules
		}
	}
	return rules
}

// catalogue 131
func TestNoRoleSaysMoreThanItMeans(t *testing.T) {
	t.Parallel()
	for _, components := range [][]string{{}, {"crds", "gateway-api", "prometheus-operator", "pod-logs"}} {
		objects := build(t, filesys.MakeFsOnDisk(), "base")
		if len(components) > 0 {
			objects = withComponents(t, components...)
		}
		for role, rules := range rulesOf(t, objects) {
			for _, rule := range rules {
				for _, word := range slices.Concat(rule.APIGroups, rule.Resources, rule.Verbs) {
					if strings.Contains(word, "*") {
						t.Errorf("%s has a wildcard: %v", role, rule)
					}
				}
				for _, verb := range []string{"escalate", "bind", "impersonate", "deletecollection", "approve", "sign"} {
					if slices.Contains(rule.Verbs, verb) {
						t.Errorf("%s may %s %v", role, verb, rule.Resources)
					}
				}
				if slices.Contains(rule.Verbs, "update") && role != deploy.Namespace+"/pawl" {
					t.Errorf("%s may replace %v", role, rule.Resources)
				}
				if slices.Contains(rule.Resources, "secrets") && role != "pawl-secrets" && role != deploy.Namespace+"/pawl" {
					t.Errorf("%s reaches Secrets; only pawl-secrets is documented to, and that of the agent's own namespace", role)
				}
				for _, protected := range []string{"namespaces", "persistentvolumeclaims", "customresourcedefinitions"} {
					if slices.Contains(rule.Resources, protected) && slices.Contains(rule.Verbs, "delete") {
						t.Errorf("%s may delete %s, which only prune-protected is for", role, protected)
					}
				}
			}
		}
		for _, o := range objects {
			if role, _, _ := unstructured.NestedString(o.Object, "roleRef", "name"); role != "" && !strings.HasPrefix(role, "pawl") {
				t.Errorf("%s binds %s", key(o), role)
			}
		}
	}
}

// catalogue 93
func TestProtectedKindsAreDeletedByAComponentOnly(t *testing.T) {
	t.Parallel()
	rules := rulesOf(t, withComponents(t, "prune-protected"))["pawl-prune-protected"]
	if len(rules) != 2 {
		t.Fatalf("got %v", rules)
	}
	for _, rule := range rules {
		if !slices.Equal(rule.Verbs, []string{"delete"}) {
			t.Errorf("got %v", rule)
		}
	}
}

// catalogue 131
func TestWhatTheAPIServerSaysThatTheAgentMay(t *testing.T) {
	t.Parallel()
	cluster := install(t)
	for _, namespace := range []string{"default", "kube-system", deploy.Namespace} {
		review, err := cluster.agent.AuthorizationV1().SelfSubjectRulesReviews().Create(t.Context(),
			&authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: namespace}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(review.Status.ResourceRules) == 0 {
			t.Fatal("nothing at all")
		}
		for _, rule := range review.Status.ResourceRules {
			for _, word := range slices.Concat(rule.Verbs, rule.Resources, rule.APIGroups) {
				if word == "*" || word == "escalate" || word == "bind" || word == "impersonate" {
					t.Errorf("in %s: %v", namespace, rule)
				}
			}
		}
	}
}

func TestWithoutTheComponentsRightsNothingIsWrittenOrRead(t *testing.T) {
	t.Parallel()
	objects := withComponents(t, "confined", "without-secrets")
	rules := rulesOf(t, objects)
	for _, o := range objects {
		if o.GetKind() != "ClusterRoleBinding" {
			continue
		}
		role, _, _ := unstructured.NestedString(o.Object, "roleRef", "name")
		for _, rule := range rules[role] {
			if slices.Contains(rule.Resources, "secrets") {
				t.Errorf("%s: %v", role, rule)
			}
			for _, verb := range rule.Verbs {
				if verb != "get" && verb != "list" && verb != "watch" {
					t.Errorf("%s may %s %v in the whole cluster", role, verb, rule.Resources)
				}
			}
		}
	}
	if _, kept := rules["pawl-apply"]; !kept {
		t.Error("there is no pawl-apply left to bind in chosen namespaces")
	}
}

// Everything that the agent asks for an object in its life, with its own
// account, for each kind that it may write.
func TestTheRightsSuffice(t *testing.T) {
	t.Parallel()
	cluster := install(t)
	text, err := os.ReadFile("testdata/each-kind.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tried := map[string]bool{}
	kinds := objects(t, string(text))
	for _, o := range kinds {
		at := cluster.agent.at(t, o)
		gvk := o.GroupVersionKind()
		mapping, err := cluster.agent.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
		if err != nil {
			t.Fatal(err)
		}
		tried[gvk.Group+"/"+mapping.Resource.Resource] = true
		everywhere := cluster.agent.dynamic.Resource(mapping.Resource)
		if err := cluster.agent.apply(t, o, metav1.DryRunAll); err != nil {
			t.Errorf("%s: dry run: %v", key(o), err)
		}
		if err := cluster.agent.apply(t, o); err != nil {
			t.Errorf("%s: create: %v", key(o), err)
			continue
		}
		o.SetAnnotations(map[string]string{"changed": "yes"})
		if err := cluster.agent.apply(t, o); err != nil {
			t.Errorf("%s: change: %v", key(o), err)
		}
		if _, err := at.Get(t.Context(), o.GetName(), metav1.GetOptions{}); err != nil {
			t.Errorf("%s: get: %v", key(o), err)
		}
		marked := metav1.ListOptions{LabelSelector: "pawl.dev/target"}
		if _, err := everywhere.List(t.Context(), marked); err != nil {
			t.Errorf("%s: list: %v", key(o), err)
		}
		if w, err := everywhere.Watch(t.Context(), marked); err != nil {
			t.Errorf("%s: watch: %v", key(o), err)
		} else {
			w.Stop()
		}
	}
	background := metav1.DeletePropagationBackground
	for _, o := range slices.Backward(kinds) {
		err := cluster.agent.at(t, o).Delete(t.Context(), o.GetName(), metav1.DeleteOptions{PropagationPolicy: &background})
		switch o.GetKind() {
		case "Namespace", "PersistentVolumeClaim":
			if !apierrors.IsForbidden(err) {
				t.Errorf("%s: delete: %v, want forbidden", key(o), err)
			}
		default:
			if err != nil {
				t.Errorf("%s: delete: %v", key(o), err)
			}
		}
	}
	if _, err := cluster.agent.CoreV1().Pods("each-kind").Watch(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("watch pods: %v", err)
	}
	if _, err := cluster.agent.CoreV1().Events("each-kind").Watch(t.Context(), metav1.ListOptions{FieldSelector: "type=Warning"}); err != nil {
		t.Errorf("watch warnings: %v", err)
	}
	if _, err := cluster.agent.AppsV1().ReplicaSets("each-kind").Get(t.Context(), "none", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("get a ReplicaSet: %v, want not found", err)
	}

	may := map[string]bool{}
	for role, rules := range rulesOf(t, build(t, filesys.MakeFsOnDisk(), "rbac")) {
		for _, rule := range rules {
			if !slices.Contains(rule.Verbs, "patch") || role == deploy.Namespace+"/pawl" {
				continue
			}
			for _, resource := range rule.Resources {
				may[rule.APIGroups[0]+"/"+resource] = true
			}
		}
	}
	if !maps.Equal(may, tried) {
		t.Errorf("may write %v\nbut tried %v", slices.Sorted(maps.Keys(may)), slices.Sorted(maps.Keys(tried)))
	}
}

func TestTheAgentCannotMakeItselfMorePowerful(t *testing.T) {
	t.Parallel()
	cluster := install(t)
	ctx, dry := t.Context(), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
	subjects := []rbacv1.Subject{{Kind: "ServiceAccount", Name: deploy.ServiceAccount, Namespace: deploy.Namespace}}

	_, err := cluster.agent.RbacV1().Roles("default").Create(ctx, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "more"},
		Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods/exec"}, Verbs: []string{"create"}}}}, dry)
	if !apierrors.IsForbidden(err) {
		t.Errorf("a role with rights that it has not itself: %v, want forbidden", err)
	}
	if _, err := cluster.agent.RbacV1().Roles("default").Create(ctx, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "same"},
		Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get"}}}}, dry); err != nil {
		t.Errorf("an application's role with rights that it has: %v", err)
	}
	for _, role := range []string{"cluster-admin", "admin", "edit"} {
		_, err := cluster.agent.RbacV1().RoleBindings("default").Create(ctx, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "more"},
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}, Subjects: subjects}, dry)
		if !apierrors.IsForbidden(err) {
			t.Errorf("binding %s: %v, want forbidden", role, err)
		}
	}
	for _, attributes := range []authorizationv1.ResourceAttributes{
		{Verb: "create", Group: rbacv1.GroupName, Resource: "clusterroles"},
		{Verb: "patch", Group: rbacv1.GroupName, Resource: "clusterrolebindings"},
		{Verb: "impersonate", Resource: "users"},
		{Verb: "impersonate", Resource: "serviceaccounts"},
		{Verb: "create", Resource: "serviceaccounts", Subresource: "token"},
		{Verb: "create", Resource: "pods"},
		{Verb: "create", Resource: "pods", Subresource: "exec"},
		{Verb: "get", Resource: "pods", Subresource: "log"},
		{Verb: "delete", Resource: "namespaces"},
		{Verb: "delete", Resource: "persistentvolumeclaims"},
		{Verb: "patch", Resource: "nodes"},
		{Verb: "patch", Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions"},
		{Verb: "patch", Group: "admissionregistration.k8s.io", Resource: "validatingadmissionpolicies"},
	} {
		review, err := cluster.agent.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx,
			&authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &attributes}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if review.Status.Allowed {
			t.Errorf("it may %s %s/%s", attributes.Verb, attributes.Resource, attributes.Subresource)
		}
	}
}

// Who can merge to the config repo cannot reach what the agent is configured by.
func TestTheAgentWritesOnlyInventoriesInItsNamespace(t *testing.T) {
	t.Parallel()
	cluster := install(t)
	for _, text := range []string{
		`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"pawl-config","namespace":"pawl-system"},"data":{"agent.yaml":"trust: []"}}`,
		`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"pawl-secrets","namespace":"pawl-system"},"stringData":{"webhook-secret":"known"}}`,
		`{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"pawl","namespace":"pawl-system","labels":{"x":"y"}}}`,
		`{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"Role","metadata":{"name":"pawl","namespace":"pawl-system","labels":{"x":"y"}}}`,
		`{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"default-deny","namespace":"pawl-system"},"spec":{"podSelector":{},"ingress":[{}]}}`,
		`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"pawl-system","labels":{"pod-security.kubernetes.io/enforce":"privileged"}}}`,
	} {
		o := &unstructured.Unstructured{}
		if err := o.UnmarshalJSON([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := cluster.agent.apply(t, o, metav1.DryRunAll); err == nil || !strings.Contains(err.Error(), "inventories") {
			t.Errorf("%s: %v, want the guard's refusal", key(o), err)
		}
		o.SetNamespace("default")
		if o.GetKind() != "Namespace" && o.GetKind() != "Role" {
			if err := cluster.agent.apply(t, o, metav1.DryRunAll); err != nil {
				t.Errorf("%s in another namespace: %v", o.GetKind(), err)
			}
		}
	}
	if err := cluster.agent.CoreV1().Secrets(deploy.Namespace).Delete(t.Context(), "pawl-secrets", metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}}); err == nil || !strings.Contains(err.Error(), "inventories") {
		t.Errorf("deleting its own Secret: %v, want the guard's refusal", err)
	}

	inventories := cluster.agent.CoreV1().ConfigMaps(deploy.Namespace)
	made, err := inventories.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "pawl-inventory-guard.test"}}, metav1.CreateOptions{})
	t.Cleanup(func() {
		_ = cluster.admin.CoreV1().ConfigMaps(deploy.Namespace).Delete(context.Background(), "pawl-inventory-guard.test", metav1.DeleteOptions{})
	})
	if err != nil {
		t.Fatal("an inventory cannot be made:", err)
	}
	made.BinaryData = map[string][]byte{"inventory.json.gz": []byte("x")}
	if _, err := inventories.Update(t.Context(), made, metav1.UpdateOptions{}); err != nil {
		t.Error("an inventory cannot be written:", err)
	}
	if _, err := inventories.List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Error("inventories cannot be listed:", err)
	}
	if err := inventories.Delete(t.Context(), made.Name, metav1.DeleteOptions{}); err != nil {
		t.Error("a part of an inventory cannot be removed:", err)
	}
	if err := inventories.Delete(t.Context(), "kube-root-ca.crt", metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}}); err == nil || !strings.Contains(err.Error(), "inventories") {
		t.Errorf("deleting another ConfigMap: %v, want the guard's refusal", err)
	}

	leases := cluster.agent.CoordinationV1().Leases(deploy.Namespace)
	lease, err := leases.Create(t.Context(), &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "pawl-leader-guard"}}, metav1.CreateOptions{})
	t.Cleanup(func() {
		_ = cluster.admin.CoordinationV1().Leases(deploy.Namespace).Delete(context.Background(), "pawl-leader-guard", metav1.DeleteOptions{})
	})
	if err != nil {
		t.Fatal("a Lease cannot be made:", err)
	}
	if _, err := leases.Update(t.Context(), lease, metav1.UpdateOptions{}); err != nil {
		t.Error("the Lease cannot be renewed:", err)
	}
	if _, err := leases.Create(t.Context(), &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "another"}}, metav1.CreateOptions{}); err == nil || !strings.Contains(err.Error(), "inventories") {
		t.Errorf("another's Lease: %v, want the guard's refusal", err)
	}
}
