package cosign

import (
	"crypto"
	"errors"
	"fmt"
	"regexp"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/sigstore/cosign/v2/pkg/cosign"
	cosignoci "github.com/sigstore/cosign/v2/pkg/oci"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/pawl-dev/pawl/policies"
)

// content is what was signed in the scheme of tags.
type content string

const (
	signatures   content = "signature"   // cosign's own text, which names a digest
	attestations content = "attestation" // an in-toto statement in an envelope
)

// checkOpts is the only place where CheckOpts are made. cosign's own default
// is open: without a claim verifier it does not compare digests, so that a
// signature copied from another image passes; without a key or an identity any
// certificate does; and its patterns are found anywhere in a name.
//
// For keys the transparency log is ignored. What a log adds to a key that is
// listed here is to find out later that it was misused. Signers without a key
// of their own are another matter: what they must bring is what their root
// demands, and nothing is looked up that they do not bring.
func checkOpts(s signer, scheme policies.Scheme, what content) (*cosign.CheckOpts, error) {
	co := &cosign.CheckOpts{Offline: true}
	switch {
	case scheme == policies.SchemeTag && what == signatures:
		co.ClaimVerifier = cosign.SimpleClaimVerifier
	case scheme == policies.SchemeTag && what == attestations:
		co.ClaimVerifier = statementClaims
	case scheme == policies.SchemeBundle:
		// Claims are checked by the artifact policy, which bundled.verify gives;
		// this stands guard should cosign ever take another way.
		co.ClaimVerifier = statementClaims
		co.NewBundleFormat = true
	default:
		return nil, fmt.Errorf("there is no %q of scheme %q", what, scheme)
	}
	switch {
	case s.Key != nil && s.Identity != nil:
		return nil, errors.New("a signer is a key or an identity, not both")
	case s.Key != nil:
		return co, trustKey(co, *s.Key)
	case s.Identity != nil:
		return co, trustIdentity(co, *s.Identity, s.material)
	}
	return nil, errors.New("without a signer, everybody's signature would count")
}

func trustKey(co *cosign.CheckOpts, k policies.Key) error {
	if k.Public() == nil {
		return fmt.Errorf("%s was not checked by policies.NewTrust", k)
	}
	// SHA-256 whatever the curve, as cosign signs with key pairs.
	verifier, err := signature.LoadVerifier(k.Public(), crypto.SHA256)
	if err != nil {
		return fmt.Errorf("%s cannot verify: %w", k, err)
	}
	co.SigVerifier, co.IgnoreTlog = verifier, true
	if co.NewBundleFormat {
		co.TrustedMaterial = root.TrustedMaterialCollection{} // nothing but the key
	}
	return nil
}

func trustIdentity(co *cosign.CheckOpts, i policies.Identity, m *material) error {
	switch {
	case i.ID() == "":
		return fmt.Errorf("the identity %q was not checked by policies.NewTrust", i.Name)
	case m == nil || m.root == nil:
		return fmt.Errorf("the trust root %q was not read", i.Root.Name)
	case !i.Root.TransparencyLog && !i.Root.Timestamp:
		// cosign would take the present time, and with it a stolen key.
		return fmt.Errorf("the trust root %q demands neither a log entry nor a timestamp", i.Root.Name)
	}
	issuer, err := anchored(i.IssuerPattern)
	if err != nil {
		return err
	}
	subject, err := anchored(i.SubjectPattern)
	if err != nil {
		return err
	}
	if i.Issuer+issuer == "" || i.Subject+subject == "" {
		return fmt.Errorf("the identity %q names no issuer or no subject, and would be anybody", i.Name)
	}
	co.Identities = []cosign.Identity{{Issuer: i.Issuer, IssuerRegExp: issuer, Subject: i.Subject, SubjectRegExp: subject}}
	co.TrustedMaterial = m.root
	co.IgnoreTlog = !i.Root.TransparencyLog
	co.UseSignedTimestamps = i.Root.Timestamp
	co.IgnoreSCT = !i.Root.CertificateLog
	return nil
}

// statementClaims compares the digest with a statement's subjects. cosign's own
// reads leniently, and builds the whole predicate only to drop it.
func statementClaims(sig cosignoci.Signature, digest v1.Hash, _ map[string]any) error {
	envelope, err := sig.Payload()
	if err != nil {
		return err
	}
	s, err := tagged{what: attestations, payload: envelope}.statement()
	if err == nil && !s.about(digest) {
		err = errors.New("its statement is about another digest")
	}
	return err
}

// anchored makes a pattern one of the whole text; cosign looks for it anywhere
// in it. By itself first: in parentheses, "a)|(?:b" would be well-formed.
func anchored(pattern string) (string, error) {
	if pattern == "" {
		return "", nil
	}
	if _, err := regexp.Compile(pattern); err != nil {
		return "", fmt.Errorf("pattern %q: %w", policies.Clip(pattern, 100), err)
	}
	return `\A(?:` + pattern + `)\z`, nil
}

// noPanic makes a panic of a library, which here reads what strangers pushed,
// a signature that does not count.
func noPanic(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: %v", errPanicked, p)
	}
}

func guarded(f func()) (err error) {
	defer noPanic(&err)
	f()
	return nil
}

var errPanicked = errors.New("reading it failed")
