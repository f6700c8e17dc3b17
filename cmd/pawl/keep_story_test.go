package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pawl-dev/pawl/internal/testworld"
)

// An object is on its way from one application to another, which is refused. Then
// the agent is killed, and comes back to a pawl.yaml that cannot be used: what
// runs is kept, nothing is deleted, and a person can go back from there.
//
// catalogue 61
func TestWhatRunsIsKeptThroughARestartWithABrokenHead(t *testing.T) {
	s := tell(t, testworld.ShopOptions{})
	m := func(name string) string {
		return fmt.Sprintf("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: $NAME-dev}\ndata: {text: good}\n", name)
	}
	namespace := "apiVersion: v1\nkind: Namespace\nmetadata: {name: $NAME-dev}\n"
	files := map[string]string{
		"pawl.yaml":                       strings.Replace(pipeline("dev"), "overlays/{env}", "apps/{app}/{env}", 1),
		"apps/one/dev/kustomization.yaml": overlay, "apps/one/dev/objects.yaml": namespace + m("moves") + m("map-0") + m("map-1") + m("map-2"),
		"apps/two/dev/kustomization.yaml": overlay, "apps/two/dev/objects.yaml": strings.TrimPrefix(m("other"), "---\n"),
	}
	first := s.open(files)
	maps := s.cluster.CoreV1().ConfigMaps(s.namespace("dev"))
	before, err := maps.Get(t.Context(), "moves", metav1.GetOptions{})
	s.must(err)
	refused := m("moves") + "data: {}\n" // twice
	moves := s.commit("moves to two", map[string]string{
		"apps/one/dev/objects.yaml": namespace + m("map-0") + m("map-1") + m("map-2"),
		"apps/two/dev/objects.yaml": strings.TrimPrefix(m("other"), "---\n") + refused,
	})
	s.red(moves, "dev", "RenderFailed")
	s.until("one to have let go of it", func(ctx context.Context) (bool, string, error) {
		status, err := s.Status(ctx)
		if err != nil {
			return false, "", err
		}
		for _, target := range status.Environments[0].Targets {
			if target.Application == "one" && target.Problem != nil && target.Problem.Reason == "PruneHeld" {
				return true, "", nil
			}
		}
		return false, fmt.Sprintf("%+v", status.Environments), nil
	})

	s.until("its release to be stored as a good one", func(ctx context.Context) (bool, string, error) {
		indexes, err := s.cluster.CoreV1().Secrets("").List(ctx, metav1.ListOptions{LabelSelector: "pawl.dev/good-of"})
		if err != nil {
			return false, "", err
		}
		for _, index := range indexes.Items {
			for _, content := range index.Data {
				if strings.Contains(string(content), moves) {
					return true, "", nil
				}
			}
		}
		return false, "it is in no index", nil
	})

	s.must(s.agent.Kill())
	broken := s.commit("broken", map[string]string{"pawl.yaml": "kind: Pipeline\nspec: {nope: 1}\n"})
	mark := s.mark()
	s.start()
	s.red(broken, "dev", "PipelineInvalid")
	_, err = maps.Patch(t.Context(), "map-0", types.MergePatchType, []byte(`{"data":{"text":"by hand"}}`), metav1.PatchOptions{})
	s.must(err)
	s.until("the edit to be put back", func(context.Context) (bool, string, error) { return s.text() == "good", s.text(), nil })
	after, err := maps.Get(t.Context(), "moves", metav1.GetOptions{})
	if err != nil || after.UID != before.UID {
		t.Errorf("what was on its way is %v (%v)", after.UID, err)
	}
	for _, w := range s.writes(mark) {
		if strings.Contains(w, "delete ") {
			t.Errorf("deleted: %s", w)
		}
	}

	checkout := t.TempDir()
	for path, text := range files {
		s.must(os.MkdirAll(filepath.Dir(filepath.Join(checkout, path)), 0o755))
		s.must(os.WriteFile(filepath.Join(checkout, path), []byte(strings.ReplaceAll(text, "$NAME", s.name)), 0o644))
	}
	var out bytes.Buffer
	args := []string{"rollback", "dev/one", "--reason", "it broke", "--repo", checkout, "--config", s.Config, "--kubeconfig", s.World.ControlPlane.Kubeconfig}
	if code := run(t.Context(), args, &out, &out); code != exitDone || !strings.Contains(out.String(), "returned to the good release of "+first[:7]) {
		t.Errorf("exit %d: %s", code, &out)
	}
	s.green(s.commit("mended", map[string]string{"pawl.yaml": files["pawl.yaml"], "apps/two/dev/objects.yaml": files["apps/two/dev/objects.yaml"], "apps/one/dev/objects.yaml": strings.Replace(files["apps/one/dev/objects.yaml"], "good", "mended", 1)}), "dev")
}
