package cluster

import (
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/util/workqueue"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
)

// sight is a cluster without an API server: what is seen and answered comes
// from the test, and nobody works on the queues.
type sight struct {
	*Cluster
	watcher *watcher
	kept    *kept
}

var conf = drift.ObjectID{Kind: "ConfigMap", Namespace: "shop", Name: "conf"}

func newSight(t *testing.T, mode environments.DriftMode) *sight {
	t.Helper()
	limits := workqueue.NewTypedItemExponentialFailureRateLimiter[drift.ObjectID](firstRetry, lastRetry)
	c := &Cluster{
		ctx: t.Context(), fresh: workqueue.NewTypedRateLimitingQueue(limits), retry: workqueue.NewTypedRateLimitingQueue(limits),
		targets: map[string]*target{}, kept: map[drift.ObjectID]*kept{}, claims: map[drift.ObjectID]*target{},
		deleting: map[drift.ObjectID]*deletion{}, waiting: map[*waiter]struct{}{},
	}
	t.Cleanup(c.fresh.ShutDown)
	t.Cleanup(c.retry.ShutDown)
	c.notices = newNotices(c)
	w := &watcher{c: c, seen: map[drift.ObjectID]drift.Live{}, synced: true, users: 1}
	held := &target{name: "production", mode: mode, flushing: true, inventory: drift.Inventory{Entries: map[drift.ObjectID]drift.Entry{conf: {}}}}
	c.claims[conf] = held
	k := c.keep(held, w, drift.Wanted{ID: conf, Digest: "wanted"}, "applied", "uid")
	return &sight{c, w, k}
}

func state(version string, applied drift.Digest) drift.Live {
	return drift.Live{State: drift.Present, UID: "uid", ResourceVersion: version, Applied: applied}
}

var absent = func(version string) drift.Live { return drift.Live{State: drift.Absent, ResourceVersion: version} }

func TestWhatIsSeenAndWhatIsAnsweredInAnyOrder(t *testing.T) {
	t.Parallel()
	type do func(*sight)
	see := func(l drift.Live) do { return func(s *sight) { s.watcher.see(conf, l, nil) } }
	begin := func(s *sight) { s.kept.busy = true }
	// answer ends a write that the API server answered.
	answer := func(l drift.Live) do {
		return func(s *sight) {
			s.kept.applied, s.kept.uid = l.Applied, l.UID
			s.watcher.answered(conf, l)
			s.kept.settled()
			s.end(s.kept)
		}
	}
	for name, c := range map[string]struct {
		steps []do
		drift bool
	}{
		"as it was applied":      {[]do{see(state("5", "applied"))}, false},
		"edited":                 {[]do{see(state("5", "applied")), see(state("6", "edited"))}, true},
		"deleted":                {[]do{see(state("5", "applied")), see(absent("6"))}, true},
		"edited and edited back": {[]do{see(state("6", "edited")), see(state("7", "applied"))}, true}, // queued; the worker finds it well
		"our write is seen before its answer comes":    {[]do{see(state("5", "applied")), begin, see(state("6", "newer")), answer(state("6", "newer"))}, false},
		"our write is seen after its answer":           {[]do{see(state("5", "applied")), begin, answer(state("6", "newer")), see(state("6", "newer"))}, false},
		"an old edit is seen after our answer":         {[]do{see(state("5", "applied")), begin, answer(state("7", "newer")), see(state("6", "edited"))}, false},
		"a deletion from before our answer":            {[]do{see(state("5", "applied")), begin, answer(state("7", "newer")), see(absent("6"))}, false},
		"a list from before our answer":                {[]do{begin, answer(state("9", "newer")), see(absent("8"))}, false},
		"edited after our write, before its answer":    {[]do{see(state("5", "applied")), begin, see(state("6", "newer")), see(state("7", "edited")), answer(state("6", "newer"))}, true},
		"deleted after our write, before its answer":   {[]do{see(state("5", "applied")), begin, see(state("6", "newer")), see(absent("7")), answer(state("6", "newer"))}, true},
		"versions are numbers, not texts":              {[]do{begin, answer(state("10", "newer")), see(state("9", "edited"))}, false},
		"the watch shows our version by an old schema": {[]do{begin, see(state("6", "without a field")), answer(state("6", "newer"))}, false},
		"the same, later":                              {[]do{begin, answer(state("6", "newer")), see(state("6", "without a field"))}, false},
		"on its way out":                               {[]do{see(drift.Live{State: drift.Present, UID: "uid", ResourceVersion: "6", Applied: "edited", Terminating: true})}, false},
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
		})
	}
}

