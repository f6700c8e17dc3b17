package main

import (
	"context"
	"os"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/pawl-dev/pawl/internal/testworld/images"
	"github.com/pawl-dev/pawl/internal/testworld/sigstore"
)

// What scripts can say about signatures and attestations. WHO is "release", the
// key of the verb registry, or the repository of a workflow that has no key:
// acme/web is .github/workflows/release.yml there, on main.

// sigstore makes a private Sigstore, and its trusted_root.json.
func (s *scene) startSigstore(args []string) {
	s.want(len(args) == 0, "sigstore")
	var err error
	s.sigstore, err = sigstore.New()
	s.Check(err)
	s.Check(os.WriteFile(s.MkAbs("trusted_root.json"), s.sigstore.TrustedRoot(), 0o644))
}

// signs WHO REPOSITORY [tag] signs the image that was pushed there last, in a
// bundle or as cosign's tags have it.
func (s *scene) signs(args []string) {
	s.want(len(args) == 2 || len(args) == 3 && args[2] == "tag", "signs WHO REPOSITORY [tag]")
	image, scheme, client := s.pushed(args[1]), images.Bundle, s.registry.Client()
	if len(args) == 3 {
		scheme = images.Tag
	}
	if args[0] == "release" {
		s.Check(images.Sign(context.Background(), image, s.key, scheme, client...))
		return
	}
	s.Check(s.sigstore.Sign(context.Background(), image, workflow(args[0]), scheme, client...))
}

// attests WHO REPOSITORY WHAT says something about the image that was pushed
// there last: provenance:SOURCE, cyclonedx:NAME@VERSION, or scan:SEVERITY with
// one finding.
func (s *scene) attests(args []string) {
	s.want(len(args) == 3 && strings.Contains(args[2], ":"), "attests WHO REPOSITORY WHAT")
	image, client := s.pushed(args[1]), s.registry.Client()
	var p images.Predicate
	switch what, of, _ := strings.Cut(args[2], ":"); what {
	case "provenance":
		source := "https://github.com/" + of
		p = images.ProvenanceV1(images.Build{Builder: workflow(of).Subject, Source: source, Ref: "refs/heads/main", Commit: workflowCommit})
	case "cyclonedx":
		p = images.CycloneDX(of)
	case "scan":
		p = images.Vulnerabilities(time.Now(), images.Finding{ID: "CVE-2026-0001", Severity: of})
	default:
		s.Fatalf("nothing is known of %s", what)
	}
	if args[0] == "release" {
		s.Check(images.Attest(context.Background(), image, s.key, p.Type, p.Content, images.Bundle, client...))
		return
	}
	s.Check(s.sigstore.Attest(context.Background(), image, workflow(args[0]), p.Type, p.Content, images.Bundle, client...))
}

func (s *scene) pushed(repository string) name.Digest {
	image, ok := s.images[repository]
	if !ok {
		s.Fatalf("nothing was pushed to %s", repository)
	}
	return image
}

// workflowCommit is what all workflows run on.
const workflowCommit = "3f1c0000000000000000000000000000000051d0"

func workflow(repository string) sigstore.Identity {
	return sigstore.GitHub(repository, ".github/workflows/release.yml", "refs/heads/main", workflowCommit)
}
