package policies_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pawl-dev/pawl/policies"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const (
	provenance1  = "https://slsa.dev/provenance/v1"
	provenance02 = "https://slsa.dev/provenance/v0.2"
	cycloneDX    = "https://cyclonedx.org/bom"
	spdx         = "https://spdx.dev/Document"
	scan         = "https://cosign.sigstore.dev/attestation/vuln/v1"
	review       = "https://acme.dev/review/v1"
)

// attested is what is said of an image: type and predicate.
type attested struct{ by, uri, predicate string }

// judgeAttested judges an image that is signed by "release" and attested, and
// returns the refusal's text, empty if it may run.
func judgeAttested(t *testing.T, rule policies.Rule, said ...attested) string {
	t.Helper()
	trust := trustOf(t, rule)
	web := imageOf("ghcr.io/acme/web", digestA, "Deployment shop/web")
	found := signedBy(trust, web, "release")
	e := found[web.Pinned()]
	for _, a := range said {
		id := "sha256:somebody"
		for _, s := range trust.Signers(web.Repository) {
			if s.Name() == a.by {
				id = s.ID()
			}
		}
		e.Attestations = append(e.Attestations, policies.Attestation{By: policies.SignedBy{Signer: a.by, ID: id}, Type: a.uri, Predicate: []byte(a.predicate)})
	}
	found[web.Pinned()] = e
	_, err := policies.Judge(releaseOf(web), policies.Demands{Trust: trust}, policies.Findings{At: now, Images: found})
	satisfied := trust.Satisfied(web.Repository, e, now)
	if satisfied != (err == nil) {
		t.Errorf("satisfied %v, but judged: %v", satisfied, err)
	}
	if err == nil {
		return ""
	}
	return err.Error()
}

