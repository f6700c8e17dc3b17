package images

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/sigstore/cosign/v2/pkg/cosign/bundle"
	"github.com/sigstore/cosign/v2/pkg/types"
	"github.com/sigstore/sigstore/pkg/signature/dsse"
	"github.com/sigstore/sigstore/pkg/signature/payload"
)

// Scheme is where signatures and attestations are kept.
type Scheme int

const (
	// Tag is cosign 1 and 2: an image under the tag sha256-<digest>.sig or .att.
	Tag Scheme = iota
	// Bundle is cosign 3 and GitHub: a Sigstore bundle 0.3 that refers to the
	// image. A signature is then an attestation of a type of its own.
	Bundle
)

func (s Scheme) String() string {
	if s == Bundle {
		return "bundle"
	}
	return "tag"
}

// SignatureType is the predicate type of a signature in a bundle.
const SignatureType = types.CosignSignPredicateType

// The two versions of in-toto statements that are in use: cosign writes the
// old one into tags, cosign 3 and GitHub the new one into bundles.
const (
	statementV01 = "https://in-toto.io/Statement/v0.1"
	statementV1  = "https://in-toto.io/Statement/v1"
)

// Sign signs the image, as `cosign sign --key` does.
func Sign(ctx context.Context, image name.Digest, key *Key, scheme Scheme, client ...remote.Option) error {
	if scheme == Bundle {
		return Attest(ctx, image, key, SignatureType, nil, Bundle, client...)
	}
	return SignClaiming(ctx, image, image, key, client...)
}

// Attest says something about the image, as `cosign attest --key` does. The
// predicate is anything that JSON can hold.
func Attest(
	ctx context.Context, image name.Digest, key *Key, predicateType string, predicate any, scheme Scheme, client ...remote.Option,
) error {
	return AttestClaiming(ctx, image, image, key, predicateType, predicate, scheme, client...)
}

// statement is an in-toto statement about one image.
type statement struct {
	Type          string    `json:"_type"`
	Subject       []subject `json:"subject"`
	PredicateType string    `json:"predicateType"`
	Predicate     any       `json:"predicate,omitempty"`
}

type subject struct {
	Name   string            `json:"name,omitempty"`
	Digest map[string]string `json:"digest"`
}

func statementAbout(image name.Digest, predicateType string, predicate any, scheme Scheme) ([]byte, error) {
	s := statement{Type: statementV01, PredicateType: predicateType, Predicate: predicate}
	about := subject{Name: image.Context().Name(), Digest: map[string]string{"sha256": hex(image)}}
	if scheme == Bundle {
		s.Type = statementV1
	}
	if predicateType == SignatureType {
		about.Name = "" // as cosign 3 writes it
	}
	s.Subject = []subject{about}
	return json.Marshal(s)
}

func (k *Key) signSimple(image name.Digest) (text, signature []byte, err error) {
	text, err = payload.Cosign{Image: image}.MarshalJSON()
	if err != nil {
		return nil, nil, err
	}
	signature, err = k.signer.SignMessage(bytes.NewReader(text))
	return text, signature, err
}

func (k *Key) signEnvelope(statement []byte) ([]byte, error) {
	return dsse.WrapSigner(k.signer, types.IntotoPayloadType).SignMessage(bytes.NewReader(statement))
}

func (k *Key) signBundle(statement []byte) ([]byte, error) {
	envelope, err := k.signEnvelope(statement)
	if err != nil {
		return nil, err
	}
	packed, err := bundle.MakeNewBundle(k.private.Public(), nil, statement, envelope, k.public, nil)
	if err != nil {
		return nil, fmt.Errorf("make a Sigstore bundle: %w", err)
	}
	return packed, nil
}

func hex(image name.Digest) string { return image.DigestStr()[len("sha256:"):] }
