//go:build unix

package agent_test

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pawl-dev/pawl/agent"
	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/environments"
)

// Opening a pipe waits until somebody writes to it, so none is opened: the start
// says what is wrong, and does not hang.
func TestAPipeInPlaceOfAFileDoesNotHangTheStart(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	config := agent.Config{
		Repository:   agent.RepositoryConfig{CA: pipe},
		GitHub:       agent.GitHubConfig{Token: &agent.SecretFile{File: pipe}},
		Environments: []agent.EnvironmentConfig{{Kubeconfig: pipe}},
		BaselineConfig: demands.BaselineConfig{
			Trust:    []demands.TrustConfig{{Keys: []demands.KeyConfig{{File: pipe}}}},
			Sigstore: []demands.SigstoreConfig{{TrustedRoot: pipe}},
			Policies: []demands.PolicyConfig{{Folder: pipe}, {Folder: filepath.Dir(pipe)}},
		},
		PullSecrets: []agent.PullSecretConfig{{File: pipe}},
	}
	ended := make(chan error, 1)
	go func() { ended <- config.CheckFiles("agent.yaml") }()
	var problems *environments.Problems
	select {
	case err := <-ended:
		if !errors.As(err, &problems) {
			t.Fatal(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it waits for somebody to write to the pipe")
	}
	var paths []string
	for _, p := range problems.List {
		paths = append(paths, p.Path)
	}
	want := []string{"environments[0].kubeconfig", "github.token.file", "policies[0].folder", "policies[1].folder", "pullSecrets[0].file",
		"repository.ca", "sigstore[0].trustedRoot", "trust[0].keys[0].file"}
	if diff := cmp.Diff(want, paths); diff != "" {
		t.Error(diff)
	}
}
