package cosign

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/sigstore/cosign/v2/pkg/oci/static"
	cosigntypes "github.com/sigstore/cosign/v2/pkg/types"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"

	"github.com/pawl-dev/pawl/policies"
)

const (
	bundleType      = "application/vnd.dev.sigstore.bundle"
	predicateTypeIn = "dev.sigstore.bundle.predicateType"
	signatureType   = cosigntypes.CosignSignPredicateType
)

// tag looks at the layers of the image "sha256-….sig" or "sha256-….att", each
// of which is a signature or an attestation.
func (l *looking) tag(ctx context.Context, p place) error {
	what, suffix, largest := signatures, ".sig", int64(maxPayload)
	if p == attestationTag {
		what, suffix, largest = attestations, ".att", maxAttestation
	}
	layers, err := l.layers(ctx, l.repo.Tag(l.digest.Algorithm+"-"+l.digest.Hex+suffix))
	if err != nil {
		return l.unless(err, p, p.String())
	}
	if len(layers) > maxLayers {
		l.cut(p, fmt.Sprintf("%s: it has %d %ss, and only the first %d are looked at", p, len(layers), what, maxLayers))
		layers = layers[:maxLayers]
	}
	var blobs []blob
	for _, layer := range layers {
		b := blob{what: string(what) + " " + short(layer.Digest), Descriptor: layer, largest: largest}
		if _, ok := layer.Annotations[static.SignatureAnnotationKey]; !ok && what == signatures {
			l.reject(p, b.what+": it has no signature in it")
			continue
		}
		blobs = append(blobs, b)
	}
	return l.each(ctx, p, blobs, func(b blob, payload []byte) {
		t := tagged{what: what, payload: payload, annotations: b.Annotations}
		by := l.try(p, b.what, what, t.certificate, func(s signer) (*certificate.Summary, error) {
			if err := t.verify(ctx, s, l.digest); err != nil || s.Identity == nil {
				return nil, err
			}
			c, err := t.certificate()
			if err != nil {
				return nil, err
			}
			return summarize(c)
		})
		if len(by) == 0 {
			return
		}
		if what == signatures {
			for _, by := range by {
				l.acceptSignature(p, by, policies.SchemeTag)
			}
			return
		}
		statement, err := t.statement()
		if err != nil {
			l.reject(p, fmt.Sprintf("%s: %v", b.what, err))
			return
		}
		for _, by := range by {
			l.acceptAttestation(p, by, policies.SchemeTag, statement)
		}
	})
}

// bundles looks at the referrers that are Sigstore bundles.
func (l *looking) bundles(ctx context.Context) error {
	listed, err := l.client.Referrers(ctx, l.repo.Digest(l.digest.String()))
	if err != nil {
		return l.unless(err, referrers, referrers.String())
	}
	// Types and annotations are the registry's word. They only save looking:
	// where attestations are wanted, all are looked at, the likely ones first.
	listed = slices.DeleteFunc(listed, func(d v1.Descriptor) bool {
		other := d.ArtifactType != "" && !strings.HasPrefix(d.ArtifactType, bundleType)
		return other || !l.attestations() && !l.likely(d)
	})
	slices.SortStableFunc(listed, func(a, b v1.Descriptor) int {
		switch likely, other := l.likely(a), l.likely(b); {
		case likely && !other:
			return -1
		case other && !likely:
			return 1
		}
		return 0
	})
	if len(listed) > maxLayers {
		l.cut(referrers, fmt.Sprintf("%s: it has %d bundles, and only the first %d are looked at", referrers, len(listed), maxLayers))
		listed = listed[:maxLayers]
	}
	largest := int64(maxBundle)
	if l.attestations() {
		largest = maxAttestation
	}
	for chunk := range slices.Chunk(listed, atOnce) {
		if l.enough() {
			return nil
		}
		blobs, outage := l.bundleBlobs(ctx, chunk, largest)
		if err := l.each(ctx, referrers, blobs, func(b blob, raw []byte) { l.bundle(ctx, b.what, raw) }); err != nil {
			return err
		}
		if outage != nil && !l.enough() {
			return outage
		}
	}
	return nil
}

// likely says that a referrer's annotation names what is looked for, or nothing.
func (l *looking) likely(d v1.Descriptor) bool {
	says := d.Annotations[predicateTypeIn]
	return says == "" || says == signatureType || slices.Contains(l.wanted.Types, says)
}

