package main

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pawl-dev/pawl/agent"
	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/internal/testworld"
	"github.com/pawl-dev/pawl/internal/testworld/images"
)

// catalogue 41
func TestAKeyIsReplacedWithoutARestart(t *testing.T) {
	const secret = "akeyisreplacedwithoutarestart"
	s := tell(t, testworld.ShopOptions{Configure: func(_ *testworld.Shop, c *agent.Config) error {
		c.Trust[0].Keys = append(c.Trust[0].Keys, demands.KeyConfig{Name: "vault", Secret: &demands.SecretKey{Name: secret, Key: "cosign.pub"}})
		return nil
	}})
	client := s.World.Registry.Client()
	newKey := func() *images.Key {
		key, err := images.NewKey()
		s.must(err)
		return key
	}
	vault, next := newKey(), newKey()
	s.secret(secret, corev1.SecretTypeOpaque, map[string]string{"cosign.pub": string(vault.Public())})

	byVault := s.unsigned("web", "vault")
	s.must(images.Sign(t.Context(), byVault, vault, images.Bundle, client...))
	s.open(repo("one", 1, byVault.String()))
	byOld := s.image("web", "old")
	s.green(s.commit("signed by the key in the file", repo("two", 1, byOld.String())), "dev")

	// While a key cannot be read nothing is judged.
	mark := s.mark()
	_, err := s.File("release.pub", []byte("no key"))
	s.must(err)
	s.red(s.commit("while the key is unreadable", repo("three", 1, byVault.String())), "dev", "TrustUnreadable", "release.pub")

	_, err = s.File("release.pub", next.Public())
	s.must(err)
	s.red(s.commit("an image that the old key signed", repo("three", 1, s.image("web", "new").String())), "dev", "ImageRefused", `no signature by one of the keys "release", "vault"`)
	s.commit("back to what runs", repo("two", 1, byOld.String()))
	s.red(s.commit("nothing new", map[string]string{"README.md": "nothing new"}), "dev", "ImageRefused", byOld.DigestStr()[:15])
	s.unwritten(mark)
	live, err := s.cluster.AppsV1().Deployments(s.namespace("dev")).Get(t.Context(), "web", metav1.GetOptions{})
	s.must(err)
	if got := live.Spec.Template.Spec.Containers[0].Image; got != byOld.String() || live.Status.ReadyReplicas != 2 {
		t.Errorf("%s runs, %d of 2 ready; want %s to run on", got, live.Status.ReadyReplicas, byOld)
	}

	byNext := s.unsigned("web", "next")
	s.must(images.Sign(t.Context(), byNext, next, images.Tag, client...))
	s.green(s.commit("signed by the new key", repo("four", 1, byNext.String())), "dev")
}
