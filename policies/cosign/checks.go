package cosign

import (
	"context"
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/sigstore/cosign/v2/pkg/cosign"
	cosignoci "github.com/sigstore/cosign/v2/pkg/oci"
	cosigntypes "github.com/sigstore/cosign/v2/pkg/types"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/pawl-dev/pawl/policies"
)

// checkOpts is the only place where CheckOpts are made. cosign's own default
// is open: without a claim verifier it does not compare digests, so that a
// signature copied from another image passes, and without a key any
// certificate does.
//
// The transparency log is ignored, for both schemes. What a log adds to a key
// that is listed here is to find out later that it was misused; demanding an
// entry would take Rekor's own keys, which come over the network. Signers
// without a key of their own are another matter: they need the log.
func checkOpts(key policies.Key, scheme policies.Scheme) (*cosign.CheckOpts, error) {
	if key.Public() == nil {
		return nil, fmt.Errorf("%s was not checked by policies.NewTrust", key)
	}
	// SHA-256 whatever the curve, as cosign signs with key pairs.
	verifier, err := signature.LoadVerifier(key.Public(), crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("%s cannot verify: %w", key, err)
	}
	co := &cosign.CheckOpts{SigVerifier: verifier, IgnoreTlog: true, Offline: true}
	switch scheme {
	case policies.SchemeTag:
		co.ClaimVerifier = cosign.SimpleClaimVerifier
	case policies.SchemeBundle:
		// Claims are checked by the artifact policy, which verifyBundle gives;
		// this stands guard should cosign ever take another way.
		co.ClaimVerifier = cosign.IntotoSubjectClaimVerifier
		co.NewBundleFormat = true
		co.TrustedMaterial = root.TrustedMaterialCollection{} // nothing but the key
	default:
		return nil, fmt.Errorf("signature scheme %q is unknown", scheme)
	}
	return co, nil
}

// verifyTag reports whether key made the signature for exactly this digest.
func verifyTag(ctx context.Context, key policies.Key, sig cosignoci.Signature, digest v1.Hash) (err error) {
	defer noPanic(&err)
	co, err := checkOpts(key, policies.SchemeTag)
	if err != nil {
		return err
	}
	_, err = cosign.VerifyImageSignature(ctx, sig, digest, co)
	return err
}

// verifyBundle reports whether key made the bundle, as a signature of an
// image and for exactly this digest. Any valid attestation by the key
// satisfies the library, so what it attests is checked here.
func verifyBundle(ctx context.Context, key policies.Key, b *bundle.Bundle, digest v1.Hash) (err error) {
	defer noPanic(&err)
	co, err := checkOpts(key, policies.SchemeBundle)
	if err != nil {
		return err
	}
	raw, err := hex.DecodeString(digest.Hex)
	if err != nil {
		return err
	}
	result, err := cosign.VerifyNewBundle(ctx, co, verify.WithArtifactDigest(digest.Algorithm, raw), b)
	if err != nil {
		return err
	}
	if result.Statement == nil {
		return errors.New("it is a signature of bytes and says nothing about an image")
	}
	if t := result.Statement.GetPredicateType(); t != cosigntypes.CosignSignPredicateType {
		return fmt.Errorf("it attests %q, which is no signature of an image (%s)", clip(t, 100), cosigntypes.CosignSignPredicateType)
	}
	return nil
}

// noPanic makes a panic of a library, which here reads what strangers pushed,
// a signature that does not count.
func noPanic(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("reading it failed: %v", p)
	}
}
