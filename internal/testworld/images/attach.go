package images

import (
	"context"
	"encoding/base64"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/sigstore/cosign/v2/pkg/oci"
	"github.com/sigstore/cosign/v2/pkg/oci/mutate"
	cosignremote "github.com/sigstore/cosign/v2/pkg/oci/remote"
	"github.com/sigstore/cosign/v2/pkg/oci/static"
	"github.com/sigstore/cosign/v2/pkg/types"
)

// AttachSignature adds any text with any signature to the image's .sig tag.
func AttachSignature(ctx context.Context, image name.Digest, text, signature []byte, client ...remote.Option) error {
	made, err := static.NewSignature(text, base64.StdEncoding.EncodeToString(signature))
	if err != nil {
		return fmt.Errorf("attach a signature to %s: %w", image, err)
	}
	return AttachSigned(ctx, image, made, client...)
}

// AttachSigned adds a signature with all that cosign keeps beside it, such as
// a certificate, to the image's .sig tag.
func AttachSigned(ctx context.Context, image name.Digest, made oci.Signature, client ...remote.Option) error {
	return attach(ctx, image, made, mutate.AttachSignatureToEntity, cosignremote.WriteSignatures, client)
}

// AttachEnvelope adds any DSSE envelope to the image's .att tag.
func AttachEnvelope(ctx context.Context, image name.Digest, envelope []byte, predicateType string, client ...remote.Option) error {
	return AttachAttested(ctx, image, envelope, predicateType, nil, client...)
}

// AttachAttested is AttachEnvelope with what cosign keeps beside an envelope,
// such as a certificate.
func AttachAttested(
	ctx context.Context, image name.Digest, envelope []byte, predicateType string, beside []static.Option, client ...remote.Option,
) error {
	made, err := static.NewAttestation(envelope, append([]static.Option{
		static.WithLayerMediaType(types.DssePayloadType),
		static.WithAnnotations(map[string]string{"predicateType": predicateType}),
	}, beside...)...)
	if err != nil {
		return fmt.Errorf("attach an attestation to %s: %w", image, err)
	}
	return attach(ctx, image, made, mutate.AttachAttestationToEntity, cosignremote.WriteAttestations, client)
}

// AttachBundle makes any bundle a referrer of the image. The predicate type
// goes into an annotation, which nobody signs.
func AttachBundle(ctx context.Context, image name.Digest, bundle []byte, predicateType string, client ...remote.Option) error {
	if err := cosignremote.WriteAttestationNewBundleFormat(image, bundle, predicateType, options(ctx, client)...); err != nil {
		return fmt.Errorf("attach a bundle to %s: %w", image, err)
	}
	return nil
}

func attach(
	ctx context.Context, image name.Digest, made oci.Signature,
	add func(oci.SignedEntity, oci.Signature, ...mutate.SignOption) (oci.SignedEntity, error),
	write func(name.Repository, oci.SignedEntity, ...cosignremote.Option) error,
	client []remote.Option,
) error {
	entity, err := cosignremote.SignedEntity(image, options(ctx, client)...)
	if err != nil {
		return fmt.Errorf("attach to %s: %w", image, err)
	}
	if entity, err = add(entity, made); err != nil {
		return fmt.Errorf("attach to %s: %w", image, err)
	}
	if err := write(image.Context(), entity, options(ctx, client)...); err != nil {
		return fmt.Errorf("attach to %s: %w", image, err)
	}
	return nil
}

func options(ctx context.Context, client []remote.Option) []cosignremote.Option {
	return []cosignremote.Option{cosignremote.WithRemoteOptions(with(ctx, client)...)}
}
