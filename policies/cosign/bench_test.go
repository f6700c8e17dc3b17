package cosign_test

import (
	"testing"
	"time"

	"github.com/pawl-dev/pawl/internal/testworld/images"
	"github.com/pawl-dev/pawl/internal/testworld/registry"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/policies/cosign"
	"github.com/pawl-dev/pawl/render"
)

// BenchmarkCollect is the check of one image: warm from memory, cold with a
// registry on this machine and nothing known of it.
func BenchmarkCollect(b *testing.B) {
	for _, scheme := range []images.Scheme{images.Tag, images.Bundle} {
		r := startRegistry(b, registry.Options{})
		key := newKey(b)
		web, err := images.Push(b.Context(), r.Host()+"/acme/web:main", images.Spec{Content: "one"}, r.Client()...)
		if err != nil {
			b.Fatal(err)
		}
		if err := images.Sign(b.Context(), web, key, scheme, r.Client()...); err != nil {
			b.Fatal(err)
		}
		trust, err := policies.NewTrust([]policies.Rule{{Images: r.Host() + "/acme/*", Keys: []policies.Key{{Name: "release", PEM: key.Public()}}}})
		if err != nil {
			b.Fatal(err)
		}
		look := []render.Image{imageAt(web)}
		collect := func(b *testing.B, c *cosign.Collector) {
			evidence, err := c.Collect(b.Context(), look, trust)
			if err != nil || !trust.Satisfied(look[0].Repository, evidence[look[0].Pinned()], time.Now()) {
				b.Fatal(err, evidence)
			}
		}
		b.Run("cold/"+scheme.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				collect(b, newCollector(b, r, cosign.Options{}))
			}
		})
		b.Run("warm/"+scheme.String(), func(b *testing.B) {
			c := newCollector(b, r, cosign.Options{})
			collect(b, c)
			b.ReportAllocs()
			for b.Loop() {
				collect(b, c)
			}
		})
	}
}
