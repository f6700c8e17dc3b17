package images

import (
	"strings"
	"time"
)

// Predicate is what an attestation says, of a type.
type Predicate struct {
	Type    string
	Content any
}

// Types of predicates, as cosign names them in --type: slsaprovenance1,
// slsaprovenance02, cyclonedx, spdxjson and vuln.
const (
	ProvenanceV1Type  = "https://slsa.dev/provenance/v1"
	ProvenanceV02Type = "https://slsa.dev/provenance/v0.2"
	CycloneDXType     = "https://cyclonedx.org/bom"
	SPDXType          = "https://spdx.dev/Document"
	VulnType          = "https://cosign.sigstore.dev/attestation/vuln/v1"
)

// Build is what provenance says of one.
type Build struct {
	Builder string // "https://github.com/acme/web/.github/workflows/release.yml@refs/heads/main"
	Source  string // "https://github.com/acme/web"
	Ref     string // "refs/heads/main"
	Commit  string
}

// ProvenanceV1 is SLSA provenance 1, as GitHub's attest-build-provenance
// writes it.
func ProvenanceV1(b Build) Predicate {
	return Predicate{ProvenanceV1Type, map[string]any{
		"buildDefinition": map[string]any{
			"buildType": "https://actions.github.io/buildtypes/workflow/v1",
			"externalParameters": map[string]any{
				"workflow": map[string]any{"ref": b.Ref, "repository": b.Source, "path": ".github/workflows/release.yml"},
			},
			"internalParameters": map[string]any{
				"github": map[string]any{"event_name": "push", "repository_id": "1001", "repository_owner_id": "2002", "runner_environment": "github-hosted"},
			},
			"resolvedDependencies": []any{
				map[string]any{"uri": "git+" + b.Source + "@" + b.Ref, "digest": map[string]any{"gitCommit": b.Commit}},
			},
		},
		"runDetails": map[string]any{
			"builder":  map[string]any{"id": b.Builder},
			"metadata": map[string]any{"invocationId": b.Source + "/actions/runs/3003/attempts/1"},
		},
	}}
}

// ProvenanceV02 is SLSA provenance 0.2, as slsa-github-generator writes it for
// containers.
func ProvenanceV02(b Build) Predicate {
	source := map[string]any{"uri": "git+" + b.Source + "@" + b.Ref, "digest": map[string]any{"sha1": b.Commit}}
	return Predicate{ProvenanceV02Type, map[string]any{
		"builder":   map[string]any{"id": b.Builder},
		"buildType": "https://github.com/slsa-framework/slsa-github-generator/container@v1",
		"invocation": map[string]any{
			"configSource": map[string]any{"uri": source["uri"], "digest": source["digest"], "entryPoint": ".github/workflows/release.yml"},
			"parameters":   map[string]any{},
			"environment":  map[string]any{"github_event_name": "push", "github_ref": b.Ref, "github_sha1": b.Commit},
		},
		"metadata":  map[string]any{"buildInvocationID": "3003-1", "completeness": map[string]any{"parameters": true}, "reproducible": false},
		"materials": []any{source},
	}}
}

// CycloneDX is a bill of materials of packages as name@version.
func CycloneDX(packages ...string) Predicate {
	components := []any{}
	for _, one := range packages {
		name, version, _ := strings.Cut(one, "@")
		components = append(components, map[string]any{
			"type": "library", "name": name, "version": version, "purl": "pkg:golang/" + name + "@" + version,
		})
	}
	return Predicate{CycloneDXType, map[string]any{
		"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "serialNumber": "urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79",
		"components": components,
	}}
}

// SPDX is a bill of materials of packages as name@version.
func SPDX(packages ...string) Predicate {
	list := []any{}
	for i, one := range packages {
		name, version, _ := strings.Cut(one, "@")
		list = append(list, map[string]any{
			"SPDXID": "SPDXRef-" + string(rune('a'+i)), "name": name, "versionInfo": version, "downloadLocation": "NOASSERTION",
		})
	}
	return Predicate{SPDXType, map[string]any{
		"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": "image",
		"documentNamespace": "https://sbom.test/image", "packages": list,
		"creationInfo": map[string]any{"created": "2026-11-20T10:00:00Z", "creators": []any{"Tool: test"}},
	}}
}

// Finding is a known vulnerability of an image.
type Finding struct {
	ID       string // "CVE-2026-0001"
	Severity string // "CRITICAL"
}

// Vulnerabilities are what a scan found, as cosign wants it, with the result
// as Trivy writes it.
func Vulnerabilities(scanned time.Time, findings ...Finding) Predicate {
	list := []any{}
	for _, f := range findings {
		list = append(list, map[string]any{"VulnerabilityID": f.ID, "Severity": f.Severity, "PkgName": "openssl"})
	}
	return Predicate{VulnType, map[string]any{
		"invocation": map[string]any{"uri": "https://ci.test/scans/1", "event_id": "1", "builder.id": "scan"},
		"scanner": map[string]any{
			"uri": "pkg:github/aquasecurity/trivy@0.67.0", "version": "0.67.0",
			"db":     map[string]any{"uri": "https://db.test", "version": "2"},
			"result": map[string]any{"Results": []any{map[string]any{"Target": "image", "Vulnerabilities": list}}},
		},
		"metadata": map[string]any{"scanStartedOn": scanned.UTC().Format(time.RFC3339), "scanFinishedOn": scanned.UTC().Format(time.RFC3339)},
	}}
}
