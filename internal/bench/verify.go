package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/pawl-dev/pawl/internal/oci"
	"github.com/pawl-dev/pawl/internal/testworld/images"
	"github.com/pawl-dev/pawl/internal/testworld/registry"
	"github.com/pawl-dev/pawl/internal/testworld/sigstore"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/policies/cosign"
	"github.com/pawl-dev/pawl/render"
)

const (
	coldLooks = 40
	warmLooks = 5000
)

// evidenceCase is one way to sign an image and to demand it.
type evidenceCase struct {
	name  string
	image render.Image
	trust policies.Trust
}

// measureVerification takes the check of one image: cold with a registry on
// this machine and nothing known of the image, warm from memory.
func measureVerification(ctx context.Context, _ *bench) (rows []row, err error) {
	r, err := registry.Start(ctx, registry.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	cases, err := evidenceCases(ctx, r)
	if err != nil {
		return nil, err
	}
	var warm []row
	for _, c := range cases {
		client := func() (*cosign.Collector, error) {
			client, err := oci.NewClient(oci.Registry{Host: r.Host(), PlainHTTP: true})
			return cosign.New(client, cosign.Options{}), err
		}
		var known *cosign.Collector
		cold := sample{}
		for range coldLooks {
			if known, err = client(); err != nil {
				return nil, err
			}
			one, err := times(1, func(int) error { return c.verify(ctx, known) })
			if err != nil {
				return nil, err
			}
			cold = append(cold, one...)
		}
		again, err := times(warmLooks, func(int) error { return c.verify(ctx, known) })
		if err != nil {
			return nil, err
		}
		rows = append(rows, cold.row("an image verified, cold: "+c.name, reach{p99: 50 * time.Millisecond}))
		warm = append(warm, again.row("an image verified, warm: "+c.name, reach{p50: 50 * time.Microsecond}))
	}
	return append(rows, warm...), nil
}

// verify collects the evidence of the image and judges whether it is enough.
func (c evidenceCase) verify(ctx context.Context, collector *cosign.Collector) error {
	found, err := collector.Collect(ctx, []render.Image{c.image}, c.trust)
	if err != nil {
		return err
	}
	if e := found[c.image.Pinned()]; !c.trust.Satisfied(c.image.Repository, e, time.Now()) {
		return fmt.Errorf("%s: what was found is not enough: %+v", c.name, e)
	}
	return nil
}

// evidenceCases pushes an image for each way to sign, with and without
// provenance that is demanded.
func evidenceCases(ctx context.Context, r *registry.Registry) ([]evidenceCase, error) {
	key, err := images.NewKey()
	if err != nil {
		return nil, err
	}
	private, err := sigstore.New()
	if err != nil {
		return nil, err
	}
	build := images.Build{
		Builder: "https://ci.test/builder", Source: "https://github.com/acme/web",
		Ref: "refs/heads/main", Commit: strings.Repeat("a1", 20),
	}
	workflow := sigstore.GitHub("acme/web", ".github/workflows/release.yml", build.Ref, build.Commit)
	root := policies.Root{Name: "private", JSON: private.TrustedRoot(), TransparencyLog: true, Timestamp: true, CertificateLog: true}
	said := images.ProvenanceV1(build)
	provenance := policies.AttestationDemand{Type: said.Type, Provenance: &policies.ProvenanceDemand{Builder: build.Builder, Source: build.Source}}

	signers := []struct {
		name         string
		rule         policies.Rule
		sign, attest func(name.Digest, images.Scheme) error
	}{
		{
			"key", policies.Rule{Keys: []policies.Key{{Name: "release", PEM: key.Public()}}},
			func(d name.Digest, s images.Scheme) error { return images.Sign(ctx, d, key, s, r.Client()...) },
			func(d name.Digest, s images.Scheme) error {
				return images.Attest(ctx, d, key, said.Type, said.Content, s, r.Client()...)
			},
		},
		{
			"keyless", policies.Rule{Identities: []policies.Identity{{Issuer: workflow.Issuer, Subject: workflow.Subject, Root: root}}},
			func(d name.Digest, s images.Scheme) error { return private.Sign(ctx, d, workflow, s, r.Client()...) },
			func(d name.Digest, s images.Scheme) error {
				return private.Attest(ctx, d, workflow, said.Type, said.Content, s, r.Client()...)
			},
		},
	}
	var cases []evidenceCase
	for _, signer := range signers {
		for _, scheme := range []images.Scheme{images.Tag, images.Bundle} {
			for _, attested := range []bool{false, true} {
				c := evidenceCase{name: signer.name + ", " + scheme.String()}
				rule := signer.rule
				rule.Images = r.Host() + "/acme/*"
				if attested {
					c.name += ", provenance"
					rule.Attestations = []policies.AttestationDemand{provenance}
				}
				digest, err := images.Push(ctx, r.Host()+"/acme/web:main", images.Spec{Content: c.name}, r.Client()...)
				if err == nil {
					err = signer.sign(digest, scheme)
				}
				if err == nil && attested {
					err = signer.attest(digest, scheme)
				}
				if err == nil {
					c.trust, err = policies.NewTrust([]policies.Rule{rule})
				}
				if err != nil {
					return nil, fmt.Errorf("%s: %w", c.name, err)
				}
				c.image = render.Image{Reference: digest.String(), Repository: digest.Context().Name(), Digest: digest.DigestStr()}
				cases = append(cases, c)
			}
		}
	}
	return cases, nil
}
