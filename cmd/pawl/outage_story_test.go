package main

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pawl-dev/pawl/internal/testworld"
	"github.com/pawl-dev/pawl/internal/testworld/git"
	"github.com/pawl-dev/pawl/internal/testworld/github"
	"github.com/pawl-dev/pawl/internal/testworld/registry"
)

// catalogue 60
func TestAHundredCommitsEndAtTheLast(t *testing.T) {
	s := tell(t, testworld.ShopOptions{})
	m := newModel(s)
	image := s.image("web", "1").String()
	m.images[image] = true
	var files map[string]string
	var commits []string
	for i := range 100 {
		files = repo(fmt.Sprintf("text %d", i), 1+i%7, image)
		files["pawl.yaml"] = pruning(files["pawl.yaml"])
		message := "good"
		if i%3 == 1 {
			message = "broken"
			broken := repo("broken", 1, image)
			broken["overlays/dev/objects.yaml"] = "<<<<<<< HEAD\n" + broken["overlays/dev/objects.yaml"]
			commits = append(commits, s.commit(message, broken))
		} else {
			m.good(files, "dev")
			commits = append(commits, s.commit(message, files))
		}
		if i == 0 {
			s.start()
		}
	}
	s.green(commits[len(commits)-1], "dev")
	m.equal()
	m.judge()
	m.oneEach(commits, "dev")
}

// catalogue 61
func TestWithoutGitWhatRunsIsKept(t *testing.T) {
	s := tell(t, testworld.ShopOptions{})
	s.configure(func(config map[string]any) { config["repository"].(map[string]any)["poll"] = "1s" })
	m := newModel(s)
	image := s.image("web", "1").String()
	m.images[image] = true
	files := repo("one", 3, image)
	m.good(files, "dev")
	commit := s.commit("first", files)
	s.start()
	s.green(commit, "dev")
	heal := s.World.GitHub.Git().Fail(git.Match{Repository: s.Repository.Name, Service: "upload-pack"}, git.Fault{Status: http.StatusServiceUnavailable})
	s.until("the agent to see that git is gone", func(context.Context) (bool, string, error) {
		return strings.Contains(s.agent.Tail(50), "the branch cannot be read"), "no such line in its log", nil
	})
	maps := s.cluster.CoreV1().ConfigMaps(s.namespace("dev"))
	if err := maps.Delete(t.Context(), "map-0", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := maps.Patch(t.Context(), "map-1", types.MergePatchType, []byte(`{"data":{"text":"by hand"}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	m.equal()
	files = repo("two", 3, image)
	m.good(files, "dev")
	commit = s.commit("while git cannot be read", files)
	heal()
	s.green(commit, "dev")
	m.equal()
	m.judge()
}

// Each of the others is cut while objects are edited and deleted: they are put
// back during the outage, and what could not be told then is told afterwards.
//
// catalogue 104
func TestDriftIsPutBackDuringOutages(t *testing.T) {
	s := tell(t, testworld.ShopOptions{})
	s.configure(func(config map[string]any) { config["repository"].(map[string]any)["poll"] = "1s" })
	m := newModel(s)
	application := "outages" // a repository of images of its own
	image := s.image(application, "1").String()
	another := s.image(application, "2").String()
	m.images[image], m.images[another] = true, true
	files := repo("before", 3, image)
	m.good(files, "dev")
	commit := s.commit("first", files)
	s.start()
	s.green(commit, "dev")
	maps := s.cluster.CoreV1().ConfigMaps(s.namespace("dev"))
	spoil := func(during string) {
		t.Helper()
		s.must(maps.Delete(t.Context(), "map-0", metav1.DeleteOptions{}))
		for name, patch := range map[string]string{
			"map-1": fmt.Sprintf(`{"data":{"text":"by hand, without %s"}}`, during),
			"map-2": `{"metadata":{"labels":{"pawl.dev/target":null,"pawl.dev/agent":null}},"data":{"text":"out of sight"}}`,
		} {
			_, err := maps.Patch(t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: "kubectl-edit"})
			s.must(err)
		}
		m.equal()
		s.until("the status to tell what was put back", func(ctx context.Context) (bool, string, error) {
			status, err := s.Status(ctx)
			if err != nil {
				return false, "", err
			}
			told := 0
			for _, d := range status.Environments[0].Targets[0].Drift {
				if d.TookMillis != nil {
					told++
				}
			}
			return told >= 3, fmt.Sprintf("%+v", status.Environments[0].Targets[0].Drift), nil
		})
	}

	// Without GitHub a new commit is applied, and its check comes later.
	heal := s.World.GitHub.Fail(github.Match{Path: regexp.MustCompile("^/repos/" + s.Repository.Name + "/")}, github.Fault{Status: http.StatusBadGateway})
	files = repo("without GitHub", 3, image)
	m.good(files, "dev")
	commit = s.commit("without GitHub", files)
	m.equal()
	spoil("GitHub")
	heal()
	s.green(commit, "dev")

	// Without the registry nothing new is applied, and what runs is kept.
	heal = s.World.Registry.Fail(registry.Match{Repository: "acme/" + application}, registry.Fault{Drop: true})
	unverified := repo("without the registry", 3, another)
	commit = s.commit("without the registry", unverified)
	spoil("the registry")
	heal()
	m.good(unverified, "dev")
	s.green(commit, "dev")
	m.equal()

	// Without all of them.
	heals := []func(){
		s.World.GitHub.Fail(github.Match{Path: regexp.MustCompile("^/repos/" + s.Repository.Name + "/")}, github.Fault{Reset: true}),
		s.World.GitHub.Git().Fail(git.Match{Repository: s.Repository.Name}, git.Fault{Status: http.StatusServiceUnavailable}),
		s.World.Registry.Fail(registry.Match{Repository: "acme/" + application}, registry.Fault{Status: http.StatusServiceUnavailable}),
	}
	spoil("anybody")
	for _, heal := range heals {
		heal()
	}
	files = repo("after", 3, image)
	m.good(files, "dev")
	commit = s.commit("after", files)
	s.green(commit, "dev")
	m.equal()
	m.judge()
}
