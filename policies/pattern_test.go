package policies_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/render"
)

const digestA = "sha256:3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c3f1c"

// publicKey makes a key pair and returns the public half as PEM.
func publicKey(t testing.TB) []byte {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func trustOf(t testing.TB, rules ...policies.Rule) policies.Trust {
	t.Helper()
	trust, err := policies.NewTrust(rules)
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

// catalogue 44
func TestRulesCoverTheParsedNormalForm(t *testing.T) {
	t.Parallel()
	key := policies.Key{Name: "release", PEM: publicKey(t)}
	tests := []struct {
		because   string
		pattern   string
		reference string // without its digest
		covered   bool
	}{
		{"the repository itself", "ghcr.io/acme/web", "ghcr.io/acme/web", true},
		{"a star is any name", "ghcr.io/acme/*", "ghcr.io/acme/web", true},
		{"a tag does not matter", "ghcr.io/acme/*", "ghcr.io/acme/web:1.9", true},
		{"a star may be part of a name", "ghcr.io/acme/web-*", "ghcr.io/acme/web-api", true},
		{"a star is one segment", "ghcr.io/acme/*", "ghcr.io/acme/web/api", false},
		{"a star is not nothing", "ghcr.io/acme/*", "ghcr.io/acme", false},
		{"two stars are any depth", "ghcr.io/acme/**", "ghcr.io/acme/web/api", true},
		{"two stars are one segment too", "ghcr.io/acme/**", "ghcr.io/acme/web", true},
		{"two stars are not nothing", "ghcr.io/acme/**", "ghcr.io/acme", false},
		{"two stars may stand in the middle", "ghcr.io/**/web", "ghcr.io/a/b/web", true},
		{"two stars alone are everything", "**", "quay.io/x/y", true},
		{"a look-alike registry is another one", "ghcr.io/acme/*", "ghcr.io.evil.com/acme/web", false},
		{"a look-alike prefix is another one", "ghcr.io/acme/*", "evil.com/ghcr.io/acme/web", false},
		{"a look-alike owner is another one", "ghcr.io/acme/*", "ghcr.io/acme-evil/web", false},
		{"a short name is Docker Hub's library", "docker.io/library/nginx", "nginx", true},
		{"so is a pattern without library", "docker.io/nginx", "index.docker.io/library/nginx", true},
		{"and docker.io is index.docker.io", "index.docker.io/library/*", "docker.io/library/nginx", true},
		{"a short name is nobody else's", "ghcr.io/**", "nginx", false},
		{"an owner on Docker Hub is not on ghcr.io", "ghcr.io/acme/*", "acme/web", false},
		{"upper case in the registry is not the same", "ghcr.io/acme/*", "GHCR.IO/acme/web", false},
		{"upper case in the path is no repository", "ghcr.io/acme/*", "ghcr.io/acme/Web", false},
		{"a port is another registry", "ghcr.io/acme/*", "ghcr.io:443/acme/web", false},
		{"a port in the pattern is meant", "127.0.0.1:5000/acme/*", "127.0.0.1:5000/acme/web", true},
		{"another port is another registry", "127.0.0.1:5000/acme/*", "127.0.0.1:5001/acme/web", false},
		{"a trailing dot is not the same", "ghcr.io/acme/*", "ghcr.io./acme/web", false},
		{"a Cyrillic c is not a c", "ghcr.io/acme/*", "gh\u0441r.io/acme/web", false},
		{"punycode is not what it shows", "ghcr.io/acme/*", "xn--ghr-bed.io/acme/web", false},
		{"a way up leads nowhere", "ghcr.io/acme/**", "ghcr.io/acme/../evil/web", false},
		{"nor does it below everything", "**", "ghcr.io/acme/../evil/web", false},
		{"a dot is no name", "ghcr.io/acme/**", "ghcr.io/acme/./web", false},
		{"nor is nothing", "ghcr.io/acme/**", "ghcr.io/acme//web", false},
		{"a user is no part of a registry", "ghcr.io/acme/*", "ghcr.io@evil.com/acme/web", false},
		{"a scheme is no part of a reference", "ghcr.io/acme/*", "https://ghcr.io/acme/web", false},
	}
	for _, tt := range tests {
		t.Run(tt.because, func(t *testing.T) {
			t.Parallel()
			trust := trustOf(t, policies.Rule{Images: tt.pattern, Keys: []policies.Key{key}})
			reference := tt.reference + "@" + digestA
			image := render.Image{Reference: reference, Object: "Deployment shop/web", Field: "spec.template.spec.containers[0].image"}
			if d, err := name.NewDigest(reference); err == nil {
				image.Repository, image.Digest = d.Context().Name(), d.DigestStr()
			}
			evidence := signedBy(trust, image, "release")
			_, err := policies.Judge(releaseOf(image), policies.Demands{Trust: trust}, policies.Findings{Images: evidence})
			if tt.covered && err != nil {
				t.Errorf("%s should cover %s, but: %v", tt.pattern, tt.reference, err)
			}
			if !tt.covered {
				var refusal *policies.Refusal
				if !errors.As(err, &refusal) {
					t.Errorf("%s let %s through: %v", tt.pattern, tt.reference, err)
				}
			}
		})
	}
}

func TestTrustThatCannotBeMeantIsRefusedWithItsReason(t *testing.T) {
	t.Parallel()
	good := publicKey(t)
	rsaSmall := []byte("-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKj34GkxFhD90vcNLYLInFEX6Ppy1tPf\n9Cnzj4p4WGeKLs1Pt8QuKUpRKfFLfRYC9AIKjbJTWit+CqvjWYzvQwECAwEAAQ==\n-----END PUBLIC KEY-----\n")
	one := func(images string, pem []byte) []policies.Rule {
		return []policies.Rule{{Images: images, Keys: []policies.Key{{Name: "release", File: "keys/release.pub", PEM: pem}}}}
	}
	tests := []struct {
		because string
		rules   []policies.Rule
		want    string
	}{
		{"no registry", one("acme/*", good), `trust[0].images: "acme/*" names no registry; write it as in "ghcr.io/acme/*"`},
		{"a lone star", one("*", good), `names no registry`},
		{"nothing at all", one("", good), `names no registry`},
		{"a wildcard registry", one("ghcr.io*/acme/web", good), `wildcard in the registry's name`},
		{"an upper-case registry", one("GHCR.io/acme/web", good), `"GHCR.io" is no registry's name; write it in lower case`},
		{"a registry with a trailing dot", one("ghcr.io./acme/web", good), `is no registry's name`},
		{"a tag", one("ghcr.io/acme/web:1.9", good), `tags and digests are left out`},
		{"a digest", one("ghcr.io/acme/web@"+digestA, good), `tags and digests are left out`},
		{"a way up", one("ghcr.io/../web", good), `".." is no part of a repository's name`},
		{"two stars within a name", one("ghcr.io/acme/web**", good), `"web**" is no part`},
		{"a character class", one("ghcr.io/acme/[a-z]", good), `"[a-z]" is no part`},
		{"no keys", []policies.Rule{{Images: "**"}}, `trust[0].keys: is empty`},
		{"no PEM", one("**", []byte("ssh-ed25519 AAAA")), `trust[0].keys[0]: key "release" (keys/release.pub) holds no PEM block`},
		{"a private key", one("**", pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED SIGSTORE PRIVATE KEY", Bytes: []byte("x")})), `is a private key; the agent needs only the public half`},
		{"a certificate", one("**", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})), `PEM block of type "CERTIFICATE"`},
		{"rubbish in PEM", one("**", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")})), `cannot be read as a public key`},
		{"two keys in one file", one("**", append(append([]byte{}, good...), good...)), `more than one PEM block`},
		{"a short RSA key", one("**", rsaSmall), `RSA key of 512 bits; at least 2048`},
		{"a nameless key", []policies.Rule{{Images: "**", Keys: []policies.Key{{File: "keys/x.pub", PEM: good}}}}, `a key (keys/x.pub) has no name`},
		{"one name for two keys", []policies.Rule{
			{Images: "ghcr.io/a/*", Keys: []policies.Key{{Name: "release", File: "a.pub", PEM: good}}},
			{Images: "ghcr.io/b/*", Keys: []policies.Key{{Name: "release", File: "b.pub", PEM: publicKey(t)}}},
		}, `trust[1].keys[0]: key "release" (b.pub) has the same name as the different key "release" (a.pub)`},
	}
	for _, tt := range tests {
		t.Run(tt.because, func(t *testing.T) {
			t.Parallel()
			trust, err := policies.NewTrust(tt.rules)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
			if trust.Covers("ghcr.io/acme/web") {
				t.Error("a refused trust must cover nothing")
			}
		})
	}
	t.Run("all problems at once", func(t *testing.T) {
		t.Parallel()
		_, err := policies.NewTrust([]policies.Rule{{Images: "acme/*"}, {Images: "GHCR.io/x", Keys: []policies.Key{{Name: "k"}}}})
		for _, want := range []string{"trust[0].images", "trust[0].keys", "trust[1].images", "trust[1].keys[0]"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v does not mention %s", err, want)
			}
		}
	})
}

// Image references are written by whoever can open a pull request. Whatever
// they are: what is let through lies in the very registry and below the very
// path that the rule names.
func FuzzReferences(f *testing.F) {
	for _, s := range []string{"ghcr.io/acme/web:1.9", "ghcr.io/acme/../evil", "nginx", "ghcr.io.evil.com/acme/web", "GHCR.IO/acme/web", "ghcr.io:443/acme/x", "ghcr.io/acme/web@sha512:00"} {
		f.Add(s)
	}
	key := policies.Key{Name: "release", PEM: publicKey(f)}
	trust := trustOf(f, policies.Rule{Images: "ghcr.io/acme/**", Keys: []policies.Key{key}})
	f.Fuzz(func(t *testing.T, s string) {
		reference := s + "@" + digestA
		image := render.Image{Reference: reference}
		if d, err := name.NewDigest(reference); err == nil {
			image.Repository, image.Digest = d.Context().Name(), d.DigestStr()
		}
		if _, err := policies.Judge(releaseOf(image), policies.Demands{Trust: trust}, policies.Findings{Images: signedBy(trust, image, "release")}); err != nil {
			return
		}
		if !strings.HasPrefix(s, "ghcr.io/acme/") || strings.Contains(s, "..") || strings.Contains(s, "//") {
			t.Errorf("%q was let through", s)
		}
	})
}
