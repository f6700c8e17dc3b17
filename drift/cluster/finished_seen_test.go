package cluster

import (
	"testing"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
)

func TestAFinishedJobThatIsGoneIsNoDrift(t *testing.T) {
	t.Parallel()
	type do func(*sight)
	see := func(l drift.Live) do { return func(s *sight) { s.watcher.see(conf, l, nil) } }
	complete := func(version string, applied drift.Digest) drift.Live {
		l := state(version, applied)
		l.Finished = drift.FinishedComplete
		return l
	}
	begin := func(s *sight) { s.kept.busy = true }
	end := func(s *sight) { s.end(s.kept) }
	// kept is what an apply does with an inventory as it was read before.
	kept := func(noted drift.Entry) do {
		return func(s *sight) {
			s.kept.target.inventory.Entries[conf] = noted
			s.keep(s.kept.target, s.watcher, drift.Wanted{ID: conf, Digest: noted.Desired}, noted.Applied, noted.UID)
		}
	}
	asNoted := drift.Entry{UID: "uid", Desired: "wanted", Applied: "applied", Finished: drift.FinishedComplete}
	for name, c := range map[string]struct {
		steps []do
		drift bool
		noted drift.Finished
	}{
		"complete, then gone":                   {[]do{see(complete("5", "applied")), see(absent("6"))}, false, drift.FinishedComplete},
		"gone before":                           {[]do{see(state("5", "applied")), see(absent("6"))}, true, ""},
		"complete as another":                   {[]do{see(complete("5", "edited")), see(absent("6"))}, true, ""},
		"complete and gone while it is written": {[]do{begin, see(complete("5", "applied")), see(absent("6")), end}, false, drift.FinishedComplete},
		"gone while it is written":              {[]do{begin, see(absent("6")), end}, true, ""},
		"noted before, and never seen":          {[]do{kept(asNoted)}, false, drift.FinishedComplete},
		"seen after the inventory was read":     {[]do{see(complete("5", "applied")), see(absent("6")), kept(drift.Entry{UID: "uid", Desired: "wanted", Applied: "applied"})}, false, drift.FinishedComplete},
		"recreated as another, then gone":       {[]do{see(complete("5", "applied")), begin, see(absent("6")), kept(drift.Entry{UID: "uid", Desired: "newer", Applied: "newly"}), see(state("7", "newly")), end, see(absent("8"))}, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSight(t, environments.DriftCorrect)
			s.mu.Lock()
			defer s.mu.Unlock()
			for _, step := range c.steps {
				step(s)
			}
			if got := s.fresh.Len() > 0; got != c.drift {
				t.Errorf("drift is %v, want %v", got, c.drift)
			}
			if got := s.kept.target.inventory.Entries[conf].Finished; got != c.noted {
				t.Errorf("noted is %q, want %q", got, c.noted)
			}
			if healthy := s.kept.health.Status == drift.Current; !c.drift && !healthy {
				t.Errorf("its health is %+v", s.kept.health)
			}
		})
	}
}

// What was seen and could not be stored yet counts in the next plan.
func TestAJobThatFinishedJustNowIsRecalled(t *testing.T) {
	t.Parallel()
	for desired, want := range map[drift.Digest]drift.Finished{"wanted": drift.FinishedComplete, "newer": ""} {
		s := newSight(t, environments.DriftCorrect)
		s.kept.target.inventory.Entries[conf] = drift.Entry{UID: "uid", Desired: "wanted", Finished: drift.FinishedComplete}
		w := &work{target: s.kept.target, inventory: drift.Inventory{Entries: map[drift.ObjectID]drift.Entry{conf: {UID: "uid", Desired: desired}}}}
		s.mu.Lock()
		s.recall(w.target, w.inventory)
		s.mu.Unlock()
		if got := w.inventory.Entries[conf].Finished; got != want {
			t.Errorf("stored as %s: %q", desired, got)
		}
	}
}
