package gitsync

import (
	"fmt"
	"strings"
	"time"
)

// Signature is what a commit object holds to prove who made it. The zero
// Signature is that of an unsigned commit.
type Signature struct {
	// Text is the armored signature as it stands in the commit.
	Text string
	// Payload is what was signed: the commit object without its signature.
	// Empty where there is no signature.
	Payload []byte
}

// SignatureKind is a way to sign commits.
type SignatureKind string

const (
	OpenPGP SignatureKind = "OpenPGP" // by gpg, or by GitHub for what is done on its site
	SSH     SignatureKind = "SSH"
)

// SignedBy says whose signature a commit bears.
type SignedBy struct {
	Signer string // Signer.Name
	Kind   SignatureKind
	Key    string // the fingerprint of the key, as gpg or ssh-keygen show it
}

// SignatureProblem is why a signature does not count.
type SignatureProblem string

const (
	Unsigned             SignatureProblem = "Unsigned"
	UnknownKey           SignatureProblem = "UnknownKey"
	KeyExpired           SignatureProblem = "KeyExpired"   // or is not valid yet
	KeyRevoked           SignatureProblem = "KeyRevoked"   // by its owner
	KeyMisused           SignatureProblem = "KeyMisused"   // the key, or the signature, is not meant for commits
	WrongContent         SignatureProblem = "WrongContent" // a signature, but not of this commit
	WeakSignature        SignatureProblem = "WeakSignature"
	UnsupportedSignature SignatureProblem = "UnsupportedSignature"
	MalformedSignature   SignatureProblem = "MalformedSignature"
)

// SignatureRefused says why a commit's signature does not count. Its text goes
// on after the name of a commit: "is not signed".
type SignatureRefused struct {
	Problem SignatureProblem
	Kind    SignatureKind // empty where that cannot be told
	// Key is the fingerprint or id of the key that the signature names, by its
	// own word, so that people can find it. It may be empty.
	Key    string
	Signer string // whose key that is, where it is configured
	Detail string
}

func (e *SignatureRefused) Error() string {
	key := strings.TrimSpace(fmt.Sprintf("%s key %s", e.Kind, e.Key))
	if e.Signer != "" {
		key += " of " + e.Signer
	}
	var text string
	switch e.Problem {
	case Unsigned:
		text = "is not signed"
	case UnknownKey:
		text = "is signed by the " + key + ", which is none of the configured signers'"
	case KeyExpired:
		text = "is signed by the " + key + ", which is expired or not valid yet"
	case KeyRevoked:
		text = "is signed by the " + key + ", which its owner revoked"
	case KeyMisused:
		text = "bears a signature that is not meant for commits"
	case WrongContent:
		text = "bears a signature by the " + key + " that is of something else"
	case WeakSignature:
		text = "is signed in a way that can be forged"
	case UnsupportedSignature:
		text = "is signed in a way that is not supported"
	default:
		text = "bears a malformed signature"
	}
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}

// Hint is the next step.
func (e *SignatureRefused) Hint() string {
	switch e.Problem {
	case Unsigned:
		return "Sign commits: git config commit.gpgSign true."
	case UnknownKey:
		return "If that key is to be trusted, add it to the signers in the agent's configuration."
	case KeyExpired:
		return "Have the owner extend the key and put the renewed public key into the agent's configuration, or sign with another."
	default:
		return "Commit anew, signed with a key of a configured signer."
	}
}

// The largest that is looked at; the largest real ones are a tenth of it.
const (
	mostSignature = 64 << 10
	mostKeyText   = 1 << 20
)

const (
	beginOpenPGP = "-----BEGIN PGP SIGNATURE-----"
	beginSSH     = "-----BEGIN SSH SIGNATURE-----"
	beginX509    = "-----BEGIN SIGNED MESSAGE-----"
)

// Verify says who signed, or why the signature does not count, as a
// *SignatureRefused.
//
// A key must be valid now, not at the commit's date or the signature's own:
// those are claims of the signer, and whoever got hold of an old key would claim
// the time when it was good. So a commit that was fine when it was made is
// refused once its key has expired; what runs by then keeps running.
func (s Signers) Verify(sig Signature, now time.Time) (SignedBy, error) {
	text := strings.TrimSpace(sig.Text)
	switch {
	case text == "":
		return SignedBy{}, &SignatureRefused{Problem: Unsigned}
	case len(text) > mostSignature:
		return SignedBy{}, malformed("", fmt.Sprintf("it takes more than %d KiB", mostSignature>>10))
	case strings.HasPrefix(text, beginX509):
		return SignedBy{}, &SignatureRefused{Problem: UnsupportedSignature, Detail: "it is an X.509 signature, as gitsign and S/MIME make; sign with SSH or OpenPGP"}
	case strings.Count(text, "-----BEGIN") > 1:
		return SignedBy{}, malformed("", "there is more than one")
	case strings.HasPrefix(text, beginOpenPGP):
		return s.verifyOpenPGP(text, sig.Payload, now)
	case strings.HasPrefix(text, beginSSH):
		return s.verifySSH(text, sig.Payload, now)
	default:
		return SignedBy{}, malformed("", "it is neither an OpenPGP nor an SSH signature")
	}
}

func malformed(kind SignatureKind, detail string) *SignatureRefused {
	return &SignatureRefused{Problem: MalformedSignature, Kind: kind, Detail: detail}
}
