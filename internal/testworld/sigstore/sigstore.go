// Package sigstore is a private Sigstore for tests and the demo: a certificate
// authority, a certificate transparency log, transparency logs as Rekor and
// Rekor 2 are, and a timestamp authority. It signs images as `cosign sign` and GitHub do without
// a key of the signer's own, forges such signatures, and writes the trust root
// by which they are verified. Nothing in it listens on a network.
//
// sigstore-go's pkg/testing/ca has such a thing for its own tests. Its
// certificates hold no certificate timestamp, no URI and no extension but the
// issuer, are valid from now on only, and it does not give away the keys to
// make others; hence this one.
package sigstore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
)

// Sigstore is one set of keys that signatures are trusted by. It is safe for
// concurrent use.
type Sigstore struct {
	fulcio *authority
	ct     *certificateLog
	rekor  *transparencyLog
	tiles  *tileLog
	tsa    *timestamper

	from, until time.Time
	trusted     []byte
}

// Where the parts would be reached. Verifiers read the names, nobody asks.
const (
	fulcioURL = "https://fulcio.sigstore.test"
	ctURL     = "https://ctfe.sigstore.test"
	rekorHost = "rekor.sigstore.test"
	tsaURL    = "https://tsa.sigstore.test"
)

// New makes a Sigstore with keys of its own, trusted for signatures of the
// last two years and the next ten.
func New() (*Sigstore, error) {
	now := time.Now()
	s := &Sigstore{from: now.AddDate(-2, 0, 0), until: now.AddDate(10, 0, 0)}
	var err error
	if s.fulcio, err = newAuthority("fulcio", x509.ExtKeyUsageCodeSigning, s.from, s.until); err != nil {
		return nil, fmt.Errorf("make a certificate authority: %w", err)
	}
	if s.ct, err = newCertificateLog(); err != nil {
		return nil, fmt.Errorf("make a certificate transparency log: %w", err)
	}
	if s.rekor, err = newTransparencyLog(); err != nil {
		return nil, fmt.Errorf("make a transparency log: %w", err)
	}
	if s.tiles, err = newTileLog(); err != nil {
		return nil, fmt.Errorf("make a transparency log of tiles: %w", err)
	}
	if s.tsa, err = newTimestamper(s.from, s.until); err != nil {
		return nil, fmt.Errorf("make a timestamp authority: %w", err)
	}
	s.trusted, err = s.TrustedRootDuring(s.from, s.until)
	return s, err
}

// TrustedRoot is the trust root as `cosign trusted-root create` and TUF write
// it: trusted_root.json.
func (s *Sigstore) TrustedRoot() []byte { return s.trusted }

// TrustedRootDuring is a trust root that trusts only what was made during that
// time, such as one of keys that were replaced.
func (s *Sigstore) TrustedRootDuring(from, until time.Time) ([]byte, error) {
	logs := func(keys map[string]*ecdsa.PrivateKey) map[string]*root.TransparencyLog {
		found := map[string]*root.TransparencyLog{}
		for url, key := range keys {
			id := logID(key.Public())
			found[hex.EncodeToString(id[:])] = &root.TransparencyLog{
				BaseURL: url, ID: id[:], PublicKey: key.Public(),
				HashFunc: crypto.SHA256, SignatureHashFunc: crypto.SHA256,
				ValidityPeriodStart: from, ValidityPeriodEnd: until,
			}
		}
		return found
	}
	trusted, err := root.NewTrustedRoot(root.TrustedRootMediaType01,
		[]root.CertificateAuthority{&root.FulcioCertificateAuthority{
			URI: fulcioURL, Root: s.fulcio.root, Intermediates: []*x509.Certificate{s.fulcio.issuer},
			ValidityPeriodStart: from, ValidityPeriodEnd: until,
		}},
		logs(map[string]*ecdsa.PrivateKey{ctURL: s.ct.key}),
		[]root.TimestampingAuthority{&root.SigstoreTimestampingAuthority{
			URI: tsaURL, Root: s.tsa.authority.root, Intermediates: []*x509.Certificate{s.tsa.authority.issuer}, Leaf: s.tsa.certificate,
			ValidityPeriodStart: from, ValidityPeriodEnd: until,
		}},
		logs(map[string]*ecdsa.PrivateKey{"https://" + rekorHost: s.rekor.key, "https://" + tilesHost: s.tiles.key}),
	)
	if err != nil {
		return nil, fmt.Errorf("make a trust root: %w", err)
	}
	text, err := trusted.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("write a trust root: %w", err)
	}
	return text, nil
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// logID is what logs of both kinds are called by: the hash of their key.
func logID(key crypto.PublicKey) [sha256.Size]byte {
	der, _ := x509.MarshalPKIXPublicKey(key) // cannot fail for the keys made here
	return sha256.Sum256(der)
}
