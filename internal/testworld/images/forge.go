package images

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	cosignremote "github.com/sigstore/cosign/v2/pkg/oci/remote"
)

// The forgeries here are what an attacker can do who may write to the registry
// and does not have the key. Two more need no help: sign with another key, and
// AttachSignature with bytes that nobody signed.

// SignClaiming signs a statement about claimed and attaches it to image.
func SignClaiming(ctx context.Context, image, claimed name.Digest, key *Key, client ...remote.Option) error {
	text, err := Text(claimed)
	if err != nil {
		return fmt.Errorf("sign %s: %w", claimed, err)
	}
	signature, err := key.SignText(text)
	if err != nil {
		return fmt.Errorf("sign %s: %w", claimed, err)
	}
	return AttachSignature(ctx, image, text, signature, client...)
}

// AttestClaiming attests something about claimed and attaches it to image.
func AttestClaiming(
	ctx context.Context, image, claimed name.Digest, key *Key, predicateType string, predicate any, scheme Scheme, client ...remote.Option,
) error {
	about, err := Statement(claimed, predicateType, predicate, scheme)
	if err != nil {
		return fmt.Errorf("attest %s: %w", claimed, err)
	}
	return AttestBody(ctx, image, key, Body{Content: about, PredicateType: predicateType}, scheme, client...)
}

// CopySignatures puts the .sig and .att tags of one image also on another,
// replacing what it had there.
func CopySignatures(ctx context.Context, from, to name.Digest, client ...remote.Option) error {
	copied := 0
	for _, tagOf := range []func(name.Reference, ...cosignremote.Option) (name.Tag, error){
		cosignremote.SignatureTag, cosignremote.AttestationTag,
	} {
		source, err := tagOf(from)
		if err != nil {
			return fmt.Errorf("copy signatures of %s: %w", from, err)
		}
		target, err := tagOf(to)
		if err != nil {
			return fmt.Errorf("copy signatures to %s: %w", to, err)
		}
		if _, err := remote.Head(source, with(ctx, client)...); err != nil {
			continue
		}
		image, err := remote.Image(source, with(ctx, client)...)
		if err != nil {
			return fmt.Errorf("copy signatures of %s: %w", from, err)
		}
		if err := remote.Write(target, image, with(ctx, client)...); err != nil {
			return fmt.Errorf("copy signatures to %s: %w", to, err)
		}
		copied++
	}
	if copied == 0 {
		return fmt.Errorf("copy signatures of %s: it has none", from)
	}
	return nil
}

// CopyBundles makes the bundles of one image referrers of another too.
func CopyBundles(ctx context.Context, from, to name.Digest, client ...remote.Option) error {
	list, err := cosignremote.Referrers(from, "", options(ctx, client)...)
	if err != nil {
		return fmt.Errorf("copy bundles of %s: %w", from, err)
	}
	copied := 0
	for _, referrer := range list.Manifests {
		bundle, err := cosignremote.Bundle(from.Context().Digest(referrer.Digest.String()), options(ctx, client)...)
		if err != nil {
			continue // a referrer of another kind
		}
		text, err := bundle.MarshalJSON()
		if err != nil {
			return fmt.Errorf("copy bundles of %s: %w", from, err)
		}
		if err := AttachBundle(ctx, to, text, referrer.Annotations["dev.sigstore.bundle.predicateType"], client...); err != nil {
			return err
		}
		copied++
	}
	if copied == 0 {
		return fmt.Errorf("copy bundles of %s: it has none", from)
	}
	return nil
}
