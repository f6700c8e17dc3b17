package sigstore

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/sigstore/cosign/v2/pkg/cosign"
	cosignremote "github.com/sigstore/cosign/v2/pkg/oci/remote"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/pawl-dev/pawl/internal/testworld/images"
	"github.com/pawl-dev/pawl/internal/testworld/registry"
)

var release = GitHub("shop/api", ".github/workflows/release.yml", "refs/heads/main", strings.Repeat("a1", 20))

const provenance = "https://slsa.dev/provenance/v1"

func newSigstore(t *testing.T) *Sigstore {
	t.Helper()
	s, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func start(t *testing.T) *registry.Registry {
	t.Helper()
	r, err := registry.Start(t.Context(), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func push(t *testing.T, r *registry.Registry, content string) name.Digest {
	t.Helper()
	image, err := images.Push(t.Context(), r.Host()+"/shop/api:"+content, images.Spec{Content: content})
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// demand is what a verifier wants beside a signature by an identity.
type demand int

const (
	logged  demand = iota // an entry in the transparency log, which also tells the time
	stamped               // the same, and the time from a timestamp authority
)

func trusting(t *testing.T, text []byte) root.TrustedMaterial {
	t.Helper()
	trusted, err := root.NewTrustedRootFromJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	return trusted
}

// byCosign verifies as cosign 2.6 does when it is told to be strict.
func byCosign(ctx context.Context, image name.Digest, trusted root.TrustedMaterial, by Identity, k kind, d demand) (err error) {
	check := &cosign.CheckOpts{
		TrustedMaterial: trusted, Offline: true, UseSignedTimestamps: d == stamped,
		Identities:      []cosign.Identity{{Issuer: by.Issuer, Subject: by.Subject}},
		ClaimVerifier:   cosign.SimpleClaimVerifier,
		NewBundleFormat: k.scheme == images.Bundle,
	}
	if k.scheme == images.Bundle {
		check.ClaimVerifier = cosign.IntotoSubjectClaimVerifier
		_, _, err := cosign.VerifyImageAttestations(ctx, image, check)
		return err
	}
	tagOf, verify := cosignremote.SignatureTag, cosign.VerifyImageSignature
	if !k.signature {
		check.ClaimVerifier = cosign.IntotoSubjectClaimVerifier
		tagOf, verify = cosignremote.AttestationTag, cosign.VerifyBlobAttestation
	}
	tag, err := tagOf(image)
	if err != nil {
		return err
	}
	list, err := cosignremote.Signatures(tag)
	if err != nil {
		return err
	}
	layers, err := list.Get()
	if err != nil {
		return err
	}
	if len(layers) == 0 {
		return errors.New("no signatures")
	}
	digest, err := v1.NewHash(image.DigestStr())
	if err != nil {
		return err
	}
	// cosign 2.6.5 panics at a timestamp that does not verify, and its loop
	// over signatures would do so where nobody can recover.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("cosign panics: %v", p)
		}
	}()
	if _, err := verify(ctx, layers[0], digest, check); err != nil {
		return err
	}
	// A timestamp that is not there is none that cosign demands.
	if stamp, err := layers[0].RFC3161Timestamp(); d == stamped && (err != nil || stamp == nil) {
		return errors.New("no timestamp")
	}
	return nil
}

// bySigstore verifies the bundles of an image with sigstore-go itself.
func bySigstore(image name.Digest, trusted root.TrustedMaterial, by Identity, d demand) error {
	found, err := bundles(image)
	if err != nil {
		return err
	}
	options := []verify.VerifierOption{verify.WithSignedCertificateTimestamps(1), verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1)}
	if d == stamped {
		options = append(options, verify.WithSignedTimestamps(1))
	}
	verifier, err := verify.NewVerifier(trusted, options...)
	if err != nil {
		return err
	}
	identity, err := verify.NewShortCertificateIdentity(by.Issuer, "", by.Subject, "")
	if err != nil {
		return err
	}
	digest, err := hex.DecodeString(strings.TrimPrefix(image.DigestStr(), "sha256:"))
	if err != nil {
		return err
	}
	for _, one := range found {
		_, failed := verifier.Verify(one, verify.NewPolicy(verify.WithArtifactDigest("sha256", digest), verify.WithCertificateIdentity(identity)))
		err = errors.Join(err, failed)
	}
	return err
}

func bundles(image name.Digest) ([]*bundle.Bundle, error) {
	list, err := cosignremote.Referrers(image, "")
	if err != nil {
		return nil, err
	}
	var found []*bundle.Bundle
	for _, referrer := range list.Manifests {
		one, err := cosignremote.Bundle(image.Context().Digest(referrer.Digest.String()))
		if err != nil {
			return nil, err
		}
		found = append(found, one)
	}
	if len(found) == 0 {
		return nil, errors.New("no bundles")
	}
	return found, nil
}

// kind is one of the four things that are made.
type kind struct {
	signature bool
	scheme    images.Scheme
}

var kinds = []kind{{true, images.Tag}, {true, images.Bundle}, {false, images.Tag}, {false, images.Bundle}}

func (k kind) String() string {
	return map[bool]string{true: "signature", false: "attestation"}[k.signature] + " in a " + k.scheme.String()
}

func (k kind) make(ctx context.Context, s *Sigstore, image name.Digest, by Identity, way Way) error {
	if k.signature {
		return s.SignInAWay(ctx, image, by, k.scheme, way)
	}
	return s.AttestInAWay(ctx, image, by, provenance, map[string]any{"a": 1}, k.scheme, way)
}

func (k kind) verify(t *testing.T, image name.Digest, trusted root.TrustedMaterial, by Identity, d demand) map[string]error {
	verdicts := map[string]error{"cosign": byCosign(t.Context(), image, trusted, by, k, d)}
	if k.scheme == images.Bundle {
		verdicts["sigstore-go"] = bySigstore(image, trusted, by, d)
	}
	return verdicts
}

// What is made here verifies, by those whom it names, and by the trust root
// as it is read from its file. Also long after the certificate expired.
func TestGenuineOnesVerify(t *testing.T) {
	t.Parallel()
	s, stranger := newSigstore(t), newSigstore(t)
	person := Identity{Issuer: "https://accounts.google.com", Subject: "dev@shop.test"}
	for _, k := range kinds {
		for because, tt := range map[string]struct {
			by  Identity
			way Way
		}{
			"by a workflow":       {release, Way{}},
			"by a person":         {person, Way{}},
			"a year ago":          {release, Way{At: time.Now().AddDate(-1, 0, 0)}},
			"without a timestamp": {release, Way{Timestamp: Missing}},
			"in tiles":            {release, Way{Tiles: true, At: time.Now().AddDate(0, -6, 0)}},
			"in the last second":  {release, Way{CertifiedAt: time.Now().Add(-lifetime + time.Minute)}},
		} {
			if tt.way.Tiles && k.scheme != images.Bundle {
				continue
			}
			t.Run(k.String()+" "+because, func(t *testing.T) {
				t.Parallel()
				r := start(t)
				image, other := push(t, r, "one"), push(t, r, "two")
				if err := k.make(t.Context(), s, image, tt.by, tt.way); err != nil {
					t.Fatal(err)
				}
				for _, d := range []demand{logged, stamped} {
					if d == stamped && tt.way.Timestamp == Missing || d == logged && tt.way.Tiles {
						continue
					}
					for by, err := range k.verify(t, image, trusting(t, s.TrustedRoot()), tt.by, d) {
						if err != nil {
							t.Errorf("%s does not verify it: %v", by, err)
						}
					}
				}
				for because, wrong := range map[string]struct {
					image name.Digest
					root  []byte
					by    Identity
				}{
					"of another image":     {other, s.TrustedRoot(), tt.by},
					"by another root":      {image, stranger.TrustedRoot(), tt.by},
					"by another subject":   {image, s.TrustedRoot(), Identity{Issuer: tt.by.Issuer, Subject: tt.by.Subject + "x"}},
					"from another issuer":  {image, s.TrustedRoot(), Identity{Issuer: tt.by.Issuer + "x", Subject: tt.by.Subject}},
					"before it was signed": {image, during(t, s, time.Now().AddDate(-2, 0, 0), time.Now().AddDate(-1, -1, 0)), tt.by},
				} {
					for by, err := range k.verify(t, wrong.image, trusting(t, wrong.root), wrong.by, logged) {
						if err == nil {
							t.Errorf("%s verifies it %s", by, because)
						}
					}
				}
			})
		}
	}
}

func during(t *testing.T, s *Sigstore, from, until time.Time) []byte {
	t.Helper()
	text, err := s.TrustedRootDuring(from, until)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// catalogue 33, 34, 36, 39
func TestForgeriesAreRefused(t *testing.T) {
	t.Parallel()
	s, stranger := newSigstore(t), newSigstore(t)
	for _, k := range kinds {
		t.Run(k.String(), func(t *testing.T) {
			t.Parallel()
			r := start(t)
			other := push(t, r, "other")
			lists := []struct {
				tiles  bool
				ways   map[string]Way
				demand demand
			}{{false, Forgeries(other, stranger), logged}, {false, Timeless(stranger), stamped}}
			if k.scheme == images.Bundle {
				lists = append(lists, lists...)
				for i := range lists[2:] {
					lists[2+i].tiles, lists[2+i].demand = true, stamped
				}
			}
			for _, list := range lists {
				for because, way := range list.ways {
					if way.Tiles = list.tiles; way.Tiles {
						because += ", in tiles"
					}
					t.Run(because, func(t *testing.T) {
						t.Parallel()
						image := push(t, r, fmt.Sprintf("%x", because))
						if err := k.make(t.Context(), s, image, release, way); err != nil {
							t.Fatal(err)
						}
						for by, err := range k.verify(t, image, trusting(t, s.TrustedRoot()), release, list.demand) {
							if err == nil {
								t.Errorf("%s verifies it", by)
							}
						}
					})
				}
			}
		})
	}
}

// Each forgery has nothing wrong but the one thing: where a verifier does not
// look for it, it passes.
func TestForgeriesAreWhole(t *testing.T) {
	t.Parallel()
	s, stranger := newSigstore(t), newSigstore(t)
	r := start(t)
	other := push(t, r, "other")
	all := Forgeries(other, stranger)
	maps.Copy(all, Timeless(stranger))
	identity, err := verify.NewShortCertificateIdentity(release.Issuer, "", release.Subject, "")
	if err != nil {
		t.Fatal(err)
	}
	for because, careless := range map[string][]verify.VerifierOption{
		"claims another digest":                            nil, // looked for with the other digest
		"certificate without a timestamp of a log":         {verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1)},
		"certificate with the timestamp of another":        {verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1)},
		"certificate with the timestamp of an unknown log": {verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1)},
		"no log entry":                      {verify.WithSignedCertificateTimestamps(1), verify.WithSignedTimestamps(1)},
		"log entry of another artifact":     {verify.WithSignedCertificateTimestamps(1), verify.WithSignedTimestamps(1)},
		"log entry with another key":        {verify.WithSignedCertificateTimestamps(1), verify.WithSignedTimestamps(1)},
		"no timestamp":                      {verify.WithTransparencyLog(1), verify.WithIntegratedTimestamps(1)},
		"timestamp of other bytes":          {verify.WithTransparencyLog(1), verify.WithIntegratedTimestamps(1)},
		"timestamp of an unknown authority": {verify.WithTransparencyLog(1), verify.WithIntegratedTimestamps(1)},
	} {
		t.Run(because, func(t *testing.T) {
			t.Parallel()
			way, ok := all[because]
			if !ok {
				t.Fatal("there is no such forgery")
			}
			image := push(t, r, fmt.Sprintf("%x", because))
			if err := s.SignInAWay(t.Context(), image, release, images.Bundle, way); err != nil {
				t.Fatal(err)
			}
			found, err := bundles(image)
			if err != nil {
				t.Fatal(err)
			}
			about := image
			if careless == nil {
				about, careless = other, []verify.VerifierOption{
					verify.WithSignedCertificateTimestamps(1), verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1),
				}
			}
			verifier, err := verify.NewVerifier(trusting(t, s.TrustedRoot()), careless...)
			if err != nil {
				t.Fatal(err)
			}
			digest, err := hex.DecodeString(strings.TrimPrefix(about.DigestStr(), "sha256:"))
			if err != nil {
				t.Fatal(err)
			}
			policy := verify.NewPolicy(verify.WithArtifactDigest("sha256", digest), verify.WithCertificateIdentity(identity))
			if _, err := verifier.Verify(found[0], policy); err != nil {
				t.Errorf("a careless verifier refuses it too: %v", err)
			}
		})
	}
}

