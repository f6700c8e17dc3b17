package drift

import (
	"testing"
	"time"
)

// a war is a fight that a test plays through in its own time.
type war struct {
	t     *testing.T
	fight Fight
	now   time.Time
}

var hpa = Live{State: Present, Applied: "all but replicas"}

func newWar(t *testing.T) *war {
	return &war{t: t, now: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)}
}

// correct waits as it must and corrects; it reports whether that begins a fight.
func (w *war) correct(live Live, manager string) bool {
	w.now = w.now.Add(w.fight.Wait(live, w.now))
	return w.fight.Corrected(DefaultFightTerms, live, manager, []Change{{Path: "spec.replicas"}}, w.now)
}

// catalogue 100
func TestAFightIsRecognisedSlowedAndEndsByItself(t *testing.T) {
	t.Parallel()
	w := newWar(t)
	for i := range 5 {
		if w.correct(hpa, "hpa") || w.fight.Wait(hpa, w.now) != 0 {
			t.Fatalf("correction %d is no fight yet", i+1)
		}
		w.now = w.now.Add(time.Second)
	}
	if !w.correct(hpa, "hpa") || w.fight.Manager != "hpa" || w.fight.Count != 6 || w.fight.Changes[0].Path != "spec.replicas" {
		t.Fatalf("the sixth within a minute is a fight: %+v", w.fight)
	}
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		if got := w.fight.Wait(hpa, w.now); got != want*time.Second {
			t.Errorf("pause of %s, want %ds", got, want)
		}
		if w.correct(hpa, "hpa") {
			t.Error("one fight begins once")
		}
	}
	if over, again := w.fight.Over(DefaultFightTerms, w.now.Add(59*time.Second)); over || again != time.Second {
		t.Errorf("over after less than the pause: %v, %s", over, again)
	}
	if over, _ := w.fight.Over(DefaultFightTerms, w.now.Add(60*time.Second)); !over {
		t.Error("not over, though the correction held")
	}
}

func TestWhatIsNoFight(t *testing.T) {
	t.Parallel()
	for name, play := range map[string]func(*war) bool{
		"five a minute for ever": func(w *war) (begins bool) {
			for range 100 {
				begins = begins || w.correct(hpa, "hpa")
				w.now = w.now.Add(12 * time.Second)
			}
			return begins
		},
		"each time another field": func(w *war) (begins bool) {
			for i := range 20 {
				begins = begins || w.correct(Live{State: Present, Applied: Digest(rune('a' + i))}, "kubectl-edit")
			}
			return begins
		},
		"each time another manager": func(w *war) (begins bool) {
			for i := range 20 {
				begins = begins || w.correct(hpa, string(rune('a'+i)))
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
		if wait := w.fight.Wait(live, w.now); wait != 0 {
			t.Errorf("%s waits %s", name, wait)
		}
	}
	pause := w.fight.Pause()
	w.correct(Live{State: Absent}, "")
	if w.fight.Pause() != pause || w.fight.Count != 6 {
		t.Error("what is not the other side's doing makes the fight no longer")
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
	if !w.fight.Active() {
		t.Fatal("six a minute are a fight")
	}
	if over, _ := w.fight.Over(DefaultFightTerms, w.now); over {
		t.Error("over between two blows")
	}
}
