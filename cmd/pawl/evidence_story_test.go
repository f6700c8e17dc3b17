package main

import (
	"os"
	"path/filepath"
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

// catalogue 35
func TestALevelDemandsMoreEvidence(t *testing.T) {
	scanner, err := images.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	none := 0
	s := tell(t, testworld.ShopOptions{Environments: []string{"dev", "production"}, Configure: func(s *testworld.Shop, c *agent.Config) error {
		key, err := s.File("scanner.pub", scanner.Public())
		scans := []demands.KeyConfig{{Name: "scanner", File: key}}
		c.Levels = []demands.LevelConfig{{Name: "pci", Trust: []demands.TrustConfig{{Images: "**", Attestations: []demands.AttestationConfig{
			{AttestationDemand: environments.AttestationDemand{Type: "cyclonedx"}, Keys: scans},
			{AttestationDemand: environments.AttestationDemand{
				Type: "vuln", Match: environments.MatchEvery,
				Vulnerabilities: &environments.Vulnerabilities{Max: environments.Severities{Critical: &none}, MaxAge: environments.Duration(24 * time.Hour)},
			}, Keys: scans},
		}}}}}
		c.Environments[1].Level = "pci"
		return err
	}})
	attest := func(image name.Digest, key *images.Key, p images.Predicate) {
		t.Helper()
		s.must(images.Attest(t.Context(), image, key, p.Type, p.Content, images.Bundle, s.World.Registry.Client()...))
	}
	scanned := func(content string) name.Digest {
		image := s.image("web", content)
		attest(image, scanner, images.CycloneDX("openssl@3.5"))
		attest(image, scanner, images.Vulnerabilities(time.Now()))
		return image
	}
	s.open(inBoth("one", scanned("1").String()))

	mark := s.mark()
	refused := func(says string, image name.Digest, found string) {
		t.Helper()
		commit := s.commit(says, inBoth(says, image.String()))
		s.green(commit, "dev")
		s.red(commit, "production", "ImageRefused", image.DigestStr()[:15], found)
	}
	refused("signed, and no more", s.image("web", "2"), "no attestation of type")
	ownWord := s.image("web", "3")
	attest(ownWord, s.Key, images.CycloneDX("openssl@3.5"))
	attest(ownWord, s.Key, images.Vulnerabilities(time.Now()))
	refused("attested by who signs images, not by who scans them", ownWord, "no attestation of type")
	critical := scanned("4")
	attest(critical, scanner, images.Vulnerabilities(time.Now(), images.Finding{ID: "CVE-2026-0001", Severity: "CRITICAL"}))
	refused("found to be vulnerable since", critical, "critical")
	old := s.image("web", "5")
	attest(old, scanner, images.CycloneDX("openssl@3.5"))
	attest(old, scanner, images.Vulnerabilities(time.Now().AddDate(0, 0, -2)))
	refused("scanned too long ago", old, "24h old at most")
	s.unwritten(mark, "production")

	// pawl.yaml adds to it, and a commit cannot take that away and use it at once.
	tester, err := images.NewKey()
	s.must(err)
	tested := scanned("6")
	s.must(images.Sign(t.Context(), tested, tester, images.Tag, s.World.Registry.Client()...))
	files := inBoth("two", tested.String())
	loose := files["pawl.yaml"]
	files["pawl.yaml"] = strings.Replace(loose, "  environments:", "  trust: [{images: \""+s.Image("*")+"\", keys: [{name: tester, file: keys/tester.pub}]}]\n  environments:", 1)
	files["keys/tester.pub"] = string(tester.Public())
	both := s.commit("tested", files)
	s.green(both, "dev")
	s.green(both, "production")
	mark = s.mark()
	untested := scanned("7")
	s.red(s.commit("untested", inBoth("three", untested.String())), "dev", "ImageRefused", `the key "tester"`)
	s.unwritten(mark)
}

// catalogue 40
func TestATrustRootThatIsGoneCountsForAWhile(t *testing.T) {
	private := newSigstore(t)
	s := tell(t, trustingWorkflow(private))
	signed := func(content string) string {
		t.Helper()
		image := s.unsigned("web", content)
		s.must(private.SignInAWay(t.Context(), image, releaseWorkflow, images.Bundle, sigstore.Way{}, s.World.Registry.Client()...))
		return image.String()
	}
	s.open(repo("one", 1, signed("1")))
	root := filepath.Join(s.Folder, "trusted_root.json")
	s.must(os.Remove(root))
	s.green(s.commit("while it is gone", repo("two", 1, signed("2"))), "dev")
	s.must(os.WriteFile(root, private.TrustedRoot()[:100], 0o600))
	s.green(s.commit("while it is cut off", repo("three", 1, signed("3"))), "dev")

	s.must(os.WriteFile(root, newSigstore(t).TrustedRoot(), 0o600))
	mark := s.mark()
	s.red(s.commit("by another one", repo("four", 1, signed("4"))), "dev", "ImageRefused", "by no log of the trust root")
	s.unwritten(mark)
	s.must(os.WriteFile(root, private.TrustedRoot(), 0o600))
	s.green(s.commit("mended", repo("five", 1, signed("5"))), "dev")
}

// catalogue 48
func TestAnImageThatIsGoneIsRefused(t *testing.T) {
	s := tell(t, testworld.ShopOptions{})
	s.open(repo("one", 1, s.image(s.name, "1").String()))
	gone := s.image(s.name, "2")
	s.must(s.World.Registry.Delete("acme/"+s.name, gone.DigestStr()))
	mark := s.mark()
	s.red(s.commit("gone", repo("two", 1, gone.String())), "dev", "ImageRefused", "is not in its registry")
	s.unwritten(mark)
}
