package cosign

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/sigstore/cosign/v2/pkg/oci/static"
	cosigntypes "github.com/sigstore/cosign/v2/pkg/types"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"golang.org/x/sync/errgroup"

	"github.com/pawl-dev/pawl/internal/oci"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/render"
)

// Limits of what is looked at for one image and scheme. Whoever may push may
// bury a good signature under bad ones; the image is then refused, and the
// refusal says so.
const (
	maxSignatures = 64
	maxPayload    = 128 << 10
	maxBundle     = 1 << 20
	maxRejected   = 8
)

const (
	bundleType      = "application/vnd.dev.sigstore.bundle"
	predicateTypeIn = "dev.sigstore.bundle.predicateType"
)

// look asks the registry. Its error means that nothing is known.
func (c *Collector) look(ctx context.Context, image render.Image, trust policies.Trust, keys []policies.Key) (policies.Evidence, error) {
	e := policies.Evidence{Image: image.Pinned()}
	repo, err := c.client.Repository(image.Repository)
	if err != nil {
		e.Problem = "has a repository that cannot be read"
		return e, nil
	}
	digest, err := v1.NewHash(image.Digest)
	if err != nil {
		e.Problem = "has a digest that cannot be read"
		return e, nil
	}
	l := &looking{client: c.client, repo: repo, digest: digest, keys: keys}
	l.enough = func() bool {
		return trust.Satisfied(image.Repository, policies.Evidence{Exists: true, Signatures: l.signatures}, time.Now())
	}

	// Whether the image is there and whether it is signed are asked at the same
	// time; bundles only where the tag does not suffice.
	var problem string
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		problem, err = l.exists(gctx)
		return err
	})
	g.Go(func() error { return l.tagSignatures(gctx) })
	if err := g.Wait(); err != nil {
		return policies.Evidence{}, err
	}
	e.Exists, e.Problem = problem == "", problem
	if e.Exists && !l.enough() {
		if err := l.bundles(ctx); err != nil {
			return policies.Evidence{}, err
		}
	}
	e.Signatures, e.Rejected = l.signatures, l.rejected
	if more := len(e.Rejected) - maxRejected; more > 0 {
		e.Rejected = append(e.Rejected[:maxRejected:maxRejected], fmt.Sprintf("and %d more", more))
	}
	return e, nil
}

// looking is one look at one image.
type looking struct {
	client *oci.Client
	repo   name.Repository
	digest v1.Hash
	keys   []policies.Key
	enough func() bool // the rules are satisfied, no more need be looked at

	signatures []policies.Signature
	rejected   []string
}

func (l *looking) reject(what string, reason any) {
	l.rejected = append(l.rejected, clip(fmt.Sprintf("%s: %v", what, reason), 400))
}

func (l *looking) accept(k policies.Key, scheme policies.Scheme) {
	s := policies.Signature{By: policies.SignedBy{Signer: k.Name, ID: k.ID()}, Scheme: scheme}
	if !slices.Contains(l.signatures, s) {
		l.signatures = append(l.signatures, s)
	}
}

// exists fetches the image's manifest, so that what was signed is also what a
// node will pull. An empty problem means that it is there.
func (l *looking) exists(ctx context.Context) (problem string, err error) {
	m, err := l.client.Manifest(ctx, l.repo.Digest(l.digest.String()))
	switch {
	case errors.Is(err, oci.ErrNotFound):
		return fmt.Sprintf("is not in its registry: %s has no such digest", l.repo.RegistryStr()), nil
	case errors.Is(err, oci.ErrInvalid):
		return fmt.Sprintf("cannot be trusted to be what runs: %v", err), nil
	case err != nil:
		return "", err
	}
	if _, err := m.Kind(); err != nil {
		return err.Error(), nil
	}
	return "", nil
}

// tagSignatures looks at the layers of the image "sha256-….sig", each of which
// is a signature.
func (l *looking) tagSignatures(ctx context.Context) error {
	tag := l.repo.Tag(l.digest.Algorithm + "-" + l.digest.Hex + ".sig")
	layers, err := l.layers(ctx, tag)
	if err != nil || layers == nil {
		return l.unless(err, "the signatures' tag")
	}
	if len(layers) > maxSignatures {
		l.reject("the signatures' tag", fmt.Sprintf("it has %d signatures, and only the first %d are looked at", len(layers), maxSignatures))
		layers = layers[:maxSignatures]
	}
	for _, layer := range layers {
		if l.enough() {
			return nil
		}
		what := "signature " + short(layer.Digest)
		encoded, ok := layer.Annotations[static.SignatureAnnotationKey]
		if !ok {
			l.reject(what, "it has no signature in it")
			continue
		}
		payload, err := l.blob(ctx, layer, maxPayload)
		if err != nil {
			if err := l.unless(err, what); err != nil {
				return err
			}
			continue
		}
		// A certificate beside it is left out: the key decides.
		sig, err := static.NewSignature(payload, encoded)
		if err != nil {
			l.reject(what, err)
			continue
		}
		l.try(what, policies.SchemeTag, func(k policies.Key) error { return verifyTag(ctx, k, sig, l.digest) })
	}
	return nil
}

