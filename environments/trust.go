package environments

// The comments of the fields below are also the descriptions in the JSON
// Schemas that editors show: write them for whoever writes pawl.yaml or
// configures an agent.

// Trust demands evidence of the images that it matches. The agent's own
// configuration and pawl.yaml say the same things, and name public keys each in
// its own way, K.
type Trust[K any] struct {
	// The repositories: "*" matches within one part of the path, "**" any number
	// of parts, and "**" alone every image.
	Images string `json:"images" jsonschema:"minLength=1,maxLength=512,example=ghcr.io/acme/*"`
	// Public keys of signers.
	Keys []K `json:"keys,omitempty" jsonschema:"minItems=1,maxItems=100"`
	// Signers without a key of their own, such as a workflow on GitHub.
	Keyless []Identity `json:"keyless,omitempty" jsonschema:"minItems=1,maxItems=100"`
	// Whether a signature by any one of the keys and identities is enough, or
	// all of them must have signed.
	Signers Signers `json:"signers,omitempty" jsonschema:"enum=any,enum=all,default=any"`
	// Statements that each image needs beside its signature, every one of them.
	Attestations []Attestation[K] `json:"attestations,omitempty" jsonschema:"minItems=1,maxItems=100"`
}

// Signers says how many of the signers must have signed.
type Signers string

const (
	AnySigner  Signers = "any" // the default
	AllSigners Signers = "all"
)

// Key is a public key in the config repo.
type Key struct {
	// What reports call the key.
	Name string `json:"name" jsonschema:"minLength=1,maxLength=100,example=release"`
	// The file with the public key, relative to the root of the repository, as
	// "cosign generate-key-pair" writes it.
	File string `json:"file" jsonschema:"minLength=1,maxLength=512,example=keys/release.pub"`
}

// Identity is a signer who gets a certificate for each signature by proving
// who it is. Of issuer and issuerPattern exactly one is set, and so of subject
// and subjectPattern.
type Identity struct {
	// What reports call the identity; the subject if left out.
	Name string `json:"name,omitempty" jsonschema:"minLength=1,maxLength=200,example=release workflow"`
	// Who vouches for the subject.
	Issuer string `json:"issuer,omitempty" jsonschema:"minLength=1,maxLength=512,example=https://token.actions.githubusercontent.com"`
	// A regular expression (RE2) that the whole issuer must match.
	IssuerPattern string `json:"issuerPattern,omitempty" jsonschema:"minLength=1,maxLength=512"`
	// Who signed: a workflow's address, or an e-mail address.
	Subject string `json:"subject,omitempty" jsonschema:"minLength=1,maxLength=1024,example=https://github.com/acme/web/.github/workflows/release.yml@refs/heads/main"`
	// A regular expression (RE2) that the whole subject must match.
	SubjectPattern string `json:"subjectPattern,omitempty" jsonschema:"minLength=1,maxLength=1024,example=https://github\\.com/acme/[a-z-]+/\\.github/workflows/release\\.yml@refs/heads/main"`
	// The trust root, by its name under sigstore in the agent's configuration;
	// the first one there if left out.
	Root string `json:"root,omitempty" jsonschema:"minLength=1,maxLength=100,example=public"`
}

// Attestation demands a statement about each image.
type Attestation[K any] struct {
	AttestationDemand
	// Public keys of those who may attest it; if neither keys nor keyless is
	// given, the signers of the rule.
	Keys []K `json:"keys,omitempty" jsonschema:"minItems=1,maxItems=100"`
	// Identities that may attest it.
	Keyless []Identity `json:"keyless,omitempty" jsonschema:"minItems=1,maxItems=100"`
}

// AttestationDemand is what a statement must say. One and the same attestation
// must meet all of it.
type AttestationDemand struct {
	// The type of its predicate: a name that cosign knows, or a URI.
	Type string `json:"type" jsonschema:"minLength=1,maxLength=512,example=slsaprovenance1,example=cyclonedx,example=vuln"`
	// Whether any one attestation of the type that meets the conditions is enough,
	// or every one that its signers made must meet them.
	Match Match `json:"match,omitempty" jsonschema:"enum=any,enum=every,default=any"`
	// Conditions for SLSA provenance.
	Provenance *Provenance `json:"provenance,omitempty"`
	// Conditions for the result of a vulnerability scan.
	Vulnerabilities *Vulnerabilities `json:"vulnerabilities,omitempty"`
	// Conditions for any type: expressions in CEL over "predicate" that must all
	// be true.
	Where []string `json:"where,omitempty" jsonschema:"minItems=1,maxItems=20,example=predicate.review.approved == true"`
}

// Match says how many attestations must meet the conditions.
type Match string

const (
	MatchAny   Match = "any" // the default
	MatchEvery Match = "every"
)

// Provenance is what SLSA provenance must say; what is left out is not asked.
type Provenance struct {
	// The builder's id; "*" stands for any text without "/".
	Builder string `json:"builder,omitempty" jsonschema:"minLength=1,maxLength=512,example=https://github.com/actions/runner/github-hosted"`
	// The repository that was built.
	Source string `json:"source,omitempty" jsonschema:"minLength=1,maxLength=512,example=https://github.com/acme/web"`
	// The git ref that was built; "*" stands for any text without "/".
	Ref string `json:"ref,omitempty" jsonschema:"minLength=1,maxLength=512,example=refs/heads/main"`
}

// Vulnerabilities is what a vulnerability scan may have found.
type Vulnerabilities struct {
	// How many findings of each severity are tolerated. A severity that is not
	// named is not looked at.
	Max Severities `json:"max,omitempty,omitzero"`
	// How old the scan may be, 1m to 8760h.
	MaxAge Duration `json:"maxAge,omitempty"`
}

// Severities counts findings by how bad they are.
type Severities struct {
	Critical *int `json:"critical,omitempty" jsonschema:"minimum=0"`
	High     *int `json:"high,omitempty" jsonschema:"minimum=0"`
	Medium   *int `json:"medium,omitempty" jsonschema:"minimum=0"`
	Low      *int `json:"low,omitempty" jsonschema:"minimum=0"`
}

// Map is the severities that are named.
func (s Severities) Map() map[string]int {
	out := map[string]int{}
	for name, n := range map[string]*int{"critical": s.Critical, "high": s.High, "medium": s.Medium, "low": s.Low} {
		if n != nil {
			out[name] = *n
		}
	}
	return out
}

// ImageFields names the fields of a kind of custom resource that hold images.
type ImageFields struct {
	// The kind's API group, without a version.
	Group string `json:"group" jsonschema:"minLength=1,maxLength=253,example=ci.acme.dev"`
	Kind  string `json:"kind" jsonschema:"minLength=1,maxLength=63,example=Pipeline"`
	// The fields; "[*]" stands for each element of a list.
	Fields []string `json:"fields" jsonschema:"minItems=1,maxItems=100,example=spec.steps[*].runner"`
}
