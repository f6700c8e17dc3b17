package images

import (
	"context"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/sigstore/cosign/v2/pkg/cosign"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/pawl-dev/pawl/internal/testworld/registry"
)

func start(t *testing.T, options registry.Options) *registry.Registry {
	t.Helper()
	r, err := registry.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func newKey(t *testing.T) *Key {
	t.Helper()
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func pushOne(t *testing.T, r *registry.Registry, content string) name.Digest {
	t.Helper()
	image, err := Push(t.Context(), r.Host()+"/shop/api:"+content, Spec{Content: content}, r.Client()...)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// signatures is what cosign 2 makes of the .sig tag, strictly.
func signatures(ctx context.Context, r *registry.Registry, image name.Digest, key *Key) error {
	_, _, err := cosign.VerifyImageSignatures(ctx, image, &cosign.CheckOpts{
		RegistryClientOpts: options(ctx, r.Client()), SigVerifier: key.Verifier(),
		IgnoreTlog: true, Offline: true, ClaimVerifier: cosign.SimpleClaimVerifier,
	})
	return err
}

// attestations are the predicate types that cosign 2 finds and believes.
func attestations(ctx context.Context, r *registry.Registry, image name.Digest, key *Key, scheme Scheme) ([]string, error) {
	check := &cosign.CheckOpts{RegistryClientOpts: options(ctx, r.Client()), SigVerifier: key.Verifier(), IgnoreTlog: true}
	if scheme == Bundle {
		check.NewBundleFormat = true
		check.TrustedMaterial = root.TrustedMaterialCollection{}
	} else {
		check.Offline = true
		check.ClaimVerifier = cosign.IntotoSubjectClaimVerifier
	}
	found, _, err := cosign.VerifyImageAttestations(ctx, image, check)
	if err != nil {
		return nil, err
	}
	var kinds []string
	for _, each := range found {
		text, err := each.Payload()
		if err != nil {
			return nil, err
		}
		var envelope struct {
			Payload string `json:"payload"`
		}
		if err := json.Unmarshal(text, &envelope); err != nil {
			return nil, err
		}
		inner, err := base64.StdEncoding.DecodeString(envelope.Payload)
		if err != nil {
			return nil, err
		}
		var said statement
		if err := json.Unmarshal(inner, &said); err != nil {
			return nil, err
		}
		kinds = append(kinds, said.PredicateType)
	}
	return kinds, nil
}

// verify checks a signature in the scheme it was made in.
func verify(ctx context.Context, r *registry.Registry, image name.Digest, key *Key, scheme Scheme) error {
	if scheme == Tag {
		return signatures(ctx, r, image, key)
	}
	_, err := attestations(ctx, r, image, key, Bundle)
	return err
}

// What is signed here verifies with cosign 2.6, in each kind of registry, and
// with nothing but its own key and digest.
func TestSignaturesVerifyWithCosign(t *testing.T) {
	t.Parallel()
	for kind, options := range map[string]registry.Options{
		"plain":             {},
		"without referrers": {WithoutReferrers: true},
		"tls and password":  {TLS: true, Username: "u", Password: "p"},
	} {
		for _, scheme := range []Scheme{Tag, Bundle} {
			t.Run(kind+"/"+scheme.String(), func(t *testing.T) {
				t.Parallel()
				ctx, r, key := t.Context(), start(t, options), newKey(t)
				image, other := pushOne(t, r, "one"), pushOne(t, r, "two")
				if err := verify(ctx, r, image, key, scheme); err == nil {
					t.Error("an unsigned image verifies")
				}
				if err := Sign(ctx, image, key, scheme, r.Client()...); err != nil {
					t.Fatal(err)
				}
				if err := verify(ctx, r, image, key, scheme); err != nil {
					t.Errorf("does not verify: %v", err)
				}
				if err := verify(ctx, r, image, newKey(t), scheme); err == nil {
					t.Error("verifies with another key")
				}
				if err := verify(ctx, r, other, key, scheme); err == nil {
					t.Error("another digest verifies")
				}
			})
		}
	}
}

func TestAttestationsVerifyWithCosign(t *testing.T) {
	t.Parallel()
	const provenance = "https://slsa.dev/provenance/v1"
	for _, scheme := range []Scheme{Tag, Bundle} {
		t.Run(scheme.String(), func(t *testing.T) {
			t.Parallel()
			ctx, r, key := t.Context(), start(t, registry.Options{}), newKey(t)
			image, other := pushOne(t, r, "one"), pushOne(t, r, "two")
			for _, predicateType := range []string{provenance, "https://example.com/second"} {
				if err := Attest(ctx, image, key, predicateType, map[string]any{"a": 1}, scheme, r.Client()...); err != nil {
					t.Fatal(err)
				}
			}
			kinds, err := attestations(ctx, r, image, key, scheme)
			if err != nil || len(kinds) != 2 || !strings.Contains(strings.Join(kinds, " "), provenance) {
				t.Errorf("got %v, %v; want two", kinds, err)
			}
			if kinds, err := attestations(ctx, r, image, newKey(t), scheme); err == nil {
				t.Errorf("another key verifies %v", kinds)
			}
			if kinds, err := attestations(ctx, r, other, key, scheme); err == nil {
				t.Errorf("another digest verifies %v", kinds)
			}
		})
	}
}

// A signature in a bundle says by its type that it is one.
func TestSignatureInABundleHasItsOwnType(t *testing.T) {
	t.Parallel()
	ctx, r, key := t.Context(), start(t, registry.Options{}), newKey(t)
	image := pushOne(t, r, "one")
	if err := Sign(ctx, image, key, Bundle, r.Client()...); err != nil {
		t.Fatal(err)
	}
	kinds, err := attestations(ctx, r, image, key, Bundle)
	if err != nil || len(kinds) != 1 || kinds[0] != "https://sigstore.dev/cosign/sign/v1" {
		t.Errorf("got %v, %v", kinds, err)
	}
}

// The registry lists a bundle by its type, as real ones do, so that a verifier
// may ask for bundles alone.
func TestBundlesAreFoundByType(t *testing.T) {
	t.Parallel()
	ctx, r := t.Context(), start(t, registry.Options{})
	image := pushOne(t, r, "one")
	if err := Sign(ctx, image, newKey(t), Bundle); err != nil {
		t.Fatal(err)
	}
	for artifactType, want := range map[string]int{"application/vnd.dev.sigstore.bundle.v0.3+json": 1, "application/x": 0} {
		index, err := remote.Referrers(image, remote.WithFilter("artifactType", artifactType))
		if err != nil {
			t.Fatal(err)
		}
		list, err := index.IndexManifest()
		if err != nil || len(list.Manifests) != want {
			t.Errorf("%s: got %v, %v; want %d", artifactType, list, err, want)
		}
	}
	response, err := http.Get(r.URL() + "/v2/shop/api/referrers/" + image.DigestStr() + "?artifactType=application/x")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if got := response.Header.Get("OCI-Filters-Applied"); got != "artifactType" {
		t.Errorf("filters applied: %q", got)
	}
}

// Each forgery is really in the place where a careless verifier looks, and
// cosign with its claim checks refuses it.
func TestForgeriesAreRefusedByCosign(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		scheme Scheme
		forge  func(ctx context.Context, good, bad name.Digest, key, stranger *Key, client ...remote.Option) error
		// careless: without the claim check this forgery passes, so it is a
		// real one and not just broken.
		careless bool
	}{
		"a signature copied from another image": {Tag, func(ctx context.Context, good, bad name.Digest, _, _ *Key, client ...remote.Option) error {
			return CopySignatures(ctx, good, bad, client...)
		}, true},
		"a signature with another key": {Tag, func(ctx context.Context, _, bad name.Digest, _, stranger *Key, client ...remote.Option) error {
			return Sign(ctx, bad, stranger, Tag, client...)
		}, false},
		"a signature over another digest": {Tag, func(ctx context.Context, good, bad name.Digest, key, _ *Key, client ...remote.Option) error {
			return SignClaiming(ctx, bad, good, key, client...)
		}, true},
		"bytes that nobody signed": {Tag, func(ctx context.Context, _, bad name.Digest, _, _ *Key, client ...remote.Option) error {
			text, err := Text(bad)
			if err != nil {
				return err
			}
			return AttachSignature(ctx, bad, text, []byte("nobody"), client...)
		}, false},
		"a bundle copied from another image": {Bundle, func(ctx context.Context, good, bad name.Digest, _, _ *Key, client ...remote.Option) error {
			return CopyBundles(ctx, good, bad, client...)
		}, false},
		"a bundle with another key": {Bundle, func(ctx context.Context, _, bad name.Digest, _, stranger *Key, client ...remote.Option) error {
			return Sign(ctx, bad, stranger, Bundle, client...)
		}, false},
		"a bundle over another digest": {Bundle, func(ctx context.Context, good, bad name.Digest, key, _ *Key, client ...remote.Option) error {
			return AttestClaiming(ctx, bad, good, key, SignatureType, nil, Bundle, client...)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, r, key := t.Context(), start(t, registry.Options{}), newKey(t)
			good, bad := pushOne(t, r, "good"), pushOne(t, r, "bad")
			if err := Sign(ctx, good, key, tt.scheme, r.Client()...); err != nil {
				t.Fatal(err)
			}
			if err := tt.forge(ctx, good, bad, key, newKey(t), r.Client()...); err != nil {
				t.Fatal(err)
			}
			if err := verify(ctx, r, good, key, tt.scheme); err != nil {
				t.Errorf("the good image does not verify: %v", err)
			}
			err := verify(ctx, r, bad, key, tt.scheme)
			if err == nil {
				t.Error("the forgery verifies")
			} else if strings.Contains(err.Error(), "no signatures found") || strings.Contains(err.Error(), "no valid bundles") {
				t.Errorf("the forgery is not there: %v", err)
			}
			if tt.careless {
				_, _, err := cosign.VerifyImageSignatures(ctx, bad, &cosign.CheckOpts{
					RegistryClientOpts: options(ctx, r.Client()), SigVerifier: key.Verifier(), IgnoreTlog: true, Offline: true,
				})
				if err != nil {
					t.Errorf("a careless verifier refuses it too: %v", err)
				}
			}
		})
	}
}

func TestKeyFilesAreThoseOfCosign(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	private, public, err := key.Write(t.TempDir(), "secret")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(private)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cosign.LoadPrivateKey(text, []byte("wrong"), nil); err == nil {
		t.Error("the private key opens with any password")
	}
	loaded, err := cosign.LoadPrivateKey(text, []byte("secret"), nil)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := loaded.SignMessage(strings.NewReader("message"))
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := signature.LoadVerifierFromPEMFile(public, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	if err := verifier.VerifySignature(strings.NewReader(string(signed)), strings.NewReader("message")); err != nil {
		t.Errorf("the public key does not belong to the private one: %v", err)
	}
}
