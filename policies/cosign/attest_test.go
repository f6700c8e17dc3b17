package cosign_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/pawl-dev/pawl/internal/testworld/images"
	"github.com/pawl-dev/pawl/internal/testworld/registry"
	"github.com/pawl-dev/pawl/internal/testworld/sigstore"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/policies/cosign"
	"github.com/pawl-dev/pawl/render"
)

const provenance = "https://slsa.dev/provenance/v1"

var build = images.Build{Builder: "https://ci.test/builder", Source: "https://github.com/acme/web", Ref: "refs/heads/main", Commit: strings.Repeat("a1", 20)}

// demanding is trust in the key that also demands attestations.
func (w *world) demanding(demands ...policies.AttestationDemand) policies.Trust {
	w.Helper()
	return w.trusting(policies.Rule{
		Images: w.registry.Host() + "/acme/**", Keys: []policies.Key{{Name: "release", PEM: w.release.Public()}}, Attestations: demands,
	})
}

func (w *world) attest(d name.Digest, key *images.Key, p images.Predicate, scheme images.Scheme) {
	w.Helper()
	w.must(images.Attest(w.Context(), d, key, p.Type, p.Content, scheme, w.registry.Client()...))
}

// signed is an image that is signed, so that only attestations may lack.
func (w *world) signed(content string) name.Digest {
	w.Helper()
	web := w.push("web", content)
	w.sign(web, w.release, images.Tag)
	return web
}

func (w *world) collect(d name.Digest) policies.Evidence {
	w.Helper()
	return w.collectBy(newCollector(w, w.registry, cosign.Options{Timeout: time.Minute}), d)
}

func (w *world) collectBy(c *cosign.Collector, d name.Digest) policies.Evidence {
	w.Helper()
	evidence, err := c.Collect(w.Context(), []render.Image{imageAt(d)}, w.trust)
	w.must(err)
	return evidence[imageAt(d).Pinned()]
}

func TestAttestationsAreFound(t *testing.T) {
	t.Parallel()
	schemes(t, func(t *testing.T, scheme images.Scheme) {
		w := newWorld(t)
		w.trust = w.demanding(policies.AttestationDemand{Type: provenance, Provenance: &policies.ProvenanceDemand{Builder: build.Builder}})
		web := w.signed("one")
		p := images.ProvenanceV1(build)
		w.attest(web, w.release, p, scheme)
		v, err := w.judge(web)
		w.must(err)
		a := v.Evidence()[0].Attestations
		want, err := json.Marshal(p.Content)
		w.must(err)
		if len(a) != 1 || a[0].Type != provenance || a[0].By.Signer != "release" || string(a[0].Scheme) != scheme.String() || !bytes.Equal(a[0].Predicate, want) {
			t.Errorf("attestations %+v", a)
		}
	})
	t.Run("by an identity", func(t *testing.T) {
		t.Parallel()
		for because, root := range map[string]policies.Root{"logged": logged, "stamped": stamped, "logged and stamped": strictly} {
			schemes(t, func(t *testing.T, scheme images.Scheme) {
				t.Run(because, func(t *testing.T) {
					w := newKeyless(t, root)
					rule := w.identity(root, func(*policies.Identity) {})
					rule.Attestations = []policies.AttestationDemand{{Type: provenance}}
					w.trust = w.trusting(rule)
					web := w.push("web", "one")
					w.signAs(web, w.workflow, scheme, sigstore.Way{})
					w.refused(web, "has no attestation of type slsaprovenance1")
					p := images.ProvenanceV1(build)
					w.must(w.private.Attest(t.Context(), web, w.workflow, p.Type, p.Content, scheme, w.registry.Client()...))
					v, err := w.judge(web)
					w.must(err)
					if a := v.Evidence()[0].Attestations; len(a) != 1 || a[0].By.Subject != w.workflow.Subject || a[0].By.Issuer != w.workflow.Issuer {
						t.Errorf("attestations %+v", a)
					}
				})
			})
		}
	})
	t.Run("about several images at once", func(t *testing.T) {
		t.Parallel()
		schemes(t, func(t *testing.T, scheme images.Scheme) {
			w := newWorld(t)
			w.trust = w.demanding(policies.AttestationDemand{Type: provenance})
			web, other := w.signed("one"), w.push("web", "two")
			text, err := images.StatementAbout(images.ProvenanceV1(build), scheme, other, web)
			w.must(err)
			w.must(images.AttestBody(t.Context(), web, w.release, images.Body{Content: text, PredicateType: provenance}, scheme, w.registry.Client()...))
			_, err = w.judge(web)
			w.must(err)
		})
	})
	t.Run("under a false annotation", func(t *testing.T) {
		t.Parallel()
		schemes(t, func(t *testing.T, scheme images.Scheme) {
			w := newWorld(t)
			w.trust = w.demanding(policies.AttestationDemand{Type: provenance})
			web := w.signed("one")
			text, err := images.StatementAbout(images.ProvenanceV1(build), scheme, web)
			w.must(err)
			w.must(images.AttestBody(t.Context(), web, w.release, images.Body{Content: text, PredicateType: "https://example.com/other"}, scheme, w.registry.Client()...))
			_, err = w.judge(web)
			w.must(err)
		})
	})
}

