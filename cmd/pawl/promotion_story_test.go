package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-github/v60/github"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pawl-dev/pawl/internal/testworld"
)

// loop is a config repo with three environments, the first of which tracks the
// tag main, the second of which is merged into by the agent.
func (s *story) loop() map[string]string {
	files := map[string]string{"pawl.yaml": `apiVersion: pawl.dev/v1alpha1
kind: Pipeline
metadata: {name: story}
spec:
  overlays: overlays/{env}
  environments:
    - {name: dev, track: [{image: ` + s.Image("*") + `, tag: main}]}
    - {name: staging, after: [dev], promotion: {merge: auto}}
    - {name: production, after: [staging]}
`}
	for _, e := range []string{"dev", "staging", "production"} {
		files["overlays/"+e+"/objects.yaml"] = objects(e, e, 1, "web")
		files["overlays/"+e+"/kustomization.yaml"] = overlay + "# comments stay\nimages:\n  - name: web   # ours\n    newName: " + s.Image(s.name) + "\n"
	}
	files["overlays/dev/kustomization.yaml"] += "    newTag: main\n"
	return files
}

var three = testworld.ShopOptions{Environments: []string{"dev", "staging", "production"}}

// holds waits until the branch has the digest in an environment, and returns
// the commit.
func (s *story) holds(environment, digest string) (commit string) {
	s.t.Helper()
	s.until(environment+" to hold "+digest, func(ctx context.Context) (bool, string, error) {
		var err error
		if commit, err = s.Repository.Resolve(ctx, "refs/heads/main"); err != nil {
			return false, "", err
		}
		text, err := s.Repository.ReadFile(ctx, commit, "overlays/"+environment+"/kustomization.yaml")
		return strings.Contains(text, digest), text, err
	})
	return commit
}

// promotion waits for the pull request into an environment that brings a digest.
func (s *story) promotion(environment, digest string) (found *github.PullRequest) {
	s.t.Helper()
	s.until("a pull request of "+digest+" into "+environment, func(ctx context.Context) (bool, string, error) {
		pulls, _, err := s.Client().PullRequests.List(ctx, "acme", s.name, &github.PullRequestListOptions{State: "all", Head: "acme:pawl/promote/" + environment})
		if err != nil {
			return false, "", err
		}
		for _, p := range pulls {
			files, _, err := s.Client().PullRequests.ListFiles(ctx, "acme", s.name, p.GetNumber(), nil)
			if err != nil {
				return false, "", err
			}
			if len(files) == 1 && strings.Contains(files[0].GetPatch(), digest) {
				found = p
				return true, "", nil
			}
		}
		return false, fmt.Sprintf("%d pull requests, none with it", len(pulls)), nil
	})
	return found
}

func TestADigestGoesFromATagToProduction(t *testing.T) {
	s := tell(t, three)
	first := s.image(s.name, "main")
	s.commit("the loop", s.loop())
	s.start()
	s.green(s.holds("dev", first.DigestStr()), "dev")
	s.green(s.holds("staging", first.DigestStr()), "staging")
	pull := s.promotion("production", first.DigestStr())
	if pull.GetState() != "open" || !strings.Contains(pull.GetBody(), first.DigestStr()[7:15]) || !strings.Contains(pull.GetBody(), "signed by the key release") {
		t.Errorf("the pull request is %s and says:\n%s", pull.GetState(), pull.GetBody())
	}

	// An agent that is killed and started again opens no second one.
	if err := s.agent.Kill(); err != nil {
		t.Fatal(err)
	}
	s.start()
	if err := s.Merge(t.Context(), pull); err != nil {
		t.Fatal(err)
	}
	s.green(s.holds("production", first.DigestStr()), "production")
	text, err := s.Repository.ReadFile(t.Context(), "main", "overlays/production/kustomization.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, kept := range []string{"# comments stay", "- name: web   # ours"} {
		if !strings.Contains(text, kept) {
			t.Errorf("%q was lost:\n%s", kept, text)
		}
	}
	pulls, _, err := s.Client().PullRequests.List(t.Context(), "acme", s.name, &github.PullRequestListOptions{State: "all"})
	if err != nil {
		t.Fatal(err)
	}
	if len(pulls) != 2 {
		t.Errorf("%d pull requests; want one for staging and one for production", len(pulls))
	}

	// The next build moves dev at once, and what waits for a person is updated
	// in place, not doubled.
	second, err := s.Push(t.Context(), s.name, "main", s.name+"second", true)
	if err != nil {
		t.Fatal(err)
	}
	s.green(s.holds("staging", second.DigestStr()), "staging")
	waiting := s.promotion("production", second.DigestStr())
	third, err := s.Push(t.Context(), s.name, "main", s.name+"third", true)
	if err != nil {
		t.Fatal(err)
	}
	s.green(s.holds("staging", third.DigestStr()), "staging")
	if updated := s.promotion("production", third.DigestStr()); updated.GetNumber() != waiting.GetNumber() {
		t.Errorf("#%d was opened beside #%d", updated.GetNumber(), waiting.GetNumber())
	}
	s.green(s.holds("production", first.DigestStr()), "production")
}

