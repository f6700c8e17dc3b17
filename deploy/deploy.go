// Package deploy is how the agent is installed: a kustomize base, the rights
// that it needs, components for more or fewer of them, and an example overlay.
// The folders are for kustomize; the package hands them to tests and to the
// demo, so that the agent runs there with the very rights that it ships with.
package deploy

import (
	"embed"
	"fmt"
	"io"
	"io/fs"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
)

//go:embed base rbac components example
var files embed.FS

// FS has the folders base, rbac, components and example.
func FS() fs.FS { return files }

const (
	// Namespace is the agent's own.
	Namespace = "pawl-system"
	// ServiceAccount is the agent's, in Namespace.
	ServiceAccount = "pawl"
)

// RBAC returns the objects of the folder rbac in the order in which they can
// be applied: the namespace, the service account, its rights, and the guard of
// the namespace. No kustomize is needed, as the folder only lists files.
func RBAC() ([]*unstructured.Unstructured, error) {
	text, err := files.ReadFile("rbac/kustomization.yaml")
	if err != nil {
		return nil, err
	}
	var kustomization struct{ Resources []string }
	if err := yaml.Unmarshal(text, &kustomization); err != nil {
		return nil, fmt.Errorf("read rbac/kustomization.yaml: %w", err)
	}
	var objects []*unstructured.Unstructured
	for _, name := range kustomization.Resources {
		file, err := files.Open("rbac/" + name)
		if err != nil {
			return nil, err
		}
		for decoder := utilyaml.NewYAMLOrJSONDecoder(file, 4<<10); ; {
			o := &unstructured.Unstructured{}
			if err := decoder.Decode(o); err == io.EOF {
				break
			} else if err != nil {
				return nil, fmt.Errorf("read rbac/%s: %w", name, err)
			}
			objects = append(objects, o)
		}
	}
	return objects, nil
}
