package drift

import (
	"testing"
	"time"
)

// a war is a fight that a test plays through in its own time.
type war struct {
	t      *testing.T
	fights Fights
	now    time.Time
}

var hpa = Live{State: Present, Applied: "all but replicas"}

func newWar(t *testing.T) *war {
	return &war{t: t, now: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)}
}

// correct waits as it must and corrects; it returns the fight that this begins.
func (w *war) correct(live Live, manager string) *Fight {
	begins, _ := w.blow(live, manager)
	return begins
}

func (w *war) blow(live Live, manager string) (begins *Fight, known bool) {
	w.now = w.now.Add(w.fights.Wait(live, w.now))
	return w.fights.Corrected(DefaultFightTerms, live, manager, []Change{{Path: "spec.replicas"}}, w.now)
}

// catalogue 100
func TestAFightIsRecognisedSlowedAndEndsByItself(t *testing.T) {
	t.Parallel()
	w := newWar(t)
	for i := range 5 {
		if w.correct(hpa, "hpa") != nil || w.fights.Wait(hpa, w.now) != 0 {
			t.Fatalf("correction %d is no fight yet", i+1)
		}
		w.now = w.now.Add(time.Second)
	}
	if f := w.correct(hpa, "hpa"); f == nil || f.Manager != "hpa" || f.Count != 6 || f.Changes[0].Path != "spec.replicas" {
		t.Fatalf("the sixth within a minute is a fight: %+v", f)
	}
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		if got := w.fights.Wait(hpa, w.now); got != want*time.Second {
			t.Errorf("pause of %s, want %ds", got, want)
		}
		if begins, known := w.blow(hpa, "hpa"); begins != nil || !known {
			t.Error("one fight begins once, and is known from then on")
		}
	}
	if over, again := w.fights.Over(DefaultFightTerms, w.now.Add(59*time.Second)); len(over) > 0 || again != time.Second {
		t.Errorf("over after less than the pause: %v, %s", over, again)
	}
	if over, _ := w.fights.Over(DefaultFightTerms, w.now.Add(60*time.Second)); len(over) != 1 || over[0].Count != 14 || w.fights.Active() {
		t.Error("not over, though the correction held")
	}
}

func TestWhatIsNoFight(t *testing.T) {
	t.Parallel()
	for name, play := range map[string]func(*war) bool{
		"five a minute for ever": func(w *war) (begins bool) {
			for range 100 {
				begins = begins || w.correct(hpa, "hpa") != nil
				w.now = w.now.Add(12 * time.Second)
			}
			return begins
		},
		"each time another field": func(w *war) (begins bool) {
			for i := range 20 {
				begins = begins || w.correct(Live{State: Present, Applied: Digest(rune('a' + i))}, "kubectl-edit") != nil
			}
			return begins
		},
		"each time another manager": func(w *war) (begins bool) {
			for i := range 20 {
				begins = begins || w.correct(hpa, string(rune('a'+i))) != nil
			}
			return begins
		},
	} {
		if play(newWar(t)) {
			t.Errorf("%s was taken for a fight", name)
		}
	}
}

// catalogue 100
func TestDuringAFightOtherDriftIsCorrectedAtOnce(t *testing.T) {
	t.Parallel()
	w := newWar(t)
	for range 6 {
		w.correct(hpa, "hpa")
	}
	for name, live := range map[string]Live{
		"deleted":         {State: Absent},
		"another field":   {State: Present, Applied: "all but image"},
		"one field more":  {State: Present, Applied: "all but replicas and image"},
		"nothing is ours": {State: Present},
	} {
		if wait := w.fights.Wait(live, w.now); wait != 0 {
			t.Errorf("%s waits %s", name, wait)
		}
	}
	pause := w.fights.Wait(hpa, w.now)
	if _, known := w.blow(Live{State: Absent}, ""); known {
		t.Error("what is not the other side's doing is told")
	}
	if w.fights.Wait(hpa, w.now) != pause {
		t.Error("what is not the other side's doing makes the fight no longer")
	}
	w.now = w.now.Add(pause)
	if _, known := w.blow(hpa, "kubectl-edit"); known {
		t.Error("somebody new at the same fields is told")
	}
	if _, known := w.blow(hpa, "kubectl-edit"); !known {
		t.Error("and once")
	}
}

// Two on different fields, and both at once, are three sides.
func TestASecondSideIsAFightOfItsOwn(t *testing.T) {
	t.Parallel()
	w := newWar(t)
	for range 6 {
		w.correct(hpa, "hpa")
	}
	for name, live := range map[string]Live{
		"second": {State: Present, Applied: "all but image"},
		"both":   {State: Present, Applied: "all but replicas and image"},
	} {
		var begins *Fight
		for range 6 {
			begins = w.correct(live, name)
		}
		if begins == nil || begins.Manager != name || begins.Count != 6 {
			t.Fatalf("%s fights, too: %+v", name, begins)
		}
		if wait := w.fights.Wait(live, w.now); wait != time.Second {
			t.Errorf("%s waits %s", name, wait)
		}
	}
	if over, _ := w.fights.Over(DefaultFightTerms, w.now.Add(11*time.Second)); len(over) > 0 {
		t.Error("over too soon")
	}
	if over, again := w.fights.Over(DefaultFightTerms, w.now.Add(12*time.Second)); len(over) != 3 || again != 0 {
		t.Errorf("%d of three fights are over; again in %s", len(over), again)
	}
}

// A side that comes back every ten seconds must not end the fight each time.
func TestASlowSideDoesNotEndTheFightBetweenItsBlows(t *testing.T) {
	t.Parallel()
	w := newWar(t)
	for range 6 {
		w.correct(hpa, "cron")
		w.now = w.now.Add(10 * time.Second)
	}
	if !w.fights.Active() {
		t.Fatal("six a minute are a fight")
	}
	if over, _ := w.fights.Over(DefaultFightTerms, w.now); len(over) > 0 {
		t.Error("over between two blows")
	}
}
