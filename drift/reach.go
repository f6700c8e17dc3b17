package drift

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pawl-dev/pawl/environments"
)

// Reach is what the releases of an environment may write and delete, by the
// agent's configuration. What belongs to the agent itself is never in it.
type Reach struct {
	// Own is the agent's namespace.
	Own string
	// Namespaces are those that may be written, each exact or a prefix with "*"
	// behind it; none: all of them.
	Namespaces []string
	// Allow and Deny are kinds: "Secret", "Deployment.apps", "*.acme.io". None
	// under Allow: all of them. Deny counts more.
	Allow, Deny []string
	// Cluster are the kinds without a namespace that may be written, Namespaces
	// aside, which count by their name. None: all of them, as long as Namespaces
	// says nothing either.
	Cluster []string
}

// agentsOwn are the kinds outside of its namespace that an agent's rights and
// guard are made of. Those named "pawl", or "pawl-…", are never written.
var agentsOwn = map[[2]string]bool{
	{"rbac.authorization.k8s.io", "ClusterRole"}:                         true,
	{"rbac.authorization.k8s.io", "ClusterRoleBinding"}:                  true,
	{"rbac.authorization.k8s.io", "Role"}:                                true,
	{"rbac.authorization.k8s.io", "RoleBinding"}:                         true,
	{"admissionregistration.k8s.io", "ValidatingAdmissionPolicy"}:        true,
	{"admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"}: true,
	{"admissionregistration.k8s.io", "MutatingAdmissionPolicy"}:          true,
	{"admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"}:   true,
	{"admissionregistration.k8s.io", "ValidatingWebhookConfiguration"}:   true,
	{"admissionregistration.k8s.io", "MutatingWebhookConfiguration"}:     true,
}

// Refuses says why an object may be neither written nor deleted; empty if it
// may. Every object goes through here, whatever its labels and annotations.
func (r Reach) Refuses(id ObjectID) string {
	namespace := id.Namespace
	isNamespace := id.Group == "" && id.Kind == "Namespace"
	if isNamespace {
		namespace = id.Name
	}
	switch {
	case r.Own != "" && namespace == r.Own:
		return fmt.Sprintf("namespace %s is the agent's own, which no commit reaches", r.Own)
	case agentsOwn[[2]string{id.Group, id.Kind}] && (id.Name == "pawl" || strings.HasPrefix(id.Name, "pawl-")):
		return `what is named "pawl" or "pawl-…" among rights and admission rules is the agent's own, which no commit reaches`
	case matchesKind(r.Deny, id):
		return "its kind is denied here (environments[].kinds.deny of the agent's configuration)"
	case len(r.Allow) > 0 && !matchesKind(r.Allow, id):
		return "its kind is not among those allowed here (environments[].kinds.allow of the agent's configuration)"
	case namespace == "" && (len(r.Cluster) > 0 || len(r.Namespaces) > 0) && !matchesKind(r.Cluster, id):
		return "it has no namespace, and its kind is not among those that may be so here (environments[].kinds.cluster of the agent's configuration)"
	case namespace != "" && len(r.Namespaces) > 0 && !slices.ContainsFunc(r.Namespaces, func(p string) bool { return matchesName(p, namespace) }):
		return fmt.Sprintf("namespace %s is not among those allowed here (environments[].namespaces of the agent's configuration)", namespace)
	}
	return ""
}

func matchesKind(patterns []string, id ObjectID) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		kind, group, _ := strings.Cut(p, ".")
		return group == id.Group && (kind == "*" || kind == id.Kind)
	})
}

func matchesName(pattern, name string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(name, prefix)
	}
	return pattern == name
}

// Check looks at all objects of a release, in their namespaces. The error is
// *OutOfReach and names all that are refused.
func (r Reach) Check(target environments.Target, objects []*unstructured.Unstructured) error {
	outside := &OutOfReach{Target: target, Of: len(objects)}
	for _, o := range objects {
		id := IDOf(o)
		if why := r.Refuses(id); why != "" {
			outside.Problems = append(outside.Problems, Problem{Object: id, Reason: why})
		} else if field := r.bindsAgent(id, o); field != "" {
			outside.Problems = append(outside.Problems, Problem{Object: id, Field: field, Reason: fmt.Sprintf("gives rights to an account of the agent's namespace %s, which no commit does", r.Own)})
		}
	}
	if len(outside.Problems) == 0 {
		return nil
	}
	slices.SortStableFunc(outside.Problems, func(a, b Problem) int { return compareIDs(a.Object, b.Object) })
	return outside
}

// bindsAgent finds the subject by which a binding would give the agent rights.
func (r Reach) bindsAgent(id ObjectID, o *unstructured.Unstructured) (field string) {
	if r.Own == "" || id.Group != "rbac.authorization.k8s.io" || id.Kind != "RoleBinding" && id.Kind != "ClusterRoleBinding" {
		return ""
	}
	subjects, _, _ := unstructured.NestedSlice(o.Object, "subjects")
	for i, s := range subjects {
		subject, _ := s.(map[string]any)
		kind, _ := subject["kind"].(string)
		namespace, _ := subject["namespace"].(string)
		name, _ := subject["name"].(string)
		account := kind == "ServiceAccount" && (namespace == r.Own || namespace == "" && id.Namespace == r.Own)
		if account || strings.HasPrefix(name, "system:serviceaccount:"+r.Own+":") || name == "system:serviceaccounts:"+r.Own {
			return fmt.Sprintf("subjects[%d]", i)
		}
	}
	return ""
}

// OutOfReach says that a release has objects that its environment may not have.
type OutOfReach struct {
	Target   environments.Target
	Of       int // how many objects the release has
	Problems []Problem
}

func (e *OutOfReach) Error() string {
	var lines strings.Builder
	for _, p := range e.Problems {
		fmt.Fprintf(&lines, "\n  %s", p)
	}
	return fmt.Sprintf("%s: %d of %d objects are out of its reach, nothing was written:%s", e.Target, len(e.Problems), e.Of, lines.String())
}