func (l *looking) bundle(ctx context.Context, what string, raw []byte) {
	b, err := readBundle(raw)
	if err != nil {
		l.reject(referrers, fmt.Sprintf("%s: %v", what, err))
		return
	}
	kind := attestations
	if b.statement.PredicateType == signatureType {
		kind = signatures
	}
	certified := func() (*x509.Certificate, error) {
		c, err := b.VerificationContent()
		if err != nil {
			return nil, err
		}
		return c.Certificate(), nil
	}
	by := l.try(referrers, what, kind, certified, func(s signer) (*certificate.Summary, error) { return b.verify(ctx, s, l.digest) })
	if len(by) == 0 {
		return
	}
	switch {
	case kind == signatures:
		for _, by := range by {
			l.acceptSignature(referrers, by, policies.SchemeBundle)
		}
	case l.attestations():
		for _, by := range by {
			l.acceptAttestation(referrers, by, policies.SchemeBundle, b.statement)
		}
	default:
		// Any valid attestation would satisfy the library.
		l.reject(referrers, fmt.Sprintf("%s: it attests %q, which is no signature of an image (%s)", what, policies.Clip(b.statement.PredicateType, 100), signatureType))
	}
}

// try verifies one thing by each signer, and says who signed it, or rejects it
// with the reason that helps most.
func (l *looking) try(
	p place, what string, kind content, certified func() (*x509.Certificate, error), verify func(signer) (*certificate.Summary, error),
) []policies.SignedBy {
	var claims *certificate.Summary // by whom the certificate says that it is
	c, problem := certified()
	if problem == nil && c != nil {
		claims, problem = summarize(c)
	}
	var accepted []policies.SignedBy
	var byKey, byIdentity error
	keys := 0
	for _, s := range l.signers {
		if s.Key != nil {
			keys++
			if _, err := verify(s); err != nil {
				byKey = fmt.Errorf("it is no %s of this image by the key %q: %w", kind, s.Name(), err)
				if keys > 1 {
					byKey = fmt.Errorf("it is no %s of this image by any of the trusted keys; for the last one: %w", kind, err)
				}
				continue
			}
			accepted = append(accepted, policies.SignedBy{Signer: s.Name(), ID: s.ID()})
			continue
		}
		if claims == nil || !s.Identity.Matches(claims.Issuer, claims.SubjectAlternativeName) {
			continue
		}
		if s.problem != nil {
			byIdentity = s.problem
			continue
		}
		verified, err := verify(s)
		// The library has compared them too, which is not relied upon.
		if err == nil && (verified == nil || !s.Identity.Matches(verified.Issuer, verified.SubjectAlternativeName)) {
			err = fmt.Errorf("its certificate is not of %s", s)
		}
		if err != nil {
			byIdentity = fmt.Errorf("it is no %s of this image by %s: %w", kind, s, err)
			continue
		}
		accepted = append(accepted, policies.SignedBy{Signer: s.Name(), ID: s.ID(), Issuer: verified.Issuer, Subject: verified.SubjectAlternativeName})
	}
	switch {
	case len(accepted) > 0:
	case byIdentity != nil:
		l.reject(p, fmt.Sprintf("%s: %v", what, byIdentity))
	case claims != nil:
		l.reject(p, fmt.Sprintf("%s: its certificate is of %q by issuer %q, whom no rule names", what, policies.Clip(claims.SubjectAlternativeName, 200), policies.Clip(claims.Issuer, 100)))
	case problem != nil:
		l.reject(p, fmt.Sprintf("%s: %v", what, problem))
	case byKey != nil:
		l.reject(p, fmt.Sprintf("%s: %v", what, byKey))
	default:
		l.reject(p, what+": it was made with a key, and no rule names a key")
	}
	return accepted
}

// summarize reads a certificate, which is a stranger's as long as it was not
// verified.
func summarize(c *x509.Certificate) (s *certificate.Summary, err error) {
	defer noPanic(&err)
	summary, err := certificate.SummarizeCertificate(c)
	if err != nil {
		return nil, fmt.Errorf("its certificate names nobody: %w", err)
	}
	if names := len(c.URIs) + len(c.EmailAddresses) + len(c.DNSNames) + len(c.IPAddresses); names > 1 {
		return nil, fmt.Errorf("its certificate has %d subjects, and one is read", names)
	}
	return &summary, nil
}
