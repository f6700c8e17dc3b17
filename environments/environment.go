// Package environments owns pawl.yaml: what a team writes in its config repo
// about where applications go and in which order. It loads the file strictly,
// reports every problem at once, and finds the targets in a tree.
package environments

import "time"

// The comments of the fields below are also the descriptions in the JSON
// Schema that editors show: write them for whoever writes pawl.yaml.

// Pipeline is the content of pawl.yaml.
type Pipeline struct {
	APIVersion string   `json:"apiVersion" jsonschema:"enum=pawl.dev/v1alpha1"`
	Kind       string   `json:"kind" jsonschema:"enum=Pipeline"`
	Metadata   Metadata `json:"metadata"`
	Spec       Spec     `json:"spec"`
}

// Metadata names a pipeline in reports.
type Metadata struct {
	// What checks, pull requests and tables call this pipeline.
	Name string `json:"name"`
}

// Spec says where the overlays are and through which environments digests go.
type Spec struct {
	// The folder of each target's overlay, relative to the root of the
	// repository. {env} stands for an environment and, where there are several
	// applications, {app} for an application's folder. A placeholder is a whole
	// part of the path: "apps/{app}/overlays/{env}".
	Overlays string `json:"overlays" jsonschema:"minLength=1,maxLength=512,example=apps/{app}/overlays/{env}"`
	// The steps on the way of a digest. Exactly one has no "after": it is the first.
	Environments []Environment `json:"environments" jsonschema:"minItems=1,maxItems=100"`
	// Folders with policies in Rego, relative to the root of the repository. Each
	// is one policy, and none may deny a release of any environment.
	Policies []string `json:"policies,omitempty" jsonschema:"minItems=1,maxItems=100,example=policies"`
	// Evidence that is demanded beside what the agent's configuration demands.
	Trust []Trust[Key] `json:"trust,omitempty" jsonschema:"minItems=1,maxItems=1000"`
	// Fields of custom resources that hold images. Those whose names say so are
	// found without.
	Images []ImageFields `json:"images,omitempty" jsonschema:"minItems=1,maxItems=100"`
	// How the health of further kinds is told, by expressions in CEL. They win
	// over what the agent knows of a kind.
	Health []HealthCheck `json:"health,omitempty" jsonschema:"minItems=1,maxItems=100"`
}

// Environment is one step on the way of a digest.
type Environment struct {
	// The name, which {env} stands for and which the agent's configuration repeats.
	Name string `json:"name"`
	// The environments that a digest must have passed, all of them, before it
	// enters this one. Left out only in the first environment.
	After []string `json:"after,omitempty" jsonschema:"minItems=1,maxItems=100"`
	// The tags that the first environment follows; no other may.
	Track []Track `json:"track,omitempty" jsonschema:"minItems=1,maxItems=100"`
	// How digests enter this environment; not in the first.
	Promotion Promotion `json:"promotion,omitempty,omitzero"`
	// A compliance level of the agent's configuration, whose demands are added.
	Level string `json:"level,omitempty" jsonschema:"minLength=1,maxLength=100,example=pci"`
	// What happens to changes made by hand to live objects: correct puts them
	// back at once, report only tells.
	Drift DriftMode `json:"drift,omitempty" jsonschema:"enum=correct,enum=report,default=correct"`
	// Declared fields that are left to others once an object was made, such as
	// the replicas of what is scaled automatically: neither put back nor told.
	Ignore []Ignore `json:"ignore,omitempty" jsonschema:"minItems=1,maxItems=100"`
	// The tools whose objects may be taken over: argocd, configsync, flux, helm,
	// kubectl. What one of them declared and the release does not is removed
	// then, so it must no longer be at work here.
	Adopt []Tool `json:"adopt,omitempty" jsonschema:"minItems=1,maxItems=10,example=flux"`
	// What happens when a release does not become healthy.
	Rollback Rollback `json:"rollback,omitempty,omitzero"`
	// How long to wait for health after an apply before it counts as failed;
	// 5m if left out, 1s to 24h.
	HealthTimeout Duration `json:"healthTimeout,omitempty"`
	// What may be deleted because it left the repository.
	Prune Prune `json:"prune,omitempty,omitzero"`
}

// Prune limits what may be deleted because it left the repository.
type Prune struct {
	// The share of a target's objects, in percent, that may be deleted at once.
	// More waits until a commit message says that it is meant; 0 lets nothing go
	// without, 100 anything but what is protected.
	MaxPercent *int `json:"maxPercent,omitempty" jsonschema:"minimum=0,maximum=100,default=30"`
}

// DefaultMaxPercent is Prune.MaxPercent where pawl.yaml says nothing.
const DefaultMaxPercent = 30

// Percent is MaxPercent, or its default.
func (p Prune) Percent() int {
	if p.MaxPercent == nil {
		return DefaultMaxPercent
	}
	return *p.MaxPercent
}

// Track is a rule by which the first environment finds new images. Exactly one
// of Tag and Semver is set.
type Track struct {
	// A repository with its registry and without a tag, "*" matching within one
	// part of the path: "ghcr.io/acme/*".
	Image string `json:"image" jsonschema:"minLength=1,maxLength=512,example=ghcr.io/acme/*"`
	// A tag that is followed as it moves.
	Tag string `json:"tag,omitempty" jsonschema:"minLength=1,maxLength=128,example=main"`
	// A range of versions whose highest tag is taken.
	Semver string `json:"semver,omitempty" jsonschema:"minLength=1,maxLength=128,example=>=1.4 <2"`
}

// Promotion says how digests enter an environment.
type Promotion struct {
	// Who merges the promotion's pull request: a person, or the agent once
	// GitHub allows it.
	Merge MergeMode `json:"merge,omitempty" jsonschema:"enum=manual,enum=auto,default=manual"`
	// What one pull request holds: one application or all of the environment.
	Batch BatchMode `json:"batch,omitempty" jsonschema:"enum=application,enum=environment,default=application"`
}

type MergeMode string

const (
	MergeManual MergeMode = "manual" // a person merges; the default
	MergeAuto   MergeMode = "auto"   // the agent merges once GitHub allows it
)

type BatchMode string

const (
	BatchApplication BatchMode = "application" // one pull request per application; the default
	BatchEnvironment BatchMode = "environment" // one pull request for all applications
)

type DriftMode string

const (
	DriftCorrect DriftMode = "correct" // put back at once; the default
	DriftReport  DriftMode = "report"  // only told
)

// Rollback says what happens when a release does not become healthy.
type Rollback struct {
	// Whether the last good release returns by itself. The failed one is then
	// held until the branch asks for another.
	OnFailure RollbackMode `json:"onFailure,omitempty" jsonschema:"enum=auto,enum=off,default=auto"`
}

type RollbackMode string

const (
	RollbackAuto RollbackMode = "auto" // the last good release returns; the default
	RollbackOff  RollbackMode = "off"  // the failed release stays
)

// DefaultHealthTimeout bounds the wait for health where pawl.yaml says nothing.
const DefaultHealthTimeout = 5 * time.Minute

// Target is one application in one environment.
type Target struct {
	Environment string
	// Application is empty where the overlay pattern has no {app}.
	Application string
	// Overlay is the slash-separated folder of the kustomization, relative to
	// the root of the tree.
	Overlay string
}

// String is the target as people type it: "production/web", or "production"
// where there are no applications.
func (t Target) String() string {
	if t.Application == "" {
		return t.Environment
	}
	return t.Environment + "/" + t.Application
}
