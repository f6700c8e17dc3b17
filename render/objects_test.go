package render

import (
	"errors"
	"testing"
)

func object(kind, name string) map[string]any {
	return map[string]any{"apiVersion": "v1", "kind": kind, "metadata": map[string]any{"name": name}}
}

// catalogue 22: lists are replaced by what is in them, however deep. kustomize
// unpacks those in files, so lists that come about otherwise are tried here.
func TestListsAreReplacedByTheirItems(t *testing.T) {
	t.Parallel()
	list := func(items ...any) map[string]any {
		return map[string]any{"apiVersion": "v1", "kind": "List", "items": items}
	}
	objects, err := unpack([]map[string]any{object("Pod", "a"), list(object("Pod", "b"), list(object("Pod", "c"))), list()})
	if err != nil {
		t.Fatal(err)
	}
	var names string
	for _, o := range objects {
		names += o.GetName()
	}
	if names != "abc" {
		t.Errorf("got %q, want abc", names)
	}
	if _, err := unpack([]map[string]any{list("text")}); err == nil {
		t.Error("an item that is no object was accepted")
	}
}

func TestObjectsThatCannotBeFoundAgainAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what  string
		spoil func(o map[string]any)
		field string
	}{
		{"no apiVersion", func(o map[string]any) { delete(o, "apiVersion") }, "apiVersion"},
		{"no kind", func(o map[string]any) { o["kind"] = "" }, "kind"},
		{"no metadata", func(o map[string]any) { delete(o, "metadata") }, "metadata.name"},
		{"no name", func(o map[string]any) { o["metadata"] = map[string]any{} }, "metadata.name"},
		{"a number for a name", func(o map[string]any) { o["metadata"] = map[string]any{"name": int64(1)} }, "metadata.name"},
		{"a name that the server makes", func(o map[string]any) { o["metadata"] = map[string]any{"generateName": "a-"} }, "metadata.generateName"},
		{"a name and one that the server makes", func(o map[string]any) { o["metadata"] = map[string]any{"name": "a", "generateName": "a-"} }, "metadata.generateName"},
		{"a number for a namespace", func(o map[string]any) { o["metadata"] = map[string]any{"name": "a", "namespace": int64(1)} }, "metadata.namespace"},
	} {
		o := object("ConfigMap", "a")
		c.spoil(o)
		objects, err := unpack([]map[string]any{o})
		if err != nil {
			t.Fatal(err)
		}
		var e *Error
		if err := order(objects); !errors.As(err, &e) || e.Field != c.field {
			t.Errorf("%s: %v, want %s named", c.what, err, c.field)
		}
	}
}

// catalogue 14
func TestTheSameObjectTwiceIsRefused(t *testing.T) {
	t.Parallel()
	in := func(namespace string) map[string]any {
		o := object("ConfigMap", "a")
		o["metadata"].(map[string]any)["namespace"] = namespace
		return o
	}
	for _, c := range []struct {
		what    string
		objects []map[string]any
		refused bool
	}{
		{"the same", []map[string]any{in("x"), in("x")}, true},
		{"of two namespaces", []map[string]any{in("x"), in("y")}, false},
		{"of two kinds", []map[string]any{in("x"), object("Secret", "a")}, false},
	} {
		objects, err := unpack(c.objects)
		if err != nil {
			t.Fatal(err)
		}
		if err := order(objects); (err != nil) != c.refused {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

func TestNotesOfKustomizeAreRemoved(t *testing.T) {
	t.Parallel()
	o := object("ConfigMap", "a")
	o["metadata"].(map[string]any)["annotations"] = map[string]any{"internal.config.kubernetes.io/path": "x", "kept": "y"}
	objects, _ := unpack([]map[string]any{o})
	if err := order(objects); err != nil {
		t.Fatal(err)
	}
	if got := objects[0].GetAnnotations(); len(got) != 1 || got["kept"] != "y" {
		t.Errorf("annotations %v", got)
	}
}
