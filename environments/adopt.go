package environments

import (
	"fmt"
	"slices"
	"strings"
)

// Tool is something else that applies objects and may own them.
type Tool string

const (
	ArgoCD     Tool = "argocd"
	ConfigSync Tool = "configsync"
	Flux       Tool = "flux"
	Helm       Tool = "helm"
	Kubectl    Tool = "kubectl"
)

var tools = []string{string(ArgoCD), string(ConfigSync), string(Flux), string(Helm), string(Kubectl)}

// Check says what is wrong with the name of a tool; empty if it is known.
func (t Tool) Check() string {
	if slices.Contains(tools, string(t)) {
		return ""
	}
	return fmt.Sprintf("%s is no tool that is known; write one of %s", quote(string(t)), strings.Join(tools, ", "))
}

func checkAdopt(doc *Document, at string, adopt []Tool) {
	for i, tool := range adopt {
		here := fmt.Sprintf("%s.adopt[%d]", at, i)
		if wrong := tool.Check(); wrong != "" {
			doc.Report(here, "%s", wrong)
		} else if slices.Contains(adopt[:i], tool) {
			doc.Report(here, "%s is named twice", quote(string(tool)))
		}
	}
}
