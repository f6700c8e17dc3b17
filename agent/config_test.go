package agent_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/pawl-dev/pawl/agent"
	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/environments"
)

var update = flag.Bool("update", false, "write the golden files anew")

const smallest = `apiVersion: pawl.dev/v1alpha1
kind: Agent
repository: {url: https://github.com/acme/shop.git}
github: {token: {file: /etc/pawl/token}}
environments: [{name: dev}]
trust: [{images: "ghcr.io/acme/*", keys: [{name: release, file: /etc/pawl/release.pub}]}]
`

func TestTheSmallestConfigurationGetsTheDefaults(t *testing.T) {
	t.Parallel()
	c, err := agent.LoadConfig("agent.yaml", []byte(smallest))
	if err != nil {
		t.Fatal(err)
	}
	want := agent.Config{
		APIVersion:     "pawl.dev/v1alpha1",
		Kind:           "Agent",
		Repository:     agent.RepositoryConfig{URL: "https://github.com/acme/shop.git", Name: "acme/shop", Branch: "main", Poll: environments.Duration(5 * time.Second)},
		GitHub:         agent.GitHubConfig{API: "https://api.github.com/", Token: &agent.SecretFile{File: "/etc/pawl/token"}},
		Environments:   []agent.EnvironmentConfig{{Name: "dev", Rewrites: agent.RewritesStop}},
		Namespace:      "pawl-system",
		BaselineConfig: demands.BaselineConfig{Trust: []demands.TrustConfig{{Images: "ghcr.io/acme/*", Keys: []demands.KeyConfig{{Name: "release", File: "/etc/pawl/release.pub"}}}}},
		Render:         agent.RenderConfig{Unlisted: agent.UnlistedRefuse},
		Tags:           agent.TagsConfig{Poll: environments.Duration(30 * time.Second)},
		HTTP:           agent.HTTPConfig{Public: ":8080", Internal: ":8081"},
		Retries: agent.RetriesConfig{
			Transient: agent.RetryConfig{Base: environments.Duration(time.Second), Factor: 2, Cap: environments.Duration(time.Minute)},
			Stalled:   agent.RetryConfig{Base: environments.Duration(30 * time.Second), Factor: 2, Cap: environments.Duration(10 * time.Minute)},
		},
		Leadership: agent.LeadershipConfig{Lease: environments.Duration(15 * time.Second), Renew: environments.Duration(10 * time.Second), Retry: environments.Duration(2 * time.Second)},
		Log:        agent.LogConfig{Level: "info", Format: "json"},
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
	if err := c.Validate(); err != nil {
		t.Error("a loaded configuration is not valid:", err)
	}
	if err := (agent.Config{}).Validate(); err == nil {
		t.Error("nothing at all is valid")
	}
}

// The files in testdata/config are named for what is wrong with them; beside
// each stands what is said about it. catalogue 119
func TestBadConfigurationsAreRefusedAtStart(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/config/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no bad files", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = agent.LoadConfig("agent.yaml", data)
			var problems *environments.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("not refused: %v", err)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Error("the message shows a secret")
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".txt", []byte(err.Error()+"\n"))
		})
	}
}

func TestConfigSchemaIsTheCommittedOne(t *testing.T) {
	t.Parallel()
	golden(t, "config.schema.json", agent.ConfigSchema().JSON())
}

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Error(diff)
	}
}

