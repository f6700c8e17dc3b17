package cluster_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/drift/cluster"
	"github.com/pawl-dev/pawl/environments"
)

// catalogue 23, 24
func TestNothingOutOfReachIsWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *cluster.Options) {
		o.Environments = map[string]cluster.Access{"production": {Reach: drift.Reach{Namespaces: []string{"test-*"}, Deny: []string{"Secret"}}}}
	})
	for name, c := range map[string]struct{ document, problem string }{
		"another namespace":             {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: kube-system}\n", "namespace kube-system is not among those"},
		"no namespace":                  {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n", "namespace default is not among those"},
		"the agent's own":               {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: " + w.own + "}\n", "is the agent's own"},
		"a kind that is denied":         {"apiVersion: v1\nkind: Secret\nmetadata: {name: c, namespace: '{ns}'}\n", "is denied"},
		"a namespace where none may be": {"apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: c, namespace: '{ns}'}\n", "it has no namespace"},
		"whatever its annotations say":  {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: kube-system, annotations: {helm.sh/hook: pre-delete, argocd.argoproj.io/hook: PreDelete}}\n", "namespace kube-system is not among those"},
	} {
		err := w.refused(configMap("a"), c.document)
		var outside *drift.OutOfReach
		if !errors.As(err, &outside) || len(outside.Problems) != 1 || !strings.Contains(outside.Problems[0].Reason, c.problem) {
			t.Errorf("%s: got %v, want %q", name, err, c.problem)
		}
	}
	w.apply(configMap("a"))
}

// catalogue 25
func TestTheRepositoryCannotChooseWhoseAnObjectIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: '{ns}', labels: {pawl.dev/target: production_api, pawl.dev/agent: another}}\n", configMap("b"))
	if labels := w.get("ConfigMap/a").GetLabels(); labels[drift.LabelTarget] != "production_web" || labels[drift.LabelAgent] != w.agent {
		t.Errorf("the repository's labels won: %v", labels)
	}
	if w.apply(configMap("b")); w.lookup("ConfigMap/a") != nil {
		t.Error("the repository's labels kept it from being pruned")
	}
}

// catalogue 26
func TestAnEnvironmentIsWrittenByItsOwnAccountAndNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	account := w.namespace + "/deployer"
	client, err := kubernetes.NewForConfig(w.config)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if _, err := client.CoreV1().ServiceAccounts(w.namespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "deployer"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.RbacV1().Roles(w.namespace).Create(ctx, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "deployer"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"create", "patch", "delete"}},
		{APIGroups: []string{rbacv1.GroupName}, Resources: []string{"roles", "rolebindings"}, Verbs: []string{"create", "patch"}},
	}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.RbacV1().RoleBindings(w.namespace).Create(ctx, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "deployer"},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "deployer"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: "deployer", Namespace: w.namespace}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.cluster.Close()
	w.options.Environments = map[string]cluster.Access{"production": {ServiceAccount: account}}
	w.start()

	before := w.mark()
	w.eventually("the account to have its rights", func() (bool, string) {
		_, err := w.cluster.Apply(ctx, w.verified(configMap("a", "k", "1"), configMap("b")), drift.Terms{Environment: w.settings})
		return err == nil, errorText(err)
	})
	w.edit("ConfigMap/a", `{"data":{"k":"by hand"}}`)
	w.eventually("the edit to be put back", func() (bool, string) {
		data := w.get("ConfigMap/a").Object["data"].(map[string]any)
		return data["k"] == "1", data["k"].(string)
	})
	w.apply(configMap("a", "k", "1"))
	who := "system:serviceaccount:" + w.namespace + ":deployer"
	seen := map[string]bool{}
	for _, e := range w.requestsSince(before) {
		switch {
		case e.Namespace == w.namespace && (e.Verb == "patch" || e.Verb == "delete"): // dry runs too
			if seen[e.Verb] = true; e.ImpersonatedUser != who {
				t.Errorf("written as %q: %s", e.ImpersonatedUser, e)
			}
		case e.ImpersonatedUser != "":
			t.Errorf("the agent's own business as %s: %s", e.ImpersonatedUser, e)
		}
	}
	if !seen["patch"] || !seen["delete"] {
		t.Errorf("saw only %v", seen)
	}

	// What the account may not is refused, and nothing is written.
	err = w.refused(configMap("a", "k", "2"), "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: '{ns}'}\n")
	var rejected *drift.Rejected
	if !errors.As(err, &rejected) || !strings.Contains(err.Error(), "forbidden") || !strings.Contains(err.Error(), "deployer") {
		t.Errorf("got %v", err)
	}
	for field, document := range map[string]string{
		"rules":   "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: more, namespace: '{ns}'}\nrules: [{apiGroups: [''], resources: [secrets], verbs: [get]}]\n",
		"roleRef": "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: more, namespace: '{ns}'}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}\nsubjects: [{kind: ServiceAccount, name: deployer, namespace: '{ns}'}]\n",
	} {
		err := w.refused(configMap("a", "k", "2"), document)
		if !errors.As(err, &rejected) || rejected.Problems[0].Field != field || !strings.Contains(rejected.Problems[0].Reason, "not currently held") {
			t.Errorf("got %v, want %s to be refused", err, field)
		}
	}
	// Other environments go on, as the agent.
	other := environments.Target{Environment: "staging", Application: "web"}
	if _, err := w.cluster.Apply(ctx, w.verifiedFor(other, configMap("other"), "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: '{ns}'}\n"), drift.Terms{}); err != nil {
		t.Error(err)
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