// bundles looks at the referrers that are Sigstore bundles.
func (l *looking) bundles(ctx context.Context) error {
	referrers, err := l.client.Referrers(ctx, l.repo.Digest(l.digest.String()))
	if err != nil {
		return l.unless(err, "the list of referrers")
	}
	// Types and annotations are the registry's word; they only save looking.
	referrers = slices.DeleteFunc(referrers, func(d v1.Descriptor) bool {
		other := d.ArtifactType != "" && !strings.HasPrefix(d.ArtifactType, bundleType)
		predicate := d.Annotations[predicateTypeIn]
		return other || predicate != "" && predicate != cosigntypes.CosignSignPredicateType
	})
	if len(referrers) > maxSignatures {
		l.reject("the list of referrers", fmt.Sprintf("it has %d bundles, and only the first %d are looked at", len(referrers), maxSignatures))
		referrers = referrers[:maxSignatures]
	}
	for _, referrer := range referrers {
		if l.enough() {
			return nil
		}
		what := "bundle " + short(referrer.Digest)
		layers, err := l.layers(ctx, l.repo.Digest(referrer.Digest.String()))
		if err != nil {
			if err := l.unless(err, what); err != nil {
				return err
			}
			continue
		}
		if len(layers) != 1 || !strings.HasPrefix(string(layers[0].MediaType), bundleType) {
			continue // another kind of referrer
		}
		raw, err := l.blob(ctx, layers[0], maxBundle)
		if err != nil {
			if err := l.unless(err, what); err != nil {
				return err
			}
			continue
		}
		b, err := readBundle(raw)
		if err != nil {
			l.reject(what, err)
			continue
		}
		l.try(what, policies.SchemeBundle, func(k policies.Key) error { return verifyBundle(ctx, k, b, l.digest) })
	}
	return nil
}

func readBundle(raw []byte) (b *bundle.Bundle, err error) {
	defer noPanic(&err)
	b = &bundle.Bundle{}
	if err := b.UnmarshalJSON(raw); err != nil {
		return nil, fmt.Errorf("it is no Sigstore bundle: %w", err)
	}
	if !b.MinVersion("v0.3") {
		return nil, errors.New("it is of a version before 0.3")
	}
	return b, nil
}

// try verifies one signature by each key.
func (l *looking) try(what string, scheme policies.Scheme, verify func(policies.Key) error) {
	var last error
	accepted := false
	for _, k := range l.keys {
		if err := verify(k); err != nil {
			last = fmt.Errorf("it is no signature of this image by the key %q: %w", k.Name, err)
			continue
		}
		accepted = true
		l.accept(k, scheme)
	}
	switch {
	case accepted:
	case len(l.keys) == 1:
		l.reject(what, last)
	default:
		l.reject(what, fmt.Sprintf("it is no signature of this image by any of the %d trusted keys; for the last one: %v", len(l.keys), errors.Unwrap(last)))
	}
}

// layers returns the layers of a small image, or none where there is no image.
func (l *looking) layers(ctx context.Context, ref name.Reference) ([]v1.Descriptor, error) {
	m, err := l.client.Manifest(ctx, ref)
	if errors.Is(err, oci.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var manifest v1.Manifest
	if err := json.Unmarshal(m.Bytes, &manifest); err != nil {
		return nil, fmt.Errorf("%w: its manifest cannot be read", oci.ErrInvalid)
	}
	return manifest.Layers, nil
}

func (l *looking) blob(ctx context.Context, d v1.Descriptor, limit int64) ([]byte, error) {
	if d.Size > limit {
		return nil, fmt.Errorf("%w: it is %d bytes large, and %d are read", oci.ErrInvalid, d.Size, limit)
	}
	return l.client.Blob(ctx, l.repo.Digest(d.Digest.String()), limit)
}

// unless passes an outage on, and makes what is wrong or missing in the
// registry a signature that does not count.
func (l *looking) unless(err error, what string) error {
	if errors.Is(err, oci.ErrInvalid) || errors.Is(err, oci.ErrNotFound) {
		l.reject(what, err)
		return nil
	}
	return err
}

func short(h v1.Hash) string { return clip(h.Hex, 12) }

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
