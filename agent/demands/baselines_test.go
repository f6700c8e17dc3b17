package demands_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/pawl-dev/pawl/agent"
	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/internal/sealed"
	"github.com/pawl-dev/pawl/internal/testworld/images"
	"github.com/pawl-dev/pawl/internal/testworld/sigstore"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/policies/cosign"
	"github.com/pawl-dev/pawl/policies/rego"
	"github.com/pawl-dev/pawl/policies/shipped"
)

// platform is a folder with what the configuration names, its Secrets, and the
// baselines that are made of them.
type platform struct {
	testing.TB
	folder  string
	now     time.Time
	secrets map[demands.SecretKey][]byte
	asked   int           // for Secrets
	down    error         // why Secrets cannot be read
	slow    time.Duration // how long that takes
	log     bytes.Buffer
	*demands.Baselines
}

// demanding is a configuration with a key in a file and one in a Secret, a
// trust root, a policy and a signer of commits. FOLDER is where the files are.
const demanding = `apiVersion: pawl.dev/v1alpha1
kind: Agent
repository: {url: https://github.com/acme/shop.git}
github: {token: {file: /etc/pawl/token}}
environments: [{name: dev, level: strict}]
trust:
  - images: ghcr.io/acme/*
    keys: [{name: release, file: FOLDER/release.pub}]
    keyless: [{issuer: "https://token.actions.githubusercontent.com", subject: "https://github.com/acme/web/.github/workflows/release.yml@refs/heads/main"}]
  - {images: ghcr.io/other/*, keys: [{name: in-a-secret, secret: {name: cosign, key: cosign.pub}}]}
sigstore: [{name: private, trustedRoot: FOLDER/root.json, maxAge: 1h}]
policies:
  - {name: acme, folder: FOLDER/policies}
  - {name: pods, shipped: restricted-pods}
levels:
  - name: strict
    policies: [acme, pods]
    trust: [{images: ghcr.io/acme/*, keys: [{name: security, file: FOLDER/security.pub}]}]
commits: {signers: [{name: ada, file: FOLDER/ada.pub}]}
`

const (
	ssh        = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f ada\n"
	denies     = "package main\n\ndeny contains \"one\" if input.objects[_].kind == \"Never\"\n"
	deniesMore = "package main\n\ndeny contains \"two\" if input.objects[_].kind == \"Never\"\n"
)

var inASecret = demands.SecretKey{Name: "cosign", Key: "cosign.pub"}

// newPlatform writes everything that the configuration above names.
func newPlatform(t testing.TB) *platform {
	t.Helper()
	p := &platform{TB: t, folder: t.TempDir(), now: time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)}
	p.secrets = map[demands.SecretKey][]byte{inASecret: publicKey(t)}
	p.write("release.pub", publicKey(t))
	p.write("security.pub", publicKey(t))
	p.write("ada.pub", []byte(ssh))
	p.write("root.json", trustRoot(t))
	p.write("policies/deny.rego", []byte(denies))
	p.configure(demanding)
	return p
}

// configure reads a configuration, as at another start.
func (p *platform) configure(text string) {
	p.Helper()
	config, err := agent.LoadConfig("agent.yaml", []byte(strings.ReplaceAll(text, "FOLDER", p.folder)))
	if err != nil {
		p.Fatal(err)
	}
	pool := rego.New(sealed.Options{})
	p.Cleanup(func() { _ = pool.Close() })
	p.Baselines = config.Baselines(demands.Options{
		Policies: regoCompiler{pool: pool}, Now: func() time.Time { return p.now }, Log: zerolog.New(&p.log),
		Secret: func(_ context.Context, key demands.SecretKey) ([]byte, error) {
			p.asked++
			p.now = p.now.Add(p.slow)
			text, ok := p.secrets[key]
			if !ok && p.down == nil {
				return nil, fmt.Errorf("there is no Secret %s", key.Name)
			}
			return text, p.down
		},
		CheckRoot: cosign.CheckRoot,
	})
}

// regoCompiler compiles as the command does.
type regoCompiler struct {
	demands.Policies
	pool *rego.Pool
}

func (c regoCompiler) Compile(name string, tree fs.FS, folder string, parameters map[string]any) (demands.Policy, error) {
	files, err := rego.Files(tree, folder)
	if err != nil {
		return nil, err
	}
	return c.pool.Compile(name, files, parameters)
}

func (c regoCompiler) Shipped(name, from string, parameters map[string]any) (demands.Policy, error) {
	files, err := shipped.Files(from)
	if err != nil {
		return nil, err
	}
	return c.pool.Compile(name, files, parameters)
}

