package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/pawl-dev/pawl/internal/testworld"
	"github.com/pawl-dev/pawl/internal/testworld/controlplane"
)

// model says what must be, whatever happened: it builds with kustomize itself,
// reads the cluster itself, and takes the API server's word for who wrote.
type model struct {
	*story
	dynamic dynamic.Interface
	since   controlplane.Marker
	// wanted are the objects of the last good revision by resource, namespace and
	// name; ever those of any good one.
	wanted map[string]*unstructured.Unstructured
	ever   map[string]bool
	// applicable counts the releases that may have been applied, and in those
	// that an object is in: what is in all of them is never to be deleted.
	applicable int
	in         map[string]int
	// images that may run.
	images map[string]bool
	// foreign are objects that are nobody's of the agent.
	foreign map[string]types.UID
}

// resources are the kinds of the model's repositories.
var resources = map[string]schema.GroupVersionResource{
	"Namespace":  {Version: "v1", Resource: "namespaces"},
	"ConfigMap":  {Version: "v1", Resource: "configmaps"},
	"Deployment": {Group: "apps", Version: "v1", Resource: "deployments"},
}

func newModel(s *story) *model {
	s.t.Helper()
	access, err := s.World.ControlPlane.RESTConfig()
	if err != nil {
		s.t.Fatal(err)
	}
	return &model{
		story: s, dynamic: dynamic.NewForConfigOrDie(access), since: s.mark(),
		ever: map[string]bool{}, in: map[string]int{}, images: map[string]bool{}, foreign: map[string]types.UID{},
	}
}

func objectKey(resource, namespace, name string) string {
	if resource == "namespaces" {
		namespace = "" // the audit log names a namespace as its own
	}
	return resource + " " + namespace + "/" + name
}

// good says what the last good revision is, of some environments.
func (m *model) good(files map[string]string, environments ...string) {
	m.t.Helper()
	m.wanted = m.mayApply(files, environments...)
}

// mayApply says that a revision may be applied, for a while or for good, and
// returns its objects.
func (m *model) mayApply(files map[string]string, environments ...string) map[string]*unstructured.Unstructured {
	m.t.Helper()
	built := map[string]*unstructured.Unstructured{}
	for _, e := range environments {
		for _, o := range kustomizeBuild(m.story, files, "overlays/"+e) {
			key := objectKey(resources[o.GetKind()].Resource, o.GetNamespace(), o.GetName())
			built[key], m.ever[key] = o, true
			m.in[key]++
		}
	}
	m.applicable++
	return built
}

// kustomizing is held by the one build that kustomize stands at a time.
var kustomizing = make(chan struct{}, 1)

// kustomizeBuild is `kustomize build` of a folder.
func kustomizeBuild(s *story, files map[string]string, folder string) []*unstructured.Unstructured {
	s.t.Helper()
	fsys := filesys.MakeFsInMemory()
	for path, text := range files {
		if err := fsys.WriteFile("/"+path, []byte(strings.ReplaceAll(text, "$NAME", s.name))); err != nil {
			s.t.Fatal(err)
		}
	}
	kustomizing <- struct{}{}
	defer func() { <-kustomizing }()
	result, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(fsys, "/"+folder)
	if err != nil {
		s.t.Fatal(err)
	}
	var objects []*unstructured.Unstructured
	for _, r := range result.Resources() {
		content, err := r.Map()
		if err != nil {
			s.t.Fatal(err)
		}
		objects = append(objects, &unstructured.Unstructured{Object: content})
	}
	return objects
}

