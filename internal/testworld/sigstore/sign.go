package sigstore

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/sigstore/cosign/v2/pkg/cosign"
	"github.com/sigstore/cosign/v2/pkg/cosign/bundle"
	"github.com/sigstore/cosign/v2/pkg/oci/static"
	"github.com/sigstore/cosign/v2/pkg/types"
	rekorpb "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/pawl-dev/pawl/internal/testworld/images"
)

// Sign signs the image by an identity, as `cosign sign` does.
func (s *Sigstore) Sign(ctx context.Context, image name.Digest, by Identity, scheme images.Scheme, client ...remote.Option) error {
	return s.SignInAWay(ctx, image, by, scheme, Way{}, client...)
}

// SignInAWay signs the image genuinely or not.
func (s *Sigstore) SignInAWay(
	ctx context.Context, image name.Digest, by Identity, scheme images.Scheme, way Way, client ...remote.Option,
) error {
	if scheme == images.Bundle {
		return s.AttestInAWay(ctx, image, by, images.SignatureType, nil, scheme, way, client...)
	}
	text, err := images.Text(way.about(image))
	if err != nil {
		return fmt.Errorf("sign %s: %w", image, err)
	}
	made, err := s.make(ctx, by, scheme, way, func(signer *images.Key) (signed, error) {
		signature, err := signer.SignText(text)
		return signed{text: text, message: text, signature: signature}, err
	})
	if err != nil {
		return fmt.Errorf("sign %s: %w", image, err)
	}
	layer, err := static.NewSignature(text, base64.StdEncoding.EncodeToString(made.signature), made.beside()...)
	if err != nil {
		return fmt.Errorf("sign %s: %w", image, err)
	}
	return images.AttachSigned(ctx, image, layer, client...)
}

// Attest says something about the image by an identity, as `cosign attest`
// and GitHub's attestations do.
func (s *Sigstore) Attest(
	ctx context.Context, image name.Digest, by Identity, predicateType string, predicate any, scheme images.Scheme, client ...remote.Option,
) error {
	return s.AttestInAWay(ctx, image, by, predicateType, predicate, scheme, Way{}, client...)
}

// AttestInAWay says it genuinely or not.
func (s *Sigstore) AttestInAWay(
	ctx context.Context, image name.Digest, by Identity, predicateType string, predicate any, scheme images.Scheme, way Way,
	client ...remote.Option,
) error {
	statement, err := images.Statement(way.about(image), predicateType, predicate, scheme)
	if err != nil {
		return fmt.Errorf("attest %s: %w", image, err)
	}
	return s.AttestBody(ctx, image, by, images.Body{Content: statement, PredicateType: predicateType}, scheme, way, client...)
}

// AttestBody signs an envelope around anything, and attaches it.
func (s *Sigstore) AttestBody(
	ctx context.Context, image name.Digest, by Identity, body images.Body, scheme images.Scheme, way Way, client ...remote.Option,
) error {
	made, err := s.make(ctx, by, scheme, way, func(signer *images.Key) (signed, error) {
		envelope, err := signer.SignEnvelope(body)
		if err != nil {
			return signed{}, err
		}
		signature, err := cosign.GetDSSESigBytes(envelope)
		// What cosign has timestamped: in a bundle the signature, in a tag all.
		stamped := signature
		if scheme == images.Tag {
			stamped = envelope
		}
		message := dsse.PAE(cmp.Or(body.PayloadType, types.IntotoPayloadType), body.Content)
		return signed{envelope: envelope, message: message, signature: signature, stamped: stamped}, err
	})
	if err != nil {
		return fmt.Errorf("attest %s: %w", image, err)
	}
	if scheme == images.Tag {
		return images.AttachAttested(ctx, image, made.envelope, body.PredicateType, made.beside(), client...)
	}
	packed, err := bundle.MakeNewBundle(nil, made.entry, body.Content, made.envelope, made.certificate, made.timestamp)
	if err == nil && made.tile != nil {
		packed, err = withTile(packed, made.tile)
	}
	if err != nil {
		return fmt.Errorf("make a Sigstore bundle for %s: %w", image, err)
	}
	return images.AttachBundle(ctx, image, packed, body.PredicateType, client...)
}

// signed is a signature and all that proves who made it and when.
type signed struct {
	text      []byte // or
	envelope  []byte
	message   []byte // of which the signature is
	signature []byte
	stamped   []byte // by the timestamp authority; nil is the signature

	certificate, chain []byte // PEM
	entry              *models.LogEntryAnon
	tile               *rekorpb.TransparencyLogEntry // instead of entry
	timestamp          []byte
}

// beside is what goes into the annotations of cosign's tags.
func (m signed) beside() []static.Option {
	options := []static.Option{static.WithCertChain(m.certificate, m.chain)}
	if m.entry != nil {
		options = append(options, static.WithBundle(bundle.EntryToBundle(m.entry)))
	}
	if m.timestamp != nil {
		options = append(options, static.WithRFC3161Timestamp(bundle.TimestampToRFC3161Timestamp(m.timestamp)))
	}
	return options
}

