package cosign

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/sigstore/cosign/v2/pkg/oci/static"

	"github.com/pawl-dev/pawl/internal/testworld/images"
	"github.com/pawl-dev/pawl/internal/testworld/registry"
	"github.com/pawl-dev/pawl/internal/testworld/sigstore"
	"github.com/pawl-dev/pawl/policies"
)

var someDigest = v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("0", 64)}

// fuzzed are signers who signed nothing of what is tried, and genuine layers
// of a Sigstore that they do not trust, to begin with.
type fuzzed struct {
	signers []signer
	layers  []layer
}

type layer struct {
	annotations map[string]string
	content     []byte
}

func newFuzzed(f *testing.F) fuzzed {
	f.Helper()
	must := func(err error) {
		f.Helper()
		if err != nil {
			f.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r, err := registry.Start(ctx, registry.Options{})
	must(err)
	web, err := images.Push(ctx, r.Host()+"/acme/web:main", images.Spec{Content: "one"})
	must(err)
	private, err := sigstore.New()
	must(err)
	by := sigstore.Identity{Issuer: issuer, Subject: "release@acme.com"}
	for _, scheme := range []images.Scheme{images.Tag, images.Bundle} {
		must(private.Sign(ctx, web, by, scheme))
		p := images.ProvenanceV1(images.Build{Builder: "https://ci.test/builder"})
		must(private.Attest(ctx, web, by, p.Type, p.Content, scheme))
	}
	out := fuzzed{signers: []signer{trustedKey(f)}}
	for _, demands := range []policies.Root{{TransparencyLog: true}, {Timestamp: true}} {
		out.signers = append(out.signers, trustedIdentity(f, func(i *policies.Identity) {
			i.Root.TransparencyLog, i.Root.Timestamp, i.Root.CertificateLog = demands.TransparencyLog, demands.Timestamp, false
		}))
	}
	tag := web.Context().Tag(strings.Replace(web.DigestStr(), ":", "-", 1) + ".sig")
	refs := []name.Reference{tag, web.Context().Tag(strings.TrimSuffix(tag.TagStr(), ".sig") + ".att")}
	index, err := remote.Referrers(web, remote.WithContext(ctx))
	must(err)
	listed, err := index.IndexManifest()
	must(err)
	for _, d := range listed.Manifests {
		refs = append(refs, web.Context().Digest(d.Digest.String()))
	}
	for _, ref := range refs {
		image, err := remote.Image(ref, remote.WithContext(ctx))
		must(err)
		m, err := image.Manifest()
		must(err)
		l, err := image.LayerByDigest(m.Layers[0].Digest)
		must(err)
		content, err := l.Compressed()
		must(err)
		raw, err := io.ReadAll(content)
		must(err)
		out.layers = append(out.layers, layer{m.Layers[0].Annotations, raw})
	}
	return out
}

// Bundles are pushed by strangers.
func FuzzBundles(f *testing.F) {
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"hint":"x"}},"dsseEnvelope":{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"AA=="}]}}`))
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{}},"messageSignature":{"messageDigest":{"algorithm":"SHA2_256","digest":"AA=="},"signature":"AA=="}}`))
	f.Add([]byte(`{"subject":null}`))
	z := newFuzzed(f)
	for _, l := range z.layers[2:] {
		f.Add(l.content)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := readBundle(raw)
		if err != nil {
			if errors.Is(err, errPanicked) {
				t.Errorf("the library panics: %v", err)
			}
			return
		}
		if c, err := b.VerificationContent(); err == nil && c.Certificate() != nil {
			_, _ = summarize(c.Certificate())
		}
		for _, s := range z.signers {
			if _, err := b.verify(t.Context(), s, someDigest); err == nil {
				t.Error("a bundle that nobody signed is accepted")
			}
		}
	})
}

// So are the envelopes of attestations in tags.
func FuzzEnvelopes(f *testing.F) {
	f.Add([]byte(`{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{"keyid":"","sig":"AA=="}]}`))
	f.Add([]byte(`{"payloadType":"application/vnd.in-toto+json","payload":null,"signatures":null}`))
	f.Add([]byte(`null`))
	z := newFuzzed(f)
	genuine := z.layers[1]
	f.Add(genuine.content)
	f.Fuzz(func(t *testing.T, raw []byte) {
		one := tagged{what: attestations, payload: raw, annotations: genuine.annotations}
		for _, s := range z.signers {
			if one.verify(t.Context(), s, someDigest) == nil {
				t.Error("an envelope that nobody signed is accepted")
			}
		}
		_, _ = one.statement()
	})
}

