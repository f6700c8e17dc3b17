package drift

import (
	"context"
	"time"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
)

// Terms say how a release is to be kept, and by what it was judged.
type Terms struct {
	Environment environments.Environment
	// Demands identifies what the repository demanded at the release's commit; it
	// is only remembered, see Accepted.
	Demands string
	// Returning says that the release is an older one that returns: what it is
	// judged against next stays the newest commit that was accepted, or going back
	// would also bring back what was demanded then.
	Returning bool
	// Keeps says that the release is what runs already, and no commit was accepted:
	// nothing is deleted, and only what the inventory has is put back. What is on
	// its way out, or to another target, is left to the next commit.
	Keeps bool
	// GoodAt is when it was good, where it takes the place of a newer one: what was
	// made since goes with that one.
	GoodAt time.Time
	// Word is what the commits since the one accepted last say may be deleted;
	// nil if they say nothing.
	Word *PruneWord
	// Health are the repository's own health checks at that commit.
	Health HealthChecks
	// Others looks up what the other targets of the cluster declare at the commit.
	// It is asked only if something may be handed over; nil if nobody can tell.
	Others func(context.Context) (*Others, error)
}

// Accepted is what a target was last brought to, remembered in the cluster: the
// next commit is compared with it, also after a restart.
type Accepted struct {
	Target environments.Target // its overlay is not known
	// Commit is the newest commit that was accepted, and Demands what the
	// repository demanded there (Terms.Demands). Commit is empty if nothing ever was.
	Commit  gitsync.Commit
	Demands string
	// Release is what runs, by its content's digest. It is another than the
	// commit's where the target was returned to an older one, and empty where
	// nothing was applied yet.
	Release string
	At      time.Time
	// Held says that objects left the release and wait to be deleted.
	Held bool
}

// Same reports whether both are of the same commit, release and demands,
// with as much left to do.
func (a Accepted) Same(other Accepted) bool {
	return a.Commit == other.Commit && a.Release == other.Release && a.Demands == other.Demands && a.Held == other.Held
}
