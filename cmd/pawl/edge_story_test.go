package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pawl-dev/pawl/internal/testworld"
)

// metrics reads the agent's metrics, by name with labels.
func (s *story) metrics() map[string]float64 {
	s.t.Helper()
	response, err := http.Get("http://" + s.Internal + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	found := map[string]float64{}
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		at := strings.LastIndexByte(lines.Text(), ' ')
		if number, err := strconv.ParseFloat(lines.Text()[at+1:], 64); at > 0 && err == nil {
			found[lines.Text()[:at]] = number
		}
	}
	return found
}

// catalogue 63
func TestOnlySignedWebhooksWakeTheAgent(t *testing.T) {
	s := tell(t, testworld.ShopOptions{})
	commit := s.commit("first", repo("one", 1, s.image("web", "1").String()))
	s.start()
	s.green(commit, "dev")
	secret, err := os.ReadFile(filepath.Join(s.Folder, "webhook-secret"))
	if err != nil {
		t.Fatal(err)
	}
	body := []byte(fmt.Sprintf(`{"ref":"refs/heads/main","after":%q,"repository":{"full_name":%q}}`, commit, s.Repository.Name))
	signed := func(with, what []byte) string {
		mac := hmac.New(sha256.New, with)
		mac.Write(what)
		return "sha256=" + hex.EncodeToString(mac.Sum(nil))
	}
	old := hmac.New(sha1.New, secret)
	old.Write(body)
	before := s.metrics()[`pawl_events_total{origin="webhook"}`]
	for _, c := range []struct {
		says   string
		header http.Header
		want   int
	}{
		{"no signature", http.Header{}, http.StatusUnauthorized},
		{"another secret", http.Header{"X-Hub-Signature-256": {signed([]byte("guessed"), body)}}, http.StatusUnauthorized},
		{"an empty secret", http.Header{"X-Hub-Signature-256": {signed(nil, body)}}, http.StatusUnauthorized},
		{"other bytes", http.Header{"X-Hub-Signature-256": {signed(secret, append(body, ' '))}}, http.StatusUnauthorized},
		{"SHA-1 only", http.Header{"X-Hub-Signature": {"sha1=" + hex.EncodeToString(old.Sum(nil))}}, http.StatusUnauthorized},
	} {
		if got := s.deliver(body, c.header); got != c.want {
			t.Errorf("%s: answered %d, want %d", c.says, got, c.want)
		}
	}
	if got := s.metrics()[`pawl_events_total{origin="webhook"}`]; got != before {
		t.Errorf("unsigned deliveries made %v events", got-before)
	}
	if got := s.deliver(body, http.Header{"X-Hub-Signature-256": {signed(secret, body)}}); got >= 300 {
		t.Errorf("the right signature: answered %d", got)
	}
	s.until("the signed delivery to count", func(context.Context) (bool, string, error) {
		got := s.metrics()[`pawl_events_total{origin="webhook"}`]
		return got == before+1, fmt.Sprint(got), nil
	})
}

// deliver posts to the agent's webhook route and returns the status.
func (s *story) deliver(body []byte, header http.Header) int {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://"+s.Public+"/webhooks/github", bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header = header
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-GitHub-Event", "push")
	request.Header.Set("X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}

func TestAHandEditIsPutBackAndToldOf(t *testing.T) {
	s := tell(t, testworld.ShopOptions{})
	s.green(func() string {
		c := s.commit("first", repo("one", 1, s.image("web", "1").String()))
		s.start()
		return c
	}(), "dev")
	deployments := s.cluster.AppsV1().Deployments(s.namespace("dev"))
	if _, err := deployments.Patch(t.Context(), "web", types.MergePatchType, []byte(`{"spec":{"replicas":5}}`), metav1.PatchOptions{FieldManager: "kubectl-edit"}); err != nil {
		t.Fatal(err)
	}
	s.until("the agent to tell of it", func(ctx context.Context) (bool, string, error) {
		status, err := s.Status(ctx)
		if err != nil {
			return false, "", err
		}
		for _, d := range status.Environments[0].Targets[0].Drift {
			if d.Manager == "kubectl-edit" && d.TookMillis != nil && len(d.Fields) == 1 && d.Fields[0] == "spec.replicas" {
				return true, "", nil
			}
		}
		return false, fmt.Sprintf("%+v", status.Environments[0].Targets[0].Drift), nil
	})
	live, err := deployments.Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil || *live.Spec.Replicas != 2 {
		t.Errorf("%d replicas (%v); want 2 again", *live.Spec.Replicas, err)
	}
}

func TestDriftThatIsOnlyReportedStays(t *testing.T) {
	s := tell(t, testworld.ShopOptions{})
	files := repo("one", 1, s.image("web", "1").String())
	first := s.commit("first", files)
	s.start()
	s.green(first, "dev")
	// A commit that changes nothing but how drift is treated counts at once.
	s.green(s.commit("report", map[string]string{"pawl.yaml": strings.Replace(files["pawl.yaml"], "- name: dev", "- name: dev\n      drift: report", 1)}), "dev")
	mark := s.mark()
	maps := s.cluster.CoreV1().ConfigMaps(s.namespace("dev"))
	if _, err := maps.Patch(t.Context(), "map-0", types.MergePatchType, []byte(`{"data":{"text":"by hand"}}`), metav1.PatchOptions{FieldManager: "kubectl-edit"}); err != nil {
		t.Fatal(err)
	}
	s.until("the agent to tell of it", func(ctx context.Context) (bool, string, error) {
		status, err := s.Status(ctx)
		if err != nil {
			return false, "", err
		}
		drifts := status.Environments[0].Targets[0].Drift
		return len(drifts) == 1 && drifts[0].TookMillis == nil && drifts[0].Manager == "kubectl-edit", fmt.Sprintf("%+v", drifts), nil
	})
	s.unwritten(mark)
}

func TestARolloutThatFailsIsRedWithItsCause(t *testing.T) {
	s := tell(t, testworld.ShopOptions{})
	good := repo("one", 1, s.image("web", "2").String())
	bad := repo("one", 1, s.image("web", "1").String())
	bad["overlays/dev/objects.yaml"] = strings.Replace(bad["overlays/dev/objects.yaml"], "metadata: {labels: {app: web}}", "metadata: {labels: {app: web}, annotations: {testworld.pawl.dev/fail: image-pull}}", 1)
	commit := s.commit("bad", bad)
	s.start()
	s.red(commit, "dev", "Deployment "+s.namespace("dev")+"/web", "ImagePull")
	s.green(s.commit("mended", good), "dev")
}
