package controlplane

import (
	"fmt"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// asServiceAccount makes a service account that may only read config maps.
func asServiceAccount(t *testing.T, cp *ControlPlane, namespace, name string) *kubernetes.Clientset {
	t.Helper()
	admin, ctx := clientOf(t, cp), t.Context()
	if _, err := admin.CoreV1().ServiceAccounts(namespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.RbacV1().Roles(namespace).Create(ctx, &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "list"}}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.RbacV1().RoleBindings(namespace).Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "Role", Name: name},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: name, Namespace: namespace}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	token, err := admin.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	config, err := cp.RESTConfig()
	if err != nil {
		t.Fatal(err)
	}
	config = rest.AnonymousClientConfig(config)
	config.BearerToken = token.Status.Token
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestRBACAndAuditOfAServiceAccount(t *testing.T) {
	t.Parallel()
	cp := Shared(t)
	namespace := cp.Namespace(t)
	reader, ctx := asServiceAccount(t, cp, namespace, "reader"), t.Context()
	user := "system:serviceaccount:" + namespace + ":reader"
	mark, err := cp.Audit().Mark()
	if err != nil {
		t.Fatal(err)
	}

	eventually(t, "the right to read", func() (bool, string) {
		_, err := reader.CoreV1().ConfigMaps(namespace).List(ctx, metav1.ListOptions{})
		return err == nil, "refused"
	})
	config := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "forbidden"}, Data: map[string]string{"k": "v"}}
	if _, err := reader.CoreV1().ConfigMaps(namespace).Create(ctx, config, metav1.CreateOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("creating without the right to: %v, want forbidden", err)
	}
	if _, err := reader.CoreV1().Secrets(namespace).List(ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("reading secrets without the right to: %v, want forbidden", err)
	}

	events, err := cp.Audit().Since(mark)
	if err != nil {
		t.Fatal(err)
	}
	writes := events.Writes(user)
	if len(writes) != 1 || writes[0].Code != 403 || writes[0].Resource != "configmaps" || writes[0].Namespace != namespace {
		t.Errorf("the refused write is not what the audit log shows: %v", writes)
	}
	var reads []string
	for _, e := range events.By(user) {
		reads = append(reads, e.Verb+" "+e.Resource)
	}
	if all := strings.Join(reads, ", "); !strings.Contains(all, "list configmaps") || !strings.Contains(all, "list secrets") {
		t.Errorf("the audit log shows these requests: %s", all)
	}
}

func TestAuditJudgesWrites(t *testing.T) {
	t.Parallel()
	cp := Shared(t)
	admin, namespace, ctx := clientOf(t, cp), cp.Namespace(t), t.Context()
	mark, err := cp.Audit().Mark()
	if err != nil {
		t.Fatal(err)
	}
	maps := admin.CoreV1().ConfigMaps(namespace)
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings"}, Data: map[string]string{"colour": "blue"}}
	dry := []string{metav1.DryRunAll}
	if _, err := maps.Create(ctx, object, metav1.CreateOptions{DryRun: dry, FieldManager: "trial"}); err != nil {
		t.Fatal(err)
	}
	if _, err := maps.Create(ctx, object, metav1.CreateOptions{FieldManager: "hand"}); err != nil {
		t.Fatal(err)
	}
	if err := maps.Delete(ctx, "settings", metav1.DeleteOptions{DryRun: dry}); err != nil {
		t.Fatal(err)
	}
	impersonated, err := cp.RESTConfig()
	if err != nil {
		t.Fatal(err)
	}
	impersonated.Impersonate = rest.ImpersonationConfig{UserName: "jane", Groups: []string{"system:masters"}}
	jane, err := kubernetes.NewForConfig(impersonated)
	if err != nil {
		t.Fatal(err)
	}
	if err := jane.CoreV1().ConfigMaps(namespace).Delete(ctx, "settings", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}

	// Each request was answered, so each is in the log by now.
	events, err := cp.Audit().Since(mark)
	if err != nil {
		t.Fatal(err)
	}
	var here Events
	for _, e := range events {
		if e.Namespace == namespace && e.Resource == "configmaps" && e.Name == "settings" {
			here = append(here, e)
		}
	}
	if len(here) != 4 {
		t.Fatalf("four requests were made; the log has:\n%v", here)
	}
	writes := here.Writes("kubernetes-admin")
	if len(writes) != 2 || writes[0].Verb != "create" || writes[1].Verb != "delete" {
		t.Fatalf("a creation and a deletion are not dry runs; the log has %v", writes)
	}
	if writes[0].FieldManager != "hand" || !strings.Contains(string(writes[0].RequestObject), "blue") {
		t.Errorf("the creation lacks its manager or its object: %+v", writes[0])
	}
	if by := here.Writes("jane"); len(by) != 1 || by[0].Verb != "delete" || by[0].User != "kubernetes-admin" {
		t.Errorf("the deletion as jane is not hers: %v", by)
	}
}

