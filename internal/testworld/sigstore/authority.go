package sigstore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha1" // what key identifiers are by RFC 5280; nothing trusts them
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"time"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
)

// authority is a root and the intermediate that issues, as Sigstore's are.
type authority struct {
	root, issuer *x509.Certificate
	key          *ecdsa.PrivateKey // the issuer's
}

func newAuthority(name string, usage x509.ExtKeyUsage, from, until time.Time) (*authority, error) {
	ca := func(name string) *x509.Certificate {
		return &x509.Certificate{
			Subject:   pkix.Name{CommonName: name, Organization: []string{"sigstore.test"}},
			NotBefore: from, NotAfter: until, IsCA: true, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		}
	}
	rootKey, err := newKey()
	if err != nil {
		return nil, err
	}
	root, err := issue(ca(name), nil, rootKey.Public(), rootKey)
	if err != nil {
		return nil, err
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	template := ca(name + "-intermediate")
	template.ExtKeyUsage, template.MaxPathLenZero = []x509.ExtKeyUsage{usage}, true
	issuer, err := issue(template, root, key.Public(), rootKey)
	return &authority{root, issuer, key}, err
}

// issue signs the template; no issuer makes it sign itself.
func issue(template, issuer *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	if issuer == nil {
		issuer = template
	}
	if template.SerialNumber == nil {
		serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
		if err != nil {
			return nil, err
		}
		template.SerialNumber = serial
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, public, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// lifetime is that of Fulcio's certificates.
const lifetime = 10 * time.Minute

// certify issues a certificate to an identity. sct, which may be nil, makes
// the certificate's timestamp from the precertificate.
func (a *authority) certify(
	by Identity, public crypto.PublicKey, at time.Time, sct func(pre, issuer *x509.Certificate) (pkix.Extension, error),
) (*x509.Certificate, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	id := sha1.Sum(der)
	template := &x509.Certificate{
		SubjectKeyId: id[:],
		NotBefore:    at, NotAfter: at.Add(lifetime),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	if template.ExtraExtensions, err = by.extensions(); err != nil {
		return nil, err
	}
	if strings.Contains(by.Subject, "://") {
		uri, err := url.Parse(by.Subject)
		if err != nil {
			return nil, fmt.Errorf("subject %q: %w", by.Subject, err)
		}
		template.URIs = []*url.URL{uri}
	} else {
		template.EmailAddresses = []string{by.Subject}
	}
	if sct == nil {
		return issue(template, a.issuer, public, a.key)
	}
	plain := template.ExtraExtensions
	template.ExtraExtensions = append(plain[:len(plain):len(plain)], poison)
	pre, err := issue(template, a.issuer, public, a.key) // and keeps the serial number
	if err != nil {
		return nil, err
	}
	timestamp, err := sct(pre, a.issuer)
	if err != nil {
		return nil, err
	}
	template.ExtraExtensions = append(plain[:len(plain):len(plain)], timestamp)
	return issue(template, a.issuer, public, a.key)
}

// chain is what cosign writes beside a certificate.
func (a *authority) chain() ([]byte, error) {
	return cryptoutils.MarshalCertificatesToPEM([]*x509.Certificate{a.issuer, a.root})
}
