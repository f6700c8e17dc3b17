package testworld

import (
	"context"
	"crypto/rand"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"sigs.k8s.io/yaml"

	"github.com/pawl-dev/pawl/agent"
	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/internal/testworld/git"
	"github.com/pawl-dev/pawl/internal/testworld/github"
	"github.com/pawl-dev/pawl/internal/testworld/images"
)

// Shop is a config repo with all that an agent needs to look after it: a
// GitHub App, a signing key, an account in the cluster with the rights that
// Pawl ships with, and the agent's configuration.
type Shop struct {
	World      *World
	Repository *git.Repository
	App        github.Installed
	Key        *images.Key
	// Folder holds agent.yaml and the files that it names.
	Folder string
	// Config is the path of the agent's configuration.
	Config string
	// Public and Internal are the addresses where the agent is to listen.
	Public, Internal string
	// Person is the token of somebody who may merge.
	Person  string
	reading *revalidate
}

// ShopOptions describe a shop.
type ShopOptions struct {
	Name string // "acme/shop"
	// Folder is where the agent's files are written.
	Folder string
	// Environments that the agent owns.
	Environments []string
	// WithoutWebhook leaves the agent to polling.
	WithoutWebhook bool
	// WithToken gives the agent a person's token instead of the App.
	WithToken bool
	// Configure changes what the agent is configured with, at the end.
	Configure func(*Shop, *agent.Config) error
}

// OpenShop makes the repository, empty, and everything around it.
func (w *World) OpenShop(ctx context.Context, o ShopOptions) (*Shop, error) {
	owner, repo, _ := strings.Cut(o.Name, "/")
	s := &Shop{World: w, Folder: o.Folder, Config: filepath.Join(o.Folder, "agent.yaml"), reading: &revalidate{read: map[string]*known{}}}
	var err error
	if s.Repository, err = w.GitHub.CreateRepo(owner, repo); err != nil {
		return nil, err
	}
	s.Person = w.GitHub.AddUser("ada")
	if s.Key, err = images.NewKey(); err != nil {
		return nil, err
	}
	if s.Public, err = freeAddress(); err != nil {
		return nil, err
	}
	if s.Internal, err = freeAddress(); err != nil {
		return nil, err
	}
	secret := rand.Text()
	s.App, err = w.GitHub.AddApp(github.App{
		Name:        "pawl-" + repo,
		Permissions: map[string]string{"checks": "write", "contents": "write", "pull_requests": "write"},
		Events:      []string{"push", "pull_request", "pull_request_review", "check_run"}, Repositories: []string{o.Name},
	})
	if err != nil {
		return nil, err
	}
	if !o.WithoutWebhook {
		w.GitHub.SetAppHook(s.App.ID, "http://"+s.Public+"/webhooks/github", secret)
	}
	kubeconfig, err := w.installAgent(ctx, o.Folder)
	if err != nil {
		return nil, err
	}
	return s, s.configure(o, kubeconfig, secret)
}

// File writes a file beside agent.yaml and returns its path.
func (s *Shop) File(name string, content []byte) (string, error) {
	path := filepath.Join(s.Folder, name)
	return path, os.WriteFile(path, content, 0o600)
}

