package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/pawl-dev/pawl/agent"
)

// Keys and the Lease are looked for in the agent's own cluster, and in that of an
// environment only where the agent runs in no cluster at all. (It sets the
// environment of the process, so it is not parallel.)
func TestAPodLooksForItsSecretsInNoOtherCluster(t *testing.T) {
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	text := `apiVersion: v1
kind: Config
current-context: other
clusters: [{name: other, cluster: {server: "https://other.example"}}]
users: [{name: other, user: {token: a}}]
contexts: [{name: other, context: {cluster: other, user: other}}]
`
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	config := agent.Config{Environments: []agent.EnvironmentConfig{{Name: "dev", Kubeconfig: kubeconfig}}}

	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	t.Setenv("KUBERNETES_SERVICE_PORT", "")
	access, err := ownCluster(config)
	if err != nil || access.Host != "https://other.example" {
		t.Errorf("on a machine of its own: %v, want the environment's cluster", err)
	}

	// A pod without its service account's token.
	t.Setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
	t.Setenv("KUBERNETES_SERVICE_PORT", "443")
	if access, err := ownCluster(config); err == nil {
		t.Errorf("in a pod: %s, want an error", access.Host)
	} else if errors.Is(err, rest.ErrNotInCluster) {
		t.Error(err)
	}
}
