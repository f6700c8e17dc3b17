package cosign_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/pawl-dev/pawl/internal/testworld/images"
	"github.com/pawl-dev/pawl/internal/testworld/registry"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/policies/cosign"
)

// catalogue 48
func TestADeletedImageIsRefusedThoughItsSignatureIsThere(t *testing.T) {
	t.Parallel()
	schemes(t, func(t *testing.T, scheme images.Scheme) {
		w := newWorld(t)
		web := w.push("web", "one")
		w.sign(web, w.release, scheme)
		w.must(w.registry.Delete("acme/web", web.DigestStr()))
		_, err := w.judge(web)
		var refusal *policies.Refusal
		if !errors.As(err, &refusal) || !strings.Contains(err.Error(), "is not in its registry") {
			t.Errorf("got %v", err)
		}
	})
}

// catalogue 31
func TestWhereTagsPointDoesNotMatter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	signed := w.push("web", "one")
	w.sign(signed, w.release, images.Tag)
	unsigned := w.push("web", "two") // main moves on to it
	c := newCollector(t, w.registry, cosign.Options{})
	for range 2 { // the second time from memory
		if _, err := judge(t.Context(), c, w.trust, signed); err != nil {
			t.Error(err)
		}
		if _, err := judge(t.Context(), c, w.trust, unsigned); err == nil {
			t.Error("the tag's new image was let through")
		}
	}
}

// catalogue 31: the manifest's bytes decide, each time, and not what came before.
func TestARegistryThatAnswersInTurns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	web := w.push("web", "one")
	w.sign(web, w.release, images.Tag)
	lie := []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[]}`)
	c := newCollector(t, w.registry, cosign.Options{})
	w.registry.Fail(registry.Match{Kind: registry.Manifests, Reference: web.DigestStr()}, registry.Fault{Manifests: [][]byte{lie}, Digest: web.DigestStr(), Times: 1})
	if _, err := judge(t.Context(), c, w.trust, web); err == nil || !strings.Contains(err.Error(), "serves other bytes under this digest") {
		t.Errorf("the lie: %v", err)
	}
	_, err := judge(t.Context(), c, w.trust, web)
	w.must(err)
	w.registry.Fail(registry.Match{Kind: registry.Manifests}, registry.Fault{Manifests: [][]byte{lie}, Digest: web.DigestStr()})
	if _, err := judge(t.Context(), c, w.trust, web); err != nil {
		t.Errorf("what was verified is asked for again: %v", err)
	}
}

// catalogue 47
func TestAnImageThatCanBeReadInTwoWaysIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const mediaType = "application/vnd.oci.image.index.v1+json"
	raw := []byte(`{"schemaVersion":2,"mediaType":"` + mediaType + `","manifests":[],"config":{},"layers":[]}`)
	sum := sha256.Sum256(raw)
	web, err := name.NewDigest(w.registry.Host() + "/acme/web@sha256:" + hex.EncodeToString(sum[:]))
	w.must(err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, w.registry.URL()+"/v2/acme/web/manifests/two", bytes.NewReader(raw))
	w.must(err)
	req.Header.Set("Content-Type", mediaType)
	put, err := http.DefaultClient.Do(req)
	w.must(err)
	w.must(put.Body.Close())
	w.sign(web, w.release, images.Tag)
	w.refused(web, "is ambiguous: it can be read as an image and as an index")
}

// catalogue 32
func TestOtherBytesUnderTheDigestAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	web := w.push("web", "one")
	w.sign(web, w.release, images.Tag)
	lie := []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[]}`)
	w.registry.Fail(registry.Match{Kind: registry.Manifests, Reference: web.DigestStr()}, registry.Fault{Manifests: [][]byte{lie}, Digest: web.DigestStr()})
	_, err := w.judge(web)
	if err == nil || !strings.Contains(err.Error(), "serves other bytes under this digest") {
		t.Errorf("got %v", err)
	}
}
