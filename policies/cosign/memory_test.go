package cosign_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pawl-dev/pawl/internal/testworld/images"
	"github.com/pawl-dev/pawl/internal/testworld/registry"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/policies/cosign"
	"github.com/pawl-dev/pawl/render"
)

func TestTheRegistryIsAskedOnceForWhatIsVerified(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	web := w.push("web", "one")
	w.sign(web, w.release, images.Tag)
	c := newCollector(t, w.registry, cosign.Options{})
	ask := func() int {
		w.registry.ForgetRequests()
		if _, err := judge(t.Context(), c, w.trust, web, web, web); err != nil {
			t.Error(err)
		}
		return len(w.registry.Requests(registry.Match{}))
	}
	// Sign-in, the image's manifest, the signatures' manifest, the signature.
	if n := ask(); n != 4 {
		t.Errorf("the first time %d requests: %v", n, w.registry.Requests(registry.Match{}))
	}
	if n := ask(); n != 0 {
		t.Errorf("the second time %d requests", n)
	}
	t.Run("and again by a trust with another key", func(t *testing.T) { // catalogue 41
		trust := w.trusting(policies.Rule{Images: "**", Keys: []policies.Key{{Name: "release", PEM: w.stranger.Public()}}})
		if _, err := judge(t.Context(), c, trust, web); err == nil {
			t.Error("the removed key still counts")
		}
	})
	t.Run("and again for what was refused, since a signature may have come", func(t *testing.T) {
		late := w.push("late", "one")
		if _, err := judge(t.Context(), c, w.trust, late); err == nil {
			t.Fatal("unsigned, and let through")
		}
		w.sign(late, w.release, images.Bundle)
		if _, err := judge(t.Context(), c, w.trust, late); err != nil {
			t.Errorf("signed meanwhile: %v", err)
		}
	})
	t.Run("and what callers do with evidence changes nothing", func(t *testing.T) {
		first, err := c.Collect(t.Context(), []render.Image{imageAt(web)}, w.trust)
		w.must(err)
		first[imageAt(web).Pinned()].Signatures[0].By.Signer = "mallory"
		second, err := c.Collect(t.Context(), []render.Image{imageAt(web)}, w.trust)
		w.must(err)
		if got := second[imageAt(web).Pinned()].Signatures[0].By.Signer; got != "release" {
			t.Errorf("the key is now %q", got)
		}
	})
}

func TestManyWaitersAskTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	web := w.push("web", "one")
	w.sign(web, w.release, images.Tag)
	c := newCollector(t, w.registry, cosign.Options{})
	w.registry.ForgetRequests()
	heal := w.registry.Fail(registry.Match{Kind: registry.Manifests, Reference: web.DigestStr()}, registry.Fault{Hang: true})
	results := make(chan error)
	impatient, giveUp := context.WithCancel(t.Context())
	go func() { _, err := judge(impatient, c, w.trust, web); results <- err }()
	for deadline := time.Now().Add(time.Minute); len(w.registry.Requests(registry.Match{Kind: registry.Blobs})) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the first one's look did not begin")
		}
	}
	giveUp()
	if err := <-results; !errors.Is(err, context.Canceled) {
		t.Errorf("the first one gave up, and got %v", err)
	}
	for range 10 {
		go func() { _, err := judge(t.Context(), c, w.trust, web); results <- err }()
	}
	heal()
	for range 10 {
		w.must(<-results)
	}
	if n := len(w.registry.Requests(registry.Match{Kind: registry.Manifests, Reference: web.DigestStr()})); n != 1 {
		t.Errorf("the image was asked for %d times", n)
	}
}
