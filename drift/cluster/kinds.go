package cluster

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pawl-dev/pawl/drift"
)

// kind is where the objects of a kind are served.
type kind struct {
	gvr        schema.GroupVersionResource
	gvk        schema.GroupVersionKind
	namespaced bool
	// coming says that the cluster does not serve the kind yet, and its
	// definition is in the same release.
	coming bool
}

// definition is a custom resource definition that a release brings.
type definition struct {
	id   drift.ObjectID
	kind kind
}

// definitions finds what a release itself defines.
func definitions(objects []*unstructured.Unstructured) map[schema.GroupKind]definition {
	found := map[schema.GroupKind]definition{}
	for _, o := range objects {
		if gvk := o.GroupVersionKind(); gvk.Group != "apiextensions.k8s.io" || gvk.Kind != "CustomResourceDefinition" {
			continue
		}
		text := func(path ...string) string { s, _, _ := unstructured.NestedString(o.Object, path...); return s }
		gk := schema.GroupKind{Group: text("spec", "group"), Kind: text("spec", "names", "kind")}
		found[gk] = definition{drift.IDOf(o), kind{
			gvr:        schema.GroupVersionResource{Group: gk.Group, Resource: text("spec", "names", "plural")},
			gvk:        gk.WithVersion(""),
			namespaced: text("spec", "scope") == "Namespaced",
		}}
	}
	return found
}

// kindOf finds where a kind is served. brought are the definitions in the
// same release.
func (c *Cluster) kindOf(gvk schema.GroupVersionKind, brought map[schema.GroupKind]definition) (kind, error) {
	mapping, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	switch {
	case err == nil:
		return kind{gvr: mapping.Resource, gvk: gvk, namespaced: mapping.Scope.Name() == meta.RESTScopeNameNamespace}, nil
	case !meta.IsNoMatchError(err):
		return kind{}, fmt.Errorf("finding where %s is served: %w", gvk, err)
	}
	if d, ok := brought[gvk.GroupKind()]; ok {
		k := d.kind
		k.gvk.Version, k.gvr.Version, k.coming = gvk.Version, gvk.Version, true
		return k, nil
	}
	return kind{}, &notServed{gvk}
}

// notServed says that the cluster does not have a kind.
type notServed struct{ gvk schema.GroupVersionKind }

func (e *notServed) Error() string {
	return fmt.Sprintf("the cluster does not serve %s in %s; install what defines it, or use a version that is served", e.gvk.Kind, e.gvk.GroupVersion())
}

// surelyNotServed makes sure that a kind is gone, and not only unknown because
// the server of its group is down: only then are its objects gone too.
func (c *Cluster) surelyNotServed(ctx context.Context, gvk schema.GroupVersionKind) bool {
	result := c.rest.Get().AbsPath("/apis/" + gvk.Group + "/" + gvk.Version).Do(ctx)
	err := result.Error()
	if apierrors.IsNotFound(err) {
		return true
	}
	if err != nil {
		return false
	}
	list, err := c.discovery.ServerResourcesForGroupVersion(gvk.GroupVersion().String())
	if err != nil {
		return false
	}
	for _, r := range list.APIResources {
		if r.Kind == gvk.Kind {
			return false
		}
	}
	return true
}
