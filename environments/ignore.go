package environments

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Ignore names fields of some objects that are left to others. An object must
// match all that the entry says of it.
type Ignore struct {
	// The kind's API version. The group in it counts, not the version.
	APIVersion string `json:"apiVersion" jsonschema:"minLength=1,maxLength=317,example=apps/v1"`
	Kind       string `json:"kind" jsonschema:"minLength=1,maxLength=63,example=Deployment"`
	// The objects' names, "*" standing for any text: all if left out.
	Name string `json:"name,omitempty" jsonschema:"minLength=1,maxLength=253,example=web-*"`
	// The objects' namespaces, "*" standing for any text: all if left out.
	Namespace string `json:"namespace,omitempty" jsonschema:"minLength=1,maxLength=63,example=shop-*"`
	// The fields, as drift is reported: "spec.replicas", or an item of a list by
	// its key: "spec.template.spec.containers[name=web].resources". Images and
	// roots of an object are refused.
	Fields []string `json:"fields" jsonschema:"minItems=1,maxItems=100,example=spec.replicas"`
}

// Group is the API group; empty for core kinds.
func (i Ignore) Group() string { return groupOf(i.APIVersion) }

func groupOf(version string) string {
	group, _, grouped := strings.Cut(version, "/")
	if !grouped {
		return ""
	}
	return group
}

// objectPattern is a name of objects that may hold "*".
var objectPattern = regexp.MustCompile(`^[A-Za-z0-9*:._-]+$`)

// check reports what the schema cannot know. What a field may be is known to
// who compares objects: drift.CheckIgnore.
func (i Ignore) check(doc *Document, at string) {
	checkKind(doc, at, i.APIVersion, i.Kind)
	for name, pattern := range map[string]string{"name": i.Name, "namespace": i.Namespace} {
		if pattern != "" && !objectPattern.MatchString(pattern) {
			doc.Report(at+"."+name, `%s is no name; write it like web, or web-* with "*" for any text`, quote(pattern))
		}
	}
	for j, field := range i.Fields {
		if first := slices.Index(i.Fields, field); first < j {
			doc.Report(fmt.Sprintf("%s.fields[%d]", at, j), "%s is named twice", quote(field))
		}
	}
}

// checkKind reports whether a kind is written as one.
func checkKind(doc *Document, at, version, kind string) bool {
	if version != "" && !apiVersion.MatchString(version) {
		doc.Report(at+".apiVersion", "%s is no API version; write it like databases.acme.dev/v1", quote(version))
		return false
	}
	if kind != "" && !kindName.MatchString(kind) {
		doc.Report(at+".kind", "%s is no kind; write it like Database", quote(kind))
		return false
	}
	return version != "" && kind != ""
}
