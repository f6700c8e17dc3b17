package policies

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strings"
)

// Key is a public key whose signatures count.
type Key struct {
	// Name is what reports call the key.
	Name string
	// File is where PEM was read, for messages only.
	File string
	// PEM is the public key as "cosign generate-key-pair" writes it.
	PEM []byte

	id     string
	public crypto.PublicKey
}

// ID identifies the key by its content, "sha256:…"; empty unless NewTrust made it.
func (k Key) ID() string { return k.id }

// Public is the parsed key; nil unless NewTrust made it.
func (k Key) Public() crypto.PublicKey { return k.public }

// String names the key and its file.
func (k Key) String() string {
	if k.File == "" {
		return fmt.Sprintf("key %q", k.Name)
	}
	return fmt.Sprintf("key %q (%s)", k.Name, k.File)
}

func parseKey(k Key) (Key, error) {
	if k.Name == "" {
		return Key{}, fmt.Errorf("a key (%s) has no name; reports name the signer", k.File)
	}
	block, rest := pem.Decode(k.PEM)
	switch {
	case block == nil:
		return Key{}, fmt.Errorf("%s holds no PEM block; give it the file that cosign generate-key-pair calls cosign.pub", k)
	case strings.Contains(block.Type, "PRIVATE KEY"):
		return Key{}, fmt.Errorf("%s is a private key; the agent needs only the public half (cosign public-key), keep the other one away from it", k)
	case block.Type != "PUBLIC KEY":
		return Key{}, fmt.Errorf("%s is a PEM block of type %q; a \"PUBLIC KEY\" is needed", k, block.Type)
	case len(bytes.TrimSpace(rest)) > 0:
		return Key{}, fmt.Errorf("%s holds more than one PEM block; write one key to a file and list each", k)
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return Key{}, fmt.Errorf("%s cannot be read as a public key: %w", k, err)
	}
	switch key := public.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey:
	case *rsa.PublicKey:
		if key.N.BitLen() < 2048 {
			return Key{}, fmt.Errorf("%s is an RSA key of %d bits; at least 2048 are needed", k, key.N.BitLen())
		}
	default:
		return Key{}, fmt.Errorf("%s is a %T; ECDSA, Ed25519 and RSA keys are known", k, public)
	}
	sum := sha256.Sum256(block.Bytes)
	k.id, k.public, k.PEM = "sha256:"+hex.EncodeToString(sum[:]), public, bytes.Clone(k.PEM)
	return k, nil
}
