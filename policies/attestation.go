package policies

import "time"

// AttestationDemand asks for a statement about an image. Its conditions are all
// to be met by one and the same attestation.
type AttestationDemand struct {
	// Type is the predicate's type as a URI: "https://slsa.dev/provenance/v1".
	Type string
	// Keys and Identities are who may attest it; the rule's own signers if both
	// are empty. One of them suffices.
	Keys       []Key
	Identities []Identity
	// Every asks that all attestations of the type by these signers meet the
	// conditions, and that there is one. Else one that does is enough.
	Every bool

	Provenance      *ProvenanceDemand
	Vulnerabilities *VulnerabilityDemand
	// Where are CEL expressions over "predicate" that must all be true.
	Where []string
}

// ProvenanceDemand is asked of SLSA provenance, version 0.2 or 1. An empty field asks nothing.
type ProvenanceDemand struct {
	Builder string // the builder's id, exactly, or a pattern with "*"
	Source  string // the source repository: "https://github.com/acme/web"
	Ref     string // the git ref that was built: "refs/heads/main", or a pattern with "*"
}

// VulnerabilityDemand is asked of the result of a vulnerability scan.
type VulnerabilityDemand struct {
	// Max is how many findings of a severity ("critical", "high", …) are
	// tolerated; a severity that is not named is not looked at.
	Max map[string]int
	// MaxAge is how old the scan may be; 0 asks nothing.
	MaxAge time.Duration
}
