package policies

// Evidence is what was found for one image digest.
type Evidence struct {
	// Image is the pinned image: "ghcr.io/acme/web@sha256:…".
	Image string
	// Signatures that are valid for exactly this digest.
	Signatures []Signature
	// Rejected says why other signatures that were found do not count.
	Rejected []string
}

// Signature is a valid signature on an image digest.
type Signature struct {
	Key    string // the trusted key's name
	Scheme Scheme
}

// Scheme is how a signature is stored in the registry.
type Scheme string

const (
	SchemeTag    Scheme = "tag"    // cosign's sha256-….sig tag
	SchemeBundle Scheme = "bundle" // a Sigstore bundle among the referrers
)