// And what stands in annotations beside a signature: the signature itself, a
// certificate, the log's entry and a timestamp.
func FuzzAnnotations(f *testing.F) {
	keys := []string{static.SignatureAnnotationKey, static.CertificateAnnotationKey, static.BundleAnnotationKey, static.RFC3161TimestampAnnotationKey}
	f.Add("", "", "", "")
	f.Add("AA==", "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n", `{"Payload":{"body":1}}`, `{"SignedRFC3161Timestamp":"AA=="}`)
	f.Add("AA==", "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n", `{"Payload":{"body":"e30=","logID":"xx"}}`, `null`)
	z := newFuzzed(f)
	genuine := z.layers[0]
	a := genuine.annotations
	f.Add(a[keys[0]], a[keys[1]], a[keys[2]], a[keys[3]])
	f.Fuzz(func(t *testing.T, signature, certificate, entry, timestamp string) {
		values := map[string]string{keys[0]: signature, keys[1]: certificate, keys[2]: entry, keys[3]: timestamp}
		for _, what := range []content{signatures, attestations} {
			one := tagged{what: what, payload: genuine.content, annotations: values}
			if c, err := one.certificate(); err == nil && c != nil {
				_, _ = summarize(c)
			}
			for _, s := range z.signers {
				if one.verify(t.Context(), s, someDigest) == nil {
					t.Error("what nobody signed is accepted")
				}
			}
		}
	})
}

// Statements are read after they were verified, and whoever has a key may sign
// any. What is accepted means the same to every reader.
func FuzzStatements(f *testing.F) {
	z := newFuzzed(f)
	envelope := struct{ Payload string }{}
	if err := json.Unmarshal(z.layers[1].content, &envelope); err != nil {
		f.Fatal(err)
	}
	genuine, err := base64.StdEncoding.DecodeString(envelope.Payload)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(genuine)
	for _, hostile := range []string{
		`{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"` + someDigest.Hex + `"}}],"predicateType":"x","predicate":{"a":1,"\u0061":2}}`,
		`{"_type":"https://in-toto.io/Statement/v1","subject":[null,{"digest":null}],"predicateType":"x"}`,
		`{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"` + someDigest.Hex + `"}}],"predicateType":"x","PredicateType":"y"}`,
		`{"a":"\\\"","b":"\\","c":[{"a":{}},[]],"d":"\ud800"}`,
		`{"a" : 1 , "a" : 2}`, "{}{}", "[[[[", `"`, `{"a":"b:"}`,
	} {
		f.Add([]byte(hostile))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := unambiguous(raw); (err == nil) != plainReading(raw) {
			t.Errorf("%v, by reading token by token %t", err, plainReading(raw))
		}
		s, err := readStatement(raw)
		if err != nil {
			return
		}
		var loose struct {
			Subject       []struct{ Digest map[string]string }
			PredicateType string
			Predicate     json.RawMessage
		}
		if !json.Valid(s.Predicate) || s.PredicateType == "" {
			t.Errorf("accepted without content: %+v", s)
		}
		if json.Unmarshal(raw, &loose) == nil && s.about(someDigest) && len(loose.Subject) == 0 {
			t.Errorf("about %+v", loose)
		}
	})
}

// plainReading is what unambiguous promises, by a decoder.
func plainReading(raw []byte) bool {
	if strings.ToValidUTF8(string(raw), "") != string(raw) || !json.Valid(raw) {
		return false
	}
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	good := true
	var value func(depth int)
	value = func(depth int) {
		token, err := d.Token()
		if err != nil {
			good = false
			return
		}
		if depth > maxDepth && (token == json.Delim('{') || token == json.Delim('[')) {
			good = false
		}
		names := map[string]bool{}
		switch token {
		case json.Delim('{'):
			for good && d.More() {
				key, _ := d.Token()
				if names[key.(string)] {
					good = false
				}
				names[key.(string)] = true
				value(depth + 1)
			}
		case json.Delim('['):
			for good && d.More() {
				value(depth + 1)
			}
		default:
			return
		}
		_, _ = d.Token()
	}
	value(1)
	return good
}