func (p *platform) path(name string) string { return filepath.Join(p.folder, name) }

// write replaces a file in one step, as whoever renews one should.
func (p *platform) write(name string, text []byte) {
	p.Helper()
	file := p.path(name)
	p.must(os.MkdirAll(filepath.Dir(file), 0o700))
	p.must(os.WriteFile(p.path(".new"), text, 0o600))
	p.must(os.Rename(p.path(".new"), file))
}

func (p *platform) remove(name string) {
	p.Helper()
	p.must(os.RemoveAll(p.path(name)))
}

func (p *platform) must(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

func (p *platform) get() *demands.Baseline {
	p.Helper()
	base, err := p.Get()
	p.must(err)
	return base
}

// refused says that there is no baseline, and that the error has these texts.
func (p *platform) refused(texts ...string) {
	p.Helper()
	base, err := p.Get()
	if err == nil || base != nil {
		p.Fatalf("there is a baseline; want an error with %q", texts)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			p.Errorf("the error has no %q:\n%v", text, err)
		}
	}
}

// keyOf is the public key of the first signer of the repository's images.
func keyOf(base *demands.Baseline, repository string) string {
	for _, s := range base.Trust.Signers(repository) {
		if s.Key != nil {
			return string(s.Key.PEM)
		}
	}
	return ""
}

func rootOf(base *demands.Baseline) string {
	for _, s := range base.Trust.Signers("ghcr.io/acme/web") {
		if s.Identity != nil {
			return string(s.Identity.Root.JSON)
		}
	}
	return ""
}

func publicKey(t testing.TB) []byte {
	t.Helper()
	key, err := images.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return key.Public()
}

func trustRoot(t testing.TB) []byte {
	t.Helper()
	s, err := sigstore.New()
	if err != nil {
		t.Fatal(err)
	}
	return s.TrustedRoot()
}

func TestABaselineIsTheSameWhileNothingChanges(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	first := p.get()
	if rootOf(first) == "" || keyOf(first, "ghcr.io/other/a") != string(p.secrets[inASecret]) || first.Policies["acme"] == nil || first.Policies["pods"] == nil {
		t.Fatalf("the baseline is not that of the configuration: %+v", first)
	}
	for how, change := range map[string]func(){
		"nothing happened": func() {},
		"it was written anew with what it held": func() {
			text, err := os.ReadFile(p.path("release.pub"))
			p.must(err)
			p.write("release.pub", text)
		},
		"a minute went by": func() { p.now = p.now.Add(time.Minute) },
		"a day went by":    func() { p.now = p.now.Add(24 * time.Hour) },
		"another file was written beside the policy's": func() { p.write("policies/.editor", []byte("x")) },
	} {
		if change(); p.get() != first {
			t.Errorf("there is another one though %s", how)
		}
	}
	if text := p.log.String(); text != "" {
		t.Errorf("something was logged: %s", text)
	}
}

// catalogue 82
func TestWhatIsReplacedIsReadAtOnce(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(*platform) (seen func(*demands.Baseline) bool){
		"a key": func(p *platform) func(*demands.Baseline) bool {
			key := publicKey(p)
			p.write("release.pub", key)
			return func(b *demands.Baseline) bool { return keyOf(b, "ghcr.io/acme/web") == string(key) }
		},
		"a level's key": func(p *platform) func(*demands.Baseline) bool {
			before := p.get().Levels["strict"].Trust.Fingerprint("ghcr.io/acme/web")
			all := policies.Demands{Trust: p.get().Trust.And(p.get().Levels["strict"].Trust)}.Fingerprint()
			p.write("security.pub", publicKey(p))
			return func(b *demands.Baseline) bool {
				now := policies.Demands{Trust: b.Trust.And(b.Levels["strict"].Trust)}.Fingerprint()
				return before != "" && now != all
			}
		},
		"a trust root": func(p *platform) func(*demands.Baseline) bool {
			root := trustRoot(p)
			p.write("root.json", root)
			return func(b *demands.Baseline) bool { return rootOf(b) == string(root) }
		},
		"a policy": func(p *platform) func(*demands.Baseline) bool {
			before := p.get().Policies["acme"].ID()
			p.write("policies/deny.rego", []byte(deniesMore))
			return func(b *demands.Baseline) bool { return b.Policies["acme"].ID() != before }
		},
		"a policy by a file more": func(p *platform) func(*demands.Baseline) bool {
			before := p.get().Policies["acme"].ID()
			p.write("policies/more/deny.rego", []byte(deniesMore))
			return func(b *demands.Baseline) bool { return b.Policies["acme"].ID() != before }
		},
		"a policy by a file less": func(p *platform) func(*demands.Baseline) bool {
			p.write("policies/more.rego", []byte(deniesMore))
			before := p.get().Policies["acme"].ID()
			p.remove("policies/more.rego")
			return func(b *demands.Baseline) bool { return b.Policies["acme"].ID() != before }
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t)
			first := p.get()
			seen := change(p)
			next := p.get()
			if next == first || !seen(next) {
				t.Error("what was replaced still counts")
			}
			if p.get() != next {
				t.Error("it changes again")
			}
			if !strings.Contains(p.log.String(), "have changed") {
				t.Error("the log does not say so")
			}
		})
	}
}

