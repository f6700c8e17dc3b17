package cosign

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/sigstore/cosign/v2/pkg/cosign"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/pawl-dev/pawl/policies"
)

// bundled is a Sigstore bundle around a statement.
type bundled struct {
	*bundle.Bundle
	envelope  *dsse.Envelope
	statement statement
}

// readBundle reads what a stranger pushed. Nothing of it counts until verify
// says so.
func readBundle(raw []byte) (_ *bundled, err error) {
	defer noPanic(&err)
	b := &bundled{Bundle: &bundle.Bundle{}}
	if err := b.UnmarshalJSON(raw); err != nil {
		return nil, fmt.Errorf("it is no Sigstore bundle: %w", err)
	}
	if !b.MinVersion("v0.3") {
		return nil, errors.New("it is of a version before 0.3")
	}
	signed, err := b.Bundle.SignatureContent()
	if err != nil {
		return nil, fmt.Errorf("its signature cannot be read: %w", err)
	}
	envelope := signed.EnvelopeContent()
	if envelope == nil {
		return nil, errors.New("it is a signature of bytes and says nothing about an image")
	}
	b.envelope = envelope.RawEnvelope()
	if b.envelope.PayloadType != payloadType {
		return nil, fmt.Errorf("its envelope holds %q, which is no in-toto statement (%s)", policies.Clip(b.envelope.PayloadType, 100), payloadType)
	}
	if n := len(b.envelope.Signatures); n != 1 {
		return nil, fmt.Errorf("its envelope has %d signatures, and one is read", n)
	}
	payload, err := b.envelope.DecodeB64Payload()
	if err != nil {
		return nil, errors.New("the payload of its envelope is not base64")
	}
	if b.statement, err = readStatement(payload); err != nil {
		return nil, err
	}
	return b, nil
}

// verify reports whether the signer signed this for exactly this digest, as
// the certificate that was verified says for an identity.
func (b *bundled) verify(ctx context.Context, s signer, digest v1.Hash) (by *certificate.Summary, err error) {
	defer noPanic(&err)
	co, err := checkOpts(s, policies.SchemeBundle, attestations)
	if err != nil {
		return nil, err
	}
	if s.Identity != nil {
		if err := b.demanded(s.Identity.Root); err != nil {
			return nil, err
		}
	}
	raw, err := hex.DecodeString(digest.Hex)
	if err != nil {
		return nil, err
	}
	result, err := cosign.VerifyNewBundle(ctx, co, verify.WithArtifactDigest(digest.Algorithm, raw), b)
	if err != nil {
		return nil, explain(err)
	}
	if result.Statement == nil || result.Signature == nil {
		return nil, errors.New("it is a signature of bytes and says nothing about an image")
	}
	return result.Signature.Certificate, nil
}

// demanded says what is missing of that which the root demands. The verifier
// refuses it as well, in other words.
func (b *bundled) demanded(r policies.Root) error {
	content, err := b.VerificationContent()
	if err != nil {
		return fmt.Errorf("its certificate cannot be read: %w", err)
	}
	c := content.Certificate()
	if c == nil {
		return errors.New("it has no certificate")
	}
	entries, err := b.TlogEntries()
	if err != nil {
		return fmt.Errorf("its entry in the transparency log cannot be read: %w", err)
	}
	stamps, err := b.Timestamps()
	if err != nil {
		return fmt.Errorf("its timestamp cannot be read: %w", err)
	}
	if err := missing(r, c, len(entries) > 0, len(stamps) > 0); err != nil {
		return err
	}
	var times []time.Time
	for _, e := range entries {
		if t := e.IntegratedTime(); r.TransparencyLog && !t.IsZero() {
			times = append(times, t)
		}
	}
	return outside(c, times)
}

// SignatureContent gives the verifier the statement without its predicate: it
// compares the subjects, and would build a tree of a hundred megabytes out of
// the predicate of a large bill of materials, twice. What is signed are the
// envelope's bytes, which are all there.
func (b *bundled) SignatureContent() (verify.SignatureContent, error) { return b, nil }

func (b *bundled) Signature() []byte {
	signature, err := base64.StdEncoding.DecodeString(b.envelope.Signatures[0].Sig)
	if err != nil {
		return nil
	}
	return signature
}

func (b *bundled) EnvelopeContent() verify.EnvelopeContent                 { return b }
func (b *bundled) MessageSignatureContent() verify.MessageSignatureContent { return nil }
func (b *bundled) RawEnvelope() *dsse.Envelope                             { return b.envelope }

func (b *bundled) Statement() (*intoto.Statement, error) {
	s := &intoto.Statement{Type: statementTypes[1], PredicateType: b.statement.PredicateType}
	for _, digest := range b.statement.subjects {
		s.Subject = append(s.Subject, &intoto.ResourceDescriptor{Digest: map[string]string{"sha256": digest}})
	}
	return s, nil
}
