package sigstore

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"

	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
)

// Identity is to whom a certificate is issued.
type Identity struct {
	// Issuer is who vouches for the subject: the OIDC issuer's URL.
	Issuer string
	// Subject is an URI, such as that of a workflow, or an email address.
	Subject string
	// Extensions are what else the issuer says, for a workflow where it ran
	// and on what. Issuer counts, not the one in here.
	Extensions certificate.Extensions
}

// GitHubIssuer vouches for GitHub's workflows.
const GitHubIssuer = "https://token.actions.githubusercontent.com"

// GitHub is a workflow, .github/workflows/release.yml, of a repository,
// acme/web, that ran on a ref, refs/heads/main, and its commit.
func GitHub(repository, workflow, ref, commit string) Identity {
	owner, _, _ := strings.Cut(repository, "/")
	source := "https://github.com/" + repository
	subject := source + "/" + workflow + "@" + ref
	return Identity{Issuer: GitHubIssuer, Subject: subject, Extensions: certificate.Extensions{
		GithubWorkflowTrigger: "push", GithubWorkflowSHA: commit, GithubWorkflowName: "release",
		GithubWorkflowRepository: repository, GithubWorkflowRef: ref,
		BuildSignerURI: subject, BuildSignerDigest: commit, RunnerEnvironment: "github-hosted",
		SourceRepositoryURI: source, SourceRepositoryDigest: commit, SourceRepositoryRef: ref,
		SourceRepositoryIdentifier: "1001", SourceRepositoryOwnerURI: "https://github.com/" + owner, SourceRepositoryOwnerIdentifier: "2002",
		BuildConfigURI: subject, BuildConfigDigest: commit, BuildTrigger: "push",
		RunInvocationURI: source + "/actions/runs/3003/attempts/1", SourceRepositoryVisibilityAtSigning: "public",
	}}
}

// extensions are those that Fulcio writes: the first six as bare bytes, all
// later ones as UTF8String, and the issuer in both ways.
// github.com/sigstore/fulcio/blob/main/docs/oid-info.md
func (i Identity) extensions() ([]pkix.Extension, error) {
	e := i.Extensions
	var all []pkix.Extension
	for _, bare := range []struct {
		id    asn1.ObjectIdentifier
		value string
	}{
		{certificate.OIDIssuer, i.Issuer},
		{certificate.OIDGitHubWorkflowTrigger, e.GithubWorkflowTrigger},
		{certificate.OIDGitHubWorkflowSHA, e.GithubWorkflowSHA},
		{certificate.OIDGitHubWorkflowName, e.GithubWorkflowName},
		{certificate.OIDGitHubWorkflowRepository, e.GithubWorkflowRepository},
		{certificate.OIDGitHubWorkflowRef, e.GithubWorkflowRef},
	} {
		if bare.value != "" {
			all = append(all, pkix.Extension{Id: bare.id, Value: []byte(bare.value)})
		}
	}
	for _, typed := range []struct {
		id    asn1.ObjectIdentifier
		value string
	}{
		{certificate.OIDIssuerV2, i.Issuer},
		{certificate.OIDBuildSignerURI, e.BuildSignerURI},
		{certificate.OIDBuildSignerDigest, e.BuildSignerDigest},
		{certificate.OIDRunnerEnvironment, e.RunnerEnvironment},
		{certificate.OIDSourceRepositoryURI, e.SourceRepositoryURI},
		{certificate.OIDSourceRepositoryDigest, e.SourceRepositoryDigest},
		{certificate.OIDSourceRepositoryRef, e.SourceRepositoryRef},
		{certificate.OIDSourceRepositoryIdentifier, e.SourceRepositoryIdentifier},
		{certificate.OIDSourceRepositoryOwnerURI, e.SourceRepositoryOwnerURI},
		{certificate.OIDSourceRepositoryOwnerIdentifier, e.SourceRepositoryOwnerIdentifier},
		{certificate.OIDBuildConfigURI, e.BuildConfigURI},
		{certificate.OIDBuildConfigDigest, e.BuildConfigDigest},
		{certificate.OIDBuildTrigger, e.BuildTrigger},
		{certificate.OIDRunInvocationURI, e.RunInvocationURI},
		{certificate.OIDSourceRepositoryVisibilityAtSigning, e.SourceRepositoryVisibilityAtSigning},
	} {
		if typed.value == "" {
			continue
		}
		value, err := asn1.MarshalWithParams(typed.value, "utf8")
		if err != nil {
			return nil, err
		}
		all = append(all, pkix.Extension{Id: typed.id, Value: value})
	}
	return all, nil
}
