package drift_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
)

// catalogue 96
func TestRetiring(t *testing.T) {
	t.Parallel()
	gone, other := environments.Target{Environment: "dev", Application: "web"}, environments.Target{Environment: "dev", Application: "shop"}
	mark := drift.MarkFor("agent", gone)
	a, ns := drift.ObjectID{Kind: "ConfigMap", Namespace: "shop", Name: "a"}, drift.ObjectID{Kind: "Namespace", Name: "shop"}
	had := drift.ObjectID{Kind: "ConfigMap", Namespace: "shop", Name: "was-there-before"}
	word := func(n int) *drift.PruneWord { return &drift.PruneWord{Target: gone.String(), Objects: n} }
	live := func(id drift.ObjectID) drift.Live { return drift.Live{State: drift.Present, UID: id.Name, Mark: mark} }
	takers := &drift.Others{}
	takers.Add(other, []drift.ObjectID{a})

	for name, c := range map[string]struct {
		word    *drift.PruneWord
		others  *drift.Others
		live    map[drift.ObjectID]drift.Live // in place of what bears the mark
		deletes []drift.ObjectID
		left    []drift.ObjectID // once what is deleted is gone
	}{
		"without a word all stays":             {left: []drift.ObjectID{a, had, ns}},
		"another number is no word":            {word: word(1), left: []drift.ObjectID{a, had, ns}},
		"the word deletes in reverse order":    {word: word(2), deletes: []drift.ObjectID{a, ns}},
		"what another one declares is handed":  {word: word(1), others: takers, deletes: []drift.ObjectID{ns}, left: []drift.ObjectID{a, had}},
		"what somebody took over is left":      {word: word(1), live: map[drift.ObjectID]drift.Live{a: {State: drift.Present, UID: "a", Mark: drift.MarkFor("another", gone)}}, deletes: []drift.ObjectID{ns}},
		"what was made anew by others is left": {word: word(1), live: map[drift.ObjectID]drift.Live{a: {State: drift.Present, UID: "anew", Mark: mark}}, deletes: []drift.ObjectID{ns}},
		"what cannot be read deletes nothing":  {word: word(2), live: map[drift.ObjectID]drift.Live{a: {}}, left: []drift.ObjectID{a, had, ns}},
	} {
		s := drift.Situation{
			Target: gone, Mark: mark, Word: c.word, Others: c.others,
			Inventory: drift.Inventory{Accepted: drift.Accepted{Release: "r"}, Entries: map[drift.ObjectID]drift.Entry{a: {UID: "a"}, ns: {UID: "shop"}, had: {UID: had.Name, Adopted: true}}},
			Live:      map[drift.ObjectID]drift.Live{a: live(a), ns: live(ns), had: live(had)},
		}
		maps.Copy(s.Live, c.live)
		plan := drift.Retire(s)
		var deletes []drift.ObjectID
		for _, step := range plan.Steps {
			if step.Action == drift.Delete {
				deletes = append(deletes, step.Object)
			}
		}
		if !slices.Equal(deletes, c.deletes) {
			t.Errorf("%s: deletes %v; want %v", name, deletes, c.deletes)
		}
		noted := s.Inventory.Retire(plan)
		s.Inventory, s.Word = noted, nil // cut off, and begun anew
		if again := drift.Retire(s); len(c.deletes) > 0 && again.Held != nil && len(again.Held.Objects) > 0 {
			t.Errorf("%s: what was allowed needs the word again: %s", name, again.Held)
		}
		for _, id := range c.deletes {
			delete(noted.Entries, id)
			s.Live[id] = drift.Live{State: drift.Absent}
		}
		retired := noted.Retired(s.Live, mark, false)
		if left := retired.IDs(); !slices.Equal(left, c.left) || (retired.Accepted.Release == "") != (len(c.left) == 0) {
			t.Errorf("%s: left are %v; want %v", name, left, c.left)
		}
	}
}
