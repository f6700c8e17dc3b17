package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/pawl-dev/pawl/agent"
	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/internal/testworld"
	"github.com/pawl-dev/pawl/internal/testworld/images"
	"github.com/pawl-dev/pawl/internal/testworld/sigstore"
)

// releaseWorkflow is who may sign: the release workflow of acme/web, on main.
var releaseWorkflow = sigstore.GitHub("acme/web", ".github/workflows/release.yml", "refs/heads/main", strings.Repeat("a", 40))

var schemes = []images.Scheme{images.Tag, images.Bundle}

// newSigstore is a private Sigstore.
func newSigstore(t *testing.T) *sigstore.Sigstore {
	t.Helper()
	private, err := sigstore.New()
	if err != nil {
		t.Fatal(err)
	}
	return private
}

// trustingWorkflow configures an agent that trusts nobody but the workflow, as
// the private Sigstore vouches for it.
func trustingWorkflow(private *sigstore.Sigstore, attested ...demands.AttestationConfig) testworld.ShopOptions {
	return testworld.ShopOptions{Configure: func(s *testworld.Shop, c *agent.Config) error {
		root, err := s.File("trusted_root.json", private.TrustedRoot())
		c.Sigstore = []demands.SigstoreConfig{{Name: "private", TrustedRoot: root}}
		c.Trust = []demands.TrustConfig{{
			Images: s.Image("*"), Keyless: []environments.Identity{{Name: "release workflow", Issuer: releaseWorkflow.Issuer, Subject: releaseWorkflow.Subject}}, Attestations: attested,
		}}
		return err
	}}
}

// catalogue 33, 34, 39
func TestOnlyWhatTheWorkflowSignedIsApplied(t *testing.T) {
	private, stranger := newSigstore(t), newSigstore(t)
	s := tell(t, trustingWorkflow(private))
	client := s.World.Registry.Client()
	sign := func(image name.Digest, by sigstore.Identity, scheme images.Scheme, way sigstore.Way) {
		t.Helper()
		s.must(private.SignInAWay(t.Context(), image, by, scheme, way, client...))
	}

	genuine := s.unsigned("web", "genuine")
	sign(genuine, releaseWorkflow, images.Bundle, sigstore.Way{})
	s.open(repo("one", 1, genuine.String()))

	mark, n := s.mark(), 0
	refused := func(what string, forge func(image name.Digest)) {
		t.Helper()
		n++
		image := s.unsigned("web", fmt.Sprint("forged", n))
		forge(image)
		s.red(s.commit(what, repo("two", 1, image.String())), "dev", "ImageRefused", image.DigestStr()[:15], `no signature by the identity "release workflow"`)
	}
	for _, scheme := range schemes {
		for says, change := range map[string]func(*sigstore.Identity){
			"a look-alike host": func(i *sigstore.Identity) { i.Subject = "https://evil.example/?" + i.Subject },
			"a longer subject":  func(i *sigstore.Identity) { i.Subject += "-evil" },
			"another workflow":  func(i *sigstore.Identity) { i.Subject = strings.Replace(i.Subject, "release.yml", "test.yml", 1) },
			"another branch":    func(i *sigstore.Identity) { i.Subject = strings.Replace(i.Subject, "main", "topic", 1) },
			"another issuer":    func(i *sigstore.Identity) { i.Issuer = "https://gitlab.com" },
		} {
			by := releaseWorkflow
			change(&by)
			refused(says, func(image name.Digest) { sign(image, by, scheme, sigstore.Way{}) })
		}
		for says, way := range sigstore.Forgeries(genuine, stranger) {
			refused(says, func(image name.Digest) { sign(image, releaseWorkflow, scheme, way) })
		}
	}
	refused("the bundles of another image", func(image name.Digest) {
		s.must(images.CopyBundles(t.Context(), genuine, image, client...))
	})
	refused("the signature tag of another image", func(image name.Digest) {
		other := s.unsigned("web", "other")
		sign(other, releaseWorkflow, images.Tag, sigstore.Way{})
		s.must(images.CopySignatures(t.Context(), other, image, client...))
	})
	refused("a key that nobody trusts", func(image name.Digest) {
		s.must(images.Sign(t.Context(), image, s.Key, images.Tag, client...))
	})
	s.unwritten(mark)

	tagged := s.unsigned("web", "tagged")
	sign(tagged, releaseWorkflow, images.Tag, sigstore.Way{})
	s.green(s.commit("genuine again, in the other scheme", repo("three", 1, tagged.String())), "dev")
}

