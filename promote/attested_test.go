package promote

import (
	"regexp"
	"strings"
	"testing"

	"github.com/pawl-dev/pawl/policies"
)

// FuzzEvidence: whatever an attestation says, it stays text on one line.
func FuzzEvidence(f *testing.F) {
	for _, predicate := range []string{
		`{"buildDefinition":{"resolvedDependencies":[{"uri":"git+https://github.com/acme/web@refs/heads/main","digest":{"gitCommit":"77be1c2000000000000000000000000000000000"}}]}}`,
		`{"invocation":{"configSource":{"uri":"git+https://<b>|@acme","digest":{"sha1":"77be1c2000000000000000000000000000000000"}}}}`,
		`{"components":[{}],"metadata":{"scanFinishedOn":"2026-11-20T10:00:00Z"},"timeVerified":"2026-11-20T10:00:00Z"}`, `{"spdxVersion":"x","packages":3}`, `[`, ``,
	} {
		for _, kind := range []string{"https://slsa.dev/provenance/v1", "https://cyclonedx.org/bom", "https://spdx.dev/Document", "https://cosign.sigstore.dev/attestation/vuln/v1", "https://slsa.dev/verification_summary/v1", "https://x/<script>|@a"} {
			f.Add(kind, []byte(predicate), "release")
		}
	}
	acts := regexp.MustCompile(`(?i)[<>\n\r]|(?:^|[^a-z0-9])@[a-z0-9]|#\d|://|[^\\]\|`)
	span := regexp.MustCompile("`[a-zA-Z0-9._/:@+=,…-]+`") // acts as nothing
	f.Fuzz(func(t *testing.T, kind string, predicate []byte, signer string) {
		got := evidence(policies.Evidence{
			Signatures:   []policies.Signature{{By: policies.SignedBy{Signer: signer}}},
			Attestations: []policies.Attestation{{Type: kind, Predicate: predicate}},
		})
		plain := span.ReplaceAllString(strings.ReplaceAll(got, zeroWidth, "\u200b"), "")
		plain = strings.NewReplacer("&lt;", "", "&gt;", "", "&amp;", "", `\\`, "").Replace(plain)
		if m := acts.FindString(plain); m != "" {
			t.Errorf("%q of type %q still acts: %q in %q", predicate, kind, m, got)
		}
	})
}
