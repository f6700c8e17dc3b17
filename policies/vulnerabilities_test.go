package policies_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/pawl-dev/pawl/policies"
)

func TestAScanIsYoungAndFoundLittle(t *testing.T) {
	t.Parallel()
	release := policies.Key{Name: "release", PEM: publicKey(t)}
	scanned := func(at time.Time, result string) string {
		return fmt.Sprintf(`{"scanner":{"uri":"pkg:x","result":%s},"metadata":{"scanFinishedOn":%q}}`, result, at.Format(time.RFC3339))
	}
	fresh := now.Add(-time.Hour)
	noHigh := policies.VulnerabilityDemand{Max: map[string]int{"critical": 0, "high": 0, "medium": 2}}
	weekOld := policies.VulnerabilityDemand{MaxAge: 7 * 24 * time.Hour}
	trivy := `{"SchemaVersion":2,"Results":[{"Target":"debian","Vulnerabilities":[{"Severity":"LOW"},{"Severity":"MEDIUM"}]},{"Target":"go","Vulnerabilities":null}]}`

	tests := []struct {
		because   string
		demand    policies.VulnerabilityDemand
		predicate string
		refused   string
	}{
		{"Trivy found little", noHigh, scanned(fresh, trivy), ""},
		{"Trivy found something bad", noHigh, scanned(fresh, `{"Results":[{"Vulnerabilities":[{"Severity":"LOW"}]},{"Vulnerabilities":[{"Severity":"CRITICAL"}]}]}`), "it found 1 of severity critical, and at most 0 are tolerated"},
		{"more than is tolerated", noHigh, scanned(fresh, `[{"severity":"medium"},{"severity":"Moderate"},{"severity":"MEDIUM"}]`), "it found 3 of severity medium, and at most 2"},
		{"Grype found little", noHigh, scanned(fresh, `{"matches":[{"vulnerability":{"severity":"Negligible"}}]}`), ""},
		{"Grype found something bad", noHigh, scanned(fresh, `{"matches":[{"vulnerability":{"severity":"High"}}]}`), "it found 1 of severity high"},
		{"Grype found nothing", noHigh, scanned(fresh, `{"matches":[]}`), ""},
		{"a plain list", noHigh, scanned(fresh, `{"vulnerabilities":[{"severity":"low"}]}`), ""},
		{"an empty list", noHigh, scanned(fresh, `[]`), ""},
		{"a severity that is not asked for", policies.VulnerabilityDemand{Max: map[string]int{"critical": 0}}, scanned(fresh, `[{"severity":"high"}]`), ""},
		{"no result", noHigh, `{"scanner":{}}`, "its result is in no form that is known"},
		{"an unknown form", noHigh, scanned(fresh, `{"summary":{"critical":0}}`), "its result is in no form that is known"},
		{"two forms at once", noHigh, scanned(fresh, `{"matches":[],"Results":[{"Vulnerabilities":[]}]}`), "its result is in no form that is known"},
		{"a text", noHigh, scanned(fresh, `"clean"`), "its result is in no form that is known"},
		{"null matches", noHigh, scanned(fresh, `{"matches":null}`), "its result is in no form that is known"},
		{"Trivy scanned nothing", noHigh, scanned(fresh, `{"SchemaVersion":2,"Results":[]}`), "names nothing that was scanned"},
		{"Trivy scanned a text", noHigh, scanned(fresh, `{"Results":["clean"]}`), "names nothing that was scanned"},
		{"an unknown severity", noHigh, scanned(fresh, `[{"severity":"scary"}]`), `of severity "scary", which is not known`},
		{"no severity", noHigh, scanned(fresh, `[{"id":"CVE-2026-1"}]`), `of severity ""`},
		{"a severity that is a number", noHigh, scanned(fresh, `[{"severity":9}]`), `of severity ""`},
		{"findings that are no list", noHigh, scanned(fresh, `{"Results":[{"Vulnerabilities":{}}]}`), "its findings are no list"},
		{"young enough", weekOld, scanned(now.Add(-6*24*time.Hour), trivy), ""},
		{"too old", weekOld, scanned(now.Add(-8*24*time.Hour), trivy), "its scan ended at 2026-02-21T12:00:00Z, and may be 168h old at most"},
		{"in the future", weekOld, scanned(now.Add(time.Hour), trivy), "in the future"},
		{"by a clock that is a little ahead", weekOld, scanned(now.Add(time.Minute), trivy), ""},
		{"without a time", weekOld, `{"scanner":{"result":[]}}`, "does not say when the scan ended"},
		{"with a time that is none", weekOld, `{"metadata":{"scanFinishedOn":"yesterday"}}`, "does not say when the scan ended"},
	}
	for _, tt := range tests {
		t.Run(tt.because, func(t *testing.T) {
			t.Parallel()
			rule := demanding(release, policies.AttestationDemand{Type: "vuln", Vulnerabilities: &tt.demand})
			expect(t, judgeAttested(t, rule, attested{"release", scan, tt.predicate}), tt.refused)
		})
	}
	t.Run("the same evidence grows old", func(t *testing.T) {
		t.Parallel()
		trust := trustOf(t, demanding(release, policies.AttestationDemand{Type: "vuln", Vulnerabilities: &weekOld}))
		web := imageOf("ghcr.io/acme/web", digestA, "Deployment shop/web")
		e := signedBy(trust, web, "release")[web.Pinned()]
		e.Attestations = []policies.Attestation{{By: e.Signatures[0].By, Type: scan, Predicate: []byte(scanned(fresh, trivy))}}
		if !trust.Satisfied(web.Repository, e, now) || trust.Satisfied(web.Repository, e, now.AddDate(0, 0, 8)) || trust.Satisfied(web.Repository, e, time.Time{}) {
			t.Error("satisfied must depend on the time it is asked at, and never be so without one")
		}
	})
}