func (w Way) about(image name.Digest) name.Digest {
	if w.Claiming != nil {
		return *w.Claiming
	}
	return image
}

// by is who makes a part.
func (w Way) by(s *Sigstore, p Part) (*Sigstore, error) {
	if p != Strange {
		return s, nil
	}
	if w.Stranger == nil {
		return nil, fmt.Errorf("a strange part needs a Stranger")
	}
	return w.Stranger, nil
}

// make signs by a new key, has it certified, logged and timestamped.
func (s *Sigstore) make(
	ctx context.Context, by Identity, scheme images.Scheme, way Way, sign func(*images.Key) (signed, error),
) (signed, error) {
	if way.Tiles && scheme != images.Bundle {
		return signed{}, errors.New("entries of Rekor 2 are in bundles only")
	}
	if way.At.IsZero() {
		way.At = time.Now()
	}
	if way.CertifiedAt.IsZero() {
		way.CertifiedAt = way.At
	}
	signer, err := images.NewKey()
	if err != nil {
		return signed{}, err
	}
	made, err := sign(signer)
	if err != nil {
		return signed{}, err
	}
	if made.certificate, made.chain, err = s.certificate(by, way, signer); err != nil {
		return signed{}, fmt.Errorf("certify %s: %w", by.Subject, err)
	}
	if made.entry, made.tile, err = s.entry(ctx, way, signer, made); err != nil {
		return signed{}, fmt.Errorf("log a signature by %s: %w", by.Subject, err)
	}
	if made.timestamp, err = s.timestamp(way, made); err != nil {
		return signed{}, fmt.Errorf("timestamp a signature by %s: %w", by.Subject, err)
	}
	return made, nil
}

func (s *Sigstore) certificate(by Identity, way Way, signer *images.Key) (certificate, chain []byte, err error) {
	issuing, err := way.by(s, way.Certificate)
	if err != nil {
		return nil, nil, err
	}
	logging, err := way.by(s, way.SCT)
	if err != nil {
		return nil, nil, err
	}
	sct := func(pre, issuer *x509.Certificate) (pkix.Extension, error) {
		return logging.ct.promise(way.CertifiedAt, pre, issuer)
	}
	switch way.SCT {
	case Missing:
		sct = nil
	case OfAnother:
		sct = func(_, _ *x509.Certificate) (pkix.Extension, error) {
			return logging.ct.unrelated(issuing.fulcio, way.CertifiedAt)
		}
	}
	public, err := signer.Verifier().PublicKey()
	if err != nil {
		return nil, nil, err
	}
	issued, err := issuing.fulcio.certify(by, public, way.CertifiedAt, sct)
	if err != nil {
		return nil, nil, err
	}
	if certificate, err = cryptoutils.MarshalCertificateToPEM(issued); err != nil {
		return nil, nil, err
	}
	chain, err = issuing.fulcio.chain()
	return certificate, chain, err
}

func (s *Sigstore) entry(ctx context.Context, way Way, signer *images.Key, made signed) (*models.LogEntryAnon, *rekorpb.TransparencyLogEntry, error) {
	log, err := way.by(s, way.Entry)
	if err != nil {
		return nil, nil, err
	}
	switch way.Entry {
	case Missing:
		return nil, nil, nil
	case OtherKey:
		if made.certificate, err = otherKey(made, signer); err != nil {
			return nil, nil, err
		}
	case OfAnybody:
		somebody, err := images.NewKey()
		if err != nil {
			return nil, nil, err
		}
		signer, made.certificate = somebody, somebody.Public()
		fallthrough
	case OfAnother:
		if made, err = another(signer, made); err != nil {
			return nil, nil, err
		}
	}
	if way.Tiles {
		entry, err := log.tiles.add(made.envelope, made.certificate)
		return nil, entry, err
	}
	var body []byte
	if made.envelope != nil {
		body, err = entryOfEnvelope(ctx, made.envelope, made.certificate)
	} else {
		body, err = entryOfText(ctx, sha256.Sum256(made.text), made.signature, made.certificate)
	}
	if err != nil {
		return nil, nil, err
	}
	entry, err := log.rekor.add(ctx, body, way.At)
	return entry, nil, err
}

// another signs something else, keeping the certificate.
func another(signer *images.Key, made signed) (signed, error) {
	var err error
	if made.envelope == nil {
		made.text = []byte("another text")
		made.signature, err = signer.SignText(made.text)
		return made, err
	}
	made.envelope, err = signer.SignEnvelope(images.Body{Content: []byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[]}`)})
	return made, err
}

func (s *Sigstore) timestamp(way Way, made signed) ([]byte, error) {
	authority, err := way.by(s, way.Timestamp)
	if err != nil || way.Timestamp == Missing {
		return nil, err
	}
	bytes := made.stamped
	if bytes == nil {
		bytes = made.signature
	}
	if way.Timestamp == OfAnother {
		bytes = []byte("other bytes")
	}
	return authority.tsa.stamp(bytes, way.At)
}
