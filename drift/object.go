// Package drift decides what happens to live objects: the plan, the
// inventory, health, and what counts as drift. A first apply is just the
// largest drift. Kubernetes itself is in cluster.
package drift

import "strings"

// ObjectID names an object across API versions.
type ObjectID struct {
	Group, Kind, Namespace, Name string
}

// String is the object as people read it: "Deployment shop-dev/web".
func (id ObjectID) String() string {
	name := id.Name
	if id.Namespace != "" {
		name = id.Namespace + "/" + id.Name
	}
	kind := id.Kind
	if strings.Contains(id.Group, ".") && !strings.HasSuffix(id.Group, ".k8s.io") {
		kind += "." + id.Group
	}
	return kind + " " + name
}
