package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pawl-dev/pawl/agent"
	"github.com/pawl-dev/pawl/deploy"
	"github.com/pawl-dev/pawl/internal/testworld"
	"github.com/pawl-dev/pawl/internal/testworld/images"
	"github.com/pawl-dev/pawl/internal/testworld/registry"
)

// secret puts a Secret into the agent's namespace, as the platform team would.
func (s *story) secret(name string, kind corev1.SecretType, data map[string]string) {
	s.t.Helper()
	secrets := s.cluster.CoreV1().Secrets(deploy.Namespace)
	_, err := secrets.Create(s.t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, Type: kind, StringData: data}, metav1.CreateOptions{})
	s.must(err)
	s.t.Cleanup(func() { _ = secrets.Delete(context.Background(), name, metav1.DeleteOptions{}) })
}

// closed is a registry that lets nobody in without a password.
func closed(t *testing.T, users ...registry.User) *registry.Registry {
	t.Helper()
	r, err := registry.Start(context.Background(), registry.Options{Username: "ci", Password: "push", Users: users})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// signedIn pushes a signed image to a registry.
func (s *story) signedIn(r *registry.Registry, repository, content string) name.Digest {
	s.t.Helper()
	image, err := images.Push(s.t.Context(), r.Host()+"/"+repository+":"+content, images.Spec{Content: s.name + content}, r.Client()...)
	s.must(err)
	s.must(images.Sign(s.t.Context(), image, s.Key, images.Bundle, r.Client()...))
	return image
}

func dockerConfig(r *registry.Registry, password string) string {
	return fmt.Sprintf(`{"auths":{%q:{"username":"agent","password":%q}}}`, r.Host(), password)
}

func TestRegistriesAreReadWithPullSecretsAndThroughMirrors(t *testing.T) {
	bySecret, byFile := closed(t, registry.User{Name: "agent", Password: "one"}), closed(t, registry.User{Name: "agent", Password: "two"})
	mirror := closed(t, registry.User{Name: "agent", Password: "three"})
	const pullSecret = "registriesarereadwithpullsecrets"
	s := tell(t, testworld.ShopOptions{Configure: func(s *testworld.Shop, c *agent.Config) error {
		rule := c.Trust[0]
		for _, r := range []*registry.Registry{bySecret, byFile, mirror} {
			rule.Images = r.Host() + "/acme/*"
			c.Trust = append(c.Trust, rule)
			c.Registries = append(c.Registries, agent.RegistryConfig{Host: r.Host(), Insecure: true})
		}
		c.Registries[1].Mirrors = []string{mirror.Host() + "/hub"}
		file, err := s.File("two.json", []byte(dockerConfig(byFile, "two")))
		if err != nil {
			return err
		}
		third, err := s.File("three.json", []byte(dockerConfig(mirror, "three")))
		c.PullSecrets = []agent.PullSecretConfig{{Secret: pullSecret}, {File: file}, {File: third}}
		return err
	}})
	s.secret(pullSecret, corev1.SecretTypeDockerConfigJson, map[string]string{corev1.DockerConfigJsonKey: dockerConfig(bySecret, "one")})

	s.open(repo("one", 1, s.signedIn(bySecret, "acme/web", "1").String()))
	s.green(s.commit("a registry whose credentials are in a file", repo("two", 1, s.signedIn(byFile, "acme/web", "2").String())), "dev")

	// Credentials are renewed without a restart.
	byFile.SetUsers(registry.User{Name: "ci", Password: "push"}, registry.User{Name: "agent", Password: "new"})
	s.must(os.WriteFile(filepath.Join(s.Folder, "two.json"), []byte(dockerConfig(byFile, "new")), 0o600))
	s.green(s.commit("with a new password", repo("three", 1, s.signedIn(byFile, "acme/web", "3").String())), "dev")

	// What only the mirror has runs under the name that it has at its origin.
	mirrored := s.signedIn(mirror, "hub/acme/web", "4")
	wanted := bySecret.Host() + "/acme/web@" + mirrored.DigestStr()
	s.green(s.commit("from the mirror", repo("four", 1, wanted)), "dev")
	live, err := s.cluster.AppsV1().Deployments(s.namespace("dev")).Get(t.Context(), "web", metav1.GetOptions{})
	s.must(err)
	if got := live.Spec.Template.Spec.Containers[0].Image; got != wanted {
		t.Errorf("%s runs; want %s", got, wanted)
	}
	// And a mirror is believed no more than the origin.
	forged, err := images.Push(t.Context(), mirror.Host()+"/hub/acme/web:5", images.Spec{Content: "unsigned"}, mirror.Client()...)
	s.must(err)
	mark := s.mark()
	s.red(s.commit("unsigned, from the mirror", repo("five", 1, bySecret.Host()+"/acme/web@"+forged.DigestStr())), "dev", "ImageRefused")
	s.unwritten(mark)
}

// waits waits until dev is being retried for a reason.
func (s *story) waits(reason string) {
	s.t.Helper()
	s.until("dev to wait: "+reason, func(ctx context.Context) (bool, string, error) {
		status, err := s.Status(ctx)
		if err != nil || len(status.Environments) == 0 || len(status.Environments[0].Targets) == 0 {
			return false, "no target", err
		}
		target := status.Environments[0].Targets[0]
		if target.Problem == nil {
			return false, target.Stage, nil
		}
		return target.Stage == "retrying" && target.Problem.Reason == reason, target.Stage + ": " + target.Problem.Text, nil
	})
}

// catalogue 42
func TestARegistryThatIsDownHoldsOnlyWhatIsNew(t *testing.T) {
	s := tell(t, testworld.ShopOptions{})
	first, second := s.image(s.name, "1").String(), s.image(s.name, "2").String()
	s.open(repo("one", 1, first))
	maps := s.cluster.CoreV1().ConfigMaps(s.namespace("dev"))
	var held string
	for _, fault := range []registry.Fault{{Drop: true}, {Status: 429, RetryAfter: 1}, {Endless: true}, {Status: 503}} {
		heal := s.World.Registry.Fail(registry.Match{Repository: "acme/" + s.name}, fault)
		defer heal()
		mark := s.mark()
		held = s.commit("new", repo("two", 1, second))
		s.waits("EvidenceUnavailable")
		s.unwritten(mark)

		_, err := maps.Patch(t.Context(), "map-0", types.MergePatchType, []byte(`{"data":{"text":"by hand"}}`), metav1.PatchOptions{})
		s.must(err)
		s.until("the edit to be put back", func(ctx context.Context) (bool, string, error) {
			live, err := maps.Get(ctx, "map-0", metav1.GetOptions{})
			return err == nil && live.Data["text"] == "one", fmt.Sprint(live.Data), err
		})
		if fault.Status != 503 {
			// What was verified before goes on.
			s.green(s.commit("back", repo("one", 1, first)), "dev")
		}
		heal()
	}
	s.green(held, "dev")
}