// What Fulcio says about a workflow is read back by sigstore-go.
func TestExtensionsAreFulcios(t *testing.T) {
	t.Parallel()
	s, r := newSigstore(t), start(t)
	image := push(t, r, "one")
	if err := s.Sign(t.Context(), image, release, images.Bundle); err != nil {
		t.Fatal(err)
	}
	found, err := bundles(image)
	if err != nil {
		t.Fatal(err)
	}
	content, err := found[0].VerificationContent()
	if err != nil {
		t.Fatal(err)
	}
	summary, err := certificateSummary(content)
	if err != nil {
		t.Fatal(err)
	}
	want := release.Extensions
	want.Issuer = release.Issuer
	if summary.Extensions != want || summary.SubjectAlternativeName != release.Subject {
		t.Errorf("got  %+v\nwant %+v", summary, want)
	}
}

func certificateSummary(content verify.VerificationContent) (certificate.Summary, error) {
	return certificate.SummarizeCertificate(content.Certificate())
}

// Whoever an identity belongs to may say anything by it.
func TestAnythingCanBeAttested(t *testing.T) {
	t.Parallel()
	s, r := newSigstore(t), start(t)
	image := push(t, r, "one")
	bodies, err := images.Hostile(image, images.ProvenanceV1(images.Build{}))
	if err != nil {
		t.Fatal(err)
	}
	for _, scheme := range []images.Scheme{images.Tag, images.Bundle} {
		for because, body := range bodies {
			if err := s.AttestBody(t.Context(), image, release, body, scheme, Way{}); err != nil {
				t.Errorf("%s in a %s: %v", because, scheme, err)
			}
		}
	}
}

func TestTilesAreInBundlesOnly(t *testing.T) {
	t.Parallel()
	s, r := newSigstore(t), start(t)
	image := push(t, r, "one")
	if err := s.SignInAWay(t.Context(), image, release, images.Tag, Way{Tiles: true}); err == nil {
		t.Error("it is in a tag")
	}
}
