package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pawl-dev/pawl/internal/testworld"
)

// failing is a repo whose pods fail as soon as they start.
func failing(text, image string) map[string]string {
	files := repo(text, 2, image)
	const file = "overlays/dev/objects.yaml"
	files[file] = strings.Replace(files[file], "metadata: {labels: {app: web}}\n    spec:",
		`metadata: {labels: {app: web}, annotations: {testworld.pawl.dev/fail: "listen tcp :8080: bind: permission denied"}}`+"\n    spec:", 1)
	return files
}

// says waits until the check on a commit says so much.
func (s *story) says(commit, environment string, texts ...string) {
	s.t.Helper()
	s.until("the check to say "+strings.Join(texts, ", "), func(ctx context.Context) (bool, string, error) {
		run, err := s.Check(ctx, commit, environment)
		if err != nil {
			return false, "", err
		}
		summary := strings.ReplaceAll(run.GetOutput().GetTitle()+"\n"+run.GetOutput().GetSummary(), `\`, "")
		for _, text := range texts {
			if !strings.Contains(summary, text) {
				return false, summary, nil
			}
		}
		return run.GetConclusion() == "failure", summary, nil
	})
}

// text is what the ConfigMaps of dev say.
func (s *story) text() string {
	s.t.Helper()
	m, err := s.cluster.CoreV1().ConfigMaps(s.namespace("dev")).Get(s.t.Context(), "map-0", metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return m.Data["text"]
}

// catalogue 120
func TestAFailedReleaseReturnsToTheLastGoodOne(t *testing.T) {
	s := tell(t, testworld.ShopOptions{})
	image := s.image("web", "1").String()
	good := s.commit("good", repo("good", 2, image))
	s.start()
	s.green(good, "dev")
	before, err := s.cluster.AppsV1().Deployments(s.namespace("dev")).Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}

	bad := s.commit("bad", failing("bad", image))
	s.says(bad, "dev", "permission denied", "Returned to the last good release ("+good[:7]+")", "which is healthy", "is held")
	if got := s.text(); got != "good" {
		t.Errorf("after the rollback the ConfigMap says %q", got)
	}
	after, err := s.cluster.AppsV1().Deployments(s.namespace("dev")).Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if after.UID != before.UID || after.Spec.Template.Annotations["testworld.pawl.dev/fail"] != "" {
		t.Errorf("the Deployment was made anew, or still is the failing one: %v", after.Spec.Template.Annotations)
	}

	// A crash does not bring the failed release back, and drift is still put back.
	s.agent.Kill()
	mark := s.mark()
	s.start()
	s.says(bad, "dev", "is held")
	s.unwritten(mark)
	if err := s.cluster.CoreV1().ConfigMaps(s.namespace("dev")).Delete(t.Context(), "map-0", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	s.until("the deleted ConfigMap to return", func(ctx context.Context) (bool, string, error) {
		list, err := s.cluster.CoreV1().ConfigMaps(s.namespace("dev")).List(ctx, metav1.ListOptions{LabelSelector: "pawl.dev/target"})
		return err == nil && len(list.Items) == 2 && list.Items[0].Data["text"] == "good", time.Now().String(), err
	})

	// By hand, as somebody whom the cluster lets.
	checkout := t.TempDir()
	for path, text := range repo("fixed", 2, image) {
		s.must(os.MkdirAll(filepath.Dir(filepath.Join(checkout, path)), 0o755))
		s.must(os.WriteFile(filepath.Join(checkout, path), []byte(strings.ReplaceAll(text, "$NAME", s.name)), 0o644))
	}
	pawl := func(want int, args ...string) string {
		t.Helper()
		var stdout, stderr bytes.Buffer
		args = append([]string{"rollback", "dev", "--repo", checkout, "--config", s.Config, "--kubeconfig", s.World.ControlPlane.Kubeconfig}, args...)
		if code := run(t.Context(), args, &stdout, &stderr); code != want {
			t.Fatalf("%v: exit %d\n%s%s", args, code, &stdout, &stderr)
		}
		return stdout.String() + stderr.String()
	}
	if said := pawl(exitNo, "--reason", "curious", "--to", "0000000"); !strings.Contains(said, "no other good release of a commit 0000000") {
		t.Errorf("it says %q", said)
	}
	for _, to := range []string{"", "1", "main"} { // an empty variable of a script, a number, a branch
		if said := pawl(exitUsage, "--reason", "curious", "--to", to); !strings.Contains(said, "is no commit") {
			t.Errorf("--to %q: it says %q", to, said)
		}
	}
	fixed := s.commit("fixed", repo("fixed", 2, image))
	s.green(fixed, "dev")
	if said := pawl(exitDone, "--reason", "latency", "--to", good); !strings.Contains(said, "returned to the good release of "+good[:7]) {
		t.Errorf("it says %q", said)
	}
	if got := s.text(); got != "good" {
		t.Errorf("after the rollback by hand the ConfigMap says %q", got)
	}
	s.says(fixed, "dev", "rolled back by hand by", "latency")
	if said := pawl(exitNo, "--reason", "again", "--to", good, "-o", "json"); !strings.Contains(said, `"result": "refused"`) || !strings.Contains(said, good[:7]+" (which runs)") {
		t.Errorf("it says %q", said)
	}
	if said := pawl(exitDone, "--reason", "it was something else", "--lift", "-o", "json"); !strings.Contains(said, `"target": "dev"`) || !strings.Contains(said, `"result": "done"`) {
		t.Errorf("it says %q", said)
	}
	s.green(fixed, "dev")
	if got := s.text(); got != "fixed" {
		t.Errorf("after the fix the ConfigMap says %q", got)
	}
}
