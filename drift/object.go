// Package drift decides what happens to live objects: the plan, the
// inventory, health, and what counts as drift. A first apply is just the
// largest drift. Kubernetes itself is in cluster.
package drift

import (
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// ObjectID names an object across API versions.
type ObjectID struct {
	Group, Kind, Namespace, Name string
}

// IDOf returns the name of an object.
func IDOf(obj *unstructured.Unstructured) ObjectID {
	gvk := obj.GroupVersionKind()
	return ObjectID{Group: gvk.Group, Kind: gvk.Kind, Namespace: obj.GetNamespace(), Name: obj.GetName()}
}

// NameOf is an object as a release calls it: render.Image.Object.
func NameOf(o *unstructured.Unstructured) string {
	name := o.GetName()
	if ns := o.GetNamespace(); ns != "" {
		name = ns + "/" + name
	}
	return o.GetKind() + " " + name
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

// less orders objects for reading: by kind, namespace, name.
func (id ObjectID) less(other ObjectID) bool {
	switch {
	case id.Group != other.Group:
		return id.Group < other.Group
	case id.Kind != other.Kind:
		return id.Kind < other.Kind
	case id.Namespace != other.Namespace:
		return id.Namespace < other.Namespace
	default:
		return id.Name < other.Name
	}
}
