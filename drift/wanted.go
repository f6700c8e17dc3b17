package drift

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/render"
)

// Wanted is one object of a release, made ready for server-side apply.
type Wanted struct {
	ID     ObjectID
	GVK    schema.GroupVersionKind
	Digest Digest // of Patch
	Patch  []byte // the apply request's body: JSON with sorted keys
	// Exceptions are fields that are left to others, and not in Patch; nil if
	// there are none.
	Exceptions *Exceptions
	ignore     string // what the object itself says of them
	// Adopt are the tools from which it may be taken over.
	Adopt []environments.Tool
	// Recreate says that it may be deleted and made again, see AnnotationRecreate.
	Recreate bool
	// Images are those that it declares, as far as they were found and verified.
	Images []render.Image
}

// Want makes the objects of a release ready: marked, and without what only an
// API server may say. They stay in order. obj itself is not changed. What can
// never be applied is *Rejected, which names no target yet.
//
// It is not normalised through Go types as fluxcd/pkg/ssa would do: that drops
// unknown fields, and a typo would never reach the server's strict validation.
func Want(objects []*unstructured.Unstructured, mark Mark) ([]Wanted, error) {
	wanted := make([]Wanted, 0, len(objects))
	refused := &Rejected{Of: len(objects)}
	for _, obj := range objects {
		w, problems := want(obj, mark)
		refused.Problems = append(refused.Problems, problems...)
		wanted = append(wanted, w)
	}
	if len(refused.Problems) > 0 {
		refused.Sort()
		return nil, refused
	}
	return wanted, nil
}

func want(obj *unstructured.Unstructured, mark Mark) (Wanted, []Problem) {
	id := IDOf(obj)
	fail := func(field, reason string) (Wanted, []Problem) {
		return Wanted{}, []Problem{{Object: id, Field: field, Reason: reason}}
	}
	if id.Kind == "" || obj.GetAPIVersion() == "" {
		return fail("", "has no kind or apiVersion")
	}
	if id.Name == "" {
		return fail("metadata.name", "is missing; generateName cannot be applied, write a name")
	}
	meta, ok := obj.Object["metadata"].(map[string]any)
	if !ok {
		return fail("metadata", "is no object")
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
		return fail("metadata.labels", "is no object")
	}
	labels[LabelTarget], labels[LabelAgent] = mark.Target, mark.Agent
	meta["labels"] = labels

	if problems := unknownWords(id, meta); len(problems) > 0 {
		return Wanted{}, problems
	}
	recreate, reason := asksForRecreation(id, obj.GetAnnotations())
	if reason != "" {
		return fail("metadata.annotations["+AnnotationRecreate+"]", reason)
	}
	adopt, reason := adopts(obj.GetAnnotations())
	if reason != "" {
		return fail("metadata.annotations["+AnnotationAdopt+"]", reason)
	}
	if problems := pruneProblem(id, obj.GetLabels(), obj.GetAnnotations()); len(problems) > 0 {
		return Wanted{}, problems
	}

	content := maps.Clone(obj.Object)
	delete(content, "status")
	content["metadata"] = meta
	if isSecret(obj) {
		if problems := secretProblems(id, content); len(problems) > 0 {
			return Wanted{}, problems
		}
		mergeStringData(content)
	}
	patch, err := json.Marshal(content)
	if err != nil {
		return fail("", "cannot be written as JSON: "+err.Error())
	}
	return Wanted{ID: id, GVK: obj.GroupVersionKind(), Digest: digestOf(patch), Patch: patch, Recreate: recreate, Adopt: adopt, ignore: obj.GetAnnotations()[AnnotationIgnore]}, nil
}

// secretProblems finds values that the API server would not take. Its answers
// to these look like faults of its own, or quote the value.
func secretProblems(id ObjectID, content map[string]any) []Problem {
	var problems []Problem
	data, _ := content["data"].(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(data)) {
		text, ok := data[key].(string)
		if !ok && data[key] != nil {
			problems = append(problems, Problem{Object: id, Field: "data[" + key + "]", Reason: "is no string; encode it in base64, or write it in quotes under stringData"})
		} else if _, err := base64.StdEncoding.DecodeString(text); err != nil {
			problems = append(problems, Problem{Object: id, Field: "data[" + key + "]", Reason: "is not base64; encode it, or write it under stringData"})
		}
	}
	text, _ := content["stringData"].(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(text)) {
		if _, ok := text[key].(string); !ok {
			problems = append(problems, Problem{Object: id, Field: "stringData[" + key + "]", Reason: "is no string; put it in quotes"})
		}
	}
	return problems
}

// mergeStringData writes stringData into data. The server does that only on
// writing, so that with server-side apply a key that is later taken out of
// stringData would stay in the live Secret.
// See https://github.com/kubernetes/kubernetes/issues/108008.
func mergeStringData(content map[string]any) {
	text, ok := content["stringData"].(map[string]any)
	if !ok {
		return // absent, or wrong in a way that the server names
	}
	data := map[string]any{}
	if declared, ok := content["data"].(map[string]any); ok {
		maps.Copy(data, declared)
	}
	for key, value := range text {
		s, _ := value.(string)
		data[key] = base64.StdEncoding.EncodeToString([]byte(s))
	}
	content["data"] = data
	delete(content, "stringData")
}
