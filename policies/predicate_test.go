package policies_test

import (
	"strings"
	"testing"

	"github.com/in-toto/in-toto-golang/in_toto"
	slsa02 "github.com/in-toto/in-toto-golang/in_toto/slsa_provenance/v0.2"
	slsa1 "github.com/in-toto/in-toto-golang/in_toto/slsa_provenance/v1"
	"github.com/sigstore/cosign/v2/pkg/cosign/attestation"

	"github.com/pawl-dev/pawl/policies"
)

// The names are the same as in cosign attest --type.
func TestShortNamesAreThoseOfCosign(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"slsaprovenance":   slsa02.PredicateSLSAProvenance,
		"slsaprovenance02": slsa02.PredicateSLSAProvenance,
		"slsaprovenance1":  slsa1.PredicateSLSAProvenance,
		"spdx":             in_toto.PredicateSPDX,
		"spdxjson":         in_toto.PredicateSPDX,
		"cyclonedx":        in_toto.PredicateCycloneDX,
		"link":             in_toto.PredicateLinkV1,
		"vuln":             attestation.CosignVulnProvenanceV01,
		"openvex":          attestation.OpenVexNamespace,
		"custom":           attestation.CosignCustomProvenanceV01,
	} {
		got, err := policies.PredicateType(name)
		if got != want || err != nil {
			t.Errorf("%s is %q (%v), cosign says %q", name, got, err, want)
		}
		if again, err := policies.PredicateType(policies.PredicateName(got)); again != got || err != nil {
			t.Errorf("%s is reported as %q, which means %q (%v)", got, policies.PredicateName(got), again, err)
		}
	}
}

func TestTypesThatCannotBeMeantAreRefused(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"slsaprovenence1":   `did you mean "slsaprovenance1"`,
		"CycloneDX":         `did you mean "cyclonedx"`,
		"sbom":              "give its URI, or one of custom, cyclonedx, link",
		"":                  "give its URI",
		"https://":          "is no URI",
		"https://a b.c/d":   "is no URI",
		"://x":              "is no URI",
		"https://a.dev/x\n": "is no URI",
	} {
		if _, err := policies.PredicateType(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", name, err, want)
		}
	}
	for _, uri := range []string{"https://slsa.dev/provenance/v1", "https://spdx.dev/Document/v2.3", "urn:acme:review"} {
		if got, err := policies.PredicateType(uri); got != uri || err != nil {
			t.Errorf("%q: %q, %v", uri, got, err)
		}
	}
}
