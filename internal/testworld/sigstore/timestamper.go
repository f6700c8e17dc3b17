package sigstore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"time"

	"github.com/digitorus/timestamp"
)

// timestamper is a timestamp authority: RFC 3161.
type timestamper struct {
	authority   *authority
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newTimestamper(from, until time.Time) (*timestamper, error) {
	a, err := newAuthority("tsa", x509.ExtKeyUsageTimeStamping, from, until)
	if err != nil {
		return nil, err
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	// The usage has to be critical, which crypto/x509 does not make it.
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	if err != nil {
		return nil, err
	}
	certificate, err := issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: "tsa-leaf", Organization: []string{"sigstore.test"}}, NotBefore: from, NotAfter: until,
		KeyUsage:        x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage}},
	}, a.issuer, key.Public(), a.key)
	return &timestamper{a, certificate, key}, err
}

// stamp answers that the bytes were there at that time.
func (t *timestamper) stamp(bytes []byte, at time.Time) ([]byte, error) {
	digest := sha256.Sum256(bytes)
	answer := timestamp.Timestamp{
		HashAlgorithm: crypto.SHA256, HashedMessage: digest[:], Time: at.UTC(),
		Policy: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2},
	}
	return answer.CreateResponseWithOpts(t.certificate, t.key, crypto.SHA256)
}