// configure writes agent.yaml and its files.
func (s *Shop) configure(o ShopOptions, kubeconfig, secret string) error {
	key, err := s.File("release.pub", s.Key.Public())
	if err != nil {
		return err
	}
	c := agent.Config{
		APIVersion: "pawl.dev/v1alpha1", Kind: "Agent",
		Repository:     agent.RepositoryConfig{URL: s.Repository.URL()},
		GitHub:         agent.GitHubConfig{API: s.World.GitHub.URL() + "/api/v3/"},
		BaselineConfig: demands.BaselineConfig{Trust: []demands.TrustConfig{{Images: s.Image("*"), Keys: []demands.KeyConfig{{Name: "release", File: key}}}}},
		Registries:     []agent.RegistryConfig{{Host: s.World.Registry.Host(), Insecure: true}},
		Tags:           agent.TagsConfig{Poll: environments.Duration(time.Second)},
		HTTP:           agent.HTTPConfig{Public: s.Public, Internal: s.Internal},
	}
	if o.WithToken {
		path, err := s.File("token", []byte(s.World.GitHub.AddUser("pawl-bot")))
		if err != nil {
			return err
		}
		c.GitHub.Token = &agent.SecretFile{File: path}
	} else {
		path, err := s.File("app.pem", s.App.PrivateKey)
		if err != nil {
			return err
		}
		c.GitHub.App = &agent.AppConfig{ID: s.App.ID, Installation: s.App.InstallationID, Key: agent.SecretFile{File: path}}
	}
	if !o.WithoutWebhook {
		path, err := s.File("webhook-secret", []byte(secret))
		if err != nil {
			return err
		}
		c.GitHub.Webhook = &agent.WebhookConfig{Secret: agent.SecretFile{File: path}}
	}
	for _, e := range o.Environments {
		c.Environments = append(c.Environments, agent.EnvironmentConfig{Name: e, Kubeconfig: kubeconfig})
	}
	if o.Configure != nil {
		if err := o.Configure(s, &c); err != nil {
			return err
		}
	}
	text, err := yaml.Marshal(c)
	if err != nil {
		return err
	}
	_, err = s.File("agent.yaml", text)
	return err
}

// ownerAndName are the two parts of the repository's name.
func (s *Shop) ownerAndName() (owner, name string) {
	owner, name, _ = strings.Cut(s.Repository.Name, "/")
	return owner, name
}

// Image is the repository of an application's image: "127.0.0.1:5000/acme/web".
func (s *Shop) Image(application string) string {
	return s.World.Registry.Host() + "/acme/" + application
}

// Push builds an image, pushes it under a tag and, unless it is to be refused,
// signs it.
func (s *Shop) Push(ctx context.Context, application, tag, content string, sign bool) (name.Digest, error) {
	client := s.World.Registry.Client()
	digest, err := images.Push(ctx, s.Image(application)+":"+tag, images.Spec{Content: content, Labels: map[string]string{
		images.LabelVersion: content, images.LabelSource: "https://github.com/acme/" + application,
	}}, client...)
	if err != nil || !sign {
		return digest, err
	}
	return digest, images.Sign(ctx, digest, s.Key, images.Bundle, client...)
}

// Files reads a folder of files into what Commit writes, with each pair of old
// and new texts replaced.
func Files(folder fs.FS, oldNew ...string) (map[string]string, error) {
	replace := strings.NewReplacer(oldNew...)
	files := map[string]string{}
	err := fs.WalkDir(folder, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(folder, path)
		files[path] = replace.Replace(string(text))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read files: %w", err)
	}
	return files, nil
}

// freeAddress is an address of this machine that was free a moment ago.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// Replica is the same shop as another replica of its agent sees it: with
// addresses and a log of its own, in a folder of its own.
func (s *Shop) Replica(folder string) (*Shop, error) {
	other := *s
	other.Folder, other.Config = folder, filepath.Join(folder, "agent.yaml")
	var err error
	if other.Public, err = freeAddress(); err != nil {
		return nil, err
	}
	if other.Internal, err = freeAddress(); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(s.Config)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(other.Config, text, 0o600); err != nil {
		return nil, err
	}
	return &other, other.Configure(func(config map[string]any) {
		config["http"] = map[string]any{"public": other.Public, "internal": other.Internal}
	})
}

// Configure changes the agent's configuration, for its next start.
func (s *Shop) Configure(change func(config map[string]any)) error {
	text, err := os.ReadFile(s.Config)
	if err != nil {
		return err
	}
	config := map[string]any{}
	if err := yaml.Unmarshal(text, &config); err != nil {
		return err
	}
	change(config)
	if text, err = yaml.Marshal(config); err != nil {
		return err
	}
	return os.WriteFile(s.Config, text, 0o600)
}
