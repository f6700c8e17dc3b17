package drift

import (
	"time"

	"github.com/pawl-dev/pawl/environments"
)

// Notice is what watching the live objects of a target found, or what a person
// asks of it. Exactly one of Health, Drift, Rollback, Own and TryAgain is set.
type Notice struct {
	Target  environments.Target
	Release string // the digest of the release that is being kept
	Health  *Health
	Drift   *Drift
	// Rollback is to be answered (cluster.Answer).
	Rollback *RollbackRequest
	// Own is about what the agent keeps of the target in its own namespace.
	Own *Own
	// TryAgain says that something happened to what the release that was applied last
	// waits for, see Problem.Awaits.
	TryAgain bool
}

// Drift is one object that differed from the release, and what was done.
type Drift struct {
	Object  ObjectID
	Deleted bool
	Changes []Change
	// Manager is the field manager that made the change ("kubectl-edit"), and
	// ChangedAt its time by the API server; both zero where they are not known.
	Manager   string
	ChangedAt time.Time
	SeenAt    time.Time
	// CorrectedAt is zero where the drift was only reported or Err says why
	// putting it back failed.
	CorrectedAt time.Time
	Err         error
	// Fight is set where this is the beginning or the end of a fight. What the same
	// side does between the two is not told. Then Corrections says how often it
	// was, and of the end SeenAt is when the fight began.
	Fight       FightState
	Corrections int
}

// FightState says what is told about a fight.
type FightState string

const (
	FightBegan FightState = "began"
	FightEnded FightState = "ended"
)
