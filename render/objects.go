package render

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/kyaml/resid"
)

// objectName is an object as reports name it: "Deployment shop-dev/web".
func objectName(o *unstructured.Unstructured) string {
	name := o.GetName()
	if ns := o.GetNamespace(); ns != "" {
		name = ns + "/" + name
	}
	return o.GetKind() + " " + name
}

// unpack replaces lists by their items, however deep they are nested: what
// judges objects must see each of them.
func unpack(objects []map[string]any) ([]*unstructured.Unstructured, error) {
	var all []*unstructured.Unstructured
	for _, content := range objects {
		kind, _ := content["kind"].(string)
		items, isList := content["items"].([]any)
		if !isList || !strings.HasSuffix(kind, "List") {
			all = append(all, &unstructured.Unstructured{Object: content})
			continue
		}
		inner := make([]map[string]any, len(items))
		for i, item := range items {
			object, ok := item.(map[string]any)
			if !ok {
				return nil, &Error{Object: kind, Field: fmt.Sprintf("items[%d]", i), Err: errors.New("is no object")}
			}
			inner[i] = object
		}
		unpacked, err := unpack(inner)
		if err != nil {
			return nil, err
		}
		all = append(all, unpacked...)
	}
	return all, nil
}

// complete refuses objects that cannot be applied and found again by name.
func complete(o *unstructured.Unstructured) error {
	at := strings.TrimSpace(objectName(o))
	metadata, isMap := o.Object["metadata"].(map[string]any)
	name, isString := metadata["name"].(string)
	apiVersion, _ := o.Object["apiVersion"].(string)
	kind, _ := o.Object["kind"].(string)
	switch {
	case apiVersion == "":
		return &Error{Object: at, Field: "apiVersion", Err: errors.New("is missing")}
	case kind == "":
		return &Error{Object: at, Field: "kind", Err: errors.New("is missing")}
	case metadata["generateName"] != nil:
		return &Error{Object: at, Field: "metadata.generateName", Err: errors.New("makes another object at every apply; give the object a name")}
	case isMap && metadata["name"] != nil && !isString:
		return &Error{Object: at, Field: "metadata.name", Err: errors.New("is no text; quote it")}
	case !isMap || name == "":
		return &Error{Object: at, Field: "metadata.name", Err: errors.New("is missing")}
	}
	if namespace := metadata["namespace"]; namespace != nil {
		if _, ok := namespace.(string); !ok {
			return &Error{Object: at, Field: "metadata.namespace", Err: errors.New("is no text; quote it")}
		}
	}
	return nil
}

// identity is what makes two objects the same for the API server, whatever
// their versions.
type identity struct{ group, kind, namespace, name string }

func identityOf(o *unstructured.Unstructured) identity {
	return identity{o.GroupVersionKind().Group, o.GetKind(), o.GetNamespace(), o.GetName()}
}

// order checks objects one by one and together, and sorts them: kustomize's
// order of kinds, namespaces and definitions first, then namespace and name.
func order(objects []*unstructured.Unstructured) error {
	seen := map[identity]*unstructured.Unstructured{}
	for _, o := range objects {
		if err := complete(o); err != nil {
			return err
		}
		clean(o)
		if other, twice := seen[identityOf(o)]; twice {
			return &Error{Object: objectName(o), Err: fmt.Errorf("is there twice, as %s and as %s; keep one", other.GetAPIVersion(), o.GetAPIVersion())}
		}
		seen[identityOf(o)] = o
	}
	slices.SortFunc(objects, func(a, b *unstructured.Unstructured) int {
		x, y := gvkOf(a), gvkOf(b)
		switch {
		case x == y:
			return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
		case x.IsLessThan(y):
			return -1
		}
		return 1
	})
	return nil
}

func gvkOf(o *unstructured.Unstructured) resid.Gvk {
	gvk := o.GroupVersionKind()
	return resid.Gvk{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind}
}

// clean removes the notes that kustomize leaves in annotations for itself.
func clean(o *unstructured.Unstructured) {
	annotations := o.GetAnnotations()
	before := len(annotations)
	for key := range annotations {
		if strings.HasPrefix(key, "internal.config.kubernetes.io/") {
			delete(annotations, key)
		}
	}
	if len(annotations) < before {
		o.SetAnnotations(annotations)
	}
}

// digestOf identifies sorted objects by their content: SHA-256 over their JSON
// with sorted keys, one object a line. It measures each on the way.
func digestOf(objects []*unstructured.Unstructured, limits Limits) (string, error) {
	h := sha256.New()
	var total int64
	for _, o := range objects {
		encoded := &counter{Writer: h}
		if err := json.NewEncoder(encoded).Encode(o.Object); err != nil { // sorts the keys of maps
			return "", &Error{Object: objectName(o), Err: fmt.Errorf("cannot be written as JSON: %w", err)}
		}
		if err := measure(o, encoded.n, limits); err != nil {
			return "", err
		}
		if total += int64(encoded.n); total > limits.Output {
			return "", &Error{Object: objectName(o), Err: &Exceeded{"output", "the objects up to this one are larger than the limit of " + size(limits.Output) + " of JSON"}}
		}
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

// counter counts what is written.
type counter struct {
	io.Writer
	n int
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.n += n
	return n, err
}