func TestAttestationsAreLookedForOnlyWhereTheyAreWanted(t *testing.T) {
	t.Parallel()
	schemes(t, func(t *testing.T, scheme images.Scheme) {
		w := newWorld(t)
		web := w.signed("one")
		w.attest(web, w.release, images.ProvenanceV1(build), scheme)
		w.registry.ForgetRequests()
		if e := w.collect(web); len(e.Attestations) > 0 || len(w.registry.Requests(registry.Match{})) != 4 {
			t.Errorf("evidence %+v after %d requests", e, len(w.registry.Requests(registry.Match{})))
		}
		w.trust = w.trust.WithAttestations()
		if e := w.collect(web); len(e.Attestations) != 1 || e.Attestations[0].Type != provenance {
			t.Errorf("policies get %+v", e.Attestations)
		}
		// What no rule and no policy reads is not kept.
		w.trust = w.demanding(policies.AttestationDemand{Type: "cyclonedx"})
		w.attest(web, w.release, images.CycloneDX("a@1"), scheme)
		if e := w.collect(web); len(e.Attestations) != 1 || e.Attestations[0].Type != "https://cyclonedx.org/bom" {
			t.Errorf("kept are %+v", e.Attestations)
		}
	})
}

func TestWhatIsNotAttestedOfThisImageIsRefused(t *testing.T) {
	t.Parallel()
	const none = `has no attestation of type slsaprovenance1 by the key "release"`
	p := images.ProvenanceV1(build)
	tests := []struct {
		because string
		forge   func(w *world, web, other name.Digest, scheme images.Scheme) // other is attested by release
		want    string
	}{
		// catalogue 35
		{"no attestation at all", func(*world, name.Digest, name.Digest, images.Scheme) {}, none},
		{"one of another type", func(w *world, web, _ name.Digest, scheme images.Scheme) {
			w.attest(web, w.release, images.Vulnerabilities(time.Now()), scheme)
		}, none},
		{"one of another type under a false annotation", func(w *world, web, _ name.Digest, scheme images.Scheme) {
			text, err := images.StatementAbout(images.CycloneDX("a@1"), scheme, web)
			w.must(err)
			w.must(images.AttestBody(w.Context(), web, w.release, images.Body{Content: text, PredicateType: provenance}, scheme, w.registry.Client()...))
		}, none},
		// catalogue 34
		{"one by another key", func(w *world, web, _ name.Digest, scheme images.Scheme) {
			w.attest(web, w.stranger, p, scheme)
		}, "it is no attestation of this image by the key"},
		// catalogue 36
		{"one about another image", func(w *world, web, other name.Digest, scheme images.Scheme) {
			w.must(images.AttestClaiming(w.Context(), web, other, w.release, p.Type, p.Content, scheme, w.registry.Client()...))
		}, "digest"},
		{"that of another image, copied", func(w *world, web, other name.Digest, scheme images.Scheme) {
			if scheme == images.Bundle {
				w.must(images.CopyBundles(w.Context(), other, web, w.registry.Client()...))
				return
			}
			w.must(images.CopySignatures(w.Context(), other, web, w.registry.Client()...))
			w.sign(web, w.release, images.Tag)
		}, "digest"},
	}
	for _, tt := range tests {
		schemes(t, func(t *testing.T, scheme images.Scheme) {
			t.Run(tt.because, func(t *testing.T) {
				w := newWorld(t)
				w.trust = w.demanding(policies.AttestationDemand{Type: provenance})
				web, other := w.signed("one"), w.signed("two")
				w.attest(other, w.release, p, scheme)
				tt.forge(w, web, other, scheme)
				w.refused(web, tt.want)
				if _, err := w.judge(other); err != nil {
					t.Errorf("the other image is attested and must stay verified: %v", err)
				}
			})
		})
	}
}

