package controlplane

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestBuildIsDoneOnceForAVersion(t *testing.T) {
	t.Parallel()
	var progress bytes.Buffer
	path, err := Build(t.Context(), &progress)
	if err != nil {
		t.Fatal(err)
	}
	if progress.Len() != 0 {
		t.Errorf("TestMain has built it, and yet: %s", progress.String())
	}
	source, err := findSource()
	if err != nil {
		t.Fatal(err)
	}
	before, err := readRecipe(t.Context(), source, true)
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Base(filepath.Dir(path)) != before.key {
		t.Errorf("%s is not of recipe %s", path, before.key)
	}

	upstream, err := readRecipe(t.Context(), source, false)
	if err != nil {
		t.Fatal(err)
	}

	changed := t.TempDir()
	if err := os.CopyFS(changed, os.DirFS(source)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(changed, "main_test.go"), []byte("package main\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if after, err := readRecipe(t.Context(), changed, true); err != nil || after != before {
		t.Errorf("a test file changes the recipe: %v", err)
	}
	if err := os.WriteFile(filepath.Join(changed, "audit-policy.yaml"), []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	if after, err := readRecipe(t.Context(), changed, true); err != nil || after.key == before.key {
		t.Errorf("an embedded file does not change the recipe: %v", err)
	}
	if after, err := readRecipe(t.Context(), changed, false); err != nil || after != upstream {
		t.Errorf("the server's sources change the recipe of kubectl: %v", err)
	}
}

func TestKubectlIsOfTheServersVersion(t *testing.T) {
	t.Parallel()
	kubectl, err := Kubectl(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cp := Shared(t)
	said, err := exec.Command(kubectl, "--kubeconfig", cp.Kubeconfig, "version").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	for _, want := range []string{"Client Version: v1.", "Server Version: v1."} {
		if !strings.Contains(string(said), want) {
			t.Errorf("kubectl version has no %q:\n%s", want, said)
		}
	}
	lines := strings.Split(string(said), "\n")
	if strings.TrimPrefix(lines[0], "Client Version: ") != strings.TrimPrefix(lines[len(lines)-2], "Server Version: ") {
		t.Errorf("client and server differ:\n%s", said)
	}
}

// TestPrebuiltBinariesServe names binaries in the environment of the whole
// process, so it runs alone.
func TestPrebuiltBinariesServe(t *testing.T) {
	assets := t.TempDir()
	for name, pkg := range map[string]string{"kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver", "etcd": "go.etcd.io/etcd/server/v3"} {
		path, err := build(t.Context(), os.Stderr, name, pkg)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(assets, name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv(binaryVariable, "")
	t.Setenv(assetsVariable, assets)
	cp, err := Start(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cp.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	namespace := cp.Namespace(t)
	apply(t, cp, pods, namespace, "web", `
apiVersion: v1
kind: Pod
metadata: {name: web}
spec: {containers: [{name: web, image: "registry.example/web:1"}]}
`)
	events, err := cp.Audit().Since(0)
	if err != nil {
		t.Fatal(err)
	}
	written := false
	for _, e := range events.Writes("admin") {
		written = written || e.Resource == "pods" && e.Name == "web" && e.Namespace == namespace && e.Code == 201
	}
	if !written {
		t.Errorf("the audit log does not show the pod's creation: %v", events)
	}
	if err := cp.Kill(); err == nil || !strings.Contains(err.Error(), assetsVariable) {
		t.Errorf("Kill is not refused with the variable's name: %v", err)
	}
	if err := cp.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := clientOf(t, cp).CoreV1().Pods(namespace).Get(t.Context(), "web", metav1.GetOptions{}); err != nil {
		t.Errorf("the pod is gone after a restart: %v", err)
	}

	t.Setenv(assetsVariable, t.TempDir())
	if _, err := Start(t.Context(), Options{}); err == nil || !strings.Contains(err.Error(), "no etcd") {
		t.Errorf("a folder without binaries: %v, want the missing one named", err)
	}
}