// catalogue 30: an unsigned build under the tracked tag goes nowhere.
func TestAnUnsignedBuildIsNotCommitted(t *testing.T) {
	s := tell(t, three)
	first := s.image(s.name, "main")
	s.commit("the loop", s.loop())
	s.start()
	s.green(s.holds("staging", first.DigestStr()), "staging")
	unsigned, err := s.Push(t.Context(), s.name, "main", s.name+"unsigned", false)
	if err != nil {
		t.Fatal(err)
	}
	s.until("the agent to say why", func(ctx context.Context) (bool, string, error) {
		status, err := s.Status(ctx)
		if err != nil {
			return false, "", err
		}
		for _, e := range status.Environments {
			for _, p := range e.Entering {
				if e.Name == "dev" && p.Verdict == "wait" && strings.Contains(p.Why, unsigned.DigestStr()[7:15]) {
					return true, "", nil
				}
			}
		}
		return false, fmt.Sprintf("%+v", status.Environments), nil
	})
	s.holds("dev", first.DigestStr())
}

// TestOnlyWhatChangedIsRendered looks at the agent's own counters.
func TestOnlyWhatChangedIsRendered(t *testing.T) {
	s := tell(t, three)
	image := s.image("web", "1").String()
	files := map[string]string{"pawl.yaml": pipeline("dev", "staging", "production")}
	for _, e := range []string{"dev", "staging", "production"} {
		files["overlays/"+e+"/kustomization.yaml"] = overlay
		files["overlays/"+e+"/objects.yaml"] = objects(e, "one", 1, image)
	}
	first := s.commit("first", files)
	s.start()
	for _, e := range three.Environments {
		s.green(first, e)
	}
	before := s.metrics()
	s.World.GitHub.Git().ForgetRequests()
	second := s.commit("only staging", map[string]string{"overlays/staging/objects.yaml": objects("staging", "two", 1, image), "README.md": "nothing"})
	for _, e := range three.Environments {
		s.green(second, e)
	}
	after := s.metrics()
	for e, want := range map[string]float64{"dev": 0, "staging": 1, "production": 0} {
		name := `pawl_renders_total{environment="` + e + `"}`
		if got := after[name] - before[name]; got != want {
			t.Errorf("%s was rendered %v times; want %v", e, got, want)
		}
	}
	packs := 0
	for _, r := range s.World.GitHub.Git().Requests() {
		if r.Repository == s.Repository.Name && r.Method == "POST" {
			packs++
		}
	}
	if packs != 1 {
		t.Errorf("%d fetches for three targets; want 1", packs)
	}
	live, err := s.cluster.CoreV1().ConfigMaps(s.namespace("staging")).Get(t.Context(), "map-0", metav1.GetOptions{})
	if err != nil || live.Data["text"] != "two" {
		t.Errorf("staging says %v (%v); want two", live.Data, err)
	}
}
