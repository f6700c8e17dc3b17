package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/sigstore/cosign/v2/pkg/oci"
	"github.com/sigstore/cosign/v2/pkg/oci/empty"
	"github.com/sigstore/cosign/v2/pkg/oci/mutate"
	cosignremote "github.com/sigstore/cosign/v2/pkg/oci/remote"
	"github.com/sigstore/cosign/v2/pkg/oci/static"
	"github.com/sigstore/cosign/v2/pkg/types"
	"golang.org/x/sync/errgroup"
)

// StatementAbout says the same of several images.
func StatementAbout(predicate Predicate, scheme Scheme, images ...name.Digest) ([]byte, error) {
	s := statement{Type: statementV01, PredicateType: predicate.Type, Predicate: predicate.Content}
	if scheme == Bundle {
		s.Type = statementV1
	}
	for _, image := range images {
		s.Subject = append(s.Subject, subject{Name: image.Context().Name(), Digest: map[string]string{"sha256": hex(image)}})
	}
	return json.Marshal(s)
}

// Hostile are bodies that whoever has the key, or stole it, could sign to
// confuse a reader. None of them may count as the predicate said of the image,
// and none may stop the reader. Each is a whole statement but for what its
// name says.
func Hostile(image name.Digest, predicate Predicate) (map[string]Body, error) {
	content, err := json.Marshal(predicate.Content)
	if err != nil {
		return nil, fmt.Errorf("make hostile attestations of %s: %w", image, err)
	}
	own := fmt.Sprintf(`[{"name":%q,"digest":{"sha256":%q}}]`, image.Context().Name(), hex(image))
	other := strings.Replace(own, hex(image), strings.Repeat("0", 64), 1)
	whole := func(subject, predicateType, predicate string) string {
		return fmt.Sprintf(`{"_type":%q,"subject":%s,"predicateType":%s,"predicate":%s}`, statementV1, subject, predicateType, predicate)
	}
	kind := fmt.Sprintf("%q", predicate.Type)
	const otherKind = `"https://example.com/other"`
	hostile := map[string]Body{}
	for because, text := range map[string]string{
		"nothing":                               "",
		"not JSON":                              "<html>",
		"null":                                  "null",
		"a list":                                "[" + whole(own, kind, string(content)) + "]",
		"cut off":                               whole(own, kind, string(content))[:40],
		"two statements":                        whole(other, otherKind, "{}") + whole(own, kind, string(content)),
		"null subject":                          whole("null", kind, string(content)),
		"no subject":                            whole("[]", kind, string(content)),
		"a null among the subjects":             whole("[null]", kind, string(content)),
		"a subject that is no list":             whole(`"`+hex(image)+`"`, kind, string(content)),
		"a subject without a digest":            whole(`[{"name":"x"}]`, kind, string(content)),
		"a null digest":                         whole(`[{"name":"x","digest":null}]`, kind, string(content)),
		"a digest by another algorithm's name":  whole(fmt.Sprintf(`[{"name":"x","digest":{"sha512":%q}}]`, hex(image)), kind, string(content)),
		"a digest of another type":              whole(`[{"name":"x","digest":{"sha256":1}}]`, kind, string(content)),
		"the image's subject, then another":     strings.Replace(whole(own, kind, string(content)), `,"predicateType"`, `,"subject":`+other+`,"predicateType"`, 1),
		"another subject, then the image's":     strings.Replace(whole(other, kind, string(content)), `,"predicateType"`, `,"subject":`+own+`,"predicateType"`, 1),
		"another predicate type, then the one":  strings.Replace(whole(own, otherKind, string(content)), `,"predicate":`, `,"predicateType":`+kind+`,"predicate":`, 1),
		"the predicate type, then another":      strings.Replace(whole(own, kind, string(content)), `,"predicate":`, `,"predicateType":`+otherKind+`,"predicate":`, 1),
		"the predicate type in capitals beside": strings.Replace(whole(own, otherKind, string(content)), `,"predicate":`, `,"PREDICATETYPE":`+kind+`,"predicate":`, 1),
		"a null predicate type":                 whole(own, "null", string(content)),
		"a predicate type of another type":      whole(own, "1", string(content)),
		"another predicate type":                whole(own, otherKind, string(content)),
		"100,000 lists in one another":          whole(own, kind, strings.Repeat("[", 100_000)+strings.Repeat("]", 100_000)),
		"no UTF-8":                              whole(own, "\"\xff\xfe"+predicate.Type+`"`, string(content)),
	} {
		hostile[because] = Body{Content: []byte(text), PredicateType: predicate.Type}
	}
	hostile["another payload type"] = Body{
		Content: []byte(whole(own, kind, string(content))), PayloadType: "application/vnd.example+json", PredicateType: predicate.Type,
	}
	return hostile, nil
}

// Huge is a genuine statement of about that many bytes.
func Huge(image name.Digest, predicateType string, bytes int, scheme Scheme) (Body, error) {
	text, err := Statement(image, predicateType, map[string]any{"filling": strings.Repeat("x", bytes)}, scheme)
	return Body{Content: text, PredicateType: predicateType}, err
}

// AttestMany says something of the image very often, in other words each time.
func AttestMany(
	ctx context.Context, image name.Digest, key *Key, predicateType string, count int, scheme Scheme, client ...remote.Option,
) error {
	bodies := make([]Body, count)
	for i := range bodies {
		text, err := Statement(image, predicateType, map[string]any{"number": i}, scheme)
		if err != nil {
			return fmt.Errorf("attest %s: %w", image, err)
		}
		bodies[i] = Body{Content: text, PredicateType: predicateType}
	}
	if scheme == Bundle {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(8)
		for _, body := range bodies {
			g.Go(func() error { return AttestBody(ctx, image, key, body, scheme, client...) })
		}
		return g.Wait()
	}
	return attestAtOnce(ctx, image, key, bodies, client)
}

// attestAtOnce adds envelopes to the .att tag by one manifest.
func attestAtOnce(ctx context.Context, image name.Digest, key *Key, bodies []Body, client []remote.Option) error {
	tag, err := cosignremote.AttestationTag(image)
	if err != nil {
		return fmt.Errorf("attest %s: %w", image, err)
	}
	base, err := cosignremote.Signatures(tag, options(ctx, client)...)
	if missing := (*transport.Error)(nil); errors.As(err, &missing) && missing.StatusCode == http.StatusNotFound {
		base, err = empty.Signatures(), nil
	}
	if err != nil {
		return fmt.Errorf("attest %s: %w", image, err)
	}
	all := make([]oci.Signature, len(bodies))
	for i, body := range bodies {
		envelope, err := key.SignEnvelope(body)
		if err != nil {
			return fmt.Errorf("attest %s: %w", image, err)
		}
		all[i], err = static.NewAttestation(envelope, static.WithLayerMediaType(types.DssePayloadType),
			static.WithAnnotations(map[string]string{"predicateType": body.PredicateType}))
		if err != nil {
			return fmt.Errorf("attest %s: %w", image, err)
		}
	}
	list, err := mutate.AppendSignatures(base, false, all...)
	if err != nil {
		return fmt.Errorf("attest %s: %w", image, err)
	}
	if err := remote.Write(tag, list, with(ctx, client)...); err != nil {
		return fmt.Errorf("attest %s: %w", image, err)
	}
	return nil
}
