package cosign_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/pawl-dev/pawl/internal/testworld/images"
	"github.com/pawl-dev/pawl/internal/testworld/registry"
	"github.com/pawl-dev/pawl/policies"
)

// catalogue 37
func TestAttestationsWithoutEnd(t *testing.T) {
	t.Parallel()
	schemes(t, func(t *testing.T, scheme images.Scheme) {
		t.Run("50 MB", func(t *testing.T) {
			w := newWorld(t)
			w.trust = w.demanding(policies.AttestationDemand{Type: provenance})
			web := w.signed("one")
			body, err := images.Huge(web, provenance, 36<<20, scheme) // and a third more in base64
			w.must(err)
			w.must(images.AttestBody(t.Context(), web, w.release, body, scheme, w.registry.Client()...))
			w.registry.ForgetRequests()
			w.refused(web, "bytes large, and 16777216 are read")
			if n := len(w.registry.Requests(registry.Match{Kind: registry.Blobs})); n != 1 { // the signature
				t.Errorf("%d blobs were fetched", n)
			}
		})
	})
	t.Run("10,000 in a tag", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.trust = w.demanding(policies.AttestationDemand{Type: provenance})
		web := w.signed("one")
		w.attest(web, w.stranger, images.ProvenanceV1(build), images.Tag)
		w.multiply(web, ".att", 10_000)
		w.registry.ForgetRequests()
		w.refused(web, "it has 10000 attestations, and only the first 64 are looked at")
		if n := len(w.registry.Requests(registry.Match{Kind: registry.Blobs})); n > 65 {
			t.Errorf("%d blobs were fetched", n)
		}
	})
	t.Run("hundreds of bundles", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.trust = w.demanding(policies.AttestationDemand{Type: provenance})
		web := w.signed("one")
		w.must(images.AttestMany(t.Context(), web, w.stranger, provenance, 200, images.Bundle, w.registry.Client()...))
		w.registry.ForgetRequests()
		w.refused(web, "it has 200 bundles, and only the first 64 are looked at")
		if n := len(w.registry.Requests(registry.Match{})); n > 4+64*2+2 {
			t.Errorf("%d requests", n)
		}
	})
	t.Run("more than is read of one image", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.trust = w.demanding(policies.AttestationDemand{Type: "cyclonedx"})
		web := w.signed("one")
		w.must(images.Attest(t.Context(), web, w.release, provenance, map[string]string{"filling": strings.Repeat("x", 4<<20)}, images.Tag, w.registry.Client()...))
		w.multiply(web, ".att", 14)
		w.refused(web, "all that this image has is more than the 64 MiB that are read")
	})
}

// A bill of materials may be larger than anything else that is read.
func TestALargeBillOfMaterials(t *testing.T) {
	t.Parallel()
	schemes(t, func(t *testing.T, scheme images.Scheme) {
		w := newWorld(t)
		w.trust = w.demanding(policies.AttestationDemand{Type: "cyclonedx"})
		web := w.signed("one")
		var packages []string
		for i := range 100_000 {
			packages = append(packages, fmt.Sprintf("package-%d@1.%d", i, i))
		}
		w.attest(web, w.release, images.CycloneDX(packages...), scheme)
		v, err := w.judge(web)
		w.must(err)
		if a := v.Evidence()[0].Attestations; len(a) != 1 || len(a[0].Predicate) < 10_000_000 || !json.Valid(a[0].Predicate) {
			t.Errorf("%d attestations", len(a))
		}
	})
}
