package drift

import "slices"

// Upkeep says what to do about one of the objects in which the agent keeps what
// it has to know about itself: inventories, and which releases were good.
type Upkeep string

const (
	UpkeepNone  Upkeep = ""      // it is as it was written, or there is nothing to know
	UpkeepWrite Upkeep = "write" // somebody deleted or edited it: memory is written again
	UpkeepTake  Upkeep = "take"  // another process of the agent wrote it: its word counts
)

// OwnStored is such an object as it is in the cluster.
type OwnStored struct {
	There   bool
	Content Digest // of what it holds
	// Noted is the digest that stands beside the content. Whoever edits by hand
	// leaves one that does not fit.
	Noted Digest
}

// TendOwn compares what is stored with what the agent remembers to have stored
// last, empty if there is nothing.
func TendOwn(known Digest, stored OwnStored) Upkeep {
	switch {
	case !stored.There && known == "", stored.There && stored.Content == known:
		return UpkeepNone
	case !stored.There:
		return UpkeepWrite
	case known == "", stored.Noted != "" && stored.Noted == stored.Content:
		return UpkeepTake
	default:
		return UpkeepWrite
	}
}

// OrphanParts are the parts of releases that none of them names.
func OrphanParts(stored []string, named ...[]string) []string {
	return slices.DeleteFunc(slices.Clone(stored), func(part string) bool {
		return slices.ContainsFunc(named, func(parts []string) bool { return slices.Contains(parts, part) })
	})
}

// Own tells that somebody deleted or damaged what the agent keeps about itself,
// and what was done about it.
type Own struct {
	// Written are the objects that were written again, as people call them.
	Written []string
	// Lost are good releases that could not be: nothing may return to them.
	Lost []*Lost
	// Fight and Corrections are as of Drift.
	Fight       FightState
	Corrections int
	// Err says why it could not be looked after; it is tried again.
	Err error
}
