package drift_test

import (
	"slices"
	"testing"

	"github.com/pawl-dev/pawl/drift"
)

func TestWhatTheAgentKeepsAboutItselfIsWrittenAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		known  drift.Digest
		stored drift.OwnStored
		want   drift.Upkeep
	}{
		"nothing was ever stored":            {"", drift.OwnStored{}, drift.UpkeepNone},
		"as it was written":                  {"a", drift.OwnStored{There: true, Content: "a", Noted: "a"}, drift.UpkeepNone},
		"only an annotation was edited":      {"a", drift.OwnStored{There: true, Content: "a", Noted: "edited"}, drift.UpkeepNone},
		"deleted":                            {"a", drift.OwnStored{}, drift.UpkeepWrite},
		"edited":                             {"a", drift.OwnStored{There: true, Content: "b", Noted: "a"}, drift.UpkeepWrite},
		"edited, and the note is gone":       {"a", drift.OwnStored{There: true, Content: "b"}, drift.UpkeepWrite},
		"emptied, and the note is gone":      {"a", drift.OwnStored{There: true}, drift.UpkeepWrite},
		"written by another process":         {"a", drift.OwnStored{There: true, Content: "b", Noted: "b"}, drift.UpkeepTake},
		"there, though nothing was known":    {"", drift.OwnStored{There: true, Content: "b", Noted: "b"}, drift.UpkeepTake},
		"of a version that noted no digests": {"", drift.OwnStored{There: true, Content: "b"}, drift.UpkeepTake},
	} {
		if got := drift.TendOwn(c.known, c.stored); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestPartsThatNoReleaseNamesAreOrphans(t *testing.T) {
	t.Parallel()
	stored := []string{"a-0", "a-1", "b-0", "c-0"}
	got := drift.OrphanParts(stored, []string{"a-0", "a-1"}, []string{"c-0", "lost-0"})
	if !slices.Equal(got, []string{"b-0"}) || len(drift.OrphanParts(stored)) != 4 || len(stored) != 4 {
		t.Errorf("got %v of %v", got, stored)
	}
}
