package images

import (
	"bytes"
	"cmp"
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

// Statement is the in-toto statement that says something about the image, in
// the version that goes with the scheme.
func Statement(image name.Digest, predicateType string, predicate any, scheme Scheme) ([]byte, error) {
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

// Text is what is signed in the scheme Tag: that this is the image.
func Text(image name.Digest) ([]byte, error) { return payload.Cosign{Image: image}.MarshalJSON() }

// Body is what the envelope of an attestation holds: a statement, unless
// somebody is up to no good.
type Body struct {
	Content []byte
	// PayloadType is what the envelope says it holds; empty means in-toto.
	PayloadType string
	// PredicateType goes into annotations, which nobody signs.
	PredicateType string
}

// SignText signs bytes as they are.
func (k *Key) SignText(text []byte) ([]byte, error) {
	return k.signer.SignMessage(bytes.NewReader(text))
}

// SignEnvelope signs a DSSE envelope around the body.
func (k *Key) SignEnvelope(body Body) ([]byte, error) {
	return dsse.WrapSigner(k.signer, cmp.Or(body.PayloadType, types.IntotoPayloadType)).SignMessage(bytes.NewReader(body.Content))
}

// AttestBody attaches an envelope around any body to the image.
func AttestBody(ctx context.Context, image name.Digest, key *Key, body Body, scheme Scheme, client ...remote.Option) error {
	envelope, err := key.SignEnvelope(body)
	if err != nil {
		return fmt.Errorf("attest %s: %w", image, err)
	}
	if scheme == Tag {
		return AttachEnvelope(ctx, image, envelope, body.PredicateType, client...)
	}
	packed, err := bundle.MakeNewBundle(key.private.Public(), nil, body.Content, envelope, key.public, nil)
	if err != nil {
		return fmt.Errorf("make a Sigstore bundle for %s: %w", image, err)
	}
	return AttachBundle(ctx, image, packed, body.PredicateType, client...)
}

func hex(image name.Digest) string { return image.DigestStr()[len("sha256:"):] }