// catalogue 35, 36, 38
func TestOnlyWhatWasBuiltFromOurSourceIsApplied(t *testing.T) {
	private := newSigstore(t)
	const source, branch = "https://github.com/acme/web", "refs/heads/main"
	s := tell(t, trustingWorkflow(private, demands.AttestationConfig{AttestationDemand: environments.AttestationDemand{
		Type: "slsaprovenance1", Provenance: &environments.Provenance{Builder: releaseWorkflow.Subject, Source: source, Ref: branch},
	}}))
	client := s.World.Registry.Client()
	build := images.Build{Builder: releaseWorkflow.Subject, Source: source, Ref: branch, Commit: strings.Repeat("a", 40)}
	signed := func(content string) name.Digest {
		t.Helper()
		image := s.unsigned("web", content)
		s.must(private.Sign(t.Context(), image, releaseWorkflow, images.Bundle, client...))
		return image
	}
	attest := func(image name.Digest, by sigstore.Identity, p images.Predicate, scheme images.Scheme, way sigstore.Way) {
		t.Helper()
		s.must(private.AttestInAWay(t.Context(), image, by, p.Type, p.Content, scheme, way, client...))
	}

	genuine := signed("genuine")
	attest(genuine, releaseWorkflow, images.ProvenanceV1(build), images.Bundle, sigstore.Way{})
	s.open(repo("one", 1, genuine.String()))

	mark := s.mark()
	elsewhere := releaseWorkflow
	elsewhere.Subject = strings.Replace(elsewhere.Subject, "acme/web", "evil/web", 1)
	for _, forged := range []struct {
		says   string
		found  string
		change func(*images.Build)
		by     sigstore.Identity
		way    sigstore.Way
	}{
		{says: "another repository", found: "evil/web", change: func(b *images.Build) { b.Source = "https://github.com/evil/web" }},
		{says: "a look-alike repository", found: "web-evil", change: func(b *images.Build) { b.Source += "-evil" }},
		{says: "another branch", found: "refs/heads/topic", change: func(b *images.Build) { b.Ref = "refs/heads/topic" }},
		{says: "another builder", found: "test.yml", change: func(b *images.Build) { b.Builder = strings.Replace(b.Builder, "release.yml", "test.yml", 1) }},
		{says: "another image", found: "no attestation", way: sigstore.Way{Claiming: &genuine}},
		{says: "another signer", found: "no attestation", by: elsewhere},
		{says: "an attestation that is not logged", found: "no attestation", way: sigstore.Way{Entry: sigstore.Missing}},
	} {
		for _, scheme := range schemes {
			if forged.by.Subject == "" {
				forged.by = releaseWorkflow
			}
			made := build
			if forged.change != nil {
				forged.change(&made)
			}
			image := signed(forged.says + scheme.String())
			attest(image, forged.by, images.ProvenanceV1(made), scheme, forged.way)
			s.red(s.commit(forged.says, repo("two", 1, image.String())), "dev", "ImageRefused", image.DigestStr()[:15], forged.found)
		}
	}
	missing := signed("missing")
	s.red(s.commit("no attestation", repo("two", 1, missing.String())), "dev", "no attestation of type slsaprovenance1")
	attest(missing, releaseWorkflow, images.Vulnerabilities(time.Now()), images.Bundle, sigstore.Way{})
	s.red(s.commit("an attestation of another type", repo("three", 1, missing.String())), "dev", "no attestation of type slsaprovenance1")
	s.unwritten(mark)

	// Of several, one that says so is enough.
	wrong := build
	wrong.Ref = "refs/heads/topic"
	attest(missing, releaseWorkflow, images.ProvenanceV1(wrong), images.Bundle, sigstore.Way{})
	attest(missing, releaseWorkflow, images.ProvenanceV1(build), images.Tag, sigstore.Way{})
	s.green(s.commit("attested now", repo("four", 1, missing.String())), "dev")
}
