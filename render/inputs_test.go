package render

import (
	"strings"
	"testing"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/internal/testworld/trees"
)

func TestInputsTellWhichCommitsTouchATarget(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"base/kustomization.yaml":    "resources: [conf.yaml]\n",
		"base/conf.yaml":             "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: conf}\n",
		"overlay/kustomization.yaml": "resources: [../base]\n",
		"elsewhere/conf.yaml":        "a: 1\n",
	}
	tree := func(path, content string) gitsync.Tree {
		changed := map[string]string{}
		for p, text := range files {
			changed[p] = text
		}
		if path != "" {
			changed[path] = content
		}
		return trees.FromMap(changed)
	}
	before := tree("", "")
	result, err := New(Options{}).Render(t.Context(), gitsync.Revision{Tree: before}, environments.Target{Environment: "dev", Overlay: "overlay"})
	if err != nil {
		t.Fatal(err)
	}
	for path, alike := range map[string]bool{"elsewhere/conf.yaml": true, "base/conf.yaml": false, "overlay/kustomization.yaml": false, "overlay/kustomization.yml": false} {
		if got := result.Inputs.Alike(before, tree(path, "b: 2\n")); got != alike {
			t.Errorf("with another %s: alike is %v", path, got)
		}
	}
	if (Inputs{}).Alike(before, before) {
		t.Error("what is unknown is taken for the same")
	}
}

func TestARevisionMayDeclareFieldsWithImages(t *testing.T) {
	t.Parallel()
	rev := gitsync.Revision{Tree: trees.FromMap(map[string]string{
		"overlay/kustomization.yaml": "resources: [run.yaml]\n",
		"overlay/run.yaml":           "apiVersion: ci.acme.dev/v1\nkind: Run\nmetadata: {name: run}\nspec: {runner: \"ghcr.io/acme/run@sha256:" + strings.Repeat("a", 64) + "\"}\n",
	})}
	target := environments.Target{Environment: "dev", Overlay: "overlay"}
	r := New(Options{})
	if _, err := r.Render(t.Context(), rev, target); err == nil || !strings.Contains(err.Error(), "spec.runner") {
		t.Errorf("undeclared: got %v", err)
	}
	if _, err := r.Render(t.Context(), rev, target, KindFields{Group: "ci.acme.dev", Kind: "Run", Ignore: []string{"spec.runner"}}); err == nil {
		t.Error("a revision says what is no image")
	}
	result, err := r.Render(t.Context(), rev, target, KindFields{Group: "ci.acme.dev", Kind: "Run", Fields: []string{"spec.runner"}})
	if err != nil || len(result.Release.Images) != 1 {
		t.Errorf("declared: got %v, %v", result.Release.Images, err)
	}
}
