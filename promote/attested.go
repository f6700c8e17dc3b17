package promote

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/policies"
)

// attested names what is attested of an image, each once: "SLSA provenance, SBOM".
func attested(e policies.Evidence) []string {
	var names []string
	for _, a := range e.Attestations {
		if name := attestationName(a.Type); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// attestationNames are what people call the types of predicates, by how these
// begin.
var attestationNames = []struct{ prefix, name string }{
	{"https://slsa.dev/provenance/", "SLSA provenance"},
	{"https://slsa.dev/verification_summary/", "passport"},
	{"https://cyclonedx.org/", "SBOM"},
	{"https://spdx.dev/", "SBOM"},
	{"https://cosign.sigstore.dev/attestation/vuln/", "scan"},
	{"https://in-toto.io/attestation/vulns", "scan"},
	{"https://openvex.dev/", "VEX"},
	{"https://in-toto.io/attestation/test-result/", "test result"},
}

// attestationName is short for a predicate's type, escaped: of an unknown one
// its last parts.
func attestationName(predicateType string) string {
	for _, known := range attestationNames {
		if strings.HasPrefix(predicateType, known.prefix) {
			return known.name
		}
	}
	_, rest, ok := strings.Cut(predicateType, "://")
	if !ok {
		rest = predicateType
	}
	if rest == "" {
		return "attestation of no type"
	}
	parts := strings.Split(strings.Trim(rest, "/"), "/")
	return Escape(clip(strings.Join(parts[max(0, len(parts)-2):], "/"), 60))
}

// attestedShown bounds how many attestations of one image are told of.
const attestedShown = 10

// attestedDetails tells of each attestation what people look for in it: "SLSA
// provenance: built from acme/web@77be1c2". What does not say it as expected
// has its name alone; whether it satisfies anything was decided elsewhere.
func attestedDetails(e policies.Evidence) []string {
	var out []string
	for _, a := range e.Attestations {
		text := attestationName(a.Type)
		if more := detail(a); more != "" {
			text += more
		}
		if !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	slices.Sort(out)
	if n := len(out); n > attestedShown {
		out = append(out[:attestedShown], fmt.Sprintf("and %d more", n-attestedShown))
	}
	return out
}

// detailLimit bounds what is read for a detail.
const detailLimit = 8 << 20

func detail(a policies.Attestation) string {
	if len(a.Predicate) > detailLimit {
		return ""
	}
	var p struct {
		// SLSA provenance 1 and 0.2.
		BuildDefinition struct{ ResolvedDependencies []material }
		Invocation      struct{ ConfigSource material }
		// CycloneDX and SPDX.
		Components, Packages json.RawMessage
		SPDXVersion          string
		// cosign's scan, and SLSA's verification summary.
		Metadata     struct{ ScanFinishedOn time.Time }
		TimeVerified time.Time
	}
	// One field of another type than expected does not hide the others.
	var other *json.UnmarshalTypeError
	if err := json.Unmarshal(a.Predicate, &p); err != nil && !errors.As(err, &other) {
		return ""
	}
	switch name := attestationName(a.Type); {
	case name == "SLSA provenance":
		for _, one := range append(p.BuildDefinition.ResolvedDependencies, p.Invocation.ConfigSource) {
			if from := one.String(); from != "" {
				return ": built from " + from
			}
		}
	case name == "SBOM" && p.SPDXVersion != "":
		return inside(p.Packages, "SPDX", "package")
	case name == "SBOM" && strings.HasPrefix(a.Type, "https://cyclonedx.org/"):
		return inside(p.Components, "CycloneDX", "component")
	case name == "scan" && !p.Metadata.ScanFinishedOn.IsZero():
		return " of " + p.Metadata.ScanFinishedOn.UTC().Format(time.DateOnly)
	case name == "passport" && !p.TimeVerified.IsZero():
		return " of " + p.TimeVerified.UTC().Format("2006-01-02 15:04") + " UTC"
	}
	return ""
}

// inside is how much a bill of materials lists; empty if it lists nothing.
func inside(list json.RawMessage, format, word string) string {
	var items []struct{}
	if json.Unmarshal(list, &items) != nil {
		return ""
	}
	return fmt.Sprintf(" (%s, %s)", format, count(len(items), word))
}

// material is what something was built from.
type material struct {
	URI    string
	Digest struct{ GitCommit, SHA1 string }
}

// String is "acme/web@77be1c2"; empty if it does not name a commit of a
// repository.
func (m material) String() string {
	commit := gitsync.Commit(cmp.Or(m.Digest.GitCommit, m.Digest.SHA1))
	where, ok := strings.CutPrefix(m.URI, "git+")
	if !ok || len(commit) < 40 || strings.Trim(string(commit), "0123456789abcdef") != "" {
		return ""
	}
	where, _, _ = strings.Cut(where, "@")
	where = strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(where, "https://"), "github.com/"), ".git")
	if where == "" {
		return ""
	}
	return code(clip(where, 100) + "@" + commit.Short())
}
