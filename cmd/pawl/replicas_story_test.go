package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pawl-dev/pawl/internal/testworld"
)

// shortLease lets a replica take over within seconds.
func shortLease(config map[string]any) {
	config["leadership"] = map[string]any{"lease": "3s", "renew": "2s", "retry": "300ms"}
}

// replica is another replica of the story's agent, not started yet.
func (s *story) replica() *story {
	s.t.Helper()
	shop, err := s.Shop.Replica(s.t.TempDir())
	if err != nil {
		s.t.Fatal(err)
	}
	return &story{Shop: shop, t: s.t, name: s.name, cluster: s.cluster}
}

func (s *story) configure(change func(map[string]any)) {
	s.t.Helper()
	if err := s.Configure(change); err != nil {
		s.t.Fatal(err)
	}
}

// works waits until the replica does.
func (s *story) works() {
	s.t.Helper()
	s.until("the replica to work", func(ctx context.Context) (bool, string, error) {
		status, err := s.Status(ctx)
		return err == nil && !status.Leadership.Standby, fmt.Sprintf("%+v %v", status.Leadership, err), nil
	})
}

// catalogue 108, 116
func TestASecondReplicaStandsByAndTakesOver(t *testing.T) {
	s := tell(t, testworld.ShopOptions{})
	s.configure(shortLease)
	second := s.replica()
	commit := s.commit("first", repo("one", 3, s.image("web", "1").String()))
	s.start()
	s.green(commit, "dev")
	second.start()

	// Standing by: ready, it says who works, and asks GitHub nothing.
	second.until("the second replica to know the first", func(ctx context.Context) (bool, string, error) {
		status, err := second.Status(ctx)
		return status.Leadership.Standby && status.Leadership.Leader != "", fmt.Sprintf("%+v", status), err
	})
	ready, err := http.Get("http://" + second.Public + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	ready.Body.Close()
	if ready.StatusCode != http.StatusOK {
		t.Errorf("a replica that stands by answers %s: a Deployment of two would not become available", ready.Status)
	}
	var table bytes.Buffer
	if code := run(t.Context(), []string{"status", "--agent", second.Internal}, &table, &table); code != exitDone || !strings.Contains(table.String(), "stands by") {
		t.Errorf("%d %s", code, &table)
	}

	for name, count := range second.metrics() {
		if strings.HasPrefix(name, "pawl_github_requests_total") {
			t.Errorf("%s %v", name, count)
		}
	}

	// A webhook that reaches it reaches the one that works, which looks at the
	// signature.
	if got := second.deliver([]byte(`{}`), http.Header{}); got != http.StatusUnauthorized {
		t.Errorf("an unsigned delivery by way of the second replica: answered %d, want %d", got, http.StatusUnauthorized)
	}

	// The first ends well, and the second goes on without a write.
	mark := s.mark()
	if err := s.agent.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	second.works()
	second.until("the second replica to keep the first commit", func(ctx context.Context) (bool, string, error) {
		status, err := second.Status(ctx)
		if err != nil || len(status.Environments) == 0 || len(status.Environments[0].Targets) == 0 {
			return false, "no target", err
		}
		stage := status.Environments[0].Targets[0].Stage
		return stage == "healthy", stage, nil
	})
	second.unwritten(mark)
	s.green(second.commit("second", repo("two", 3, s.image("web", "1").String())), "dev")
	if err := second.agent.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	leases, err := s.cluster.CoordinationV1().Leases("pawl-system").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range leases.Items {
		if h := l.Spec.HolderIdentity; h != nil && strings.Contains(*h, second.Public) {
			t.Errorf("it ended and holds %s", l.Name)
		}
	}
}
