package environments_test

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/pawl-dev/pawl/environments"
)

func TestExampleLoadsAndHasATargetForEachApplicationInEachEnvironment(t *testing.T) {
	t.Parallel()
	p := loadExample(t)
	found, unusable := p.Targets(environments.Example())
	for _, u := range unusable {
		t.Error(u)
	}
	want := []environments.Target{
		{Environment: "dev", Application: "api", Overlay: "apps/api/overlays/dev"},
		{Environment: "dev", Application: "web", Overlay: "apps/web/overlays/dev"},
		{Environment: "staging", Application: "api", Overlay: "apps/api/overlays/staging"},
		{Environment: "staging", Application: "web", Overlay: "apps/web/overlays/staging"},
		{Environment: "production", Application: "api", Overlay: "apps/api/overlays/production"},
		{Environment: "production", Application: "web", Overlay: "apps/web/overlays/production"},
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Error(diff)
	}
}

// What the README of the example says about its manifests.
func TestExampleOverlaysRenderAsDescribed(t *testing.T) {
	t.Parallel()
	disk := filesys.MakeFsInMemory()
	err := fs.WalkDir(environments.Example(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(environments.Example(), path)
		if err != nil {
			return err
		}
		return disk.WriteFile("/"+path, data)
	})
	if err != nil {
		t.Fatal(err)
	}
	found, _ := loadExample(t).Targets(environments.Example())
	owners := map[string]string{}
	for _, target := range found {
		rendered, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(disk, "/"+target.Overlay)
		if err != nil {
			t.Fatalf("%s: %v", target, err)
		}
		namespace := target.Application + "-" + target.Environment
		var kinds []string
		for _, r := range rendered.Resources() {
			text, err := r.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			var o unstructured.Unstructured
			if err := o.UnmarshalJSON(text); err != nil {
				t.Fatal(err)
			}
			kinds = append(kinds, o.GetKind())
			if o.GetKind() == "Namespace" {
				if o.GetName() != namespace || o.GetLabels()["pod-security.kubernetes.io/enforce"] != "restricted" {
					t.Errorf("%s: namespace %s %v", target, o.GetName(), o.GetLabels())
				}
			} else if o.GetNamespace() != namespace {
				t.Errorf("%s: %s is in namespace %q", target, o.GetKind(), o.GetNamespace())
			}
			id := o.GetKind() + " " + o.GetNamespace() + "/" + o.GetName()
			if other, taken := owners[id]; taken {
				t.Errorf("%s belongs to %s and %s", id, other, target)
			}
			owners[id] = target.String()
			if o.GetKind() == "Deployment" {
				checkDeployment(t, target, o)
			}
		}
		if diff := cmp.Diff([]string{"ConfigMap", "Deployment", "Namespace", "Service", "ServiceAccount"}, sorted(kinds)); diff != "" {
			t.Errorf("%s: %s", target, diff)
		}
	}
}

func checkDeployment(t *testing.T, target environments.Target, o unstructured.Unstructured) {
	t.Helper()
	replicas, _, _ := unstructured.NestedInt64(o.Object, "spec", "replicas")
	if want := map[string]int64{"dev": 1, "staging": 2, "production": 3}[target.Environment]; replicas != want {
		t.Errorf("%s: %d replicas, want %d", target, replicas, want)
	}
	containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
	if len(containers) != 1 {
		t.Fatalf("%s: %d containers", target, len(containers))
	}
	c := containers[0].(map[string]any)
	image := c["image"].(string)
	want := "ghcr.io/acme/" + target.Application
	if target.Environment == "dev" {
		want += ":main"
	}
	if image != want {
		t.Errorf("%s: image %s, want %s", target, image, want)
	}
	for _, field := range [][]string{{"resources", "requests", "cpu"}, {"resources", "requests", "memory"}, {"resources", "limits", "memory"}} {
		if v, _, _ := unstructured.NestedString(c, field...); v == "" {
			t.Errorf("%s: no %s", target, strings.Join(field, "."))
		}
	}
}

func loadExample(t *testing.T) environments.Pipeline {
	t.Helper()
	data, err := fs.ReadFile(environments.Example(), "pawl.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := environments.Load("pawl.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