func TestFieldManagersHaveUpstreamsNames(t *testing.T) {
	t.Parallel()
	cp := Shared(t)
	client, namespace := clientOf(t, cp), cp.Namespace(t)
	apply(t, cp, deployments, namespace, "web", deployment("web", 1))
	eventually(t, "the managers of a rolled-out Deployment", func() (bool, string) {
		d, err := client.AppsV1().Deployments(namespace).Get(t.Context(), "web", metav1.GetOptions{})
		if err != nil {
			return false, err.Error()
		}
		list, err := client.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return false, err.Error()
		}
		managers := map[string]bool{}
		for _, f := range d.ManagedFields {
			managers[f.Manager] = true
		}
		for _, pod := range list.Items {
			for _, f := range pod.ManagedFields {
				managers[f.Manager] = true
			}
		}
		return managers["test-applier"] && managers["kube-controller-manager"] && managers["kubelet"] && len(managers) == 3, fmt.Sprint(managers)
	})
}

func TestPodSecurityIsEnforced(t *testing.T) {
	t.Parallel()
	cp := Shared(t)
	client, namespace := clientOf(t, cp), cp.Namespace(t)
	if _, err := client.CoreV1().Namespaces().Patch(t.Context(), namespace, "application/merge-patch+json",
		[]byte(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err := client.CoreV1().Pods(namespace).Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "loose"},
		Spec:       corev1.PodSpec{HostNetwork: true, Containers: []corev1.Container{{Name: "c", Image: "registry.example/c:1"}}},
	}, metav1.CreateOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "PodSecurity") {
		t.Errorf("a pod in the host's network in a restricted namespace: %v, want PodSecurity to refuse it", err)
	}
}

func TestAuditSeesServerSideApply(t *testing.T) {
	t.Parallel()
	cp := Shared(t)
	namespace := cp.Namespace(t)
	for _, test := range []struct {
		name, object, body string
		code               int
		kept               bool
	}{
		{"as JSON, with its object and its answer", "as-json", `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"as-json"}}`, 201, true},
		{"as YAML, without either", "as-yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: as-yaml}\n", 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			mark, err := cp.Audit().Mark()
			if err != nil {
				t.Fatal(err)
			}
			applyBody(t, cp, configMaps, namespace, test.object, []byte(test.body))
			events, err := cp.Audit().Since(mark)
			if err != nil {
				t.Fatal(err)
			}
			var seen Events
			for _, e := range events.Writes("kubernetes-admin") {
				if e.Namespace == namespace && e.Name == test.object {
					seen = append(seen, e)
				}
			}
			if len(seen) != 1 || seen[0].Verb != "patch" || seen[0].FieldManager != "test-applier" || seen[0].Code != test.code || (len(seen[0].RequestObject) > 0) != test.kept {
				t.Errorf("the apply is in the audit log as %+v", seen)
			}
		})
	}
}
