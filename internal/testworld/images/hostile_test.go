package images

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	slsa02 "github.com/in-toto/in-toto-golang/in_toto/slsa_provenance/v0.2"
	slsa1 "github.com/in-toto/in-toto-golang/in_toto/slsa_provenance/v1"
	"github.com/sigstore/cosign/v2/pkg/cosign/attestation"
	cosignremote "github.com/sigstore/cosign/v2/pkg/oci/remote"

	"github.com/pawl-dev/pawl/internal/testworld/registry"
)

// The predicates are what their makers' own types read, with nothing left over.
func TestPredicatesAreThoseOfTheirMakers(t *testing.T) {
	t.Parallel()
	build := Build{Builder: "https://ci.test/builder", Source: "https://github.com/shop/api", Ref: "refs/heads/main", Commit: strings.Repeat("a1", 20)}
	read := func(p Predicate, into any) {
		t.Helper()
		text, err := json.Marshal(p.Content)
		if err != nil {
			t.Fatal(err)
		}
		strict := json.NewDecoder(bytes.NewReader(text))
		strict.DisallowUnknownFields()
		if err := strict.Decode(into); err != nil {
			t.Errorf("%s: %v", p.Type, err)
		}
	}
	var one slsa1.ProvenancePredicate
	read(ProvenanceV1(build), &one)
	source := one.BuildDefinition.ResolvedDependencies[0]
	if one.RunDetails.Builder.ID != build.Builder || source.URI != "git+https://github.com/shop/api@refs/heads/main" || source.Digest["gitCommit"] != build.Commit {
		t.Errorf("provenance 1 says %+v", one)
	}
	var old slsa02.ProvenancePredicate
	read(ProvenanceV02(build), &old)
	if old.Builder.ID != build.Builder || old.Materials[0].URI != source.URI || old.Invocation.ConfigSource.Digest["sha1"] != build.Commit {
		t.Errorf("provenance 0.2 says %+v", old)
	}
	var scan attestation.CosignVulnPredicate
	now := time.Now().UTC().Truncate(time.Second)
	read(Vulnerabilities(now, Finding{"CVE-2026-0001", "CRITICAL"}), &scan)
	if !scan.Metadata.ScanFinishedOn.Equal(now) || scan.Scanner.Version == "" {
		t.Errorf("the scan says %+v", scan)
	}
	for _, p := range []Predicate{CycloneDX("a@1"), SPDX("a@1")} {
		if text, err := json.Marshal(p.Content); err != nil || !bytes.Contains(text, []byte(`"a"`)) {
			t.Errorf("%s: %s, %v", p.Type, text, err)
		}
	}
}

// catalogue 37: each is signed and attached whole, so that it is its body
// that a reader has to refuse.
func TestHostileBodiesAreAttached(t *testing.T) {
	t.Parallel()
	r, key := start(t, registry.Options{}), newKey(t)
	for _, scheme := range []Scheme{Tag, Bundle} {
		image := pushOne(t, r, scheme.String())
		bodies, err := Hostile(image, ProvenanceV1(Build{}))
		if err != nil {
			t.Fatal(err)
		}
		huge, err := Huge(image, ProvenanceV1Type, 1<<20, scheme)
		if err != nil {
			t.Fatal(err)
		}
		bodies["huge"] = huge
		want := map[string]bool{}
		for because, body := range bodies {
			if err := AttestBody(t.Context(), image, key, body, scheme); err != nil {
				t.Fatalf("%s: %v", because, err)
			}
			want[string(body.Content)] = true
		}
		if got := contents(t, image, scheme); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %d bodies are there, not %d", scheme, len(got), len(want))
		}
	}
}

func TestManyAttestations(t *testing.T) {
	t.Parallel()
	r, key := start(t, registry.Options{}), newKey(t)
	for _, scheme := range []Scheme{Tag, Bundle} {
		image := pushOne(t, r, scheme.String())
		for range 2 { // to none, and to some
			if err := AttestMany(t.Context(), image, key, ProvenanceV1Type, 50, scheme); err != nil {
				t.Fatal(err)
			}
		}
		kinds, err := attestations(t.Context(), r, image, key, scheme)
		if err != nil || len(kinds) != 100 {
			t.Errorf("%s: %d verify, %v", scheme, len(kinds), err)
		}
	}
}

// contents are what all envelopes of an image hold.
func contents(t *testing.T, image name.Digest, scheme Scheme) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	keep := func(envelope []byte) {
		var e struct {
			Payload []byte `json:"payload"`
		}
		if err := json.Unmarshal(envelope, &e); err != nil {
			t.Fatal(err)
		}
		found[string(e.Payload)] = true
	}
	if scheme == Tag {
		tag, err := cosignremote.AttestationTag(image)
		if err != nil {
			t.Fatal(err)
		}
		list, err := cosignremote.Signatures(tag)
		if err != nil {
			t.Fatal(err)
		}
		layers, err := list.Get()
		if err != nil {
			t.Fatal(err)
		}
		for _, layer := range layers {
			text, err := layer.Payload()
			if err != nil {
				t.Fatal(err)
			}
			keep(text)
		}
		return found
	}
	list, err := cosignremote.Referrers(image, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, referrer := range list.Manifests {
		manifest, err := remote.Image(image.Context().Digest(referrer.Digest.String()))
		if err != nil {
			t.Fatal(err)
		}
		layers, err := manifest.Layers()
		if err != nil {
			t.Fatal(err)
		}
		r, err := layers[0].Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		var b struct {
			DSSEEnvelope json.RawMessage `json:"dsseEnvelope"`
		}
		if err := json.NewDecoder(r).Decode(&b); err != nil {
			t.Fatal(err)
		}
		_ = r.Close()
		keep(b.DSSEEnvelope)
	}
	return found
}