// mount lays files out as Kubernetes mounts a ConfigMap or Secret: links into a
// folder that is swapped as a whole.
func (p *platform) mount(name string, content map[string]string) {
	p.Helper()
	folder := p.path(name)
	p.must(os.MkdirAll(folder, 0o700))
	before, _ := os.Readlink(filepath.Join(folder, "..data"))
	made, err := os.MkdirTemp(folder, "..2026_")
	p.must(err)
	for file, text := range content {
		p.must(os.MkdirAll(filepath.Dir(filepath.Join(made, file)), 0o700))
		p.must(os.WriteFile(filepath.Join(made, file), []byte(text), 0o600))
		top, _, _ := strings.Cut(file, "/")
		if err := os.Symlink(filepath.Join("..data", top), filepath.Join(folder, top)); !errors.Is(err, fs.ErrExist) {
			p.must(err)
		}
	}
	p.must(os.Symlink(filepath.Base(made), filepath.Join(folder, "..data_tmp")))
	p.must(os.Rename(filepath.Join(folder, "..data_tmp"), filepath.Join(folder, "..data")))
	if before != "" {
		p.must(os.RemoveAll(filepath.Join(folder, before)))
	}
}

// catalogue 82
func TestMountsThatKubernetesSwapsAreRead(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.remove("policies")
	p.mount("keys", map[string]string{"release.pub": string(publicKey(t)), "root.json": string(trustRoot(t))})
	p.mount("policies", map[string]string{"deny.rego": denies, "more/deny.rego": deniesMore})
	p.configure(strings.NewReplacer("FOLDER/release.pub", "FOLDER/keys/release.pub", "FOLDER/root.json", "FOLDER/keys/root.json").Replace(demanding))
	first := p.get()

	key, root := publicKey(t), trustRoot(t)
	p.mount("keys", map[string]string{"release.pub": string(key), "root.json": string(root)})
	second := p.get()
	if keyOf(second, "ghcr.io/acme/web") != string(key) || rootOf(second) != string(root) {
		t.Error("what was mounted before still counts")
	}
	p.mount("policies", map[string]string{"deny.rego": deniesMore, "more/deny.rego": deniesMore})
	if third := p.get(); third.Policies["acme"].ID() == first.Policies["acme"].ID() {
		t.Error("the policy that was mounted before still counts")
	}
}

// Nothing tells from outside that a file holds something else when it has the
// size and time that it had; cp -p and some backups make such files. It counts
// within a minute.
func TestAFileThatLooksTheSameIsReadAgainWithinAMinute(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	file := p.path("release.pub")
	before, err := os.Stat(file)
	p.must(err)
	first := p.get()
	key := publicKey(t)
	p.must(os.WriteFile(file, key, 0o600)) // in place
	p.must(os.Chtimes(file, before.ModTime(), before.ModTime()))
	if p.get() != first {
		t.Error("it was seen at once, so this tests nothing")
	}
	p.now = p.now.Add(time.Minute)
	if keyOf(p.get(), "ghcr.io/acme/web") != string(key) {
		t.Error("it was not seen after a minute")
	}
}

