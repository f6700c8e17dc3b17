// Package environments owns pawl.yaml: what a team writes in its config repo
// about where applications go and in which order. It loads the file strictly,
// reports every problem at once, and finds the targets in a tree.
package environments

import "time"

// Pipeline is the content of pawl.yaml.
type Pipeline struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   Metadata `json:"metadata"`
	Spec       Spec     `json:"spec"`
}

// Metadata names a pipeline in reports.
type Metadata struct {
	Name string `json:"name"`
}

// Spec says where the overlays are and through which environments digests go.
type Spec struct {
	// Overlays is the folder of each target's overlay, relative to the root of
	// the repository, with {env} in it and, where there are several
	// applications, {app}: "apps/{app}/overlays/{env}".
	Overlays     string        `json:"overlays"`
	Environments []Environment `json:"environments"`
}

// Environment is one step on the way of a digest.
type Environment struct {
	Name string `json:"name"`
	// After names the environments that a digest must have passed. Empty only
	// for the first one, which follows tags instead.
	After []string `json:"after,omitempty"`
	// Track says which tags the first environment follows.
	Track     []Track   `json:"track,omitempty"`
	Promotion Promotion `json:"promotion,omitzero"`
	// Drift is what happens to hand-made changes of live objects.
	Drift DriftMode `json:"drift,omitempty"`
	// HealthTimeout bounds the wait for health after an apply; DefaultHealthTimeout if zero.
	HealthTimeout Duration `json:"healthTimeout,omitempty"`
}

// Track is a rule by which the first environment finds new images.
type Track struct {
	// Image is a repository without tag, "*" matching within one path segment:
	// "ghcr.io/acme/*".
	Image string `json:"image"`
	// Exactly one of Tag (followed as it moves) and Semver (the highest tag in
	// the range) is set.
	Tag    string `json:"tag,omitempty"`
	Semver string `json:"semver,omitempty"`
}

// Promotion says how digests enter an environment.
type Promotion struct {
	// Merge is who merges the pull request; MergeManual if empty.
	Merge MergeMode `json:"merge,omitempty"`
	// Batch is what one pull request holds; BatchApplication if empty.
	Batch BatchMode `json:"batch,omitempty"`
}

type MergeMode string

const (
	MergeManual MergeMode = "manual" // a person merges
	MergeAuto   MergeMode = "auto"   // the agent merges once GitHub allows it
)

type BatchMode string

const (
	BatchApplication BatchMode = "application" // one pull request per application
	BatchEnvironment BatchMode = "environment" // one pull request for all applications
)

type DriftMode string

const (
	DriftCorrect DriftMode = "correct" // put back at once; the default
	DriftReport  DriftMode = "report"  // only told
)

// DefaultHealthTimeout bounds the wait for health where pawl.yaml says nothing.
const DefaultHealthTimeout = 5 * time.Minute

// Duration is a time.Duration written as in "10m".
type Duration time.Duration

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