// catalogue 37: bodies that the very key signed.
func TestHostileAttestationsAreRefused(t *testing.T) {
	t.Parallel()
	schemes(t, func(t *testing.T, scheme images.Scheme) {
		w := newWorld(t)
		w.trust = w.demanding(policies.AttestationDemand{Type: provenance})
		of := func(d name.Digest) map[string]images.Body {
			bodies, err := images.Hostile(d, images.ProvenanceV1(build))
			w.must(err)
			return bodies
		}
		for because := range of(w.signed("any")) {
			t.Run(because, func(t *testing.T) {
				web := w.signed(because)
				w.must(images.AttestBody(t.Context(), web, w.release, of(web)[because], scheme, w.registry.Client()...))
				w.refused(web, "has no attestation of type slsaprovenance1")
				if e := w.collect(web); len(e.Attestations) > 0 || slices.ContainsFunc(e.Rejected, func(r string) bool { return strings.Contains(r, "reading it failed") }) {
					t.Errorf("evidence %+v", e)
				}
			})
		}
		t.Run("all of them, and a good one", func(t *testing.T) {
			web := w.signed("good")
			for _, body := range of(web) {
				w.must(images.AttestBody(t.Context(), web, w.release, body, scheme, w.registry.Client()...))
			}
			w.attest(web, w.release, images.ProvenanceV1(build), scheme)
			_, err := w.judge(web)
			w.must(err)
			if e := w.collect(web); len(e.Rejected) > 10 {
				t.Errorf("%d reasons", len(e.Rejected))
			}
		})
	})
}

