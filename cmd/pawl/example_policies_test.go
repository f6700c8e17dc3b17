package main

import (
	"fmt"
	"io/fs"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/render"
)

// Who copies the example can switch on a level with these policies, as its
// README says.
func TestTheExampleRepoSatisfiesShippedPolicies(t *testing.T) {
	t.Parallel()
	ours := newRegoPolicies()
	t.Cleanup(ours.close)
	var asked []demands.Policy
	for _, name := range []string{"no-plaintext-secrets", "restricted-pods", "resource-limits"} {
		p, err := ours.Shipped(name, name, nil)
		if err != nil {
			t.Fatal(err)
		}
		asked = append(asked, p)
	}
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
	text, err := fs.ReadFile(environments.Example(), demands.PipelineFile)
	if err != nil {
		t.Fatal(err)
	}
	pipeline, err := environments.Load(demands.PipelineFile, text)
	if err != nil {
		t.Fatal(err)
	}
	targets, _ := pipeline.Targets(environments.Example())
	if len(targets) == 0 {
		t.Fatal("there are no targets")
	}
	for _, target := range targets {
		built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(disk, "/"+target.Overlay)
		if err != nil {
			t.Fatal(err)
		}
		release := render.Release{Target: target}
		for _, r := range built.Resources() {
			content, err := r.Map()
			if err != nil {
				t.Fatal(err)
			}
			release.Objects = append(release.Objects, &unstructured.Unstructured{Object: content})
		}
		environment, _ := pipeline.Environment(target.Environment)
		results, err := ours.Ask(t.Context(), policies.Facts{Release: release, Environment: environment, At: time.Now()}, asked)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			if len(r.Denied)+len(r.Warned) > 0 || r.Problem != "" {
				t.Errorf("%s: %s", target, fmt.Sprint(r))
			}
		}
	}
}
