package sigstore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"time"

	ct "github.com/google/certificate-transparency-go"
	"github.com/google/certificate-transparency-go/tls"
	ctx509 "github.com/google/certificate-transparency-go/x509"
	"github.com/google/certificate-transparency-go/x509util"
)

// certificateLog promises that certificates were logged, which is all that a
// verifier ever asks of it: RFC 6962, 3.2. It keeps none.
type certificateLog struct{ key *ecdsa.PrivateKey }

func newCertificateLog() (*certificateLog, error) {
	key, err := newKey()
	return &certificateLog{key}, err
}

// poison keeps a precertificate from being taken for a certificate.
var poison = pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 3}, Critical: true, Value: asn1.NullBytes}

var sctList = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}

// promise signs a timestamp of the precertificate, to be put into the
// certificate.
func (l *certificateLog) promise(at time.Time, pre, issuer *x509.Certificate) (pkix.Extension, error) {
	var chain []*ctx509.Certificate
	for _, one := range []*x509.Certificate{pre, issuer} {
		parsed, err := ctx509.ParseCertificate(one.Raw)
		if ctx509.IsFatal(err) {
			return pkix.Extension{}, err
		}
		chain = append(chain, parsed)
	}
	sct := ct.SignedCertificateTimestamp{
		SCTVersion: ct.V1, LogID: ct.LogID{KeyID: logID(l.key.Public())}, Timestamp: uint64(at.UnixMilli()),
	}
	leaf, err := ct.MerkleTreeLeafFromChain(chain, ct.PrecertLogEntryType, sct.Timestamp)
	if err != nil {
		return pkix.Extension{}, err
	}
	input, err := ct.SerializeSCTSignatureInput(sct, ct.LogEntry{Leaf: *leaf})
	if err != nil {
		return pkix.Extension{}, err
	}
	signature, err := tls.CreateSignature(*l.key, tls.SHA256, input)
	if err != nil {
		return pkix.Extension{}, fmt.Errorf("sign a certificate's timestamp: %w", err)
	}
	sct.Signature = ct.DigitallySigned(signature)
	list, err := x509util.MarshalSCTsIntoSCTList([]*ct.SignedCertificateTimestamp{&sct})
	if err != nil {
		return pkix.Extension{}, err
	}
	text, err := tls.Marshal(*list)
	if err != nil {
		return pkix.Extension{}, err
	}
	value, err := asn1.Marshal(text)
	return pkix.Extension{Id: sctList, Value: value}, err
}

// unrelated is a promise about another certificate of the same issuer.
func (l *certificateLog) unrelated(a *authority, at time.Time) (pkix.Extension, error) {
	key, err := newKey()
	if err != nil {
		return pkix.Extension{}, err
	}
	var found pkix.Extension
	_, err = a.certify(Identity{Issuer: "https://accounts.test", Subject: "somebody@else.test"}, crypto.PublicKey(key.Public()), at,
		func(pre, issuer *x509.Certificate) (pkix.Extension, error) {
			var err error
			found, err = l.promise(at, pre, issuer)
			return found, err
		})
	return found, err
}
