package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pawl-dev/pawl/internal/testworld"
)

// The steps of "Retiring an application" in the runbook, with a restart between
// them: its commit's line is taken from there, its number from the check.
//
// catalogue 96
func TestAnApplicationIsRetiredAsTheRunbookSays(t *testing.T) {
	runbook, err := os.ReadFile("../../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(runbook), "## Retiring an application\n")
	line := regexp.MustCompile("`(Pawl-Prune: [^`]+)`").FindStringSubmatch(section)
	if line == nil {
		t.Fatal("the runbook has no line for the commit")
	}

	s := tell(t, testworld.ShopOptions{})
	m := func(name string) string {
		return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: $NAME-dev}\n---\n", name)
	}
	s.open(map[string]string{
		"pawl.yaml":                        strings.Replace(pipeline("dev"), "overlays/{env}", "apps/{app}/{env}", 1),
		"apps/base/dev/kustomization.yaml": overlay, "apps/base/dev/objects.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: $NAME-dev}\n---\n" + m("base"),
		"apps/web/dev/kustomization.yaml": overlay, "apps/web/dev/objects.yaml": m("one") + m("two"),
	})
	mark := s.mark()
	run := s.red(s.commit("web goes", nil, "apps/web"), "dev", "OverlayMissing", "Pawl-Prune: dev/web 2")
	s.unwritten(mark)
	s.must(s.agent.Stop(t.Context()))
	s.start()

	number := regexp.MustCompile(`Pawl-Prune: dev/web (\d+)`).FindStringSubmatch(strings.ReplaceAll(run.GetOutput().GetSummary(), `\`, ""))
	word := strings.NewReplacer("ENVIRONMENT", "dev", "APPLICATION", "web", "NUMBER", number[1]).Replace(line[1])
	s.green(s.commit("web goes for good\n\n"+word+"\n", map[string]string{"README.md": "without web\n"}), "dev")
	maps := s.cluster.CoreV1().ConfigMaps(s.namespace("dev"))
	for name, want := range map[string]bool{"one": false, "two": false, "base": true} {
		_, err := maps.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) || (err == nil) != want {
			t.Errorf("%s is there: %v; want %v (%v)", name, err == nil, want, err)
		}
	}
	for _, w := range s.writes(mark) {
		if !strings.Contains(w, "delete ") {
			t.Errorf("beside its deletions: %s", w)
		}
	}

	// It is forgotten, and may come back.
	s.must(s.agent.Stop(t.Context()))
	s.start()
	s.green(s.commit("web is back", map[string]string{"apps/web/dev/kustomization.yaml": overlay, "apps/web/dev/objects.yaml": m("one")}), "dev")
	s.until("what came back", func(ctx context.Context) (bool, string, error) {
		_, err := maps.Get(ctx, "one", metav1.GetOptions{})
		return err == nil, "not there", nil
	})
}
