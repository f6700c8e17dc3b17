package policies

import "slices"

// Evidence is what was found for one image digest.
type Evidence struct {
	// Image is the pinned image: "ghcr.io/acme/web@sha256:…".
	Image string
	// Exists says that the registry served a manifest whose bytes have exactly
	// this digest. Without it nothing else counts.
	Exists bool
	// Problem says why Exists is false: "is not in the registry".
	Problem string
	// Signatures that are valid for exactly this digest.
	Signatures []Signature
	// Attestations that are validly signed and about exactly this digest.
	Attestations []Attestation
	// Rejected says why other signatures and attestations that were found do
	// not count.
	Rejected []string
}

// Signature is a valid signature on an image digest.
type Signature struct {
	By     SignedBy
	Scheme Scheme
}

// Attestation is a validly signed statement about an image digest.
type Attestation struct {
	By     SignedBy
	Scheme Scheme
	// Type is the predicate's type as a URI: "https://slsa.dev/provenance/v1".
	Type string
	// Predicate is its content, one JSON value. It may be large and is shared by
	// everybody who holds the evidence: it must not be changed.
	Predicate []byte
}

// SignedBy is whose valid signature something bears.
type SignedBy struct {
	// Signer is what reports call the key or identity.
	Signer string
	// ID is the trusted signer's content (Signer.ID), by which rules recognise
	// it: a name may come to mean another key.
	ID string
	// Issuer and Subject are the certificate's own; empty for a key.
	Issuer, Subject string
}

// Scheme is how a signature or attestation is stored in the registry.
type Scheme string

const (
	SchemeTag    Scheme = "tag"    // cosign's sha256-….sig and sha256-….att tags
	SchemeBundle Scheme = "bundle" // a Sigstore bundle among the referrers
)

// Signers are the names of those whose signatures count, sorted.
func (e Evidence) Signers() []string {
	var out []string
	for _, s := range e.Signatures {
		out = append(out, s.By.Signer)
	}
	return set(out)
}

// AttestationTypes are the types of the attestations that count, as reports
// call them, sorted: "cyclonedx", "slsaprovenance1".
func (e Evidence) AttestationTypes() []string {
	var out []string
	for _, a := range e.Attestations {
		out = append(out, PredicateName(a.Type))
	}
	return set(out)
}

func (e Evidence) clone() Evidence {
	e.Signatures = slices.Clone(e.Signatures)
	e.Attestations = slices.Clone(e.Attestations)
	e.Rejected = slices.Clone(e.Rejected)
	return e
}
