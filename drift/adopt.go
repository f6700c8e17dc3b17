package drift

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pawl-dev/pawl/environments"
)

// AnnotationAdopt names tools, with commas between them, from which an object may
// be taken over, beside those of its environment. It counts only as the release
// declares it.
const AnnotationAdopt = "pawl.dev/adopt"

// Claim is another tool's mark on an object: it applies the object, and would
// undo what we write or delete it.
type Claim struct {
	Tool environments.Tool
	Name string // "Helm release shop/web"
}

// claimsOn finds the marks of other tools. Labels that people and charts write
// themselves, such as app.kubernetes.io/managed-by alone, are none.
func claimsOn(obj *unstructured.Unstructured) []Claim {
	labels, annotations := obj.GetLabels(), obj.GetAnnotations()
	pair := func(of map[string]string, prefix string) string {
		namespace, name := of[prefix+"namespace"], of[prefix+"name"]
		if namespace == "" || name == "" {
			return ""
		}
		return namespace + "/" + name
	}
	helm, installed := "", pair(labels, "helm.toolkit.fluxcd.io/")
	if labels["app.kubernetes.io/managed-by"] == "Helm" && installed == "" { // Flux installs by Helm, and then both marks are its own
		helm = pair(annotations, "meta.helm.sh/release-")
	}
	tracking, _, _ := strings.Cut(annotations["argocd.argoproj.io/tracking-id"], ":")
	if instance := labels["app.kubernetes.io/instance"]; tracking == "" && instance != "" && slices.ContainsFunc(managersOf(obj), func(m manager) bool {
		return slices.Contains(managersOfTool[environments.ArgoCD], m.name)
	}) {
		tracking = instance
	}
	configSync := ""
	if annotations["configmanagement.gke.io/managed"] == "enabled" {
		configSync = annotations["configsync.gke.io/manager"]
	}
	var claims []Claim
	for _, c := range []struct {
		tool       environments.Tool
		what, name string
	}{
		{environments.Flux, "Flux Kustomization", pair(labels, "kustomize.toolkit.fluxcd.io/")},
		{environments.Flux, "Flux HelmRelease", installed},
		{environments.ArgoCD, "Argo CD Application", tracking},
		{environments.ConfigSync, "Config Sync", configSync},
		{environments.Kubectl, "kubectl ApplySet", labels["applyset.kubernetes.io/part-of"]},
		{environments.Helm, "Helm release", helm},
	} {
		if c.name != "" {
			claims = append(claims, Claim{c.tool, c.what + " " + c.name})
		}
	}
	return claims
}

// managersOfTool are the field managers by which tools write what they declare.
var managersOfTool = map[environments.Tool][]string{
	environments.ArgoCD:     {"argocd-controller", "argocd-application-controller"},
	environments.ConfigSync: {"configsync"},
	environments.Flux:       {"kustomize-controller", "helm-controller"},
	environments.Helm:       {"helm"},
	environments.Kubectl:    {"kubectl", "kubectl-client-side-apply"},
}

// adopts reads from which tools an object may be taken over. The reason says
// what is wrong with its own word.
func adopts(annotations map[string]string) (tools []environments.Tool, reason string) {
	text, ok := annotations[AnnotationAdopt]
	if !ok {
		return nil, ""
	}
	for _, name := range strings.Split(text, ",") {
		tool := environments.Tool(strings.TrimSpace(name))
		if wrong := tool.Check(); wrong != "" {
			return nil, wrong
		}
		tools = append(tools, tool)
	}
	return tools, ""
}

// NotAdopted are the claims on an object without our mark that keep it from being
// taken over: each of its tools must be named. Objects that no tool claims have none.
func (w Wanted) NotAdopted(claims []Claim) []Claim {
	return slices.DeleteFunc(slices.Clone(claims), func(c Claim) bool { return slices.Contains(w.Adopt, c.Tool) })
}

// Inherit is what metadata.managedFields of an object has to be for pawl to own
// all that the tools declared in it; nil if they declared nothing. The apply
// that follows removes what it does not declare itself. Otherwise that would
// stay in the object for ever, and nobody would know of it.
//
// It does for all managers what client-go's csaupgrade does for those of an
// Update, as tools apply on the server, too.
func Inherit(live *unstructured.Unstructured, tools []environments.Tool) []any {
	entries, _, _ := unstructured.NestedSlice(live.Object, "metadata", "managedFields") // a deep copy
	own := ownEntry(entries, live.GetAPIVersion())
	fields, _ := own["fieldsV1"].(map[string]any)
	if fields == nil {
		fields = map[string]any{}
	}
	inherited := false
	rest := make([]any, 0, len(entries)+1)
	for _, e := range entries {
		entry, _ := e.(map[string]any)
		name, _ := entry["manager"].(string)
		theirs, _ := entry["fieldsV1"].(map[string]any)
		of := slices.ContainsFunc(tools, func(t environments.Tool) bool { return slices.Contains(managersOfTool[t], name) })
		if !of || entry["subresource"] != nil || entry["apiVersion"] != own["apiVersion"] {
			if !isOwn(e) {
				rest = append(rest, e)
			}
			continue
		}
		merge(fields, theirs)
		inherited = true
	}
	if !inherited {
		return nil
	}
	own["fieldsV1"] = fields
	return append(rest, own)
}

// TakenOver is what people read of an object that is taken over.
func (l Live) TakenOver() string {
	if len(l.Claims) == 0 {
		return "is there already; taken over"
	}
	return "is there already; taken over from " + names(l.Claims)
}

func names(claims []Claim) string {
	var names []string
	for _, c := range claims {
		names = append(names, c.Name)
	}
	return strings.Join(names, " and ")
}
