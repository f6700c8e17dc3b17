package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/client-go/kubernetes"

	"github.com/pawl-dev/pawl/internal/testworld"
	"github.com/pawl-dev/pawl/internal/testworld/git"
)

// measured is a shop with one target, whose agent is measured.
type measured struct {
	*testworld.Shop
	client  *kubernetes.Clientset
	process *testworld.Process
	// namespaces hold the target's ConfigMaps, in equal parts.
	namespaces []string
	maps       int
	image      string // pinned
}

const overlayFolder = "overlays/dev/"

// open makes a shop whose only target has a Deployment of one signed image and
// so many ConfigMaps, and starts its agent.
func (b *bench) open(ctx context.Context, maps, namespaces int, webhook bool) (*measured, error) {
	access, err := b.world.ControlPlane.RESTConfig()
	if err != nil {
		return nil, err
	}
	m := &measured{client: kubernetes.NewForConfigOrDie(access), maps: maps}
	folder := filepath.Join(b.folder, b.name)
	if err := os.Mkdir(folder, 0o700); err != nil {
		return nil, err
	}
	for i := range namespaces {
		m.namespaces = append(m.namespaces, fmt.Sprintf("%s-%d", b.name, i))
	}
	if m.Shop, err = b.world.OpenShop(ctx, testworld.ShopOptions{
		Name: "acme/" + b.name, Folder: folder, Environments: []string{"dev"}, WithoutWebhook: !webhook,
	}); err != nil {
		return nil, err
	}
	digest, err := m.Push(ctx, b.name, "1", b.name, true)
	if err != nil {
		return nil, err
	}
	m.image = digest.String()
	commit, err := m.commit(ctx, "0")
	if err != nil {
		return nil, err
	}
	if m.process, err = m.StartAgent(ctx, b.pawl); err != nil {
		return nil, err
	}
	return m, m.Green(ctx, commit, "dev")
}

// commit pushes a revision in which every object says the given text.
func (m *measured) commit(ctx context.Context, text string) (string, error) {
	var objects strings.Builder
	for _, namespace := range m.namespaces {
		fmt.Fprintf(&objects, "apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n---\n", namespace)
	}
	for i := range m.maps {
		fmt.Fprintf(&objects, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: map-%d, namespace: %s}\ndata: {text: %q, more: some text of the usual length}\n---\n", i, m.namespaces[i%len(m.namespaces)], text)
	}
	fmt.Fprintf(&objects, `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: %s}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: %q, env: [{name: TEXT, value: %q}]}]}
`, m.namespaces[0], m.image, text)
	return m.Repository.Commit(ctx, git.Commit{Message: "text " + text, Write: map[string]string{
		"pawl.yaml": `apiVersion: pawl.dev/v1alpha1
kind: Pipeline
metadata: {name: bench}
spec:
  overlays: overlays/{env}
  environments: [{name: dev}]
`,
		overlayFolder + "kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [objects.yaml]\n",
		overlayFolder + "objects.yaml":       objects.String(),
	}})
}

// configMap is the namespace and name of one of the ConfigMaps.
func (m *measured) configMap(i int) (namespace, name string) {
	return m.namespaces[i%len(m.namespaces)], fmt.Sprintf("map-%d", i)
}