// catalogue 63 (an empty secret) and 128
func TestFilesThatAreMissingOrEmptyStopTheStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) agent.SecretFile {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return agent.SecretFile{File: file}
	}
	token := write("token", "ghs_planted\n")
	good := agent.Config{
		GitHub:         agent.GitHubConfig{Token: &token, Webhook: &agent.WebhookConfig{Secret: write("webhook", "planted")}},
		BaselineConfig: demands.BaselineConfig{Trust: []demands.TrustConfig{{Keys: []demands.KeyConfig{{File: token.File}}}}},
		Environments:   []agent.EnvironmentConfig{{}},
	}
	if err := good.CheckFiles("agent.yaml"); err != nil {
		t.Error(err)
	}
	bad := agent.Config{
		Repository: agent.RepositoryConfig{CA: token.File},
		GitHub: agent.GitHubConfig{
			App:     &agent.AppConfig{Key: agent.SecretFile{File: dir}},
			Webhook: &agent.WebhookConfig{Secret: write("empty", "\n")},
		},
		Git:            &agent.GitConfig{Password: agent.SecretFile{File: dir + "/nothing"}},
		Environments:   []agent.EnvironmentConfig{{Kubeconfig: dir + "/nothing"}},
		BaselineConfig: demands.BaselineConfig{Trust: []demands.TrustConfig{{Keys: []demands.KeyConfig{{File: dir + "/nothing"}}}}},
		Registries:     []agent.RegistryConfig{{CA: dir + "/nothing", Credentials: &agent.GitConfig{Password: write("huge", strings.Repeat("planted", 10_000))}}},
	}
	err := bad.CheckFiles("agent.yaml")
	var problems *environments.Problems
	if !errors.As(err, &problems) {
		t.Fatal(err)
	}
	var paths []string
	for _, p := range problems.List {
		paths = append(paths, p.Path)
	}
	want := []string{"environments[0].kubeconfig", "git.password.file", "github.app.key.file", "github.webhook.secret.file", "registries[0].ca",
		"registries[0].credentials.password.file", "repository.ca", "trust[0].keys[0].file"}
	if diff := cmp.Diff(want, paths); diff != "" {
		t.Error(diff)
	}
	if strings.Contains(err.Error(), "planted") {
		t.Error("the message shows a secret")
	}
}

// catalogue 128
func TestSecretsDoNotPrint(t *testing.T) {
	t.Parallel()
	secret := agent.NewSecret("planted")
	type hidden struct{ inner agent.Secret }
	type shown struct {
		Inner agent.Secret
		List  []agent.Secret
		Map   map[string]agent.Secret
	}
	all := shown{secret, []agent.Secret{secret}, map[string]agent.Secret{"a": secret}}
	var outputs []string
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%T"} {
		for _, v := range []any{secret, &secret, hidden{secret}, &hidden{secret}, all, &all, []any{secret}} {
			outputs = append(outputs, fmt.Sprintf(format, v))
		}
	}
	for _, v := range []any{secret, all, hidden{secret}} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		outputs = append(outputs, string(text))
	}
	var log strings.Builder
	logger := zerolog.New(&log)
	logger.Info().Interface("secret", all).Any("any", secret).Stringer("stringer", secret).Msg("x")
	outputs = append(outputs, log.String(), fmt.Errorf("failed with %w and %v", errors.New("x"), secret).Error(), fmt.Sprint(secret, all))
	for _, o := range outputs {
		if strings.Contains(o, "planted") || strings.Contains(o, "706c616e746564") {
			t.Errorf("shown: %s", o)
		}
	}
	if secret.Reveal() != "planted" || (agent.Secret{}).Reveal() != "" {
		t.Error("not revealed when asked")
	}
}

// catalogue 82
func TestASecretThatWasRenewedIsReadAnew(t *testing.T) {
	t.Parallel()
	file := agent.SecretFile{File: filepath.Join(t.TempDir(), "token")}
	for _, want := range []string{"first", "second"} {
		if err := os.WriteFile(file.File, []byte(want+"\r\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := file.Read()
		if err != nil || got.Reveal() != want {
			t.Errorf("read %q, %v; want %q", got.Reveal(), err, want)
		}
	}
}

func FuzzLoadConfig(f *testing.F) {
	f.Add([]byte(smallest))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := agent.LoadConfig("agent.yaml", data)
		if err != nil {
			return
		}
		if err := c.Validate(); err != nil {
			t.Errorf("loaded, but not valid: %v", err)
		}
		if c.Repository.Name == "" || c.Repository.Poll == 0 || len(c.Trust) == 0 {
			t.Errorf("incomplete: %+v", c)
		}
	})
}
