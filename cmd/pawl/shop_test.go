package main

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-github/v60/github"
	"k8s.io/client-go/kubernetes"

	"github.com/pawl-dev/pawl/internal/testworld"
	"github.com/pawl-dev/pawl/internal/testworld/controlplane"
	"github.com/pawl-dev/pawl/internal/testworld/git"
)

// servers are shared by the stories, which keep to repositories and
// namespaces of their own.
var servers = sync.OnceValues(func() (*testworld.World, error) {
	return testworld.Start(context.Background(), testworld.Options{ControlPlane: sharedPlane})
})

var sharedPlane *controlplane.ControlPlane

// story is a test of the running agent: a shop whose applications live in
// namespaces named for it.
type story struct {
	*testworld.Shop
	t            *testing.T
	name         string
	environments []string
	cluster      *kubernetes.Clientset
	agent        *testworld.Process
}

// tell opens a shop. Its agent is started by the test, when the repo is ready.
func tell(t *testing.T, o testworld.ShopOptions) *story {
	t.Helper()
	t.Parallel()
	plane := controlplane.Shared(t)
	planeOnce.Do(func() { sharedPlane = plane })
	world, err := servers()
	if err != nil {
		t.Fatal(err)
	}
	s := &story{t: t, name: strings.ToLower(strings.TrimPrefix(t.Name(), "Test"))}
	s.name = s.name[:min(len(s.name), 40)]
	o.Name, o.Folder = "acme/"+s.name, t.TempDir()
	if o.Environments == nil {
		o.Environments = []string{"dev"}
	}
	s.environments = o.Environments
	if s.Shop, err = world.OpenShop(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	access, err := plane.RESTConfig()
	if err != nil {
		t.Fatal(err)
	}
	s.cluster = kubernetes.NewForConfigOrDie(access)
	return s
}

var planeOnce sync.Once

// start starts the agent; it is stopped at the end of the test, and must end well.
func (s *story) start() {
	s.t.Helper()
	pawl, err := exec.LookPath("pawl")
	if err != nil {
		s.t.Fatal(err)
	}
	again := s.agent != nil
	if s.agent, err = s.StartAgent(s.t.Context(), pawl); err != nil {
		s.t.Fatal(err)
	}
	if again {
		return
	}
	s.t.Cleanup(func() {
		agent := s.agent
		select {
		case <-agent.Ended:
		default:
			if err := agent.Stop(context.Background()); err != nil {
				s.t.Error(err)
			}
		}
		if s.t.Failed() {
			s.t.Logf("the agent's log:\n%s", agent.Tail(40))
		}
		for _, v := range s.World.GitHub.Violations() {
			if strings.Contains(v.Path, s.Repository.Name) {
				s.t.Errorf("against GitHub's own description: %v", v)
			}
		}
	})
}

// commit pushes files as a person would. In them $NAME is the story's name.
func (s *story) commit(message string, files map[string]string, delete ...string) string {
	s.t.Helper()
	write := map[string]string{}
	for path, text := range files {
		write[path] = strings.ReplaceAll(text, "$NAME", s.name)
	}
	commit, err := s.Repository.Commit(s.t.Context(), git.Commit{Message: message, Author: "ada", Write: write, Delete: delete})
	if err != nil {
		s.t.Fatal(err)
	}
	return commit
}

// open pushes what the story begins with, starts the agent, and waits until it
// runs.
func (s *story) open(files map[string]string) string {
	s.t.Helper()
	commit := s.commit("first", files)
	s.start()
	for _, e := range s.environments {
		s.green(commit, e)
	}
	return commit
}

// unsigned pushes an image that nobody has signed yet.
func (s *story) unsigned(application, content string) name.Digest {
	s.t.Helper()
	digest, err := s.Push(s.t.Context(), application, strings.ReplaceAll(content, " ", "-"), s.name+content, false)
	if err != nil {
		s.t.Fatal(err)
	}
	return digest
}

// must fails the story at once.
func (s *story) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// image pushes a signed image.
func (s *story) image(application, content string) name.Digest {
	s.t.Helper()
	digest, err := s.Push(s.t.Context(), application, content, s.name+content, true)
	if err != nil {
		s.t.Fatal(err)
	}
	return digest
}

// green waits for success.
func (s *story) green(commit, environment string) {
	s.t.Helper()
	if err := s.Green(s.t.Context(), commit, environment); err != nil {
		s.t.Fatal(err)
	}
}

// red waits for a failure, and wants its summary to say so much.
func (s *story) red(commit, environment string, says ...string) *github.CheckRun {
	s.t.Helper()
	run, err := s.Check(s.t.Context(), commit, environment)
	if err != nil {
		s.t.Fatal(err)
	}
	if run.GetConclusion() != "failure" {
		s.t.Fatalf("%s on %.7s says %s (%s); want failure", run.GetName(), commit, run.GetConclusion(), run.GetOutput().GetTitle())
	}
	// Markdown escapes are the check's business, not the stories'.
	summary := strings.ReplaceAll(run.GetOutput().GetTitle()+"\n"+run.GetOutput().GetSummary(), `\`, "")
	for _, text := range says {
		if !strings.Contains(summary, text) {
			s.t.Errorf("the check on %.7s does not say %q:\n%s", commit, text, summary)
		}
	}
	return run
}

// namespace is that of an environment.
func (s *story) namespace(environment string) string { return s.name + "-" + environment }

// writes are what the agent changed in the story's namespaces since then, or in
// those of some environments, by the API server's audit log. Inventories are
// the agent's own affair.
func (s *story) writes(since controlplane.Marker, environments ...string) []string {
	s.t.Helper()
	events, err := s.World.ControlPlane.Audit().Since(since)
	if err != nil {
		s.t.Fatal(err)
	}
	namespaces := []string{s.name + "-"}
	if len(environments) > 0 {
		namespaces = nil
		for _, e := range environments {
			namespaces = append(namespaces, s.namespace(e))
		}
	}
	var found []string
	for _, e := range events.Writes(testworld.AgentUser) {
		ours := func(namespace string) bool {
			return strings.HasPrefix(e.Namespace, namespace) || strings.HasPrefix(e.Name, namespace)
		}
		if slices.ContainsFunc(namespaces, ours) {
			found = append(found, e.String())
		}
	}
	return found
}

// unwritten fails if the agent wrote anything since then, or anything in some
// environments.
func (s *story) unwritten(since controlplane.Marker, environments ...string) {
	s.t.Helper()
	for _, w := range s.writes(since, environments...) {
		s.t.Errorf("the agent wrote: %s", w)
	}
}

func (s *story) mark() controlplane.Marker {
	s.t.Helper()
	mark, err := s.World.ControlPlane.Audit().Mark()
	if err != nil {
		s.t.Fatal(err)
	}
	return mark
}

// until waits for something that must come.
func (s *story) until(what string, look func(context.Context) (done bool, lacking string, err error)) {
	s.t.Helper()
	if err := testworld.Until(s.t.Context(), what, look); err != nil {
		s.t.Fatal(err)
	}
}

// pipeline is a pawl.yaml with one environment after the other.
func pipeline(environments ...string) string {
	text := "apiVersion: pawl.dev/v1alpha1\nkind: Pipeline\nmetadata: {name: story}\nspec:\n  overlays: overlays/{env}\n  environments:\n"
	for i, e := range environments {
		text += "    - name: " + e + "\n"
		if i > 0 {
			text += "      after: [" + environments[i-1] + "]\n"
		}
	}
	return text
}

// overlay is a kustomization of one file of objects.
const overlay = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [objects.yaml]\n"

// objects are a namespace, so many ConfigMaps that say the text, and a
// Deployment of the image.
func objects(environment, text string, maps int, image string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: v1\nkind: Namespace\nmetadata: {name: $NAME-%s}\n", environment)
	for i := range maps {
		fmt.Fprintf(&b, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: map-%d, namespace: $NAME-%s}\ndata: {text: %q}\n", i, environment, text)
	}
	fmt.Fprintf(&b, `---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: $NAME-%s}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: %q}]}
`, environment, image)
	return b.String()
}

// repo is a whole config repo with one environment.
func repo(text string, maps int, image string) map[string]string {
	return map[string]string{
		"pawl.yaml":                       pipeline("dev"),
		"overlays/dev/kustomization.yaml": overlay,
		"overlays/dev/objects.yaml":       objects("dev", text, maps, image),
	}
}