// catalogue 40
func TestOfATrustRootThatIsGoneTheLastGoodCopyCountsForAWhile(t *testing.T) {
	t.Parallel()
	for how, spoil := range map[string]func(*platform){
		"removed":  func(p *platform) { p.remove("root.json") },
		"emptied":  func(p *platform) { p.write("root.json", nil) },
		"cut off":  func(p *platform) { p.write("root.json", []byte(`{"mediaType": "application/vnd.dev.sigs`)) },
		"a folder": func(p *platform) { p.remove("root.json"); p.must(os.Mkdir(p.path("root.json"), 0o700)) },
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t)
			first := p.get()
			p.now = p.now.Add(30 * 24 * time.Hour) // in which it was there
			if p.get() != first {
				t.Fatal("another baseline")
			}
			spoil(p)
			for range 60 {
				p.now = p.now.Add(time.Minute)
				if p.get() != first {
					t.Fatal("another baseline while the last good copy counts")
				}
			}
			if n := strings.Count(p.log.String(), "last good copy counts"); n != 1 {
				t.Errorf("the log warns %d times: %s", n, &p.log)
			}
			p.now = p.now.Add(time.Minute)
			p.refused("sigstore[0].trustedRoot: ", "root.json", "its last good copy is of 2026-12-02T09:00:00Z, which is longer ago than maxAge (1h)")
			p.remove("root.json")
			p.write("root.json", trustRoot(t))
			if next := p.get(); next == first || rootOf(next) == rootOf(first) {
				t.Error("the root that is there again does not count")
			}
		})
	}
}

// catalogue 40
func TestWithoutAUsableTrustRootThereIsNoStart(t *testing.T) {
	t.Parallel()
	for how, c := range map[string]struct {
		spoil func(*platform)
		says  string
	}{
		"absent":  {func(p *platform) { p.remove("root.json") }, "no such file"},
		"empty":   {func(p *platform) { p.write("root.json", nil) }, "is empty"},
		"no root": {func(p *platform) { p.write("root.json", []byte("{}")) }, "root.json cannot be used: unsupported TrustedRoot media type"},
		"no JSON": {func(p *platform) { p.write("root.json", []byte("hunter2")) }, "root.json cannot be read; give it the trusted_root.json"},
		"endless": {func(p *platform) { p.remove("root.json"); p.must(os.Symlink("/dev/zero", p.path("root.json"))) }, "is no regular file"},
		"without what it is to prove": {func(p *platform) {
			p.configure(strings.Replace(demanding, "maxAge: 1h", "maxAge: 1h, timestamp: required", 1))
			var parts map[string]any
			p.must(json.Unmarshal(trustRoot(p), &parts))
			delete(parts, "timestampAuthorities")
			text, err := json.Marshal(parts)
			p.must(err)
			p.write("root.json", text)
		}, "sigstore[0].trustedRoot: FOLDER/root.json has no timestamp authority, which is demanded"},
		"dangling": {func(p *platform) { p.remove("root.json"); p.must(os.Symlink("nowhere", p.path("root.json"))) }, "no such file"},
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t)
			c.spoil(p)
			p.refused(strings.ReplaceAll(c.says, "FOLDER", p.folder))
			if _, err := p.Get(); strings.Contains(err.Error(), "hunter2") {
				t.Error("the content of the file is in the error")
			}
		})
	}
}

// catalogue 40, 119
func TestNothingIsJudgedByWhatCannotBeUsed(t *testing.T) {
	t.Parallel()
	private := "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n-----END PRIVATE KEY-----\n"
	for what, c := range map[string]struct {
		spoil func(*platform)
		says  []string
	}{
		"a key that is removed":        {func(p *platform) { p.remove("release.pub") }, []string{`trust[0].keys[0]: read public key "release"`, "release.pub", "no such file"}},
		"a key that is broken":         {func(p *platform) { p.write("release.pub", []byte("hunter2")) }, []string{`trust[0].keys[0]: key "release" (`, "release.pub) holds no PEM block"}},
		"a private key":                {func(p *platform) { p.write("release.pub", []byte(private)) }, []string{"trust[0].keys[0]: ", "is a private key"}},
		"a level's key":                {func(p *platform) { p.write("security.pub", []byte("hunter2")) }, []string{`levels[0].trust[0].keys[0]: key "security"`}},
		"a signer's key":               {func(p *platform) { p.write("ada.pub", []byte("hunter2")) }, []string{"commits.signers: ", "ada"}},
		"a policy with a mistake":      {func(p *platform) { p.write("policies/deny.rego", []byte("package main\n\ndeny contains")) }, []string{"policies[0]: ", "deny.rego"}},
		"a policy's folder without it": {func(p *platform) { p.remove("policies/deny.rego") }, []string{"policies[0].folder: ", "has no file in it"}},
		"no folder of a policy":        {func(p *platform) { p.remove("policies") }, []string{"policies[0].folder: ", "no such file"}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t)
			first := p.get()
			c.spoil(p)
			p.refused(c.says...)
			p.refused(c.says...) // and still, without being read again
			if _, err := p.Get(); strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "MC4CAQ") {
				t.Errorf("the content of the file is in the error: %v", err)
			}
			key := publicKey(t)
			p.write("release.pub", key)
			p.write("security.pub", publicKey(t))
			p.write("ada.pub", []byte(ssh))
			p.write("policies/deny.rego", []byte(denies))
			if next := p.get(); next == first || keyOf(next, "ghcr.io/acme/web") != string(key) {
				t.Error("what was mended does not count at once")
			}
		})
	}
}

