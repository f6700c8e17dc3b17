package demands

import (
	_ "embed"

	"github.com/pawl-dev/pawl/environments"
)

// The comments of the fields below are also the descriptions in the JSON
// Schema that editors show: write them for whoever configures an agent.

// BaselineConfig is the part of the agent's configuration that demands: what no
// commit can weaken.
type BaselineConfig struct {
	// What must be known of an image before it runs, in every environment. An
	// image that no rule matches is refused; where several match, each must be
	// satisfied. Neither levels nor pawl.yaml let an image run that none matches.
	Trust []TrustConfig `json:"trust" jsonschema:"minItems=1,maxItems=1000"`
	// The Sigstore instances that vouch for keyless signers.
	Sigstore []SigstoreConfig `json:"sigstore,omitempty" jsonschema:"minItems=1,maxItems=20"`
	// Policies that levels name.
	Policies []PolicyConfig `json:"policies,omitempty" jsonschema:"minItems=1,maxItems=100"`
	// Compliance levels that environments name.
	Levels []LevelConfig `json:"levels,omitempty" jsonschema:"minItems=1,maxItems=100"`
	// Whose signatures on commits count where a level demands them.
	Commits CommitsConfig `json:"commits,omitempty,omitzero"`
}

// TrustConfig demands evidence of the images that it matches.
type TrustConfig = environments.Trust[KeyConfig]

// AttestationConfig demands a statement about each image.
type AttestationConfig = environments.Attestation[KeyConfig]

// KeyConfig is a public key. Exactly one of File and Secret is set.
type KeyConfig struct {
	// What reports call the key.
	Name string `json:"name" jsonschema:"minLength=1,maxLength=100,example=release"`
	// The file with the public key, as "cosign generate-key-pair" writes it.
	File string `json:"file,omitempty" jsonschema:"minLength=1,example=/etc/pawl/release.pub"`
	// A Secret of the agent's namespace with the public key.
	Secret *SecretKey `json:"secret,omitempty"`
}

// SecretKey is an entry of a Secret in the agent's namespace, of the cluster
// that the agent runs in, or else of its first environment.
type SecretKey struct {
	// The Secret's name.
	Name string `json:"name" jsonschema:"minLength=1,maxLength=253,example=cosign"`
	// The entry of its data.
	Key string `json:"key" jsonschema:"minLength=1,maxLength=253,example=cosign.pub"`
}

// SigstoreConfig is a Sigstore instance whose certificates count for keyless
// signers.
type SigstoreConfig struct {
	// What keyless signers call it under root.
	Name string `json:"name" jsonschema:"minLength=1,maxLength=100,example=public"`
	// The file with its trusted_root.json. It is read again when it changes, and
	// nothing of it is ever fetched.
	TrustedRoot string `json:"trustedRoot" jsonschema:"minLength=1,example=/etc/pawl/trusted_root.json"`
	// Whether a signature must stand in the transparency log. Of this and
	// timestamp at least one is required: nothing else tells when a short-lived
	// certificate was used.
	TransparencyLog Requirement `json:"transparencyLog,omitempty" jsonschema:"enum=required,enum=ignored,default=required"`
	// Whether a signature must bear a timestamp of the root's authority.
	Timestamp Requirement `json:"timestamp,omitempty" jsonschema:"enum=required,enum=ignored,default=ignored"`
	// Whether a certificate must prove that it was logged.
	CertificateLog Requirement `json:"certificateLog,omitempty" jsonschema:"enum=required,enum=ignored,default=required"`
	// How long the last good copy counts when the file can no longer be read, 1m
	// to 720h; 24h if left out. After that nothing is verified by it.
	MaxAge environments.Duration `json:"maxAge,omitempty"`
}

// Requirement says whether something must be there.
type Requirement string

const (
	Required Requirement = "required"
	Ignored  Requirement = "ignored"
)

// PolicyConfig is a policy in Rego. Exactly one of Shipped and Folder is set.
type PolicyConfig struct {
	// What levels and reports call the policy.
	Name string `json:"name" jsonschema:"minLength=1,maxLength=100,example=restricted-pods"`
	// A policy that comes with Pawl; `pawl policy list` names them.
	Shipped string `json:"shipped,omitempty" jsonschema:"minLength=1,maxLength=100,example=restricted-pods"`
	// A folder with the policy's files.
	Folder string `json:"folder,omitempty" jsonschema:"minLength=1,example=/etc/pawl/policies/acme"`
	// What the policy finds under data.parameters.
	Parameters map[string]any `json:"parameters,omitempty"`
}

// LevelConfig is a compliance level: a named set of demands that are added to
// the trust that holds everywhere.
type LevelConfig struct {
	// What environments call it, here or in pawl.yaml.
	Name string `json:"name" jsonschema:"minLength=1,maxLength=100,example=pci"`
	// Evidence that is demanded as well. It only ever refuses more.
	Trust []TrustConfig `json:"trust,omitempty" jsonschema:"minItems=1,maxItems=1000"`
	// Policies, by name, none of which may deny a release.
	Policies []string `json:"policies,omitempty" jsonschema:"minItems=1,maxItems=100"`
	// How many people must have approved the pull request that brought a change.
	Approvals int `json:"approvals,omitempty" jsonschema:"minimum=0,maximum=10"`
	// Which commits must be signed to bring a change: head is the one that is
	// deployed and none before it, every is each one of the branch since what
	// was deployed last.
	Commits SignedCommits `json:"commits,omitempty" jsonschema:"enum=none,enum=head,enum=every,default=none"`
}

// SignedCommits says which commits must be signed.
type SignedCommits string

const (
	CommitsNone  SignedCommits = "none"
	CommitsHead  SignedCommits = "head"
	CommitsEvery SignedCommits = "every"
)

// CommitsConfig is whose signatures on commits count.
type CommitsConfig struct {
	// Public keys: OpenPGP, armored, or SSH, as in an allowed_signers file.
	Signers []KeyConfig `json:"signers,omitempty" jsonschema:"minItems=1,maxItems=1000"`
	// Let commits count that GitHub shows as verified: its own, such as merges
	// and those of a GitHub App, and those of users who registered their key.
	GitHub bool `json:"github,omitempty"`
}

// ConfigSource is this file, whose comments describe the fields in schemas.
//
//go:embed config.go
var ConfigSource string