// expect compares a refusal with a part of it; empty means that there is none.
func expect(t *testing.T, got, want string) {
	t.Helper()
	if want == "" && got != "" || !strings.Contains(got, want) || want != "" && got == "" {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func demanding(key policies.Key, demands ...policies.AttestationDemand) policies.Rule {
	return policies.Rule{Images: "ghcr.io/acme/*", Keys: []policies.Key{key}, Attestations: demands}
}

// catalogue 35, 36
func TestAnAttestationCountsOnlyByItsTypeAndSigner(t *testing.T) {
	t.Parallel()
	release := policies.Key{Name: "release", PEM: publicKey(t)}
	builder := policies.Key{Name: "builder", PEM: publicKey(t)}
	provenance := policies.AttestationDemand{Type: "slsaprovenance1"}
	byBuilder := policies.AttestationDemand{Type: "slsaprovenance1", Keys: []policies.Key{builder}}
	bill := policies.AttestationDemand{Type: "cyclonedx"}

	tests := []struct {
		because string
		demands []policies.AttestationDemand
		said    []attested
		refused string
	}{
		{"the demanded type", []policies.AttestationDemand{provenance}, []attested{{"release", provenance1, `{}`}}, ""},
		{"nothing is attested", []policies.AttestationDemand{provenance}, nil, `has no attestation of type slsaprovenance1 by the key "release"`},
		{"what is about another digest was never collected", []policies.AttestationDemand{provenance}, []attested{}, `has no attestation of type slsaprovenance1`},
		{"a valid attestation of another type", []policies.AttestationDemand{provenance}, []attested{{"release", scan, `{}`}}, `has no attestation of type slsaprovenance1`},
		{"another version of the type", []policies.AttestationDemand{provenance}, []attested{{"release", provenance02, `{}`}}, `has no attestation of type slsaprovenance1`},
		{"a type that begins like it", []policies.AttestationDemand{provenance}, []attested{{"release", provenance1 + "/evil", `{}`}}, `has no attestation of type slsaprovenance1`},
		{"a type in upper case", []policies.AttestationDemand{provenance}, []attested{{"release", strings.ToUpper(provenance1), `{}`}}, `has no attestation of type slsaprovenance1`},
		{"by somebody", []policies.AttestationDemand{provenance}, []attested{{"mallory", provenance1, `{}`}}, `has no attestation of type slsaprovenance1 by the key "release"`},
		{"by the signer of the demand", []policies.AttestationDemand{byBuilder}, []attested{{"builder", provenance1, `{}`}}, ""},
		{"by the rule's signer where another is demanded", []policies.AttestationDemand{byBuilder}, []attested{{"release", provenance1, `{}`}}, `has no attestation of type slsaprovenance1 by the key "builder"`},
		{"one demand does not stand for another", []policies.AttestationDemand{provenance, bill}, []attested{{"release", provenance1, `{}`}}, `has no attestation of type cyclonedx by the key "release"`},
		{"all that is missing is said at once", []policies.AttestationDemand{provenance, bill}, nil, `has no attestation of type slsaprovenance1 or cyclonedx by the key "release"`},
		{"a URI is a type too", []policies.AttestationDemand{{Type: review}}, []attested{{"release", review, `{}`}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.because, func(t *testing.T) {
			t.Parallel()
			expect(t, judgeAttested(t, demanding(release, tt.demands...), tt.said...), tt.refused)
		})
	}
	t.Run("an attestation is no signature", func(t *testing.T) {
		t.Parallel()
		rule := demanding(builder, provenance) // and the image is signed by "release"
		expect(t, judgeAttested(t, rule, attested{"builder", provenance1, `{}`}), `has no signature by the key "builder"`)
	})
}

// catalogue 38
func TestAnyOrEveryAttestationMeetsTheConditions(t *testing.T) {
	t.Parallel()
	release := policies.Key{Name: "release", PEM: publicKey(t)}
	good, bad := attested{"release", review, `{"approved":true}`}, attested{"release", review, `{"approved":false}`}
	strange := attested{"mallory", review, `{"approved":false}`}
	unreadable := attested{"release", review, `{"approved":true,"approved":true}`}
	partly := attested{"release", review, `{"approved":true,"by":"bob"}`}
	other := attested{"release", review, `{"approved":false,"by":"ada"}`}
	approved := []string{"predicate.approved"}

	tests := []struct {
		because string
		every   bool
		where   []string
		said    []attested
		refused string
	}{
		{"any: one that does", false, approved, []attested{good}, ""},
		{"any: one that does beside one that does not", false, approved, []attested{bad, good}, ""},
		{"any: none that does", false, approved, []attested{bad, unreadable}, `has 2 attestations of type https://acme.dev/review/v1 that do not do, of "release": predicate.approved is false; of "release": its predicate can be read in two ways`},
		{"any: none at all", false, approved, nil, "has no attestation of type https://acme.dev/review/v1"},
		{"any: one and the same must meet every condition", false, []string{"predicate.approved", "predicate.by == 'ada'"}, []attested{partly, other}, "do not do"},
		{"every: all do", true, approved, []attested{good, good}, ""},
		{"every: one does not", true, approved, []attested{good, bad}, `has an attestation of type https://acme.dev/review/v1 that does not do, of "release": predicate.approved is false`},
		{"every: one cannot be read", true, approved, []attested{good, unreadable}, "can be read in two ways"},
		{"every: none at all is not all", true, approved, nil, "has no attestation of type"},
		{"every: what a stranger attests counts neither for nor against", true, approved, []attested{good, strange}, ""},
		{"every: nor does it stand for the missing one", true, approved, []attested{strange}, "has no attestation of type"},
		{"every: without conditions it can be read", true, nil, []attested{good, unreadable}, "can be read in two ways"},
	}
	for _, tt := range tests {
		t.Run(tt.because, func(t *testing.T) {
			t.Parallel()
			rule := demanding(release, policies.AttestationDemand{Type: review, Every: tt.every, Where: tt.where})
			expect(t, judgeAttested(t, rule, tt.said...), tt.refused)
		})
	}
}

// catalogue 37
func TestPredicatesThatCannotBeReadDoNotCount(t *testing.T) {
	t.Parallel()
	release := policies.Key{Name: "release", PEM: publicKey(t)}
	tests := []struct {
		because, uri, predicate, refused string
	}{
		{"an object", review, `{"a":{"b":[1,2.5,"c",null,true]}}`, ""},
		{"nothing", review, ``, "its predicate is empty"},
		{"white space", review, ` `, "its predicate is empty"},
		{"null", review, `null`, "its predicate is null"},
		{"no JSON", review, `{"a":`, "its predicate is no JSON"},
		{"two values", review, `{} {}`, "its predicate is no JSON"},
		{"a list", review, `[]`, "its predicate is no JSON object"},
		{"a text", review, `"a"`, "its predicate is no JSON object"},
		{"a key twice", review, `{"a":1,"a":2}`, "can be read in two ways"},
		{"a key twice further down", review, `{"a":[{"b":1,"b":1}]}`, "can be read in two ways"},
		{"a key twice, written otherwise", review, `{"a":1,"\u0061":2}`, "can be read in two ways"},
		{"keys that differ in their case are two", review, `{"a":1,"A":2}`, ""},
		{"too deep", review, strings.Repeat(`{"a":`, 300) + `1` + strings.Repeat(`}`, 300), "nests deeper than 200 levels"},
		{"far too deep", review, strings.Repeat(`[`, 5_000_000), "nests deeper than 200 levels"},
		{"brackets in a text are none", review, `{"a":"` + strings.Repeat(`[`, 300) + `\"{"}`, ""},
		{"too large", review, `{"a":"` + strings.Repeat(`x`, 33<<20) + `"}`, "at most 33554432 are read"},
		{"a CycloneDX document", cycloneDX, `{"bomFormat":"CycloneDX","specVersion":"1.5"}`, ""},
		{"a CycloneDX document that is none", cycloneDX, `{"specVersion":"1.5"}`, "is no CycloneDX document"},
		{"an SPDX document", spdx, `{"spdxVersion":"SPDX-2.3"}`, ""},
		{"an SPDX 3 document", spdx, `{"@context":"https://spdx.org/rdf/3.0.1/spdx-context.jsonld"}`, ""},
		{"an SPDX document of tags and values", spdx, `"# made by hand\nSPDXVersion: SPDX-2.3\n"`, ""},
		{"an SPDX document that is CycloneDX", spdx, `{"bomFormat":"CycloneDX"}`, "is no SPDX document"},
		{"an SPDX document of a longer type", spdx + "/v2.3", `{}`, "is no SPDX document"},
	}
	for _, tt := range tests {
		t.Run(tt.because, func(t *testing.T) {
			t.Parallel()
			rule := demanding(release, policies.AttestationDemand{Type: tt.uri})
			expect(t, judgeAttested(t, rule, attested{"release", tt.uri, tt.predicate}), tt.refused)
		})
	}
}

// catalogue 37: whatever a signer attests, judging it ends, and says why.
func FuzzPredicates(f *testing.F) {
	for _, s := range []string{
		`{}`, `null`, `[]`, `{"a":1,"a":2}`, `{"approved":true}`, `"SPDXVersion: SPDX-2.3"`,
		`{"buildDefinition":{"buildType":"https://actions.github.io/buildtypes/workflow/v1","externalParameters":{"workflow":{"repository":"https://github.com/acme/web","ref":"refs/heads/main"}},"resolvedDependencies":[{"uri":"git+https://github.com/acme/web@refs/heads/main","digest":{"gitCommit":"8d2e"}}]},"runDetails":{"builder":{"id":"https://b.example/x"}}}`,
		`{"builder":{"id":"x"},"invocation":{"configSource":{"uri":"git+https://github.com/acme/web@refs/heads/main","digest":{"sha1":"8d"}}},"materials":[{"uri":"git+https://github.com/acme/web.git"}]}`,
		`{"scanner":{"result":{"Results":[{"Vulnerabilities":[{"Severity":"HIGH"}]}]}},"metadata":{"scanFinishedOn":"2026-03-01T11:00:00Z"}}`,
		`{"scanner":{"result":{"matches":[{"vulnerability":{"severity":"Low"}}]}}}`,
		`{"a":1e999999,"b":-0,"c":9223372036854775808}`, "{\"\xff\":1,\"\xfe\":2}",
	} {
		f.Add([]byte(s))
	}
	release := policies.Key{Name: "release", PEM: publicKey(f)}
	web := imageOf("ghcr.io/acme/web", digestA, "Deployment shop/web")
	var trusts []policies.Trust
	for _, d := range []policies.AttestationDemand{
		{Type: "slsaprovenance1", Provenance: &policies.ProvenanceDemand{Builder: "https://b.example/*", Source: "https://github.com/acme/web", Ref: "refs/heads/*"}},
		{Type: "slsaprovenance02", Provenance: &policies.ProvenanceDemand{Source: "https://github.com/acme/web"}},
		{Type: "vuln", Vulnerabilities: &policies.VulnerabilityDemand{Max: map[string]int{"high": 0, "low": 3}, MaxAge: time.Hour}},
		{Type: "cyclonedx"}, {Type: "spdx"},
		{Type: "custom", Where: []string{"predicate.approved", "size(predicate.list) > 1 && predicate.list.all(x, x.a < 3 || x.b.matches('^a+$'))"}},
	} {
		trusts = append(trusts, trustOf(f, demanding(release, d)))
	}
	f.Fuzz(func(t *testing.T, predicate []byte) {
		for _, trust := range trusts {
			found := signedBy(trust, web, "release")
			e := found[web.Pinned()]
			w := trust.Wanted(web.Repository)
			e.Attestations = []policies.Attestation{{By: e.Signatures[0].By, Type: w.Types[0], Predicate: predicate}}
			_, err := policies.Judge(releaseOf(web), policies.Demands{Trust: trust}, policies.Findings{At: now, Images: map[string]policies.Evidence{web.Pinned(): e}})
			if err != nil && len(err.Error()) > 4000 {
				t.Errorf("a refusal of %d bytes", len(err.Error()))
			}
		}
	})
}
