package drift

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Wanted is one object of a release, made ready for server-side apply.
type Wanted struct {
	ID     ObjectID
	GVK    schema.GroupVersionKind
	Digest Digest // of Patch
	Patch  []byte // the apply request's body: JSON with sorted keys
}

// Want makes the objects of a release ready: marked, and without what only an
// API server may say. They stay in order. obj itself is not changed.
//
// It is not normalised through Go types as fluxcd/pkg/ssa would do: that drops
// unknown fields, and a typo would never reach the server's strict validation.
func Want(objects []*unstructured.Unstructured, mark Mark) ([]Wanted, error) {
	wanted := make([]Wanted, 0, len(objects))
	for _, obj := range objects {
		w, err := want(obj, mark)
		if err != nil {
			return nil, err
		}
		wanted = append(wanted, w)
	}
	return wanted, nil
}

func want(obj *unstructured.Unstructured, mark Mark) (Wanted, error) {
	id := IDOf(obj)
	fail := func(format string, args ...any) (Wanted, error) {
		return Wanted{}, fmt.Errorf("%s: %w", id, fmt.Errorf(format, args...))
	}
	if id.Kind == "" || obj.GetAPIVersion() == "" {
		return fail("has no kind or apiVersion")
	}
	if id.Name == "" {
		return fail("has no metadata.name; generateName cannot be applied, write a name")
	}
	meta, ok := obj.Object["metadata"].(map[string]any)
	if !ok {
		return fail("metadata is no object")
	}
	meta = maps.Clone(meta)
	for _, server := range []string{"creationTimestamp", "deletionTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"} {
		delete(meta, server)
	}
	labels := map[string]any{}
	switch declared := meta["labels"].(type) {
	case nil:
	case map[string]any:
		maps.Copy(labels, declared)
	default:
		return fail("metadata.labels is no object")
	}
	labels[LabelTarget], labels[LabelAgent] = mark.Target, mark.Agent
	meta["labels"] = labels

	content := maps.Clone(obj.Object)
	delete(content, "status")
	content["metadata"] = meta
	if id.Group == "" && id.Kind == "Secret" {
		if err := mergeStringData(content); err != nil {
			return fail("%w", err)
		}
	}
	patch, err := json.Marshal(content)
	if err != nil {
		return fail("cannot be written as JSON: %w", err)
	}
	return Wanted{ID: id, GVK: obj.GroupVersionKind(), Digest: digestOf(patch), Patch: patch}, nil
}

// mergeStringData writes stringData into data. The server does that only on
// writing, so that with server-side apply a key that is later taken out of
// stringData would stay in the live Secret.
// See https://github.com/kubernetes/kubernetes/issues/108008.
func mergeStringData(content map[string]any) error {
	text, ok := content["stringData"].(map[string]any)
	if !ok {
		return nil // absent, or wrong in a way that the server names
	}
	data := map[string]any{}
	if declared, ok := content["data"].(map[string]any); ok {
		maps.Copy(data, declared)
	}
	for key, value := range text {
		s, ok := value.(string)
		if !ok {
			return fmt.Errorf("stringData[%s] is no string; put it in quotes", key)
		}
		data[key] = base64.StdEncoding.EncodeToString([]byte(s))
	}
	content["data"] = data
	delete(content, "stringData")
	return nil
}