// plant makes an object that is not the agent's, beside those that are.
func (m *model) plant(environment, name string) {
	m.t.Helper()
	made, err := m.cluster.CoreV1().ConfigMaps(m.namespace(environment)).Create(m.t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if err != nil {
		m.t.Fatal(err)
	}
	m.foreign[objectKey("configmaps", made.Namespace, made.Name)] = made.UID
}

// equal waits until the live objects are those of the last good revision, no
// more of the agent's and no fewer.
func (m *model) equal() {
	m.t.Helper()
	m.until("the cluster to be what kustomize builds", func(ctx context.Context) (bool, string, error) {
		lacking, err := m.difference(ctx)
		return lacking == "", lacking, err
	})
}

func (m *model) difference(ctx context.Context) (string, error) {
	namespaces := map[string]bool{}
	for key, o := range m.wanted {
		live, err := m.dynamic.Resource(resources[o.GetKind()]).Namespace(o.GetNamespace()).Get(ctx, o.GetName(), metav1.GetOptions{})
		if err != nil {
			return err.Error(), nil
		}
		if lacking := lacks(o.Object, live.Object, key); lacking != "" {
			return lacking, nil
		}
		namespaces[o.GetNamespace()] = true
	}
	delete(namespaces, "")
	for namespace := range namespaces {
		for _, resource := range resources {
			if resource.Resource == "namespaces" {
				continue
			}
			list, err := m.dynamic.Resource(resource).Namespace(namespace).List(ctx, metav1.ListOptions{})
			if err != nil {
				return "", err
			}
			for _, o := range list.Items {
				key := objectKey(resource.Resource, namespace, o.GetName())
				_, ours := o.GetLabels()["pawl.dev/target"]
				if uid, planted := m.foreign[key]; planted && (uid != o.GetUID() || ours) {
					m.t.Errorf("%s is not what was planted", key)
				}
				if m.wanted[key] == nil && ours {
					return key + " is left over", nil
				}
			}
		}
	}
	return "", nil
}

// lacks says where what is declared is not live.
func lacks(declared, live any, at string) string {
	switch d := declared.(type) {
	case map[string]any:
		l, _ := live.(map[string]any)
		for _, key := range slices.Sorted(maps.Keys(d)) {
			if lacking := lacks(d[key], l[key], at+"."+key); lacking != "" {
				return lacking
			}
		}
		return ""
	case []any:
		l, _ := live.([]any)
		if len(l) != len(d) {
			return fmt.Sprintf("%s has %d elements, want %d", at, len(l), len(d))
		}
		for i := range d {
			if lacking := lacks(d[i], l[i], fmt.Sprintf("%s[%d]", at, i)); lacking != "" {
				return lacking
			}
		}
		return ""
	default:
		if fmt.Sprint(declared) != fmt.Sprint(live) {
			return fmt.Sprintf("%s is %v, want %v", at, live, declared)
		}
		return ""
	}
}

// judge goes through everything that was written in the story's namespaces,
// and wants a reason for each write.
func (m *model) judge() {
	m.t.Helper()
	events, err := m.World.ControlPlane.Audit().Since(m.since)
	if err != nil {
		m.t.Fatal(err)
	}
	writes := 0
	for _, e := range events.Writes("") {
		ours := strings.HasPrefix(e.Namespace, m.name+"-") || strings.HasPrefix(e.Name, m.name+"-")
		if !ours || e.Code >= 300 {
			continue
		}
		if e.User != testworld.AgentUser {
			if e.FieldManager == "pawl" {
				m.t.Errorf("in the agent's name: %s", e)
			}
			continue
		}
		writes++
		key := objectKey(e.Resource, e.Namespace, e.Name)
		switch {
		case !m.ever[key]:
			m.t.Errorf("of no good revision: %s", e)
		case e.Verb == "delete" && m.in[key] == m.applicable:
			m.t.Errorf("is in every revision: %s", e)
		case e.Verb == "delete" && !strings.Contains(string(e.RequestObject), `"uid"`):
			m.t.Errorf("whatever has that name now: %s %s", e, e.RequestObject)
		case e.Resource == "deployments" && e.Verb == "patch" && len(e.RequestObject) > 0:
			var sent struct {
				Spec struct{ Template corev1.PodTemplateSpec }
			}
			if err := json.Unmarshal(e.RequestObject, &sent); err != nil {
				continue // a JSON patch has no images
			}
			for _, container := range sent.Spec.Template.Spec.Containers {
				if container.Image != "" && !m.images[container.Image] {
					m.t.Errorf("with image %s, which nobody signed: %s", container.Image, e)
				}
			}
		}
	}
	if writes == 0 {
		m.t.Error("the audit log has none of the agent's writes")
	}
	for key := range m.foreign {
		namespace, name, _ := strings.Cut(strings.TrimPrefix(key, "configmaps "), "/")
		if _, err := m.cluster.CoreV1().ConfigMaps(namespace).Get(m.t.Context(), name, metav1.GetOptions{}); err != nil {
			m.t.Errorf("what is not the agent's: %v", err)
		}
	}
}

// oneEach wants one check for each commit and environment, the newest one
// over, and no two pull requests that bring the same.
func (m *model) oneEach(commits []string, environments ...string) {
	m.t.Helper()
	for i, commit := range commits {
		for _, e := range environments {
			name := "pawl / " + e
			list, _, err := m.Client().Checks.ListCheckRunsForRef(m.t.Context(), "acme", m.name, commit, nil)
			if err != nil {
				m.t.Fatal(err)
			}
			found := 0
			for _, run := range list.CheckRuns {
				if run.GetName() == name {
					found++
				}
			}
			if found > 1 || found == 0 && i == len(commits)-1 {
				m.t.Errorf("%d checks %q on %.7s", found, name, commit)
			}
		}
	}
	pulls, _, err := m.Client().PullRequests.List(m.t.Context(), "acme", m.name, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	open := map[string]int{}
	for _, pull := range pulls {
		if open[pull.GetHead().GetRef()]++; open[pull.GetHead().GetRef()] > 1 {
			m.t.Errorf("a second pull request from %s: #%d", pull.GetHead().GetRef(), pull.GetNumber())
		}
	}
}
