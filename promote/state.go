package promote

import (
	"time"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/render"
)

// EnvironmentState is how far an environment's targets are at one commit. The
// agent fills it; the check and the decision to promote are made from it alone.
type EnvironmentState struct {
	Environment string
	Commit      gitsync.Commit
	StartedAt   time.Time
	Targets     []TargetState
	// Problem says why there are no targets to speak of: pawl.yaml does not
	// load, or no overlay was found. Empty otherwise.
	Problem Problem
}

// TargetState is how far one target is at a commit.
type TargetState struct {
	Target environments.Target
	Stage  Stage
	// Images and Evidence go together by index; Evidence is empty until verified.
	Images   []render.Image
	Evidence []policies.Evidence
	// Policies are what the policies said of the release; empty until verified.
	Policies []policies.PolicyResult
	// Unlisted are texts that look like images, in fields of custom resources that
	// nobody listed. Nothing is verified about them.
	Unlisted []render.Image
	// Places tells where the objects of the release are declared, by name
	// (render.Release.Places).
	Places map[string]render.Place
	// Unpinned are images that still stand as tags: their Digest is empty.
	Unpinned []render.Image
	// Applied is what was done; nil before.
	Applied *drift.Applied
	Health  drift.Health
	// Since is when the target became healthy with these images.
	Since time.Time
	// Unchanged says that the commit did not touch the target.
	Unchanged bool
	// Problem is set in the stages Failed, Retrying, Awaiting and Held.
	Problem Problem
	// Retry is set in the stages Failed and Retrying, where it is tried again.
	Retry Retry
}

// Problem is what people need to know about a failure.
type Problem struct {
	Reason string // stable, from docs/reasons.md: "ImageRefused"
	Text   string // what was attempted, on what, and why it failed
	Hint   string // what to do next
	// Did is what the agent did about it, where that is not what it always does.
	Did string
	// Err is the failure itself, where there is one: the places that it names
	// are annotated, and of a *policies.Refusal it is told what was demanded.
	Err error
}

// Stage is how far a target is.
type Stage string

const (
	StageQueued    Stage = "queued"
	StageRendering Stage = "rendering"
	StageVerifying Stage = "verifying"
	StageApplying  Stage = "applying"
	StageWaiting   Stage = "waiting for health"
	StageHealthy   Stage = "healthy"
	// StagePruneHeld is applied, but for deletions that wait: for a word in a commit,
	// or until what left can be read.
	StagePruneHeld Stage = "pruning is held"
	// StageAwaiting waits for the agent itself: the digest that stands for a
	// tracked tag, or the first promotion, is not committed yet.
	StageAwaiting Stage = "waiting for a digest"
	// StageRetrying is a failure that may pass by itself: the registry is down.
	StageRetrying Stage = "retrying"
	// StageFailed needs a person or a new commit.
	StageFailed Stage = "failed"
)
