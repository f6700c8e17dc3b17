package cosign_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/pawl-dev/pawl/internal/testworld/images"
	"github.com/pawl-dev/pawl/internal/testworld/sigstore"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/policies/cosign"
)

// keyless is a world with a private Sigstore, whose trust is in a workflow.
type keyless struct {
	*world
	private, stranger *sigstore.Sigstore
	workflow          sigstore.Identity
}

var (
	logged   = policies.Root{Name: "private", TransparencyLog: true, CertificateLog: true}
	stamped  = policies.Root{Name: "private", Timestamp: true, CertificateLog: true}
	strictly = policies.Root{Name: "private", TransparencyLog: true, Timestamp: true, CertificateLog: true}
)

func newKeyless(t *testing.T, demands policies.Root) *keyless {
	t.Helper()
	w := &keyless{world: newWorld(t)}
	var err error
	w.private, err = sigstore.New()
	w.must(err)
	w.stranger, err = sigstore.New()
	w.must(err)
	w.workflow = sigstore.GitHub("acme/web", ".github/workflows/release.yml", "refs/heads/main", strings.Repeat("a1", 20))
	w.trust = w.trusting(w.identity(demands, func(*policies.Identity) {}))
	return w
}

// identity is a rule for the workflow.
func (w *keyless) identity(demands policies.Root, with func(*policies.Identity)) policies.Rule {
	demands.JSON = w.private.TrustedRoot()
	i := policies.Identity{Name: "release.yml", Issuer: w.workflow.Issuer, Subject: w.workflow.Subject, Root: demands}
	with(&i)
	return policies.Rule{Images: w.registry.Host() + "/acme/**", Identities: []policies.Identity{i}}
}

func (w *keyless) signAs(d name.Digest, by sigstore.Identity, scheme images.Scheme, way sigstore.Way) {
	w.Helper()
	w.must(w.private.SignInAWay(w.Context(), d, by, scheme, way, w.registry.Client()...))
}

func TestKeylessSignaturesAreVerified(t *testing.T) {
	t.Parallel()
	for because, demands := range map[string]policies.Root{"logged": logged, "stamped": stamped, "logged and stamped": strictly} {
		schemes(t, func(t *testing.T, scheme images.Scheme) {
			t.Run(because, func(t *testing.T) {
				w := newKeyless(t, demands)
				web := w.push("web", "one")
				w.signAs(web, w.workflow, scheme, sigstore.Way{})
				v, err := w.judge(web)
				w.must(err)
				want := policies.SignedBy{Signer: "release.yml", ID: w.trust.Signers(web.Context().Name())[0].ID(), Issuer: sigstore.GitHubIssuer, Subject: w.workflow.Subject}
				if e := v.Evidence(); len(e) != 1 || len(e[0].Signatures) != 1 || e[0].Signatures[0].By != want || string(e[0].Signatures[0].Scheme) != scheme.String() {
					t.Errorf("evidence %+v", e)
				}
				old := w.push("web", "old")
				w.signAs(old, w.workflow, scheme, sigstore.Way{At: time.Now().AddDate(-1, 0, 0)})
				if _, err := w.judge(old); err != nil {
					t.Errorf("its certificate ended long ago, and it was used in time: %v", err)
				}
			})
		})
	}
}

// catalogue 33, 34, 39
func TestForgedKeylessSignaturesAreRefused(t *testing.T) {
	t.Parallel()
	const (
		otherEntry     = "its entry in the transparency log is of something else"
		strangeEntry   = "its entry in the transparency log is by no log of the trust root"
		otherTimestamp = "its timestamp is of something else, or by no authority of the trust root"
		notLogged      = "its certificate does not prove that it was logged"
		noEntry        = `it has no entry in the transparency log, which the trust root "private" demands`
		notValid       = "its certificate was valid from "
	)
	reasons := map[string]string{
		"claims another digest":                            "digest",
		"certificate of another authority":                 "its certificate is by no authority of the trust root",
		"everything by another Sigstore":                   "by no ",
		"certificate without a timestamp of a log":         notLogged,
		"certificate with the timestamp of another":        notLogged,
		"certificate with the timestamp of an unknown log": notLogged,
		"no log entry":                          noEntry,
		"log entry of another artifact":         otherEntry,
		"log entry of somebody else's artifact": otherEntry,
		"log entry with another key":            otherEntry,
		"log entry of an unknown log":           strangeEntry,
		"expired certificate":                   notValid,
		"expired certificate without any time":  noEntry,
		"certificate that was not yet valid":    notValid,
		"no timestamp":                          `it has no timestamp, which the trust root "private" demands: its certificate ended `,
		"timestamp of other bytes":              otherTimestamp,
		"timestamp of an unknown authority":     otherTimestamp,
	}
	schemes(t, func(t *testing.T, scheme images.Scheme) {
		w := newKeyless(t, strictly)
		other := w.push("web", "two")
		w.signAs(other, w.workflow, scheme, sigstore.Way{})
		forgeries := sigstore.Forgeries(other, w.stranger)
		maps.Copy(forgeries, sigstore.Timeless(w.stranger))
		for because, way := range forgeries {
			reason, ok := reasons[because]
			if !ok {
				t.Errorf("%s: what is the reason?", because)
			}
			web := w.push("web", because)
			w.signAs(web, w.workflow, scheme, way)
			t.Run(because, func(t *testing.T) { w.refused(web, reason) })
		}
		if len(forgeries) < len(reasons) {
			t.Errorf("only %d forgeries", len(forgeries))
		}
		t.Run("the signature of another image, copied", func(t *testing.T) {
			web := w.push("web", "one")
			if scheme == images.Tag {
				w.must(images.CopySignatures(t.Context(), other, web, w.registry.Client()...))
			} else {
				w.must(images.CopyBundles(t.Context(), other, web, w.registry.Client()...))
			}
			w.refused(web, "digest")
		})
		if _, err := w.judge(other); err != nil {
			t.Errorf("the genuine one: %v", err)
		}
	})
}