func TestReportedDriftIsToldOnceForEachState(t *testing.T) {
	t.Parallel()
	s := newSight(t, environments.DriftReport)
	s.mu.Lock()
	defer s.mu.Unlock()
	queued := func() bool {
		if s.fresh.Len() == 0 {
			return false
		}
		id, _ := s.fresh.Get()
		s.fresh.Done(id)
		s.kept.reported = reportable(s.watcher.seen[id]) // as the worker notes
		return true
	}
	for _, step := range []struct {
		live drift.Live
		told bool
	}{
		{state("5", "applied"), false},
		{state("6", "edited"), true},
		{state("7", "edited"), false}, // somebody else's field
		{state("8", "edited more"), true},
		{state("9", "applied"), false},
		{state("10", "edited"), true}, // a new episode
		{absent("11"), true},
	} {
		s.watcher.see(conf, step.live, nil)
		if got := queued(); got != step.told {
			t.Errorf("version %s: told is %v, want %v", step.live.ResourceVersion, got, step.told)
		}
	}
}

func TestAnObjectThatKeepsDriftingIsPutBackWithPauses(t *testing.T) {
	t.Parallel()
	s := newSight(t, environments.DriftCorrect)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watcher.see(conf, state("5", "edited"), nil)
	if s.fresh.Len() != 1 {
		t.Fatal("the first time is put back at once")
	}
	id, _ := s.fresh.Get()
	s.fresh.Done(id)
	s.kept.repairs = repairsAtOnce
	s.watcher.see(conf, state("6", "edited"), nil)
	if s.fresh.Len() != 0 {
		t.Error("the last of many times must wait")
	}
}

func TestAWaiterThatWasServedAtTheLastMomentKnows(t *testing.T) {
	t.Parallel()
	s := newSight(t, environments.DriftCorrect)
	s.kept.busy = true
	waited := make(chan error)
	go func() { waited <- s.begin(t.Context(), conf) }()
	select {
	case err := <-waited:
		t.Fatal("it did not wait:", err)
	default:
	}
	s.mu.Lock()
	s.end(s.kept)
	s.mu.Unlock()
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.kept.busy {
		t.Error("it did not take the object")
	}
}

func TestInventoriesOfDifferentMarksHaveDifferentNames(t *testing.T) {
	t.Parallel()
	seen := map[string]drift.Mark{}
	for _, mark := range []drift.Mark{
		{Agent: "pawl", Target: "production_web"}, {Agent: "pawl_production", Target: "web"}, {Agent: "pawl.production", Target: "web"},
		{Agent: "pawl", Target: "production.web"}, {Agent: "Pawl", Target: "production_web"}, {Agent: "pawl", Target: "Production_web"},
	} {
		name := inventoryName(mark)
		if other, twice := seen[name]; twice {
			t.Errorf("%v and %v are both stored in %s", mark, other, name)
		}
		seen[name] = mark
		if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
			t.Errorf("%s: %v", name, problems)
		}
	}
	if got := inventoryName(drift.Mark{Agent: "pawl", Target: "production_web"}); got != "pawl-inventory-pawl.production.web" {
		t.Errorf("got %s", got)
	}
}
