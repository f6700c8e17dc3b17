package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pawl-dev/pawl/deploy"
	"github.com/pawl-dev/pawl/internal/testworld"
	"github.com/pawl-dev/pawl/internal/testworld/images"
	"github.com/pawl-dev/pawl/internal/testworld/registry"
)

// tagged pushes an image whose signatures stand under its signature tag.
func (s *story) tagged(content string, keys ...*images.Key) name.Digest {
	s.t.Helper()
	image := s.unsigned(s.name, content)
	for _, key := range keys {
		s.must(images.Sign(s.t.Context(), image, key, images.Tag, s.World.Registry.Client()...))
	}
	return image
}

// runs is the image of dev's Deployment.
func (s *story) runs() string {
	s.t.Helper()
	live, err := s.cluster.AppsV1().Deployments(s.namespace("dev")).Get(s.t.Context(), "web", metav1.GetOptions{})
	s.must(err)
	return live.Spec.Template.Spec.Containers[0].Image
}

// remembered waits until the release of a commit is stored as a good one.
func (s *story) remembered(commit string) {
	s.t.Helper()
	s.until("the release to be stored as a good one", func(ctx context.Context) (bool, string, error) {
		list, err := s.cluster.CoreV1().Secrets(deploy.Namespace).List(ctx, metav1.ListOptions{LabelSelector: "pawl.dev/good-of=acme_" + s.name})
		for _, index := range list.Items {
			for _, text := range index.Data {
				if strings.Contains(string(text), commit) {
					return true, "", nil
				}
			}
		}
		return false, fmt.Sprintf("%d indexes", len(list.Items)), err
	})
}

// catalogue 120, 121
func TestARollbackPassesOverWhatIsGoneFromTheRegistry(t *testing.T) {
	s := tell(t, testworld.ShopOptions{})
	signature := func(image name.Digest) string { return "sha256-" + image.DigestStr()[len("sha256:"):] + ".sig" }
	one, two, three := s.tagged("1", s.Key), s.tagged("2", s.Key), s.tagged("3", s.Key)
	first := s.open(repo("one", 1, one.String()))
	second := s.commit("two", repo("two", 1, two.String()))
	s.green(second, "dev")
	third := s.commit("three", repo("three", 1, three.String()))
	s.green(third, "dev")
	s.must(s.World.Registry.Delete("acme/"+s.name, signature(two)))
	s.must(s.World.Registry.Delete("acme/"+s.name, three.DigestStr()))
	s.remembered(third)
	s.agent.Kill() // what it looked up just now it would not look up again
	s.start()

	bad := s.commit("bad", failing("bad", s.image("web", "4").String()))
	s.says(bad, "dev", "Returned to the last good release ("+first[:7]+")", "which is healthy",
		"not to "+third[:7], three.DigestStr()[:15], "is not in its registry", "not to "+second[:7], two.DigestStr()[:15], "has no signature")
	if s.text() != "one" || s.runs() != one.String() {
		t.Errorf("it says %q and runs %s", s.text(), s.runs())
	}

	// With none left the failed release stays, and nothing is written for it.
	s.must(s.World.Registry.Delete("acme/"+s.name, signature(one)))
	s.agent.Kill()
	s.start()
	worse := s.image("web", "5").String()
	commit := s.commit("worse", failing("worse", worse))
	s.says(commit, "dev", "The release was applied and stays: no good release may return", "not to "+first[:7], one.DigestStr()[:15])
	if s.text() != "worse" || s.runs() != worse {
		t.Errorf("it says %q and runs %s", s.text(), s.runs())
	}
	mark := s.mark()
	s.commit("nothing new", map[string]string{"README.md": "nothing new"})
	s.says(s.commit("and nothing again", map[string]string{"README.md": "nothing"}), "dev", "permission denied")
	s.unwritten(mark)
}

// Where the registry cannot be asked, what it said when a release was judged is
// judged by what is demanded today.
//
// catalogue 41, 42, 120, 121
func TestARollbackWithoutTheRegistryIsJudgedByTodaysTrust(t *testing.T) {
	s := tell(t, testworld.ShopOptions{})
	next, err := images.NewKey()
	s.must(err)
	file, err := s.File("next.pub", next.Public())
	s.must(err)
	keys := func(change func(keys []any) []any) {
		s.configure(func(config map[string]any) {
			rule := config["trust"].([]any)[0].(map[string]any)
			rule["keys"] = change(rule["keys"].([]any))
		})
	}
	keys(func(keys []any) []any { return append(keys, map[string]any{"name": "next", "file": file}) })
	both, old := s.tagged("both", s.Key, next), s.tagged("old", s.Key)
	bad := s.unsigned("web", "bad")
	s.must(images.Sign(t.Context(), bad, next, images.Bundle, s.World.Registry.Client()...))
	first := s.open(repo("one", 1, both.String()))
	second := s.commit("two", repo("two", 1, old.String()))
	s.green(second, "dev")

	s.remembered(second)
	// From now on only the next key is trusted, and the registry of what ran is down.
	s.agent.Kill() // nothing is known but what is stored
	keys(func(keys []any) []any { return keys[1:] })
	s.World.Registry.ForgetRequests()
	heal := s.World.Registry.Fail(registry.Match{Repository: "acme/" + s.name}, registry.Fault{Drop: true})
	defer heal()
	s.start()
	failed := s.commit("bad", failing("bad", bad.String()))
	s.says(failed, "dev", "Returned to the last good release ("+first[:7]+")", "which is healthy", "not to "+second[:7], `no signature by the key "next"`, old.DigestStr()[:15])
	if s.text() != "one" || s.runs() != both.String() {
		t.Errorf("it says %q and runs %s", s.text(), s.runs())
	}
	s.until("the registry to have been asked", func(context.Context) (bool, string, error) {
		asked := s.World.Registry.Requests(registry.Match{Repository: "acme/" + s.name})
		return len(asked) > 0, fmt.Sprint(asked), nil
	})
}
