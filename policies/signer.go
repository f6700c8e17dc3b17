package policies

import "crypto"

// Signer is who may sign: exactly one of Key and Identity is set.
type Signer struct {
	Key      *Key
	Identity *Identity
}

// ID identifies the signer by content; empty unless NewTrust made it.
func (s Signer) ID() string {
	if s.Key != nil {
		return s.Key.id
	}
	if s.Identity != nil {
		return s.Identity.id
	}
	return ""
}

// Name is what reports call the signer.
func (s Signer) Name() string {
	if s.Key != nil {
		return s.Key.Name
	}
	if s.Identity != nil {
		return s.Identity.Name
	}
	return ""
}

// Key is a public key whose signatures count.
type Key struct {
	// Name is what reports call the key.
	Name string
	// File is where PEM was read, for messages only.
	File string
	// PEM is the public key as "cosign generate-key-pair" writes it.
	PEM []byte

	id     string
	public crypto.PublicKey
}

// ID identifies the key by its content, "sha256:…"; empty unless NewTrust made it.
func (k Key) ID() string { return k.id }

// Public is the parsed key; nil unless NewTrust made it.
func (k Key) Public() crypto.PublicKey { return k.public }

// Identity is a signer without a key of its own: whoever proves to an issuer
// to be the subject gets a certificate for a few minutes (keyless signing).
type Identity struct {
	// Name is what reports call the identity.
	Name string
	// Issuer is the exact OpenID Connect issuer; or IssuerPattern a regular
	// expression (RE2) that the whole issuer must match. Exactly one is set, and
	// likewise of Subject and SubjectPattern.
	Issuer, IssuerPattern   string
	Subject, SubjectPattern string
	// Root is whose certificates, logs and timestamps count.
	Root Root

	id string
}

// ID identifies the identity and its root by content, "sha256:…"; empty unless
// NewTrust made it.
func (i Identity) ID() string { return i.id }

// Root is a Sigstore trust root.
type Root struct {
	// Name is what configuration and reports call it.
	Name string
	// JSON is the trusted_root.json.
	JSON []byte
	// What a signature must bring beside its certificate: an entry in the
	// transparency log, a timestamp by the root's authority, and proof that the
	// certificate was logged. One of the first two is always demanded: nothing
	// else says that the certificate was valid when it was used.
	TransparencyLog, Timestamp, CertificateLog bool
}
