package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"

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
	return kind{}, &notServed{gvk: gvk}
}

// notServed says that the cluster does not have a kind, or not in a version.
type notServed struct {
	gvk      schema.GroupVersionKind
	resource string   // empty if it never was known
	versions []string // in which it has it
}

// awaits is the definition that may bring the kind; zero if the cluster has it
// already, or it is none that can be defined.
func (e *notServed) awaits() drift.ObjectID {
	if len(e.versions) > 0 || !strings.Contains(e.gvk.Group, ".") {
		return drift.ObjectID{}
	}
	if e.resource == "" {
		plural, _ := meta.UnsafeGuessKindToResource(e.gvk) // where it is another, the next try finds it
		return definitionID(plural.GroupResource())
	}
	return definitionID(schema.GroupResource{Group: e.gvk.Group, Resource: e.resource})
}

func (e *notServed) Error() string {
	if len(e.versions) > 0 {
		return fmt.Sprintf("the cluster does not serve %s in %s, but in %s; write that under apiVersion", e.gvk.Kind, e.gvk.GroupVersion(), strings.Join(e.versions, ", "))
	}
	return fmt.Sprintf("the cluster does not serve %s in %s; install what defines it, or use a version that is served", e.gvk.Kind, e.gvk.GroupVersion())
}

// named is e with the versions that are served, as far as that can be found out.
func (e *notServed) named(ctx context.Context, c *Cluster) *notServed {
	named := &notServed{gvk: e.gvk, resource: e.resource}
	kinds, _ := c.served(ctx, e.gvk.GroupKind())
	for _, k := range kinds {
		named.versions = append(named.versions, k.gvk.GroupVersion().String())
	}
	return named
}

// served finds the versions in which a kind is served now, whatever was known
// of it before.
func (c *Cluster) served(ctx context.Context, gk schema.GroupKind) ([]kind, error) {
	_, lists, err := c.discovery.ServerGroupsAndResources()
	var partial *discovery.ErrGroupDiscoveryFailed
	if err != nil && !errors.As(err, &partial) {
		return nil, fmt.Errorf("finding the versions of %s: %w", gk, err)
	}
	if partial != nil {
		for gv, err := range partial.Groups {
			if gv.Group == gk.Group {
				return nil, fmt.Errorf("finding the versions of %s: %w", gk, err)
			}
		}
	}
	var found []kind
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil || gv.Group != gk.Group {
			continue
		}
		for _, r := range list.APIResources {
			gvk := gv.WithKind(r.Kind)
			// What is told of all kinds may be behind; a kind's own path is not.
			if r.Kind == gk.Kind && !strings.Contains(r.Name, "/") && !c.surelyNotServed(ctx, gvk) {
				found = append(found, kind{gvr: gv.WithResource(r.Name), gvk: gvk, namespaced: r.Namespaced})
			}
		}
	}
	return found, nil
}

// whereabouts are where the objects of a kind can be read. What they cost is
// asked once, however many objects there are.
type whereabouts struct {
	here      func() (kind, error)   // in the version that they were applied with
	elsewhere func() ([]kind, error) // in others, if the cluster surely does not serve that
}

func (c *Cluster) whereabouts(ctx context.Context, gvk schema.GroupVersionKind) whereabouts {
	return whereabouts{
		here: sync.OnceValues(func() (kind, error) { return c.kindOf(gvk, nil) }),
		elsewhere: sync.OnceValues(func() ([]kind, error) {
			if !c.surelyNotServed(ctx, gvk) {
				return nil, &notServed{gvk: gvk} // an aggregated API that is down, say
			}
			return c.served(ctx, gvk.GroupKind())
		}),
	}
}

// find reads an object by the version that it was applied with or, if that is
// no longer served, by one that is. It returns nil for what is not there, or
// whose kind is gone.
func (c *Cluster) find(ctx context.Context, in whereabouts, id drift.ObjectID) (*unstructured.Unstructured, kind, error) {
	var missing *notServed
	k, err := in.here()
	if err == nil {
		object, err := persist(ctx, func() (*unstructured.Unstructured, error) { return c.get(ctx, k, id) })
		switch {
		case err == nil:
			return object, k, nil
		case isGone(err):
			return nil, k, nil
		case !apierrors.IsNotFound(err):
			return nil, k, err
		}
	} else if !errors.As(err, &missing) {
		return nil, k, err
	}
	others, err := in.elsewhere()
	if err != nil || len(others) == 0 {
		return nil, k, err
	}
	object, err := c.get(ctx, others[0], id)
	if isGone(err) {
		return nil, others[0], nil
	}
	return object, others[0], err
}

// isGone reports whether the API server says that an object is not there. Its
// answer for a path that it does not serve looks alike, and says nothing of
// the object.
func isGone(err error) bool {
	return apierrors.IsNotFound(err) && !apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
}

// surelyNotServed makes sure that a kind is gone, and not only unknown because
// the server of its group is down: only then are its objects gone too.
func (c *Cluster) surelyNotServed(ctx context.Context, gvk schema.GroupVersionKind) bool {
	path := "/apis/" + gvk.Group
	if gvk.Group == "" {
		path = "/api"
	}
	err := c.rest.Get().AbsPath(path + "/" + gvk.Version).Do(ctx).Error()
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
