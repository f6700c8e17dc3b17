package policies

import (
	"bytes"
	"slices"
)

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
	// Predicate is its content, one JSON value.
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

func (e Evidence) clone() Evidence {
	e.Signatures = slices.Clone(e.Signatures)
	e.Attestations = slices.Clone(e.Attestations)
	for i, a := range e.Attestations {
		e.Attestations[i].Predicate = bytes.Clone(a.Predicate)
	}
	e.Rejected = slices.Clone(e.Rejected)
	return e
}
