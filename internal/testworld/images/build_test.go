package images

import (
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pawl-dev/pawl/internal/testworld/registry"
)

var labels = map[string]string{
	LabelSource: "https://github.com/shop/api", LabelRevision: "abc", LabelVersion: "1.2.3", LabelCreated: "2026-11-20T10:00:00Z",
}

func pushed(t *testing.T, ref string, spec Spec) name.Digest {
	t.Helper()
	image, err := Push(t.Context(), ref, spec)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func TestTheSameSpecIsTheSameImage(t *testing.T) {
	t.Parallel()
	r := start(t, registry.Options{})
	spec := Spec{Content: "x", Labels: labels}
	first := pushed(t, r.Host()+"/shop/api:1", spec)
	again := pushed(t, r.Host()+"/other:2", spec)
	if first.DigestStr() != again.DigestStr() {
		t.Errorf("%s, then %s", first, again)
	}
	if other := pushed(t, r.Host()+"/shop/api:1", Spec{Content: "y", Labels: labels}); other.DigestStr() == first.DigestStr() {
		t.Error("another content is the same image")
	}
	// The tag has moved on; the first digest is still there.
	image, err := remote.Image(first)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range labels {
		if got := config.Config.Labels[name]; got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if got := config.Created.UTC().Format("2006-01-02"); got != "2026-11-20" {
		t.Errorf("created %s", got)
	}
}

func TestAnIndexHasAnImageForEachPlatform(t *testing.T) {
	t.Parallel()
	r, key := start(t, registry.Options{}), newKey(t)
	ctx := t.Context()
	spec := Spec{Content: "x", Labels: labels, Platforms: []string{"linux/amd64", "linux/arm64/v8"}}
	digest := pushed(t, r.Host()+"/shop/api:1", spec)
	index, err := remote.Index(digest)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 2 || manifest.Manifests[0].Digest == manifest.Manifests[1].Digest {
		t.Fatalf("got %v", manifest.Manifests)
	}
	if got := manifest.Annotations[LabelRevision]; got != "abc" {
		t.Errorf("the index says revision %q", got)
	}
	for i, each := range manifest.Manifests {
		if each.Platform.String() != spec.Platforms[i] {
			t.Errorf("got %s, want %s", each.Platform, spec.Platforms[i])
		}
		image, err := remote.Image(digest.Context().Digest(each.Digest.String()))
		if err != nil {
			t.Fatal(err)
		}
		config, err := image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if config.Platform().String() != spec.Platforms[i] {
			t.Errorf("the configuration of %s says %s", spec.Platforms[i], config.Platform())
		}
	}
	for _, scheme := range []Scheme{Tag, Bundle} {
		if err := Sign(ctx, digest, key, scheme); err != nil {
			t.Fatal(err)
		}
		if err := verify(ctx, r, digest, key, scheme); err != nil {
			t.Errorf("the index does not verify by %s: %v", scheme, err)
		}
		if err := verify(ctx, r, digest.Context().Digest(manifest.Manifests[0].Digest.String()), key, scheme); err == nil {
			t.Errorf("an image of a signed index verifies by %s as if it were signed itself", scheme)
		}
	}
}
