package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pawl-dev/pawl/internal/testworld"
	"github.com/pawl-dev/pawl/internal/testworld/git"
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
