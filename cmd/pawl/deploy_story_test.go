package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pawl-dev/pawl/internal/testworld"
	"github.com/pawl-dev/pawl/internal/testworld/images"
)

func TestAPushIsAppliedAndTheCheckIsTrue(t *testing.T) {
	s := tell(t, testworld.ShopOptions{})
	image := s.image("web", "1").String()
	first := s.commit("first", repo("one", 3, image))
	s.start()
	s.green(first, "dev")
	live, err := s.cluster.AppsV1().Deployments(s.namespace("dev")).Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if live.Status.ReadyReplicas != 2 || live.Spec.Template.Spec.Containers[0].Image != image {
		t.Errorf("green, but %d of 2 ready with %s", live.Status.ReadyReplicas, live.Spec.Template.Spec.Containers[0].Image)
	}

	// What left the release is pruned, what stayed is not touched.
	second := s.commit("second", repo("two", 2, image))
	s.green(second, "dev")
	maps, err := s.cluster.CoreV1().ConfigMaps(s.namespace("dev")).List(t.Context(), metav1.ListOptions{LabelSelector: "pawl.dev/target"})
	if err != nil {
		t.Fatal(err)
	}
	if len(maps.Items) != 2 || maps.Items[0].Data["text"] != "two" {
		t.Errorf("%d ConfigMaps are left, the first says %q; want 2 and two", len(maps.Items), maps.Items[0].Data["text"])
	}
	after, err := s.cluster.AppsV1().Deployments(s.namespace("dev")).Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if after.Generation != live.Generation || after.UID != live.UID {
		t.Errorf("the Deployment did not change in git, but went from generation %d to %d", live.Generation, after.Generation)
	}
}

func TestAPushIsFoundWithoutAWebhook(t *testing.T) {
	s := tell(t, testworld.ShopOptions{WithoutWebhook: true})
	image := s.image("web", "1").String()
	s.green(func() string { c := s.commit("first", repo("one", 1, image)); s.start(); return c }(), "dev")
	s.green(s.commit("second", repo("two", 1, image)), "dev")
}

func TestATokenThatCannotWriteChecksReportsStatuses(t *testing.T) {
	s := tell(t, testworld.ShopOptions{WithToken: true})
	commit := s.commit("first", repo("one", 1, s.image("web", "1").String()))
	s.start()
	s.until("a commit status", func(ctx context.Context) (bool, string, error) {
		statuses, _, err := s.Client().Repositories.ListStatuses(ctx, "acme", s.name, commit, nil)
		if err != nil || len(statuses) == 0 {
			return false, "none", err
		}
		newest := statuses[0]
		return newest.GetState() == "success" && newest.GetContext() == "pawl / dev", newest.GetState() + " " + newest.GetContext(), nil
	})
}

// catalogue 30, 33
func TestWhatIsNotSignedIsNotApplied(t *testing.T) {
	s := tell(t, testworld.ShopOptions{})
	good := s.image("web", "1")
	s.green(func() string { c := s.commit("first", repo("one", 1, good.String())); s.start(); return c }(), "dev")

	unsigned, err := s.Push(t.Context(), "web", "unsigned", s.name+"unsigned", false)
	if err != nil {
		t.Fatal(err)
	}
	borrowed, err := s.Push(t.Context(), "web", "borrowed", s.name+"borrowed", false)
	if err != nil {
		t.Fatal(err)
	}
	client := s.World.Registry.Client()
	if err := images.Sign(t.Context(), good, s.Key, images.Tag, client...); err != nil {
		t.Fatal(err)
	}
	if err := images.CopySignatures(t.Context(), good, borrowed, client...); err != nil {
		t.Fatal(err)
	}
	mark := s.mark()
	for what, image := range map[string]string{"without any signature": unsigned.String(), "with another image's signature": borrowed.String()} {
		commit := s.commit("an image "+what, repo("two", 1, image))
		s.red(commit, "dev", "ImageRefused", image[strings.Index(image, "@"):][:15], `no signature by the key "release"`)
	}
	s.unwritten(mark)
}

// catalogue 18, 85
func TestOneBadObjectAmongFiftyStopsAll(t *testing.T) {
	s := tell(t, testworld.ShopOptions{})
	image := s.image("web", "1").String()
	s.green(func() string { c := s.commit("first", repo("one", 50, image)); s.start(); return c }(), "dev")
	mark := s.mark()
	files := repo("two", 50, image)
	files["overlays/dev/objects.yaml"] = strings.Replace(files["overlays/dev/objects.yaml"], "replicas: 2", "replica: 2", 1)
	s.red(s.commit("a typo", files), "dev", "ApplyRejected", "Deployment "+s.namespace("dev")+"/web", "replica", "nothing was written")
	s.unwritten(mark)
	s.green(s.commit("mended", repo("two", 50, image)), "dev")
}

