package policies_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pawl-dev/pawl/policies"
)

// tightening is trust that may only refuse more.
func tightening(t testing.TB, rules ...policies.Rule) policies.Trust {
	t.Helper()
	trust, err := policies.NewTightening(rules)
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

func names(signers []policies.Signer) string {
	var out []string
	for _, s := range signers {
		out = append(out, s.Name())
	}
	return strings.Join(out, " ")
}

func TestEveryProblemOfTrustIsReportedWithItsPath(t *testing.T) {
	t.Parallel()
	key := policies.Key{Name: "release", PEM: publicKey(t)}
	demand := func(d policies.AttestationDemand) policies.Rule { return demanding(key, d) }
	_, err := policies.NewTrust([]policies.Rule{
		{Images: "**"},
		{Images: "acme/*", Keys: []policies.Key{key}},
		{Images: "**", Keys: []policies.Key{key}, Identities: []policies.Identity{identityOf(githubIssuer, workflow), {Issuer: "x", SubjectPattern: ".*", Root: sigstoreRoot()}}},
		demand(policies.AttestationDemand{Type: "provenance1"}),
		demand(policies.AttestationDemand{Type: "cyclonedx", Provenance: &policies.ProvenanceDemand{Builder: "*"}}),
		demand(policies.AttestationDemand{Type: "slsaprovenance1", Provenance: &policies.ProvenanceDemand{}}),
		demand(policies.AttestationDemand{Type: "slsaprovenance1", Provenance: &policies.ProvenanceDemand{Source: "acme/web"}}),
		demand(policies.AttestationDemand{Type: "slsaprovenance1", Provenance: &policies.ProvenanceDemand{Source: "https://github.com/acme/web@refs/heads/main"}}),
		demand(policies.AttestationDemand{Type: "slsaprovenance1", Vulnerabilities: &policies.VulnerabilityDemand{MaxAge: -time.Hour}}),
		demand(policies.AttestationDemand{Type: "vuln", Vulnerabilities: &policies.VulnerabilityDemand{}}),
		demand(policies.AttestationDemand{Type: "vuln", Vulnerabilities: &policies.VulnerabilityDemand{Max: map[string]int{"scary": 1, "high": -1}}}),
		demand(policies.AttestationDemand{Type: "vuln", Where: []string{"predicate.a ==", "predicate.a", "'a'", "subject.a", ""}}),
		demand(policies.AttestationDemand{Type: "vuln", Keys: []policies.Key{{Name: "release", PEM: publicKey(t)}}}),
		demand(policies.AttestationDemand{Type: "vuln", Identities: []policies.Identity{{}}}),
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		"trust[0].keys: is empty, and so is keyless",
		`trust[1].images: "acme/*" names no registry`,
		`trust[2].keyless[1].issuer: "x" is no issuer`,
		`trust[2].keyless[1].subjectPattern: ".*" matches`,
		`trust[3].attestations[0].type: "provenance1" is no type of attestation`,
		`trust[4].attestations[0].provenance: is asked of the type "https://cyclonedx.org/bom"`,
		`trust[4].attestations[0].provenance.builder: "*" matches whatever there is`,
		`trust[5].attestations[0].provenance: asks nothing`,
		`trust[6].attestations[0].provenance.source: "acme/web" is no address of a repository`,
		`trust[7].attestations[0].provenance.source: "https://github.com/acme/web@refs/heads/main" names a ref`,
		`trust[8].attestations[0].vulnerabilities: is asked of the type`,
		`trust[8].attestations[0].vulnerabilities.maxAge: -1h0m0s is negative`,
		`trust[9].attestations[0].vulnerabilities: asks nothing`,
		`trust[10].attestations[0].vulnerabilities.max: "scary" is no severity`,
		`trust[10].attestations[0].vulnerabilities.max.high: -1 is negative`,
		`trust[11].attestations[0].where[0]: "predicate.a ==" is no CEL expression`,
		`trust[11].attestations[0].where[2]: "'a'" is of type string`,
		`trust[11].attestations[0].where[3]: "subject.a" is no CEL expression`,
		`trust[11].attestations[0].where[4]: is empty`,
		`trust[12].attestations[0].keys[0]: key "release" has the same name as the different key "release"`,
		`trust[13].attestations[0].keyless[0]: has neither issuer nor issuerPattern`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("it does not say %s", want)
		}
	}
	if strings.Contains(err.Error(), "where[1]") {
		t.Error("a condition whose type only the predicate tells is one")
	}
	if t.Failed() {
		t.Log(err)
	}
}

func TestAnyOrAllOfTheSigners(t *testing.T) {
	t.Parallel()
	release := policies.Key{Name: "release", PEM: publicKey(t)}
	identity := identityOf(githubIssuer, workflow)
	web := imageOf("ghcr.io/acme/web", digestA, "Deployment shop/web")
	for _, tt := range []struct {
		because string
		all     bool
		signed  []string
		refused string
	}{
		{"any: the key", false, []string{"release"}, ""},
		{"any: the identity", false, []string{"workflow"}, ""},
		{"any: nobody", false, nil, `has no signature by one of the signers "release", "workflow"`},
		{"all: both", true, []string{"release", "workflow"}, ""},
		{"all: the key alone", true, []string{"release"}, `has no signature by the identity "workflow"`},
		{"all: one twice", true, []string{"workflow", "workflow"}, `has no signature by the key "release"`},
		{"all: nobody", true, nil, `has no signature by each of the signers "release", "workflow"`},
	} {
		t.Run(tt.because, func(t *testing.T) {
			t.Parallel()
			trust := trustOf(t, policies.Rule{Images: "**", Keys: []policies.Key{release}, Identities: []policies.Identity{identity}, All: tt.all})
			_, err := policies.Judge(releaseOf(web), policies.Demands{Trust: trust}, policies.Findings{Images: signedBy(trust, web, tt.signed...)})
			if err == nil {
				expect(t, "", tt.refused)
				return
			}
			expect(t, err.Error(), tt.refused)
		})
	}
}

// catalogue 41
func TestAKeyThatIsNoLongerTrustedSignsNothing(t *testing.T) {
	t.Parallel()
	old, next := policies.Key{Name: "release", PEM: publicKey(t)}, policies.Key{Name: "release", PEM: publicKey(t)}
	before := trustOf(t, policies.Rule{Images: "**", Keys: []policies.Key{old}})
	after := trustOf(t, policies.Rule{Images: "**", Keys: []policies.Key{next}})
	web := imageOf("ghcr.io/acme/web", digestA, "Deployment shop/web")
	evidence := signedBy(before, web, "release")
	if _, err := policies.Judge(releaseOf(web), policies.Demands{Trust: before}, policies.Findings{Images: evidence}); err != nil {
		t.Fatal(err)
	}
	if _, err := policies.Judge(releaseOf(web), policies.Demands{Trust: after}, policies.Findings{Images: evidence}); err == nil {
		t.Error("evidence by the old key still counts, since its name is the same")
	}
	if before.Fingerprint(web.Repository) == after.Fingerprint(web.Repository) {
		t.Error("what was remembered under the old key would be found under the new one")
	}
}

// catalogue 124
func TestTighteningCoversNothing(t *testing.T) {
	t.Parallel()
	release := policies.Key{Name: "release", PEM: publicKey(t)}
	mallory := policies.Key{Name: "mallory", PEM: publicKey(t)}
	baseline := trustOf(t, policies.Rule{Images: "ghcr.io/acme/*", Keys: []policies.Key{release}})
	// Whoever may merge to the config repo wants an image of their own to run.
	commit := tightening(t, policies.Rule{Images: "**", Keys: []policies.Key{mallory}})
	web, evil := "ghcr.io/acme/web", "ghcr.io/mallory/miner"

	for what, trust := range map[string]policies.Trust{"added": baseline.And(commit), "added to": commit.And(baseline), "added twice": baseline.And(commit).And(commit)} {
		if !trust.Covers(web) || trust.Covers(evil) {
			t.Errorf("%s: covers web %v, evil %v", what, trust.Covers(web), trust.Covers(evil))
		}
		if got := names(trust.Signers(evil)); got != "" {
			t.Errorf("%s: signers of an image that may not run: %s", what, got)
		}
		for signed, want := range map[string]bool{"release": false, "mallory": false, "release mallory": true} {
			e := signedBy(trust, imageOf(web, digestA, ""), strings.Fields(signed)...)[web+"@"+digestA]
			if trust.Satisfied(web, e, now) != want {
				t.Errorf("%s: signed by %s: satisfied %v", what, signed, !want)
			}
		}
	}
	for what, trust := range map[string]policies.Trust{
		"zero": {}, "tightened zero": policies.Trust{}.And(commit), "tightening the zero": commit.And(policies.Trust{}),
		"zero and a baseline": policies.Trust{}.And(baseline), "a baseline and zero": baseline.And(policies.Trust{}),
		"tightening alone": commit, "tightening twice": commit.And(commit), "zero with attestations": policies.Trust{}.WithAttestations(),
	} {
		e := signedBy(baseline.And(commit), imageOf(web, digestA, ""), "release", "mallory")[web+"@"+digestA]
		if trust.Covers(web) || trust.Satisfied(web, e, now) {
			t.Errorf("%s must refuse everything", what)
		}
	}
	if unchanged := baseline.And(tightening(t)); unchanged.Fingerprint(web) != baseline.Fingerprint(web) || !unchanged.Covers(web) {
		t.Error("tightening without rules must change nothing")
	}
	other := trustOf(t, policies.Rule{Images: "ghcr.io/**", Keys: []policies.Key{mallory}})
	if both := baseline.And(other); !both.Covers(web) || both.Covers(evil) {
		t.Error("two baselines cover what both cover")
	}
}

// catalogue 124: a release runs only if the trust before and the trust of its
// own commit accept it, since both are added.
func TestACommitThatWeakensTrustIsJudgedByWhatStoodBefore(t *testing.T) {
	t.Parallel()
	release := policies.Key{Name: "release", PEM: publicKey(t)}
	security := policies.Key{Name: "security", PEM: publicKey(t)}
	baseline := trustOf(t, policies.Rule{Images: "**", Keys: []policies.Key{release}})
	before := tightening(t, policies.Rule{Images: "**", Keys: []policies.Key{security}})
	after := tightening(t)
	web := imageOf("ghcr.io/acme/web", digestA, "Deployment shop/web")
	judged := func(trust policies.Trust) error {
		_, err := policies.Judge(releaseOf(web), policies.Demands{Trust: trust}, policies.Findings{Images: signedBy(trust, web, "release")})
		return err
	}
	if err := judged(baseline.And(after)); err != nil {
		t.Fatal(err)
	}
	if err := judged(baseline.And(after).And(before)); err == nil || !strings.Contains(err.Error(), `"security"`) || !strings.Contains(err.Error(), `the rule for "**" that is added to it`) {
		t.Errorf("judged by both: %v", err)
	}
}

// catalogue 124
func TestAnAddedSignerCannotPassForAnother(t *testing.T) {
	t.Parallel()
	release, fake := policies.Key{Name: "release", PEM: publicKey(t)}, policies.Key{Name: "release", PEM: publicKey(t)}
	baseline := trustOf(t, policies.Rule{Images: "**", Keys: []policies.Key{release}})
	commit := tightening(t,
		policies.Rule{Images: "ghcr.io/**", Keys: []policies.Key{fake}},
		policies.Rule{Images: "**", Attestations: []policies.AttestationDemand{{Type: "cyclonedx", Keys: []policies.Key{fake}}}})
	for what, trust := range map[string]policies.Trust{"added": baseline.And(commit), "added to": commit.And(baseline), "twice": commit.And(baseline).And(commit).And(baseline)} {
		signers := trust.Signers("ghcr.io/acme/web")
		if len(signers) != 2 {
			t.Fatalf("%s: %s", what, names(signers))
		}
		for _, s := range signers {
			if original := s.ID() == baseline.Signers("ghcr.io/acme/web")[0].ID(); original != (s.Name() == "release") {
				t.Errorf("%s: %s is called %q", what, s.ID(), s.Name())
			}
		}
	}
	if got := names(baseline.And(tightening(t, policies.Rule{Images: "**", Keys: []policies.Key{release}})).Signers("ghcr.io/acme/web")); got != "release" {
		t.Errorf("the same key added again is called %q", got)
	}
}

func TestTighteningMayDemandAttestationsAlone(t *testing.T) {
	t.Parallel()
	builder := policies.Key{Name: "builder", PEM: publicKey(t)}
	tightening(t, policies.Rule{Images: "**", Attestations: []policies.AttestationDemand{{Type: "cyclonedx", Keys: []policies.Key{builder}}}})
	for _, tt := range []struct {
		rule policies.Rule
		want string
	}{
		{policies.Rule{Images: "**"}, "trust[0]: demands nothing"},
		{policies.Rule{Images: "**", Attestations: []policies.AttestationDemand{{Type: "cyclonedx"}}}, "trust[0].attestations[0]: has no keys and no keyless, and neither has its rule"},
	} {
		if _, err := policies.NewTightening([]policies.Rule{tt.rule}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
	rule := policies.Rule{Images: "**", Attestations: []policies.AttestationDemand{{Type: "cyclonedx", Keys: []policies.Key{builder}}}}
	if _, err := policies.NewTrust([]policies.Rule{rule}); err == nil {
		t.Error("a baseline without a signature was accepted")
	}
}

func TestWhatACollectorIsTold(t *testing.T) {
	t.Parallel()
	release := policies.Key{Name: "release", PEM: publicKey(t)}
	builder := policies.Key{Name: "builder", PEM: publicKey(t)}
	plain := policies.Rule{Images: "ghcr.io/acme/*", Keys: []policies.Key{release}}
	twice := policies.Rule{Images: "**", Keys: []policies.Key{{Name: "release", File: "elsewhere", PEM: release.PEM}}}
	attested := demanding(release, policies.AttestationDemand{Type: "cyclonedx", Keys: []policies.Key{builder}})
	every := demanding(release, policies.AttestationDemand{Type: "cyclonedx", Every: true})
	web := "ghcr.io/acme/web"

	if got := names(trustOf(t, plain, twice, attested).Signers(web)); got != "release builder" {
		t.Errorf("signers: %s", got)
	}
	for what, tt := range map[string]struct {
		trust policies.Trust
		want  bool
	}{
		"signatures":                 {trustOf(t, plain), false},
		"any attestation":            {trustOf(t, attested), false},
		"every attestation":          {trustOf(t, every), true},
		"policies read them":         {trustOf(t, plain).WithAttestations(), true},
		"somebody else's do":         {trustOf(t, plain).And(tightening(t).WithAttestations()), true},
		"of what may not run, never": {trustOf(t, policies.Rule{Images: "quay.io/**", Keys: []policies.Key{release}}).WithAttestations(), false},
	} {
		if got := tt.trust.WantsAll(web); got != tt.want {
			t.Errorf("%s: wants all %v", what, got)
		}
	}

	of := func(rules ...policies.Rule) string { return trustOf(t, rules...).Fingerprint(web) }
	condition := func(d policies.AttestationDemand) string { return of(demanding(release, d)) }
	base := of(plain)
	if base != of(plain, plain) || base != of(plain, policies.Rule{Images: "quay.io/**", Keys: []policies.Key{builder}}) || of(plain, twice) != of(twice, plain) {
		t.Error("repetition, order and rules for other repositories are no other content")
	}
	all := plain
	all.All = true
	seen := map[string]string{base: "base"}
	for what, fingerprint := range map[string]string{
		"nothing":         policies.Trust{}.Fingerprint(web),
		"another key":     of(policies.Rule{Images: plain.Images, Keys: []policies.Key{builder}}),
		"two keys":        of(policies.Rule{Images: plain.Images, Keys: []policies.Key{builder, release}}),
		"two rules":       of(plain, policies.Rule{Images: plain.Images, Keys: []policies.Key{builder}}),
		"all":             of(all),
		"attested":        of(attested),
		"every":           of(every),
		"any":             condition(policies.AttestationDemand{Type: "cyclonedx"}),
		"where":           condition(policies.AttestationDemand{Type: "cyclonedx", Where: []string{"predicate.a"}}),
		"source":          condition(policies.AttestationDemand{Type: "slsaprovenance1", Provenance: &policies.ProvenanceDemand{Source: "https://github.com/acme/web"}}),
		"builder":         condition(policies.AttestationDemand{Type: "slsaprovenance1", Provenance: &policies.ProvenanceDemand{Builder: "https://github.com/acme/web"}}),
		"age":             condition(policies.AttestationDemand{Type: "vuln", Vulnerabilities: &policies.VulnerabilityDemand{MaxAge: time.Hour}}),
		"another age":     condition(policies.AttestationDemand{Type: "vuln", Vulnerabilities: &policies.VulnerabilityDemand{MaxAge: 2 * time.Hour}}),
		"severity":        condition(policies.AttestationDemand{Type: "vuln", Vulnerabilities: &policies.VulnerabilityDemand{Max: map[string]int{"high": 0}}}),
		"attestations":    trustOf(t, plain).WithAttestations().Fingerprint(web),
		"tightened alike": trustOf(t, plain).And(tightening(t, plain)).Fingerprint(web),
	} {
		if other, ok := seen[fingerprint]; ok {
			t.Errorf("%s has the fingerprint of %s", what, other)
		}
		seen[fingerprint] = what
	}
}
