package environments

import (
	"fmt"
	"regexp"
)

// HealthCheck says how the health of one kind of objects is told: expressions
// in CEL over the object, whose fields stand at the top: "status.phase", or
// behind "object". The entries are those of Flux's healthCheckExprs.
type HealthCheck struct {
	// The kind's API version. The group in it counts, not the version: objects of
	// other versions are judged in the same way.
	APIVersion string `json:"apiVersion" jsonschema:"minLength=1,maxLength=317,example=databases.acme.dev/v1"`
	Kind       string `json:"kind" jsonschema:"minLength=1,maxLength=63,example=Database"`
	// When an object is still on its way, whatever the other expressions say.
	InProgress string `json:"inProgress,omitempty" jsonschema:"minLength=1,maxLength=4096,example=status.phase == 'Upgrading'"`
	// When an object has failed and somebody must act.
	Failed string `json:"failed,omitempty" jsonschema:"minLength=1,maxLength=4096,example=status.phase == 'Broken'"`
	// When an object is as declared and serves. What is none of the three is on
	// its way.
	Current string `json:"current" jsonschema:"minLength=1,maxLength=4096,example=status.phase == 'Running'"`
	// What reports say of an object that is not current: a text. If left out, that
	// is what its status or its conditions say.
	Message string `json:"message,omitempty" jsonschema:"minLength=1,maxLength=4096,example=status.reason"`
}

// Group is the API group; empty for core kinds.
func (h HealthCheck) Group() string { return groupOf(h.APIVersion) }

// Accepted forms of what names a kind.
var (
	apiVersion = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*/)?v[0-9]+((alpha|beta)[0-9]+)?$`)
	kindName   = regexp.MustCompile(`^[A-Z][A-Za-z0-9]*$`)
)

func (s Spec) checkHealth(doc *Document) {
	seen := map[[2]string]int{}
	for i, h := range s.Health {
		at := fmt.Sprintf("spec.health[%d]", i)
		if !checkKind(doc, at, h.APIVersion, h.Kind) {
			continue
		}
		if h.Group() == "" && h.Kind == "Secret" {
			doc.Report(at, "a Secret has no health, and what is in it must not get into reports; take the entry out")
			continue
		}
		kind := [2]string{h.Group(), h.Kind}
		if first, twice := seen[kind]; twice {
			doc.Report(at, "%s of %s is judged by spec.health[%d] already; versions do not count, so make one of the two", h.Kind, quote(h.APIVersion), first)
			continue
		}
		seen[kind] = i
	}
}
