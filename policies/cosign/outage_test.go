package cosign_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pawl-dev/pawl/internal/testworld/images"
	"github.com/pawl-dev/pawl/internal/testworld/registry"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/policies/cosign"
	"github.com/pawl-dev/pawl/render"
)

// catalogue 42
func TestARegistryThatCannotBeAskedIsAnOutageAndNoVerdict(t *testing.T) {
	t.Parallel()
	const patience = 300 * time.Millisecond
	faults := map[string]registry.Fault{
		"500": {Status: 500}, "429": {Status: 429}, "403": {Status: 403},
		"silence": {Hang: true}, "an endless answer": {Endless: true}, "a cut connection": {Drop: true}, "half an answer": {TruncateAfter: 20},
	}
	for because, fault := range faults {
		for _, kind := range []registry.Kind{registry.Manifests, registry.Referrers, registry.Blobs} {
			t.Run(because+" for "+string(kind), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				web := w.push("web", "one")
				w.sign(web, w.release, images.Bundle)
				w.registry.Fail(registry.Match{Kind: kind}, fault)
				options := cosign.Options{Timeout: time.Minute}
				if fault.Hang {
					options.Timeout = patience
				}
				_, err := judge(t.Context(), newCollector(t, w.registry, options), w.trust, web)
				var unavailable *policies.Unavailable
				var refusal *policies.Refusal
				if fault.Endless && kind != registry.Manifests {
					// Bytes that are not what was listed: one signature that does not
					// count, or no list. It ends, and nothing is let through.
					if !errors.As(err, &refusal) {
						t.Errorf("got %v", err)
					}
					return
				}
				if errors.As(err, &refusal) || !errors.As(err, &unavailable) || unavailable.Image != imageAt(web).Pinned() || !strings.Contains(err.Error(), w.registry.Host()) {
					t.Errorf("got %v", err)
				}
			})
		}
	}
	t.Run("nobody there", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		web := w.push("web", "one")
		_ = w.registry.Close()
		_, err := w.judge(web)
		if unavailable := (*policies.Unavailable)(nil); !errors.As(err, &unavailable) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("what is known already stays verified, and the others are told apart", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		web, api, unsigned := w.push("web", "one"), w.push("api", "one"), w.push("unsigned", "one")
		w.sign(web, w.release, images.Tag)
		w.sign(api, w.release, images.Tag)
		c := newCollector(t, w.registry, cosign.Options{})
		_, err := judge(t.Context(), c, w.trust, web)
		w.must(err)
		heal := w.registry.Fail(registry.Match{Repository: "acme/api"}, registry.Fault{Status: 503})
		evidence, err := c.Collect(t.Context(), []render.Image{imageAt(web), imageAt(api), imageAt(unsigned)}, w.trust)
		var unavailable *policies.Unavailable
		if !errors.As(err, &unavailable) || unavailable.Image != imageAt(api).Pinned() || len(evidence) != 2 {
			t.Errorf("%d pieces of evidence, %v", len(evidence), err)
		}
		heal()
		if _, err := judge(t.Context(), c, w.trust, web, api); err != nil {
			t.Errorf("after the outage: %v", err)
		}
	})
	t.Run("a caller who gives up is not kept", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		web := w.push("web", "one")
		w.registry.Fail(registry.Match{Kind: registry.Manifests}, registry.Fault{Hang: true})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := judge(ctx, newCollector(t, w.registry, cosign.Options{Timeout: time.Hour}), w.trust, web)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}
