package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/internal/testworld/git"
	"github.com/pawl-dev/pawl/internal/testworld/images"
	"github.com/pawl-dev/pawl/internal/testworld/sigstore"
)

// evidencePage are the YAML blocks of docs/evidence.md: the agent's
// configuration and pawl.yaml.
func evidencePage(t *testing.T) (config, pipeline string) {
	t.Helper()
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(readFile(t, filepath.Join(repositoryRoot, "docs", "evidence.md")), -1)
	if len(blocks) != 2 {
		t.Fatalf("the page has %d YAML blocks, want 2", len(blocks))
	}
	return blocks[0][1], blocks[1][1]
}

// What people copy from the page is a configuration that an agent takes, with
// rules, conditions, levels and policies that can be used.
func TestTheConfigurationOfTheEvidencePageIsUsable(t *testing.T) {
	t.Parallel()
	text, _ := evidencePage(t)
	folder := t.TempDir()
	text = strings.ReplaceAll(text, "/etc/pawl/", folder+"/")
	keys := map[string][]byte{}
	for _, name := range []string{"old-pipeline.pub", "platform.pub"} {
		key, err := images.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		keys[name] = key.Public()
	}
	ada, err := git.NewOpenPGPKey("ada")
	if err != nil {
		t.Fatal(err)
	}
	trusted, err := sigstore.New()
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"agent.yaml": []byte(text), "github-app.pem": []byte("not used"), "old-pipeline.pub": keys["old-pipeline.pub"],
		"trusted_root.json": trusted.TrustedRoot(), "internal_root.json": trusted.TrustedRoot(), "ada.asc": []byte(ada.Public),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config, err := loadConfig(filepath.Join(folder, "agent.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	ours := newRegoPolicies()
	t.Cleanup(ours.close)
	options := baselineOptions(config, ours)
	options.Secret = func(_ context.Context, k demands.SecretKey) ([]byte, error) {
		if k != (demands.SecretKey{Name: "cosign", Key: "platform.pub"}) {
			return nil, fmt.Errorf("there is no Secret %+v", k)
		}
		return keys[k.Key], nil
	}
	base, err := config.Baselines(options).Get()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := registries(config); err != nil {
		t.Error(err)
	}
	if len(base.Levels) != 2 || len(base.Policies) != 4 || !base.Trust.Covers("ghcr.io/acme/web") || base.Trust.Covers("ghcr.io/mallory/web") {
		t.Errorf("it says %+v", base)
	}
	pci := base.Levels["pci"]
	if pci.Approvals != 2 || !slices.Contains(pci.Policies, "limits") {
		t.Errorf("pci demands %+v", pci)
	}
	// A level covers no image by itself: what it demands shows in the sum.
	if got := len(base.Trust.And(pci.Trust).Wanted("ghcr.io/acme/web").Types); got != 4 {
		t.Errorf("%d types of attestations are demanded, want 4", got)
	}
}

func TestThePipelineOfTheEvidencePageIsUsable(t *testing.T) {
	t.Parallel()
	config, text := evidencePage(t)
	p, err := environments.Load("pawl.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	production, _ := p.Environment("production")
	if !strings.Contains(config, "- name: "+production.Level+"\n") {
		t.Errorf("the agent's configuration has no level %q", production.Level)
	}
	if len(p.Spec.Trust) != 1 || len(p.Spec.Policies) != 1 {
		t.Errorf("it demands %+v", p.Spec)
	}
}
