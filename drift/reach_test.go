package drift

import (
	"errors"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// catalogue 23, 24
func TestWhatIsOutOfReach(t *testing.T) {
	t.Parallel()
	all := Reach{Own: "pawl-system"}
	confined := Reach{Own: "pawl-system", Namespaces: []string{"shop", "shop-*"}, Deny: []string{"RoleBinding.rbac.authorization.k8s.io"}, Cluster: []string{"ClusterIssuer.cert-manager.io"}}
	listed := Reach{Own: "pawl-system", Allow: []string{"ConfigMap", "*.apps"}}
	rbac := "rbac.authorization.k8s.io"
	for name, c := range map[string]struct {
		reach Reach
		id    ObjectID
		want  string // a part of the reason; empty: it may be written
	}{
		"anything where nothing is said":           {all, web, ""},
		"a kind without a namespace":               {all, ObjectID{Group: "storage.k8s.io", Kind: "StorageClass", Name: "fast"}, ""},
		"an object in the agent's namespace":       {all, ObjectID{Kind: "ConfigMap", Namespace: "pawl-system", Name: "pawl-config"}, "the agent's own"},
		"an inventory":                             {all, ObjectID{Kind: "ConfigMap", Namespace: "pawl-system", Name: "pawl-inventory-x"}, "the agent's own"},
		"its lease":                                {all, ObjectID{Group: "coordination.k8s.io", Kind: "Lease", Namespace: "pawl-system", Name: "x"}, "the agent's own"},
		"its namespace":                            {all, ObjectID{Kind: "Namespace", Name: "pawl-system"}, "the agent's own"},
		"its rights":                               {all, ObjectID{Group: rbac, Kind: "ClusterRole", Name: "pawl-apply"}, "the agent's own"},
		"its rights in a namespace":                {all, ObjectID{Group: rbac, Kind: "RoleBinding", Namespace: "shop", Name: "pawl"}, "the agent's own"},
		"its guard":                                {all, ObjectID{Group: "admissionregistration.k8s.io", Kind: "ValidatingAdmissionPolicy", Name: "pawl-own-namespace"}, "the agent's own"},
		"an application of that name":              {all, ObjectID{Kind: "ConfigMap", Namespace: "shop", Name: "pawl-config"}, ""},
		"rights of another name":                   {all, ObjectID{Group: rbac, Kind: "ClusterRole", Name: "pawlowski"}, ""},
		"a namespace that is allowed":              {confined, ObjectID{Kind: "ConfigMap", Namespace: "shop", Name: "c"}, ""},
		"one that begins so":                       {confined, ObjectID{Kind: "ConfigMap", Namespace: "shop-dev", Name: "c"}, ""},
		"one that only looks like it":              {confined, ObjectID{Kind: "ConfigMap", Namespace: "shopping", Name: "c"}, "namespace shopping is not among those"},
		"another one":                              {confined, ObjectID{Kind: "ConfigMap", Namespace: "kube-system", Name: "c"}, "namespace kube-system is not among those"},
		"the Namespace itself":                     {confined, ObjectID{Kind: "Namespace", Name: "shop-dev"}, ""},
		"another Namespace":                        {confined, ObjectID{Kind: "Namespace", Name: "kube-system"}, "namespace kube-system is not among those"},
		"a kind without a namespace, confined":     {confined, ObjectID{Group: rbac, Kind: "ClusterRole", Name: "x"}, "it has no namespace"},
		"one that is listed":                       {confined, ObjectID{Group: "cert-manager.io", Kind: "ClusterIssuer", Name: "x"}, ""},
		"the same kind of another group":           {confined, ObjectID{Group: "acme.io", Kind: "ClusterIssuer", Name: "x"}, "it has no namespace"},
		"a kind that is denied":                    {confined, ObjectID{Group: rbac, Kind: "RoleBinding", Namespace: "shop", Name: "x"}, "is denied"},
		"a kind that is allowed":                   {listed, conf, ""},
		"all kinds of a group":                     {listed, web, ""},
		"a kind that is not":                       {listed, ObjectID{Kind: "Secret", Namespace: "shop", Name: "x"}, "not among those allowed"},
		"a kind of the same name in another group": {listed, ObjectID{Group: "acme.io", Kind: "ConfigMap", Namespace: "shop", Name: "x"}, "not among those allowed"},
	} {
		if got := c.reach.Refuses(c.id); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

// catalogue 24
func TestNoCommitGivesTheAgentRights(t *testing.T) {
	t.Parallel()
	for subject, refused := range map[string]bool{
		"{kind: ServiceAccount, name: pawl, namespace: pawl-system}":    true,
		"{kind: User, name: 'system:serviceaccount:pawl-system:pawl'}":  true,
		"{kind: Group, name: 'system:serviceaccounts:pawl-system'}":     true,
		"{kind: ServiceAccount, name: pawl, namespace: shop}":           false,
		"{kind: User, name: 'system:serviceaccount:pawl-systems:pawl'}": false,
	} {
		o := object(t, "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: more, namespace: shop}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin}\nsubjects: ["+subject+"]\n")
		err := Reach{Own: "pawl-system"}.Check(production, []*unstructured.Unstructured{o})
		var outside *OutOfReach
		if errors.As(err, &outside) != refused || refused && outside.Problems[0].Field != "subjects[0]" {
			t.Errorf("%s: got %v", subject, err)
		}
	}
}

// catalogue 23
func TestWhatIsOutOfReachIsNotDeletedEither(t *testing.T) {
	t.Parallel()
	plan, err := Decide(Situation{Target: production, Mark: ours, MaxPercent: 100, Wanted: wantedOf("wanted", web), Inventory: inventoryOf(entry, web, conf),
		Live: map[ObjectID]Live{web: asLeft, conf: asLeft}, Reach: Reach{Namespaces: []string{"other"}}})
	if err != nil || plan.Count(Delete) != 0 || !strings.Contains(plan.Steps[1].Reason, "namespace shop is not among those") {
		t.Errorf("got %v, %v", plan.Steps, err)
	}
}
