package cosign_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/internal/oci"
	"github.com/pawl-dev/pawl/internal/testworld/images"
	"github.com/pawl-dev/pawl/internal/testworld/registry"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/policies/cosign"
	"github.com/pawl-dev/pawl/render"
)

// world is a registry, two key pairs and a trust in the first of them for
// everything below acme/.
type world struct {
	*testing.T
	registry          *registry.Registry
	release, stranger *images.Key
	trust             policies.Trust
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, registry: startRegistry(t, registry.Options{}), release: newKey(t), stranger: newKey(t)}
	w.trust = w.trusting(policies.Rule{Images: w.registry.Host() + "/acme/**", Keys: []policies.Key{{Name: "release", PEM: w.release.Public()}}})
	return w
}

func startRegistry(t testing.TB, o registry.Options) *registry.Registry {
	t.Helper()
	r, err := registry.Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func newKey(t testing.TB) *images.Key {
	t.Helper()
	k, err := images.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newCollector(t testing.TB, r *registry.Registry, o cosign.Options) *cosign.Collector {
	t.Helper()
	client, err := oci.NewClient(oci.Registry{Host: r.Host(), PlainHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	return cosign.New(client, o)
}

func (w *world) trusting(rules ...policies.Rule) policies.Trust {
	w.Helper()
	trust, err := policies.NewTrust(rules)
	w.must(err)
	return trust
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// push stores an image of this content under acme/, tagged main.
func (w *world) push(repository, content string) name.Digest {
	w.Helper()
	d, err := images.Push(w.Context(), w.registry.Host()+"/acme/"+repository+":main", images.Spec{Content: content}, w.registry.Client()...)
	w.must(err)
	return d
}

func (w *world) sign(d name.Digest, key *images.Key, scheme images.Scheme) {
	w.Helper()
	w.must(images.Sign(w.Context(), d, key, scheme, w.registry.Client()...))
}

func imageAt(d name.Digest) render.Image {
	return render.Image{
		Reference:  d.Context().Name() + "@" + d.DigestStr(),
		Repository: d.Context().Name(),
		Digest:     d.DigestStr(),
		Object:     "Deployment shop/web",
		Field:      "spec.template.spec.containers[0].image",
	}
}

// judge collects and judges, as the agent does.
func judge(ctx context.Context, c *cosign.Collector, trust policies.Trust, digests ...name.Digest) (policies.Verified, error) {
	release := render.Release{
		Target:  environments.Target{Environment: "production", Application: "web"},
		Objects: []*unstructured.Unstructured{{Object: map[string]any{"kind": "Deployment"}}},
		Digest:  "sha256:release",
	}
	for _, d := range digests {
		release.Images = append(release.Images, imageAt(d))
	}
	evidence, err := c.Collect(ctx, release.Images, trust)
	if err != nil {
		return policies.Verified{}, err
	}
	return policies.Judge(release, policies.Demands{Trust: trust}, policies.Findings{At: time.Now(), Images: evidence})
}

func (w *world) judge(digests ...name.Digest) (policies.Verified, error) {
	return judge(w.Context(), newCollector(w, w.registry, cosign.Options{Timeout: time.Minute}), w.trust, digests...)
}

func schemes(t *testing.T, f func(t *testing.T, scheme images.Scheme)) {
	for _, scheme := range []images.Scheme{images.Tag, images.Bundle} {
		t.Run(scheme.String(), func(t *testing.T) {
			t.Parallel()
			f(t, scheme)
		})
	}
}

func TestASignedImageIsVerified(t *testing.T) {
	t.Parallel()
	schemes(t, func(t *testing.T, scheme images.Scheme) {
		w := newWorld(t)
		web := w.push("web", "one")
		w.sign(web, w.release, scheme)
		v, err := w.judge(web)
		w.must(err)
		e := v.Evidence()
		if len(e) != 1 || len(e[0].Signatures) != 1 || e[0].Signatures[0].By.Signer != "release" || string(e[0].Signatures[0].Scheme) != scheme.String() {
			t.Errorf("evidence %+v", e)
		}
	})
	t.Run("in a registry without the referrers API", func(t *testing.T) {
		t.Parallel()
		schemes(t, func(t *testing.T, scheme images.Scheme) {
			w := newWorld(t)
			w.registry = startRegistry(t, registry.Options{WithoutReferrers: true})
			w.trust = w.trusting(policies.Rule{Images: w.registry.Host() + "/**", Keys: []policies.Key{{Name: "release", PEM: w.release.Public()}}})
			web := w.push("web", "one")
			w.sign(web, w.release, scheme)
			_, err := w.judge(web)
			w.must(err)
		})
	})
	t.Run("a multi-platform index", func(t *testing.T) { // catalogue 47
		t.Parallel()
		schemes(t, func(t *testing.T, scheme images.Scheme) {
			w := newWorld(t)
			index, err := images.Push(t.Context(), w.registry.Host()+"/acme/web:main", images.Spec{Content: "one", Platforms: []string{"linux/amd64", "linux/arm64"}}, w.registry.Client()...)
			w.must(err)
			w.sign(index, w.release, scheme)
			_, err = w.judge(index)
			w.must(err)
		})
	})
	t.Run("also after signatures that do not count", func(t *testing.T) {
		t.Parallel()
		schemes(t, func(t *testing.T, scheme images.Scheme) {
			w := newWorld(t)
			web, other := w.push("web", "one"), w.push("web", "two")
			w.sign(web, w.stranger, scheme)
			if scheme == images.Tag {
				w.must(images.SignClaiming(t.Context(), web, other, w.release, w.registry.Client()...))
				w.must(images.AttachSignature(t.Context(), web, []byte("rubbish"), []byte("rubbish"), w.registry.Client()...))
			} else {
				w.must(images.AttachBundle(t.Context(), web, []byte("rubbish"), images.SignatureType, w.registry.Client()...))
			}
			w.sign(web, w.release, scheme)
			_, err := w.judge(web)
			w.must(err)
		})
	})
	t.Run("by either of two rules' keys, one in each scheme", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.trust = w.trusting(
			policies.Rule{Images: w.registry.Host() + "/**", Keys: []policies.Key{{Name: "release", PEM: w.release.Public()}}},
			policies.Rule{Images: "**", Keys: []policies.Key{{Name: "security", PEM: w.stranger.Public()}}},
		)
		web := w.push("web", "one")
		w.sign(web, w.release, images.Tag)
		if _, err := w.judge(web); err == nil || !strings.Contains(err.Error(), `no signature by the key "security"`) {
			t.Errorf("with one of two: %v", err)
		}
		w.sign(web, w.stranger, images.Bundle)
		_, err := w.judge(web)
		w.must(err)
	})
}

func TestWhatIsNotSignedForThisImageIsRefused(t *testing.T) {
	t.Parallel()
	const slsa = "https://slsa.dev/provenance/v1"
	tests := []struct {
		because string
		forge   func(w *world, web, other name.Digest) // other is signed by release, in both schemes
		want    string
	}{
		// catalogue 30
		{"no signature at all", func(*world, name.Digest, name.Digest) {}, `has no signature by the key "release"`},
		// catalogue 34
		{"a signature by another key, tag", func(w *world, web, _ name.Digest) { w.sign(web, w.stranger, images.Tag) }, "it is no signature of this image by the key"},
		{"a signature by another key, bundle", func(w *world, web, _ name.Digest) { w.sign(web, w.stranger, images.Bundle) }, "it is no signature of this image by the key"},
		// catalogue 33
		{"the signature of another image, copied, tag", func(w *world, web, other name.Digest) {
			w.must(images.CopySignatures(w.Context(), other, web, w.registry.Client()...))
		}, "invalid or missing digest in claim"},
		{"the signature of another image, copied, bundle", func(w *world, web, other name.Digest) {
			w.must(images.CopyBundles(w.Context(), other, web, w.registry.Client()...))
		}, "digest"},
		{"a signature that claims another image, tag", func(w *world, web, other name.Digest) {
			w.must(images.SignClaiming(w.Context(), web, other, w.release, w.registry.Client()...))
		}, "invalid or missing digest in claim"},
		{"a signature that claims another image, bundle", func(w *world, web, other name.Digest) {
			w.must(images.AttestClaiming(w.Context(), web, other, w.release, images.SignatureType, nil, images.Bundle, w.registry.Client()...))
		}, "digest"},
		{"a true payload with somebody's signature", func(w *world, web, _ name.Digest) {
			text := `{"critical":{"identity":{"docker-reference":""},"image":{"docker-manifest-digest":"` + web.DigestStr() + `"},"type":"cosign container image signature"},"optional":null}`
			w.must(images.AttachSignature(w.Context(), web, []byte(text), []byte("nobody signed this"), w.registry.Client()...))
		}, "it is no signature of this image"},
		// catalogue 35
		{"an attestation of another type by the right key", func(w *world, web, _ name.Digest) {
			w.must(images.Attest(w.Context(), web, w.release, slsa, map[string]string{}, images.Bundle, w.registry.Client()...))
		}, `has no signature by the key "release"`},
		{"the same under a false annotation", func(w *world, web, _ name.Digest) {
			attestation := w.bundleOf(slsa)
			w.must(images.AttachBundle(w.Context(), web, attestation(web), images.SignatureType, w.registry.Client()...))
		}, `it attests "https://slsa.dev/provenance/v1", which is no signature of an image`},
		{"an attestation in the old scheme", func(w *world, web, _ name.Digest) {
			w.must(images.Attest(w.Context(), web, w.release, images.SignatureType, nil, images.Tag, w.registry.Client()...))
		}, `has no signature by the key "release"`},
		{"rubbish for a bundle", func(w *world, web, _ name.Digest) {
			w.must(images.AttachBundle(w.Context(), web, []byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}`), images.SignatureType, w.registry.Client()...))
		}, "bundle"},
	}
	for _, tt := range tests {
		t.Run(tt.because, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			web, other := w.push("web", "one"), w.push("web", "two")
			w.sign(other, w.release, images.Tag)
			w.sign(other, w.release, images.Bundle)
			tt.forge(w, web, other)
			v, err := w.judge(web)
			var refusal *policies.Refusal
			if !errors.As(err, &refusal) || !strings.Contains(err.Error(), tt.want) || !v.IsZero() {
				t.Fatalf("got  %v\nwant a refusal with %q", err, tt.want)
			}
			if _, err := w.judge(other); err != nil {
				t.Errorf("the other image is signed and must stay verified: %v", err)
			}
		})
	}
}

// bundleOf makes a valid bundle of a type and hands out its bytes.
func (w *world) bundleOf(predicateType string) func(name.Digest) []byte {
	return func(d name.Digest) []byte {
		w.Helper()
		scratch, err := images.Push(w.Context(), w.registry.Host()+"/scratch/x:y", images.Spec{Content: "one"}, w.registry.Client()...)
		w.must(err)
		w.must(images.AttestClaiming(w.Context(), scratch, d, w.release, predicateType, map[string]string{}, images.Bundle, w.registry.Client()...))
		client, err := oci.NewClient(oci.Registry{Host: w.registry.Host(), PlainHTTP: true})
		w.must(err)
		referrers, err := client.Referrers(w.Context(), scratch)
		w.must(err)
		m, err := client.Manifest(w.Context(), scratch.Context().Digest(referrers[0].Digest.String()))
		w.must(err)
		var manifest struct{ Layers []struct{ Digest string } }
		w.must(json.Unmarshal(m.Bytes, &manifest))
		raw, err := client.Blob(w.Context(), scratch.Context().Digest(manifest.Layers[0].Digest), 1<<20)
		w.must(err)
		return raw
	}
}

// catalogue 37
func TestSignaturesWithoutEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	web := w.push("web", "one")
	w.must(images.AttachSignature(t.Context(), web, []byte("rubbish"), []byte("x"), w.registry.Client()...))
	w.multiply(web, ".sig", 70)
	w.registry.ForgetRequests()
	evidence, err := newCollector(t, w.registry, cosign.Options{}).Collect(t.Context(), []render.Image{imageAt(web)}, w.trust)
	w.must(err)
	e := evidence[imageAt(web).Pinned()]
	if n := len(w.registry.Requests(registry.Match{Method: "GET", Kind: registry.Blobs, Repository: "acme/web"})); n != 64 {
		t.Errorf("%d blobs were fetched", n)
	}
	if len(e.Rejected) > 10 || !strings.Contains(e.Rejected[0], "it has 70 signatures, and only the first 64 are looked at") {
		t.Errorf("%d reasons, the first: %s", len(e.Rejected), e.Rejected[0])
	}
	t.Run("or of enormous size", func(t *testing.T) {
		large := w.push("large", "one")
		w.must(images.AttachSignature(t.Context(), large, []byte(strings.Repeat("x", 1<<20)), []byte("x"), w.registry.Client()...))
		w.must(images.AttachBundle(t.Context(), large, []byte(strings.Repeat("x", 2<<20)), images.SignatureType, w.registry.Client()...))
		w.registry.ForgetRequests()
		_, err := w.judge(large)
		if err == nil || !strings.Contains(err.Error(), "it is 1048576 bytes large") {
			t.Errorf("got %v", err)
		}
		if n := len(w.registry.Requests(registry.Match{Kind: registry.Blobs})); n > 0 {
			t.Errorf("%d of them were fetched all the same", n)
		}
	})
}

func TestImagesThatNoRuleCoversAreNotAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := newCollector(t, w.registry, cosign.Options{})
	unpinned := render.Image{Reference: w.registry.Host() + "/acme/web:main", Repository: w.registry.Host() + "/acme/web"}
	elsewhere := imageAt(w.push("web", "one"))
	elsewhere.Repository = w.registry.Host() + "/evil/web"
	w.registry.ForgetRequests()
	evidence, err := c.Collect(t.Context(), []render.Image{unpinned, elsewhere}, w.trust)
	if err != nil || len(evidence) != 0 || len(w.registry.Requests(registry.Match{})) != 0 {
		t.Errorf("evidence %v, error %v, requests %v", evidence, err, w.registry.Requests(registry.Match{}))
	}
}