// catalogue 7, 11, 12, 17, 18
func TestABadCommitChangesNothing(t *testing.T) {
	s := tell(t, testworld.ShopOptions{})
	image := s.image("web", "1").String()
	good := repo("one", 2, image)
	s.green(func() string { c := s.commit("first", good); s.start(); return c }(), "dev")
	mark := s.mark()
	const file = "overlays/dev/objects.yaml"
	for _, c := range []struct {
		says    string
		change  map[string]string
		delete  string
		reports []string
	}{
		{"a duplicate key", map[string]string{file: good[file] + "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: twice, namespace: $NAME-dev}\ndata:\n  a: one\n  a: two\n"}, "", []string{file, `"a"`}},
		{"no resources", map[string]string{"overlays/dev/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: []\n"}, "", []string{"RenderEmpty"}},
		{"only comments", map[string]string{file: "# nothing here\n"}, "", []string{"RenderEmpty"}},
		{"the overlay is gone", nil, "overlays/dev", []string{"OverlayMissing", "overlays/dev"}},
		{"merge-conflict markers", map[string]string{file: "<<<<<<< HEAD\n" + good[file]}, "", []string{file + ":1"}},
		{"a truncated file", map[string]string{file: good[file] + "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: cut,"}, "", []string{file}},
		{"a NUL byte", map[string]string{file: good[file] + "---\napiVersion: v1\x00\n"}, "", []string{file}},
		{"a tab", map[string]string{file: good[file] + "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n\tname: tabbed\n"}, "", []string{file}},
		{"a typo in the kustomization", map[string]string{"overlays/dev/kustomization.yaml": overlay + "resourcez: []\n"}, "", []string{"resourcez"}},
		{"an overlay pattern that leaves the repository", map[string]string{"pawl.yaml": strings.Replace(pipeline("dev"), "overlays/{env}", "../{env}", 1)}, "", []string{"spec.overlays", "keeps running"}},
		{"an overlay pattern that is absolute", map[string]string{"pawl.yaml": strings.Replace(pipeline("dev"), "overlays/{env}", "/overlays/{env}", 1)}, "", []string{"spec.overlays", "keeps running"}},
		{"no environment", map[string]string{"pawl.yaml": strings.Replace(pipeline("dev"), "name: dev", "name: deb", 1)}, "", []string{"no such environment"}},
		{"no pawl.yaml", nil, "pawl.yaml", []string{"has no pawl.yaml"}},
	} {
		var deleted []string
		if c.delete != "" {
			deleted = append(deleted, c.delete)
		}
		s.red(s.commit(c.says, c.change, deleted...), "dev", c.reports...)
		s.green(s.commit("mended: "+c.says, good), "dev")
	}
	s.unwritten(mark)
}

// catalogue 55
func TestABranchThatIsGoneChangesNothing(t *testing.T) {
	s := tell(t, testworld.ShopOptions{})
	image := s.image("web", "1").String()
	first := s.commit("first", repo("one", 1, image))
	s.start()
	s.green(first, "dev")
	mark := s.mark()
	if err := s.Repository.DeleteBranch(t.Context(), "ada", "main"); err != nil {
		t.Fatal(err)
	}
	s.until("the agent to see that the branch is gone", func(context.Context) (bool, string, error) {
		return strings.Contains(s.agent.Tail(50), `"reason":"BranchGone"`), "no such line in its log", nil
	})
	s.unwritten(mark)

	// Drift is still put back.
	maps := s.cluster.CoreV1().ConfigMaps(s.namespace("dev"))
	if _, err := maps.Patch(t.Context(), "map-0", types.MergePatchType, []byte(`{"data":{"text":"by hand"}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	s.until("the edit to be put back", func(ctx context.Context) (bool, string, error) {
		live, err := maps.Get(ctx, "map-0", metav1.GetOptions{})
		return err == nil && live.Data["text"] == "one", fmt.Sprint(live.Data), err
	})

	if err := s.Repository.Push(t.Context(), "ada", "main", first); err != nil {
		t.Fatal(err)
	}
	s.green(s.commit("back", repo("two", 1, image)), "dev")
}

func TestARestartWritesNothing(t *testing.T) {
	s := tell(t, testworld.ShopOptions{})
	image := s.image("web", "1").String()
	s.green(func() string { c := s.commit("first", repo("one", 20, image)); s.start(); return c }(), "dev")
	if err := s.agent.Kill(); err != nil {
		t.Fatal(err)
	}
	mark := s.mark()
	s.start()
	s.until("dev to be healthy", func(ctx context.Context) (bool, string, error) {
		status, err := s.Status(ctx)
		if err != nil || len(status.Environments) == 0 {
			return false, "no environment", err
		}
		return status.Environments[0].State == "success", status.Environments[0].State, nil
	})
	s.unwritten(mark)

	// And it is still kept.
	maps := s.cluster.CoreV1().ConfigMaps(s.namespace("dev"))
	if err := maps.Delete(t.Context(), "map-7", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	s.until("the deleted object to be back", func(ctx context.Context) (bool, string, error) {
		_, err := maps.Get(ctx, "map-7", metav1.GetOptions{})
		return err == nil, fmt.Sprint(err), nil
	})
}

// An application that gets another name in git takes its objects along: none is
// deleted or made again, and nothing is left to mend.
//
// catalogue 96
func TestAnApplicationIsRenamed(t *testing.T) {
	s := tell(t, testworld.ShopOptions{})
	pipeline := strings.Replace(pipeline("dev"), "overlays/{env}", "apps/{app}/{env}", 1)
	files := map[string]string{"kustomization.yaml": "resources: [objects.yaml]\n", "objects.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: $NAME-dev}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: $NAME-dev}\ndata: {a: b}\n"}
	at := func(folder string) map[string]string {
		moved := map[string]string{"pawl.yaml": pipeline}
		for name, text := range files {
			moved[folder+name] = text
		}
		return moved
	}
	s.open(at("apps/one/dev/"))
	uid := func() string {
		o, err := s.cluster.CoreV1().ConfigMaps(s.name+"-dev").Get(t.Context(), "a", metav1.GetOptions{})
		s.must(err)
		return string(o.UID)
	}
	before := uid()
	s.green(s.commit("one is two", at("apps/two/dev/"), "apps/one/dev/kustomization.yaml", "apps/one/dev/objects.yaml"), "dev")
	if uid() != before {
		t.Error("it was deleted and made again")
	}
}
