package main

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pawl-dev/pawl/agent"
	"github.com/pawl-dev/pawl/internal/testworld"
)

// catalogue 114: an overlay that takes all memory ends its own process. Killed
// while it works on that commit, again and again, the agent comes back and
// brings the other environments on; that one is backed off, with the reason.
func TestACommitThatTakesAllMemoryHoldsBackItsOwnTarget(t *testing.T) {
	s := tell(t, testworld.ShopOptions{Environments: []string{"dev", "production"}, Configure: func(_ *testworld.Shop, c *agent.Config) error {
		// Without the bound that would find the bomb before it is lit.
		c.Render.Limits = agent.RenderLimits{Nodes: 1 << 40, Memory: 64 << 20}
		return nil
	}})
	image := s.image("web", "1").String()
	s.open(inBoth("good", image))
	mark := s.mark()
	lit := func(text string) map[string]string {
		files := inBoth(text, image)
		files["overlays/dev/objects.yaml"] = bomb()
		return files
	}
	converged := func(commit, text string) {
		t.Helper()
		s.green(commit, "production")
		s.red(commit, "dev", "RenderUnfinished", "render.limits.memory")
		live, err := s.cluster.CoreV1().ConfigMaps(s.namespace("production")).Get(t.Context(), "map-0", metav1.GetOptions{})
		s.must(err)
		if live.Data["text"] != text {
			t.Errorf("production says %q, want %q", live.Data["text"], text)
		}
	}
	pid := s.agent.PID()
	converged(s.commit("lit", lit("beside it")), "beside it")
	if s.agent.PID() != pid {
		t.Error("the agent was ended by it")
	}

	// Ended each time that it comes to the commit, it neither loops nor stays away.
	commit := s.commit("lit again", lit("after it"))
	for range 3 {
		s.until("the agent to work on the commit", func(ctx context.Context) (bool, string, error) {
			status, err := s.Status(ctx)
			if err != nil {
				return false, err.Error(), nil
			}
			for _, e := range status.Environments {
				if e.Name == "dev" && string(e.Commit) == commit {
					return true, "", nil
				}
			}
			return false, fmt.Sprintf("%+v", status.Environments), nil
		})
		s.must(s.agent.Kill())
		s.start()
	}
	pid = s.agent.PID()
	converged(commit, "after it")
	s.must(s.cluster.CoreV1().ConfigMaps(s.namespace("production")).Delete(t.Context(), "map-0", metav1.DeleteOptions{}))
	s.until("drift to be put back", func(ctx context.Context) (bool, string, error) {
		_, err := s.cluster.CoreV1().ConfigMaps(s.namespace("production")).Get(ctx, "map-0", metav1.GetOptions{})
		return err == nil, fmt.Sprint(err), nil
	})
	s.unwritten(mark, "dev")
	if s.agent.PID() != pid {
		t.Error("the agent was ended by it")
	}
	s.green(s.commit("mended", inBoth("mended", image)), "dev")
}

// catalogue 20, 57, 114: what is too large for the agent is not taken in. A file
// stops what uses it; a repository stops where it is, and the commit says so.
func TestWhatIsTooLargeIsSaidOnTheCommit(t *testing.T) {
	s := tell(t, testworld.ShopOptions{Environments: []string{"dev", "production"}})
	image := s.image("web", "1").String()
	s.open(inBoth("good", image))
	mark := s.mark()

	large := inBoth("beside a large file", image)
	large["overlays/dev/kustomization.yaml"] = overlay + "configMapGenerator: [{name: large, files: [large.txt]}]\n"
	large["overlays/dev/large.txt"] = strings.Repeat("0", 33<<20)
	commit := s.commit("a large file", large)
	s.green(commit, "production")
	s.red(commit, "dev", "RenderFailed", "overlays/dev/large.txt", "larger than 32 MiB")
	s.unwritten(mark, "dev")

	huge := maps.Clone(large)
	huge["overlays/production/objects.yaml"] = objects("production", "never", 1, image)
	for i := range 5 {
		huge[fmt.Sprintf("more/%d.txt", i)] = fmt.Sprint(i) + strings.Repeat("0", 30<<20)
	}
	mark = s.mark()
	commit = s.commit("a huge repository", huge)
	for _, e := range s.environments {
		s.red(commit, e, "TooLarge", "128 MiB of content")
	}
	s.unwritten(mark)

	// Nor after a restart, which has nothing to go back to; and drift is put back.
	s.must(s.agent.Kill())
	s.start()
	s.must(s.cluster.CoreV1().ConfigMaps(s.namespace("production")).Delete(t.Context(), "map-0", metav1.DeleteOptions{}))
	s.until("drift to be put back", func(ctx context.Context) (bool, string, error) {
		_, err := s.cluster.CoreV1().ConfigMaps(s.namespace("production")).Get(ctx, "map-0", metav1.GetOptions{})
		return err == nil, fmt.Sprint(err), nil
	})
	mended := s.commit("mended", inBoth("mended", image), "more", "overlays/dev/large.txt")
	for _, e := range s.environments {
		s.green(mended, e)
	}
}
