package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/pawl-dev/pawl/agent"
	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/internal/testworld"
	"github.com/pawl-dev/pawl/internal/testworld/git"
	standin "github.com/pawl-dev/pawl/internal/testworld/github"
)

// person is somebody who may write to the repository.
func (s *story) person(login string) *standin.Person {
	s.t.Helper()
	p, err := s.World.GitHub.Person(login)
	s.must(err)
	return p
}

// reviewed brings files by a pull request that these people approve.
func (s *story) reviewed(message string, files map[string]string, approvers ...string) string {
	s.t.Helper()
	ada := s.person("ada")
	s.push(git.Commit{Branch: "topic", From: "main", Message: message, Write: files})
	number, err := ada.OpenPull(s.t.Context(), s.Repository.Name, "topic", "main", message, "")
	s.must(err)
	for _, login := range approvers {
		s.must(s.person(login).Approve(s.t.Context(), s.Repository.Name, number))
	}
	commit, err := ada.Merge(s.t.Context(), s.Repository.Name, number, "")
	s.must(err)
	return commit
}

// push pushes a commit of any kind. In its files $NAME is the story's name.
func (s *story) push(c git.Commit) string {
	s.t.Helper()
	write := map[string]string{}
	for path, text := range c.Write {
		write[path] = strings.ReplaceAll(text, "$NAME", s.name)
	}
	c.Author, c.Write = "ada", write
	commit, err := s.Repository.Commit(s.t.Context(), c)
	s.must(err)
	return commit
}

// blocked waits until a pull request is open and says so.
func (s *story) blocked(environment, says string) (number int) {
	s.t.Helper()
	s.until("the pull request into "+environment+" to say "+says, func(ctx context.Context) (bool, string, error) {
		status, err := s.Status(ctx)
		if err != nil {
			return false, "", err
		}
		var last string
		for _, e := range status.Environments {
			for _, p := range e.Entering {
				if e.Name == environment {
					number, last = p.PullRequest, fmt.Sprintf("#%d: %s", p.PullRequest, p.Blocked)
				}
			}
		}
		return number > 0 && strings.HasSuffix(last, says), last, nil
	})
	return number
}

func TestProductionTakesOnlyWhatTwoPeopleApproved(t *testing.T) {
	s := tell(t, testworld.ShopOptions{Environments: []string{"dev", "production"}, Configure: func(_ *testworld.Shop, c *agent.Config) error {
		c.Levels = []demands.LevelConfig{{Name: "pci", Approvals: 2}}
		c.Environments[1].Level = "pci"
		return nil
	}})
	image := func(n string) string { return s.image(s.name, n).DigestStr() }
	overlayOf := func(e, digest string) map[string]string {
		return map[string]string{
			"overlays/" + e + "/objects.yaml":       objects(e, e, 1, "web"),
			"overlays/" + e + "/kustomization.yaml": overlay + "images:\n  - name: web\n    newName: " + s.Image(s.name) + "\n    digest: " + digest + "\n",
		}
	}
	first, second, third := image("1"), image("2"), image("3")
	files := overlayOf("dev", first)
	for path, text := range overlayOf("production", first) {
		files[path] = text
	}
	files["pawl.yaml"] = pipeline("dev") + "    - {name: production, after: [dev], promotion: {merge: auto}}\n"
	s.commit("a repository", map[string]string{"README.md": "of the shop"})
	opened := s.reviewed("the shop", files, "bob", "cyd")
	s.start()
	s.green(opened, "dev")
	s.green(opened, "production")

	// The agent's pull request waits for both, and is then merged by the agent.
	mark := s.mark()
	s.green(s.commit("the next build", overlayOf("dev", second)), "dev")
	number := s.blocked("production", "needs 2 of 2 approvals")
	s.must(s.person("bob").Approve(t.Context(), s.Repository.Name, number))
	s.blocked("production", "needs 1 of 2 approvals")
	s.unwritten(mark, "production")
	s.must(s.person("cyd").Approve(t.Context(), s.Repository.Name, number))
	s.green(s.holds("production", second), "production")

	// Whoever pushes past it is refused, signed image or not.
	mark = s.mark()
	pushed := s.commit("straight into production", overlayOf("production", third))
	s.red(pushed, "production", "ApprovalMissing", "came without a pull request", "straight into production")
	back := s.commit("taken back", overlayOf("production", second))
	s.green(back, "production")
	s.red(s.reviewed("with one approval", overlayOf("production", third), "bob"), "production", "ApprovalMissing", "has 1 of 2 approvals (bob)")
	s.unwritten(mark, "production")
}