// catalogue 38: one that passes beside one that fails is enough, unless every
// one is demanded; then one that fails is enough to refuse.
func TestOnePassingAndOneFailing(t *testing.T) {
	t.Parallel()
	elsewhere := build
	elsewhere.Source = "https://github.com/evil/web"
	for _, every := range []bool{false, true} {
		for _, second := range []images.Scheme{images.Tag, images.Bundle} {
			schemes(t, func(t *testing.T, first images.Scheme) {
				t.Run(fmt.Sprintf("every %t, the failing one in a %s", every, second), func(t *testing.T) {
					w := newWorld(t)
					w.trust = w.demanding(policies.AttestationDemand{Type: provenance, Every: every, Provenance: &policies.ProvenanceDemand{Source: build.Source}})
					web := w.signed("one")
					w.attest(web, w.release, images.ProvenanceV1(elsewhere), second)
					w.refused(web, "that does not do")
					w.attest(web, w.release, images.ProvenanceV1(build), first)
					if every {
						w.refused(web, "that does not do")
						return
					}
					_, err := w.judge(web)
					w.must(err)
				})
			})
		}
	}
	t.Run("every one, and a stranger's fails", func(t *testing.T) {
		t.Parallel()
		schemes(t, func(t *testing.T, scheme images.Scheme) {
			w := newWorld(t)
			w.trust = w.demanding(policies.AttestationDemand{Type: provenance, Every: true, Provenance: &policies.ProvenanceDemand{Source: build.Source}})
			web := w.signed("one")
			w.attest(web, w.release, images.ProvenanceV1(build), scheme)
			w.attest(web, w.stranger, images.ProvenanceV1(elsewhere), scheme)
			_, err := w.judge(web)
			w.must(err)
		})
	})
	t.Run("every one, and there are more than are looked at", func(t *testing.T) {
		t.Parallel()
		schemes(t, func(t *testing.T, scheme images.Scheme) {
			w := newWorld(t)
			web := w.signed("one")
			w.attest(web, w.release, images.ProvenanceV1(build), scheme)
			w.must(images.AttestMany(t.Context(), web, w.stranger, provenance, 80, scheme, w.registry.Client()...))
			w.trust = w.demanding(policies.AttestationDemand{Type: provenance, Every: true})
			w.refused(web, "not all attestations could be looked at, so none of those counts of which every one must be good")
		})
	})
	t.Run("every one, and one cannot be had", func(t *testing.T) {
		t.Parallel()
		schemes(t, func(t *testing.T, scheme images.Scheme) {
			w := newWorld(t)
			web := w.signed("one")
			w.attest(web, w.release, images.ProvenanceV1(build), scheme)
			body, err := images.Huge(web, provenance, 13<<20, scheme)
			w.must(err)
			w.must(images.AttestBody(t.Context(), web, w.stranger, body, scheme, w.registry.Client()...))
			w.trust = w.demanding(policies.AttestationDemand{Type: provenance, Every: true})
			w.refused(web, "not all attestations could be looked at")
			w.trust = w.demanding(policies.AttestationDemand{Type: provenance})
			_, err = w.judge(web)
			w.must(err)
		})
	})
}

// catalogue 42
func TestAttestationsThatCannotBeAskedForAreAnOutage(t *testing.T) {
	t.Parallel()
	for because, fault := range map[string]registry.Fault{"503": {Status: 503}, "429": {Status: 429}, "a cut connection": {Drop: true}, "half an answer": {TruncateAfter: 20}} {
		schemes(t, func(t *testing.T, scheme images.Scheme) {
			t.Run(because, func(t *testing.T) {
				w := newWorld(t)
				w.trust = w.demanding(policies.AttestationDemand{Type: provenance, Every: true})
				web, late := w.signed("one"), w.signed("late")
				w.attest(web, w.release, images.ProvenanceV1(build), scheme)
				w.attest(late, w.release, images.ProvenanceV1(build), scheme)
				now := time.Now()
				c := newCollector(t, w.registry, cosign.Options{Clock: func() time.Time { return now }})
				_, err := judge(t.Context(), c, w.trust, web)
				w.must(err)
				match := registry.Match{Kind: registry.Referrers}
				if scheme == images.Tag {
					match = registry.Match{Reference: strings.Replace(late.DigestStr(), ":", "-", 1) + ".att"}
				}
				heal := w.registry.Fail(match, fault)
				_, err = judge(t.Context(), c, w.trust, late)
				if unavailable := (*policies.Unavailable)(nil); !errors.As(err, &unavailable) {
					t.Errorf("got %v", err)
				}
				w.registry.Fail(registry.Match{}, registry.Fault{Status: 503})
				now = now.Add(time.Hour) // there may be more by now, but nobody can be asked
				if _, err := judge(t.Context(), c, w.trust, web); err != nil {
					t.Errorf("what is known is held up: %v", err)
				}
				now = now.Add(24 * time.Hour)
				if _, err := judge(t.Context(), c, w.trust, web); err == nil {
					t.Error("it is good for ever")
				}
				heal()
			})
		})
	}
}
