package cosign_test

import (
	"testing"
	"time"

	"github.com/pawl-dev/pawl/internal/testworld/images"
	"github.com/pawl-dev/pawl/internal/testworld/registry"
	"github.com/pawl-dev/pawl/internal/testworld/sigstore"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/policies/cosign"
)

// catalogue 41
func TestWhatIsNoLongerTrustedDoesNotCountFromMemory(t *testing.T) {
	t.Parallel()
	w := newKeyless(t, logged)
	web := w.push("web", "one")
	w.signAs(web, w.workflow, images.Bundle, sigstore.Way{})
	w.sign(web, w.release, images.Tag)
	c := newCollector(t, w.registry, cosign.Options{})
	key := policies.Key{Name: "release", PEM: w.release.Public()}
	both := w.identity(logged, func(*policies.Identity) {})
	both.Keys = []policies.Key{key}
	_, err := judge(t.Context(), c, w.trusting(both), web)
	w.must(err)
	other := func(i *policies.Identity) { i.Subject += "2" }
	otherRoot := func(i *policies.Identity) { i.Root.JSON = w.stranger.TrustedRoot() }
	demanded := w.identity(logged, func(*policies.Identity) {})
	demanded.Attestations = []policies.AttestationDemand{{Type: provenance}}
	for because, rule := range map[string]policies.Rule{
		"the identity and the key": {Images: "**", Keys: []policies.Key{{Name: "release", PEM: newKey(t).Public()}}},
		"the identity's subject":   w.identity(logged, other),
		"the trust root":           w.identity(logged, otherRoot),
		"that it suffices":         demanded,
	} {
		if _, err := judge(t.Context(), c, w.trusting(rule), web); err == nil {
			t.Errorf("%s changed, and the remembered signature counts", because)
		}
	}
	w.registry.ForgetRequests()
	_, err = judge(t.Context(), c, w.trusting(both), web)
	w.must(err)
	if n := len(w.registry.Requests(registry.Match{})); n > 0 {
		t.Errorf("the first trust is asked for again: %d requests", n)
	}
}

// Where every attestation counts, or a scan is to be recent, time changes the
// verdict, and what came meanwhile is found.
func TestWhatTimeChangesIsAskedForAgain(t *testing.T) {
	t.Parallel()
	t.Run("a new attestation, where every one must be good", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.trust = w.demanding(policies.AttestationDemand{Type: provenance, Every: true, Provenance: &policies.ProvenanceDemand{Source: build.Source}})
		web := w.signed("one")
		w.attest(web, w.release, images.ProvenanceV1(build), images.Bundle)
		now := time.Now()
		c := newCollector(t, w.registry, cosign.Options{Clock: func() time.Time { return now }})
		_, err := judge(t.Context(), c, w.trust, web)
		w.must(err)
		elsewhere := build
		elsewhere.Source = "https://github.com/evil/web"
		w.attest(web, w.release, images.ProvenanceV1(elsewhere), images.Bundle)
		now = now.Add(10 * time.Minute)
		if _, err := judge(t.Context(), c, w.trust, web); err == nil {
			t.Error("it is not found")
		}
	})
	t.Run("a new attestation, where one is enough", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.trust = w.demanding(policies.AttestationDemand{Type: provenance})
		web := w.signed("one")
		w.attest(web, w.release, images.ProvenanceV1(build), images.Bundle)
		now := time.Now()
		c := newCollector(t, w.registry, cosign.Options{Clock: func() time.Time { return now }})
		_, err := judge(t.Context(), c, w.trust, web)
		w.must(err)
		w.registry.ForgetRequests()
		now = now.AddDate(0, 1, 0)
		_, err = judge(t.Context(), c, w.trust, web)
		w.must(err)
		if n := len(w.registry.Requests(registry.Match{})); n > 0 {
			t.Errorf("%d requests for what cannot change", n)
		}
	})
	t.Run("a scan that is too old, and a new one", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.trust = w.demanding(policies.AttestationDemand{Type: "vuln", Vulnerabilities: &policies.VulnerabilityDemand{MaxAge: 24 * time.Hour}})
		web := w.signed("one")
		now := time.Now()
		w.attest(web, w.release, images.Vulnerabilities(now.Add(-time.Hour)), images.Bundle)
		c := newCollector(t, w.registry, cosign.Options{Clock: func() time.Time { return now }})
		_, err := judge(t.Context(), c, w.trust, web)
		w.must(err)
		w.attest(web, w.release, images.Vulnerabilities(now.Add(20*time.Hour)), images.Bundle)
		now = now.Add(24 * time.Hour)
		if e := w.collectBy(c, web); len(e.Attestations) < 1 || !w.trust.Satisfied(web.Context().Name(), e, now) {
			t.Errorf("the new one is not found: %+v", e)
		}
	})
}
