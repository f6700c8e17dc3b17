package deploy_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/pawl-dev/pawl/deploy"
)

// build is what "kustomize build" prints for a folder. kustomize keeps state
// of its own, so one builds after the other.
func build(t *testing.T, fsys filesys.FileSystem, folder string) []*unstructured.Unstructured {
	t.Helper()
	building <- struct{}{}
	defer func() { <-building }()
	result, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(fsys, folder)
	if err != nil {
		t.Fatalf("build %s: %v", folder, err)
	}
	var objects []*unstructured.Unstructured
	for _, r := range result.Resources() {
		content, err := r.Map()
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, &unstructured.Unstructured{Object: content})
	}
	return objects
}

var building = make(chan struct{}, 1)

// withComponents is an overlay of the base made in a test.
func withComponents(t *testing.T, components ...string) []*unstructured.Unstructured {
	t.Helper()
	fsys := filesys.MakeFsInMemory()
	if err := copyFiles(fsys); err != nil {
		t.Fatal(err)
	}
	text := "resources: [../base]\ncomponents:\n"
	for _, c := range components {
		text += "  - ../components/" + c + "\n"
	}
	if err := fsys.WriteFile("/mine/kustomization.yaml", []byte(text)); err != nil {
		t.Fatal(err)
	}
	return build(t, fsys, "/mine")
}

func TestTheRightsAreTheSameWithAndWithoutKustomize(t *testing.T) {
	t.Parallel()
	read, err := deploy.RBAC()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{}
	for _, o := range build(t, filesys.MakeFsOnDisk(), "rbac") {
		want[key(o)] = o.Object
	}
	got := map[string]any{}
	for _, o := range read {
		got[key(o)] = o.Object
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func key(o *unstructured.Unstructured) string {
	return o.GetKind() + " " + o.GetNamespace() + "/" + o.GetName()
}

func find(t *testing.T, objects []*unstructured.Unstructured, kind, name string) *unstructured.Unstructured {
	t.Helper()
	for _, o := range objects {
		if o.GetKind() == kind && o.GetName() == name {
			return o
		}
	}
	t.Fatalf("there is no %s %s", kind, name)
	return nil
}

func into[T any](t *testing.T, o *unstructured.Unstructured) T {
	t.Helper()
	var typed T
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, &typed, true); err != nil {
		t.Fatalf("%s: %v", key(o), err)
	}
	return typed
}

// client is a cluster seen with one account's eyes.
type client struct {
	*kubernetes.Clientset
	dynamic dynamic.Interface
	mapper  meta.RESTMapper
}

func newClient(t *testing.T, config *rest.Config) client {
	t.Helper()
	typed, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	dyn, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	http, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	mapper, err := apiutil.NewDynamicRESTMapper(config, http)
	if err != nil {
		t.Fatal(err)
	}
	return client{typed, dyn, mapper}
}

func (c client) at(t *testing.T, o *unstructured.Unstructured) dynamic.ResourceInterface {
	t.Helper()
	gvk := o.GroupVersionKind()
	mapping, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		t.Fatalf("%s: %v", key(o), err)
	}
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		return c.dynamic.Resource(mapping.Resource).Namespace(o.GetNamespace())
	}
	return c.dynamic.Resource(mapping.Resource)
}

// apply is server-side apply as the agent does it.
func (c client) apply(t *testing.T, o *unstructured.Unstructured, dryRun ...string) error {
	t.Helper()
	text, err := o.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	force := true
	_, err = c.at(t, o).Patch(t.Context(), o.GetName(), types.ApplyPatchType, text,
		metav1.PatchOptions{FieldManager: "pawl", Force: &force, FieldValidation: "Strict", DryRun: dryRun})
	return err
}

// patience is how long a condition may take on a busy machine.
const patience = 60 * time.Second

// eventually waits until a condition holds, and fails with its last error.
func eventually(t *testing.T, what string, holds func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		err := holds()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
