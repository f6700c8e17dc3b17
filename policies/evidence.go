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
	// Rejected says why other signatures that were found do not count.
	Rejected []string
}

// Signature is a valid signature on an image digest.
type Signature struct {
	Key string // the trusted key's name
	// KeyID is the trusted key's content, by which rules recognise it: a name
	// may come to mean another key.
	KeyID  string
	Scheme Scheme
}

// Scheme is how a signature is stored in the registry.
type Scheme string

const (
	SchemeTag    Scheme = "tag"    // cosign's sha256-….sig tag
	SchemeBundle Scheme = "bundle" // a Sigstore bundle among the referrers
)

func (e Evidence) clone() Evidence {
	e.Signatures = slices.Clone(e.Signatures)
	e.Rejected = slices.Clone(e.Rejected)
	return e
}
