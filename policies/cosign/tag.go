package cosign

import (
	"context"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/sigstore/cosign/v2/pkg/cosign"
	cosignbundle "github.com/sigstore/cosign/v2/pkg/cosign/bundle"
	cosignoci "github.com/sigstore/cosign/v2/pkg/oci"
	"github.com/sigstore/cosign/v2/pkg/oci/static"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/pawl-dev/pawl/policies"
)

// tagged is a layer of the images "sha256-….sig" and "sha256-….att".
type tagged struct {
	what        content
	payload     []byte
	annotations map[string]string
}

// maxCertificate is more than a certificate takes; strangers may write any.
const maxCertificate = 32 << 10

// certificate is what stands beside a signature; nil if nothing does.
func (t tagged) certificate() (*x509.Certificate, error) {
	text := t.annotations[static.CertificateAnnotationKey]
	switch {
	case text == "":
		return nil, nil
	case len(text) > maxCertificate:
		return nil, errors.New("its certificate is too large")
	}
	certificates, err := cryptoutils.UnmarshalCertificatesFromPEM([]byte(text))
	if err != nil || len(certificates) == 0 {
		return nil, errors.New("its certificate cannot be read")
	}
	return certificates[0], nil
}

// verify reports whether the signer signed this for exactly this digest.
func (t tagged) verify(ctx context.Context, s signer, digest v1.Hash) (err error) {
	defer noPanic(&err)
	co, err := checkOpts(s, policies.SchemeTag, t.what)
	if err != nil {
		return err
	}
	// Not VerifyImageAttestation: it verifies in goroutines of its own, where a
	// panic would end the agent.
	verify := cosign.VerifyImageSignature
	if t.what == attestations {
		verify = cosign.VerifyBlobAttestation
		if err := t.soleSignature(); err != nil {
			return err
		}
	}
	if s.Key != nil {
		// A certificate or a log entry beside it is left out: the key decides.
		sig, err := static.NewSignature(t.payload, t.annotations[static.SignatureAnnotationKey])
		if err != nil {
			return err
		}
		_, err = verify(ctx, sig, digest, co)
		return err
	}
	certificate, sig, times, err := t.keyless(s)
	if err != nil {
		return err
	}
	if _, err := verify(ctx, sig, digest, co); err != nil {
		return explain(err)
	}
	// cosign has checked the certificate's chain for the moment of its issue,
	// which a stolen key of an authority can put before the authority's end.
	for _, t := range times {
		if _, err := verifyLeaf(t, certificate, s); err != nil {
			return fmt.Errorf("its certificate was not valid when it was used, %s", when(t))
		}
	}
	return nil
}

// keyless is the signature with all that the signer's root demands beside it,
// and the moments of its use that the signature's proofs tell. cosign itself
// goes by the present time where a demanded timestamp is missing, and panics
// where one is of other bytes.
func (t tagged) keyless(s signer) (*x509.Certificate, cosignoci.Signature, []time.Time, error) {
	certificate, err := t.certificate()
	if err != nil {
		return nil, nil, nil, err
	}
	if certificate == nil {
		return nil, nil, nil, errors.New("it has no certificate")
	}
	entry, err := t.entry()
	if err != nil {
		return nil, nil, nil, err
	}
	stamp, err := t.timestamp()
	if err != nil {
		return nil, nil, nil, err
	}
	demands := s.Identity.Root
	if err := missing(demands, certificate, entry != nil, stamp != nil); err != nil {
		return nil, nil, nil, err
	}
	// The chain beside it is left out: the root's authorities decide.
	beside := []static.Option{static.WithCertChain([]byte(t.annotations[static.CertificateAnnotationKey]), nil)}
	var times []time.Time
	if demands.TransparencyLog {
		beside = append(beside, static.WithBundle(entry))
		times = append(times, time.Unix(entry.Payload.IntegratedTime, 0))
	}
	if demands.Timestamp {
		beside = append(beside, static.WithRFC3161Timestamp(stamp))
		at, err := t.stampedAt(s, stamp)
		if err != nil {
			return nil, nil, nil, err
		}
		times = append(times, at)
	}
	if err := outside(certificate, times); err != nil {
		return nil, nil, nil, err
	}
	sig, err := static.NewSignature(t.payload, t.annotations[static.SignatureAnnotationKey], beside...)
	return certificate, sig, times, err
}

