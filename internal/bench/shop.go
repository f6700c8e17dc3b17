package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/pawl-dev/pawl/internal/testworld"
	"github.com/pawl-dev/pawl/internal/testworld/git"
)

// measured is a shop whose agent is measured. Its ConfigMaps are dealt out to as
// many targets as it takes to keep each to perTarget: the time that kustomize
// takes grows with the square of what an overlay has, and is not what is measured.
type measured struct {
	*testworld.Shop
	access  *rest.Config
	client  *kubernetes.Clientset
	seen    *observer
	process *testworld.Process
	// namespaces hold the ConfigMaps, in equal parts.
	namespaces []string
	set        string
	image      string // pinned

	// texts are what each of the ConfigMaps says, web what the Deployment does,
	// and fail what becomes of its pods. service adds a Service.
	texts     []string
	web, fail string
	service   bool
}

const perTarget = 500

// open makes a shop with a Deployment of one signed image and so many
// ConfigMaps, and starts its agent.
func (b *bench) open(ctx context.Context, maps, namespaces int, webhook bool) (*measured, error) {
	access, err := b.world.ControlPlane.RESTConfig()
	if err != nil {
		return nil, err
	}
	m := &measured{access: access, client: observing(access), set: b.name}
	folder := filepath.Join(b.folder, b.name)
	if err := os.Mkdir(folder, 0o700); err != nil {
		return nil, err
	}
	for i := range namespaces {
		namespace := fmt.Sprintf("%s-%d", b.name, i)
		m.namespaces = append(m.namespaces, namespace)
		if _, err := m.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{}); err != nil {
			return nil, err
		}
	}
	if m.seen, err = observe(ctx, m.client, m.set); err != nil {
		return nil, err
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
	m.texts = make([]string, maps)
	commit, err := m.say(ctx, "0")
	if err != nil {
		return nil, err
	}
	if m.process, err = m.StartAgent(ctx, b.pawl); err != nil {
		return nil, err
	}
	return m, m.Green(ctx, commit, "dev")
}

// say pushes a revision in which every object says the text.
func (m *measured) say(ctx context.Context, text string) (string, error) {
	for i := range m.texts {
		m.texts[i] = text
	}
	m.web = text
	return m.commit(ctx)
}

// commit pushes what the objects are to say.
func (m *measured) commit(ctx context.Context) (string, error) {
	targets := make([]strings.Builder, max(1, (len(m.texts)+perTarget-1)/perTarget))
	writeDeployment(&targets[0], m.set, m.namespaces[0], "web", m.web, m.image, m.fail)
	if m.service {
		writeService(&targets[0], m.set, m.namespaces[0], "web", m.web)
	}
	for i, text := range m.texts {
		p := m.place(i)
		writeMap(&targets[i/perTarget], m.set, p.namespace, p.name, text)
	}
	write := map[string]string{"pawl.yaml": pipelineOfMany}
	for i := range targets {
		folder := fmt.Sprintf("apps/app-%d/dev/", i)
		write[folder+"kustomization.yaml"] = kustomizationOfObjects
		write[folder+"objects.yaml"] = targets[i].String()
	}
	return m.Repository.Commit(ctx, git.Commit{Message: "text " + m.web, Write: write})
}

// place is where one of the ConfigMaps is.
func (m *measured) place(i int) place {
	return place{"ConfigMap", m.namespaces[i%len(m.namespaces)], fmt.Sprintf("map-%d", i)}
}

// places are those of some of them, and deployment that of the Deployment.
func (m *measured) places(from, to int) (all []place) {
	for i := from; i < to; i++ {
		all = append(all, m.place(i))
	}
	return all
}

func (m *measured) deployment() place { return place{"Deployment", m.namespaces[0], "web"} }
