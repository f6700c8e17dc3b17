package cosign_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pawl-dev/pawl/internal/testworld/images"
	"github.com/pawl-dev/pawl/internal/testworld/registry"
	"github.com/pawl-dev/pawl/internal/testworld/sigstore"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/policies/cosign"
	"github.com/pawl-dev/pawl/render"
)

// BenchmarkCollect is the check of one image: warm from memory, cold with a
// registry on this machine and nothing known of it. "and provenance" demands
// an attestation with conditions beside the signature.
func BenchmarkCollect(b *testing.B) {
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	r := startRegistry(b, registry.Options{})
	key := newKey(b)
	private, err := sigstore.New()
	must(err)
	workflow := sigstore.GitHub("acme/web", ".github/workflows/release.yml", "refs/heads/main", strings.Repeat("a1", 20))
	root := strictly
	root.JSON = private.TrustedRoot()
	signers := map[string]policies.Rule{
		"key":     {Keys: []policies.Key{{Name: "release", PEM: key.Public()}}},
		"keyless": {Identities: []policies.Identity{{Name: "release.yml", Issuer: workflow.Issuer, Subject: workflow.Subject, Root: root}}},
	}
	n := 0
	for _, signer := range []string{"key", "keyless"} {
		for _, scheme := range []images.Scheme{images.Tag, images.Bundle} {
			for _, attested := range []bool{false, true} {
				n++
				web, err := images.Push(b.Context(), r.Host()+"/acme/web:main", images.Spec{Content: fmt.Sprint(n)}, r.Client()...)
				must(err)
				p := images.ProvenanceV1(build)
				if signer == "key" {
					must(images.Sign(b.Context(), web, key, scheme, r.Client()...))
					must(images.Attest(b.Context(), web, key, p.Type, p.Content, scheme, r.Client()...))
				} else {
					must(private.Sign(b.Context(), web, workflow, scheme, r.Client()...))
					must(private.Attest(b.Context(), web, workflow, p.Type, p.Content, scheme, r.Client()...))
				}
				rule, name := signers[signer], signer+"/"+scheme.String()
				rule.Images = r.Host() + "/acme/*"
				if attested {
					name += " and provenance"
					rule.Attestations = []policies.AttestationDemand{{Type: p.Type, Provenance: &policies.ProvenanceDemand{Builder: build.Builder, Source: build.Source}}}
				}
				trust, err := policies.NewTrust([]policies.Rule{rule})
				must(err)
				look := []render.Image{imageAt(web)}
				collect := func(b *testing.B, c *cosign.Collector) policies.Evidence {
					evidence, err := c.Collect(b.Context(), look, trust)
					if err != nil {
						b.Fatal(err)
					}
					return evidence[look[0].Pinned()]
				}
				b.Run("cold/"+name, func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						if e := collect(b, newCollector(b, r, cosign.Options{})); !trust.Satisfied(look[0].Repository, e, time.Now()) {
							b.Fatal(e)
						}
					}
				})
				b.Run("warm/"+name, func(b *testing.B) {
					c := newCollector(b, r, cosign.Options{})
					collect(b, c)
					b.ReportAllocs()
					for b.Loop() {
						collect(b, c)
					}
				})
			}
		}
	}
}