// Each of the root's demands by itself: what is not demanded may be missing.
func TestARootDemandsWhatItSays(t *testing.T) {
	t.Parallel()
	const log, stamp, promise = "it has no entry in the transparency log", "it has no timestamp", "certificate"
	tests := []struct {
		because string
		demands policies.Root
		way     sigstore.Way
		want    string // none: verified
	}{
		{"no log entry, and none demanded", stamped, sigstore.Way{Entry: sigstore.Missing}, ""},
		{"no log entry, and one demanded", logged, sigstore.Way{Entry: sigstore.Missing}, log},
		{"no timestamp, and none demanded", logged, sigstore.Way{Timestamp: sigstore.Missing}, ""},
		{"no timestamp, and one demanded", stamped, sigstore.Way{Timestamp: sigstore.Missing}, stamp},
		{"no timestamp, and both demanded", strictly, sigstore.Way{Timestamp: sigstore.Missing}, stamp},
		{"no log entry, and both demanded", strictly, sigstore.Way{Entry: sigstore.Missing}, log},
		{"certificate not logged, and not demanded", policies.Root{Name: "private", TransparencyLog: true}, sigstore.Way{SCT: sigstore.Missing}, ""},
		{"certificate not logged, and demanded", logged, sigstore.Way{SCT: sigstore.Missing}, promise},
		{"a false timestamp that nobody asked for", logged, sigstore.Way{Timestamp: sigstore.OfAnother}, ""},
		{"a false log entry that nobody asked for", stamped, sigstore.Way{Entry: sigstore.OfAnybody}, ""},
	}
	for _, tt := range tests {
		schemes(t, func(t *testing.T, scheme images.Scheme) {
			t.Run(tt.because, func(t *testing.T) {
				w := newKeyless(t, tt.demands)
				web := w.push("web", "one")
				w.signAs(web, w.workflow, scheme, tt.way)
				if tt.want != "" {
					w.refused(web, tt.want)
				} else if _, err := w.judge(web); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// catalogue 34
func TestOnlyTheVeryIdentityCounts(t *testing.T) {
	t.Parallel()
	workflow := func(repository, file, ref string) sigstore.Identity {
		return sigstore.GitHub(repository, file, ref, strings.Repeat("a1", 20))
	}
	release := workflow("acme/web", ".github/workflows/release.yml", "refs/heads/main")
	named := func(issuer, subject string) sigstore.Identity {
		return sigstore.Identity{Issuer: issuer, Subject: subject}
	}
	exactly := func(*policies.Identity) {}
	pattern := func(i *policies.Identity) {
		i.Issuer, i.IssuerPattern = "", `https://token\.actions\.githubusercontent\.com`
		i.Subject, i.SubjectPattern = "", `https://github\.com/acme/web/\.github/workflows/release\.yml@refs/heads/.*`
	}
	tests := []struct {
		because string
		rule    func(*policies.Identity)
		by      sigstore.Identity
		good    bool
	}{
		{"the workflow", exactly, release, true},
		{"the workflow, by pattern", pattern, release, true},
		{"another workflow", exactly, workflow("acme/web", ".github/workflows/test.yml", "refs/heads/main"), false},
		{"another branch", exactly, workflow("acme/web", ".github/workflows/release.yml", "refs/heads/evil"), false},
		{"another repository", exactly, workflow("acme/webs", ".github/workflows/release.yml", "refs/heads/main"), false},
		{"another repository, by pattern", pattern, workflow("acme/webs", ".github/workflows/release.yml", "refs/heads/main"), false},
		{"another issuer", exactly, named("https://issuer.evil.com", release.Subject), false},
		{"another issuer, by pattern", pattern, named("https://issuer.evil.com", release.Subject), false},
		{"an issuer that goes on", pattern, named(release.Issuer+".evil.com", release.Subject), false},
		{"an issuer that holds it", pattern, named("https://evil.com/?"+release.Issuer, release.Subject), false},
		{"a subject that holds it", exactly, named(release.Issuer, "https://evil.com/?"+release.Subject), false},
		{"a subject that holds it, by pattern", pattern, named(release.Issuer, "https://evil.com/?"+release.Subject), false},
		{"a subject that goes on", exactly, named(release.Issuer, release.Subject+"2"), false},
		{"an email address", exactly, named(release.Issuer, "release@acme.com"), false},
	}
	for _, tt := range tests {
		schemes(t, func(t *testing.T, scheme images.Scheme) {
			t.Run(tt.because, func(t *testing.T) {
				w := newKeyless(t, logged)
				w.trust = w.trusting(w.identity(logged, tt.rule))
				web := w.push("web", "one")
				w.signAs(web, tt.by, scheme, sigstore.Way{})
				if tt.good {
					_, err := w.judge(web)
					w.must(err)
					return
				}
				w.refused(web, fmt.Sprintf("its certificate is of %q by issuer %q, whom no rule names", tt.by.Subject, tt.by.Issuer))
			})
		})
	}
	schemes(t, func(t *testing.T, scheme images.Scheme) {
		t.Run("a key where only an identity is trusted", func(t *testing.T) {
			w := newKeyless(t, logged)
			web := w.push("web", "one")
			w.sign(web, w.release, scheme)
			w.refused(web, "it was made with a key, and no rule names a key")
		})
		t.Run("an identity where only a key is trusted", func(t *testing.T) {
			w := newKeyless(t, logged)
			w.trust = w.trusting(policies.Rule{Images: "**", Keys: []policies.Key{{Name: "release", PEM: w.release.Public()}}})
			web := w.push("web", "one")
			w.signAs(web, w.workflow, scheme, sigstore.Way{})
			w.refused(web, "whom no rule names")
		})
		t.Run("a key and an identity, both demanded", func(t *testing.T) {
			w := newKeyless(t, logged)
			rule := w.identity(logged, exactly)
			rule.Keys, rule.All = []policies.Key{{Name: "release", PEM: w.release.Public()}}, true
			w.trust = w.trusting(rule)
			web := w.push("web", "one")
			w.signAs(web, w.workflow, scheme, sigstore.Way{})
			w.refused(web, `no signature by the key "release"`)
			w.sign(web, w.release, scheme)
			_, err := w.judge(web)
			w.must(err)
		})
	})
}

// catalogue 40
func TestATrustRootThatCannotBeUsedLetsNothingThrough(t *testing.T) {
	t.Parallel()
	now := time.Now()
	const mediaType = `"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"`
	for because, tt := range map[string]struct {
		root func(*keyless) []byte
		want string
	}{
		"ended": {func(w *keyless) []byte {
			root, err := w.private.TrustedRootDuring(now.AddDate(-2, 0, 0), now.Add(-time.Hour))
			w.must(err)
			return root
		}, `the trust root "private" is out of date: the last certificate authority in it ended on `},
		"empty":            {func(*keyless) []byte { return []byte(`{` + mediaType + `}`) }, `the trust root "private" has no certificate authority`},
		"rubbish":          {func(*keyless) []byte { return []byte(`{` + mediaType + `,"tlogs":"hunter2"}`) }, `the trust root "private" cannot be read; give it`},
		"unusable":         {func(*keyless) []byte { return []byte(`{` + mediaType + `,"tlogs":[{}]}`) }, `the trust root "private" cannot be used`},
		"of somebody else": {func(w *keyless) []byte { return w.stranger.TrustedRoot() }, "by no log of the trust root"},
	} {
		schemes(t, func(t *testing.T, scheme images.Scheme) {
			t.Run(because, func(t *testing.T) {
				w := newKeyless(t, logged)
				broken := w.identity(logged, func(i *policies.Identity) { i.Root.JSON = tt.root(w) })
				w.trust = w.trusting(broken)
				web := w.push("web", "one")
				w.signAs(web, w.workflow, scheme, sigstore.Way{})
				w.refused(web, tt.want)
				if _, err := w.judge(web); strings.Contains(err.Error(), "hunter2") {
					t.Errorf("the file is quoted: %v", err)
				}
				broken.Keys = []policies.Key{{Name: "release", PEM: w.release.Public()}}
				w.trust = w.trusting(broken)
				w.sign(web, w.release, scheme)
				if _, err := w.judge(web); err != nil {
					t.Errorf("the key needs no trust root: %v", err)
				}
			})
		})
	}
	t.Run("without what it demands", func(t *testing.T) {
		t.Parallel()
		w := newKeyless(t, logged)
		for part, want := range map[string]string{
			"tlogs": "has no transparency log", "ctlogs": "has no certificate log", "timestampAuthorities": "has no timestamp authority", "certificateAuthorities": "has no certificate authority",
		} {
			w.trust = w.trusting(w.identity(strictly, func(i *policies.Identity) { i.Root.JSON = with(t, i.Root.JSON, part, nil) }))
			web := w.push("web", part)
			w.signAs(web, w.workflow, images.Bundle, sigstore.Way{})
			w.refused(web, want)
		}
	})
	t.Run("that ends while the agent runs", func(t *testing.T) {
		t.Parallel()
		w := newKeyless(t, logged)
		w.trust = w.trusting(w.identity(logged, func(i *policies.Identity) {
			root, err := w.private.TrustedRootDuring(now.AddDate(-2, 0, 0), now.Add(time.Hour))
			w.must(err)
			i.Root.JSON = root
		}))
		web := w.push("web", "one")
		w.signAs(web, w.workflow, images.Bundle, sigstore.Way{})
		clock := now
		c := newCollector(t, w.registry, cosign.Options{Clock: func() time.Time { return clock }})
		_, err := judge(t.Context(), c, w.trust, web)
		w.must(err)
		clock = now.Add(59 * time.Minute)
		_, err = judge(t.Context(), c, w.trust, web)
		w.must(err)
		clock = now.Add(61 * time.Minute)
		if _, err = judge(t.Context(), c, w.trust, web); err == nil || !strings.Contains(err.Error(), "is out of date") {
			t.Errorf("remembered for longer than the root lasts: %v", err)
		}
	})
}

// A root may hold authorities that ended, for what they certified before. With
// such a one's stolen key certificates can be issued for any moment, but not
// used in the past: log and timestamps tell.
func TestAnAuthorityThatEndedCertifiesNothingNew(t *testing.T) {
	t.Parallel()
	for because, demands := range map[string]policies.Root{"logged": logged, "stamped": stamped} {
		schemes(t, func(t *testing.T, scheme images.Scheme) {
			t.Run(because, func(t *testing.T) {
				w := newKeyless(t, demands)
				now := time.Now()
				ended, err := w.private.TrustedRootDuring(now.AddDate(-2, 0, 0), now.Add(-3*time.Minute))
				w.must(err)
				const authorities = "certificateAuthorities"
				both := slices.Concat(field(t, ended, authorities), field(t, w.stranger.TrustedRoot(), authorities))
				w.trust = w.trusting(w.identity(demands, func(i *policies.Identity) { i.Root.JSON = with(t, i.Root.JSON, authorities, both) }))
				web := w.push("web", "one")
				w.signAs(web, w.workflow, scheme, sigstore.Way{At: now.Add(-4 * time.Minute), CertifiedAt: now.Add(-5 * time.Minute)})
				_, err = w.judge(web)
				w.must(err)
				late := w.push("web", "late")
				w.signAs(late, w.workflow, scheme, sigstore.Way{At: now, CertifiedAt: now.Add(-5 * time.Minute)})
				w.refused(late, "its certificate ")
			})
		})
	}
}

// Rekor 2 puts no time into its entries: it is a timestamp that tells when the
// certificate was used. catalogue 39
func TestEntriesOfTheNewLogNeedATimestamp(t *testing.T) {
	t.Parallel()
	w := newKeyless(t, strictly)
	genuine := w.push("web", "one")
	w.signAs(genuine, w.workflow, images.Bundle, sigstore.Way{Tiles: true})
	_, err := w.judge(genuine)
	w.must(err)
	for because, forged := range map[string]struct {
		way  sigstore.Way
		want string
	}{
		"log entry of another artifact": {sigstore.Way{Tiles: true, Entry: sigstore.OfAnother}, "its entry in the transparency log is of something else"},
		"log entry of an unknown log":   {sigstore.Way{Tiles: true, Entry: sigstore.Strange, Stranger: w.stranger}, "its entry in the transparency log is by no log of the trust root"},
		"expired certificate":           {sigstore.Way{Tiles: true, CertifiedAt: time.Now().Add(-time.Hour)}, "its certificate is by no authority of the trust root, or was not valid when it was used"},
		"no timestamp":                  {sigstore.Way{Tiles: true, Timestamp: sigstore.Missing}, "it has no timestamp"},
	} {
		web := w.push("web", because)
		w.signAs(web, w.workflow, images.Bundle, forged.way)
		t.Run(because, func(t *testing.T) { w.refused(web, forged.want) })
	}
	w.trust = w.trusting(w.identity(logged, func(*policies.Identity) {}))
	w.refused(genuine, "does not say when it was made; the trust root has to demand a timestamp as well")
}