// entry is the one of the transparency log; nil if there is none.
func (t tagged) entry() (*cosignbundle.RekorBundle, error) {
	text := t.annotations[static.BundleAnnotationKey]
	if text == "" {
		return nil, nil
	}
	var b *cosignbundle.RekorBundle
	if err := json.Unmarshal([]byte(text), &b); err != nil || b == nil {
		return nil, errors.New("its entry in the transparency log cannot be read")
	}
	if _, ok := b.Payload.Body.(string); !ok {
		return nil, errors.New("its entry in the transparency log has no body")
	}
	return b, nil
}

// timestamp is the one of an authority; nil if there is none.
func (t tagged) timestamp() (*cosignbundle.RFC3161Timestamp, error) {
	text := t.annotations[static.RFC3161TimestampAnnotationKey]
	if text == "" {
		return nil, nil
	}
	var stamp *cosignbundle.RFC3161Timestamp
	if err := json.Unmarshal([]byte(text), &stamp); err != nil || stamp == nil || len(stamp.SignedRFC3161Timestamp) == 0 {
		return nil, errors.New("its timestamp cannot be read")
	}
	return stamp, nil
}

// stampedAt is when an authority of the root saw the signature. cosign has the
// whole envelope of an attestation timestamped.
func (t tagged) stampedAt(s signer, stamp *cosignbundle.RFC3161Timestamp) (time.Time, error) {
	seen := t.payload
	if t.what == signatures {
		var err error
		if seen, err = base64.StdEncoding.DecodeString(t.annotations[static.SignatureAnnotationKey]); err != nil {
			return time.Time{}, errors.New("its signature is not base64")
		}
	}
	verified, _, err := verify.VerifySignedTimestamp(&stamped{timestamp: stamp.SignedRFC3161Timestamp, seen: seen}, s.root)
	if err != nil || len(verified) == 0 {
		return time.Time{}, errors.New(otherTimestamp)
	}
	return verified[0].Time, nil
}

// stamped are bytes with a timestamp, as the verifier of timestamps wants them.
type stamped struct {
	verify.BaseSignedEntity
	timestamp, seen []byte
}

func (s *stamped) Timestamps() ([][]byte, error)                           { return [][]byte{s.timestamp}, nil }
func (s *stamped) SignatureContent() (verify.SignatureContent, error)      { return s, nil }
func (s *stamped) Signature() []byte                                       { return s.seen }
func (s *stamped) EnvelopeContent() verify.EnvelopeContent                 { return nil }
func (s *stamped) MessageSignatureContent() verify.MessageSignatureContent { return nil }

// envelope is an attestation's; cosign reads it in the same way.
func (t tagged) envelope() (dsse.Envelope, error) {
	var e dsse.Envelope
	if err := json.Unmarshal(t.payload, &e); err != nil {
		return dsse.Envelope{}, errors.New("it is no envelope of an attestation")
	}
	if e.PayloadType != payloadType {
		return dsse.Envelope{}, fmt.Errorf("its envelope holds %q, which is no in-toto statement (%s)", policies.Clip(e.PayloadType, 100), payloadType)
	}
	return e, nil
}

// soleSignature refuses an envelope with several: the log's entry and the
// timestamp could be of another one than that which counts.
func (t tagged) soleSignature() error {
	e, err := t.envelope()
	if err == nil && len(e.Signatures) != 1 {
		err = fmt.Errorf("its envelope has %d signatures, and one is read", len(e.Signatures))
	}
	return err
}

// statement is what the envelope holds; ask it of what is verified.
func (t tagged) statement() (statement, error) {
	e, err := t.envelope()
	if err != nil {
		return statement{}, err
	}
	raw, err := e.DecodeB64Payload()
	if err != nil {
		return statement{}, errors.New("the payload of its envelope is not base64")
	}
	return readStatement(raw)
}

// verifyLeaf checks the certificate by the root's authorities, for a moment.
// Go does not know a subject that is an OtherName, which is critical there.
func verifyLeaf(at time.Time, certificate *x509.Certificate, s signer) ([][]*x509.Certificate, error) {
	leaf := *certificate
	leaf.UnhandledCriticalExtensions = nil
	for _, id := range certificate.UnhandledCriticalExtensions {
		if !id.Equal(cryptoutils.SANOID) {
			leaf.UnhandledCriticalExtensions = append(leaf.UnhandledCriticalExtensions, asn1.ObjectIdentifier(id))
		}
	}
	return verify.VerifyLeafCertificate(at, &leaf, s.root)
}
