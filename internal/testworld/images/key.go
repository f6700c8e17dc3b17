package images

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sigstore/cosign/v2/pkg/cosign"
	"github.com/sigstore/sigstore/pkg/signature"
)

// Key is a key pair as `cosign generate-key-pair` makes them: ECDSA P-256.
type Key struct {
	private *ecdsa.PrivateKey
	public  []byte
	signer  signature.SignerVerifier
}

// NewKey makes a key pair.
func NewKey() (*Key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a signing key: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return nil, fmt.Errorf("write a public key: %w", err)
	}
	signer, err := signature.LoadECDSASignerVerifier(private, crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("make a signer: %w", err)
	}
	return &Key{private, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), signer}, nil
}

// Public is the public key in PEM, as in cosign.pub.
func (k *Key) Public() []byte { return k.public }

// Verifier checks signatures of this key.
func (k *Key) Verifier() signature.Verifier { return k.signer }

// Write puts cosign.key, encrypted with the password, and cosign.pub into the
// folder, as `cosign generate-key-pair` does, and returns their paths.
func (k *Key) Write(folder, password string) (private, public string, err error) {
	private, public = filepath.Join(folder, "cosign.key"), filepath.Join(folder, "cosign.pub")
	der, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return "", "", fmt.Errorf("write a private key: %w", err)
	}
	// cosign imports from a file only; what it makes of it takes its place.
	if err := os.WriteFile(private, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return "", "", fmt.Errorf("write a private key: %w", err)
	}
	pair, err := cosign.ImportKeyPair(private, func(bool) ([]byte, error) { return []byte(password), nil })
	if err != nil {
		return "", "", fmt.Errorf("encrypt a private key: %w", err)
	}
	if err := os.WriteFile(private, pair.PrivateBytes, 0o600); err != nil {
		return "", "", fmt.Errorf("write a private key: %w", err)
	}
	if err := os.WriteFile(public, k.public, 0o644); err != nil {
		return "", "", fmt.Errorf("write a public key: %w", err)
	}
	return private, public, nil
}