// catalogue 119
func TestEverythingThatIsWrongIsNamedWithItsPlace(t *testing.T) {
	t.Parallel()
	t.Run("what cannot be read", func(t *testing.T) {
		t.Parallel()
		p := newPlatform(t)
		for _, name := range []string{"release.pub", "security.pub", "ada.pub", "root.json", "policies"} {
			p.remove(name)
		}
		p.down = errors.New("the API server does not answer")
		p.refused("sigstore[0].trustedRoot: ", "trust[0].keys[0]: ", `trust[1].keys[0]: read public key "in-a-secret": the API server does not answer`,
			"levels[0].trust[0].keys[0]: ", "commits.signers[0]: ", "policies[0].folder: ")
	})
	t.Run("what cannot be used", func(t *testing.T) {
		t.Parallel()
		p := newPlatform(t)
		for _, name := range []string{"release.pub", "security.pub", "ada.pub", "policies/deny.rego"} {
			p.write(name, []byte("x"))
		}
		p.secrets[inASecret] = []byte("x")
		p.refused("trust[0].keys[0]: ", `trust[1].keys[0]: key "in-a-secret" (Secret cosign, cosign.pub)`,
			"levels[0].trust[0].keys[0]: ", "commits.signers: ", "policies[0]: ")
	})
}

func TestSecretsAreReadAgain(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	other := func(b *demands.Baseline) string { return keyOf(b, "ghcr.io/other/a") }
	first := p.get()
	key := publicKey(t)
	p.secrets[inASecret] = key
	p.now = p.now.Add(59 * time.Second)
	if p.get() != first || p.asked != 1 {
		t.Errorf("the Secret was read %d times within a minute", p.asked)
	}
	p.now = p.now.Add(time.Second)
	second := p.get()
	if other(second) != string(key) {
		t.Error("the new key does not count after a minute")
	}

	// What a key demands that cannot be read is not known.
	p.down = errors.New("the API server does not answer")
	p.now = p.now.Add(time.Minute)
	p.refused(`trust[1].keys[0]: read public key "in-a-secret": the API server does not answer`)
	asked := p.asked
	for range 100 {
		p.refused("the API server does not answer")
	}
	if p.asked != asked {
		t.Errorf("%d targets asked %d times in a moment", 100, p.asked-asked)
	}
	p.slow = 10 * time.Second
	p.now = p.now.Add(time.Minute)
	for range 100 {
		p.refused("the API server does not answer")
	}
	if p.asked != asked+1 {
		t.Errorf("%d targets waited %d times for an API server that takes its time", 100, p.asked-asked)
	}
	p.down, p.slow = nil, 0
	p.now = p.now.Add(5 * time.Second)
	if p.get() != second {
		t.Error("nothing has changed, but there is another baseline")
	}

	delete(p.secrets, inASecret)
	p.now = p.now.Add(time.Minute)
	p.refused("there is no Secret cosign")
}

func TestOneSecretIsReadOnceForAllItsRules(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.configure(strings.Replace(demanding, "sigstore:", `  - {images: ghcr.io/third/*, keys: [{name: in-a-secret, secret: {name: cosign, key: cosign.pub}}]}
sigstore:`, 1))
	p.get()
	if p.asked != 1 {
		t.Errorf("it was read %d times", p.asked)
	}
}

func TestAFolderWithoutEndIsRefused(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.must(os.Symlink(".", p.path("policies/again")))
	p.refused("policies[0].folder: ", "nested more than 10 deep")
}

// BenchmarkBaselines is a look at a configuration in which nothing has changed,
// as each deployment takes one.
func BenchmarkBaselines(b *testing.B) {
	p := newPlatform(b)
	trust := "trust:\n"
	for i := range 20 {
		p.write(fmt.Sprintf("key-%d.pub", i), publicKey(b))
		trust += fmt.Sprintf("  - {images: ghcr.io/acme-%d/*, keys: [{name: key-%d, file: FOLDER/key-%d.pub}]}\n", i, i, i)
	}
	p.configure(strings.Replace(demanding, "trust:\n", trust, 1))
	p.get()
	b.ReportAllocs()
	for b.Loop() {
		p.get()
	}
}
