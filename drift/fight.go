package drift

import (
	"slices"
	"time"
)

// FightTerms say when putting an object back has become a fight with somebody,
// and how much it is slowed then.
type FightTerms struct {
	// More than so many Corrections Within a time are a fight.
	Corrections int
	Within      time.Duration
	// FirstPause is that before the next correction; it doubles with each, to MaxPause.
	FirstPause, MaxPause time.Duration
}

// DefaultFightTerms are for people's clusters.
var DefaultFightTerms = FightTerms{Corrections: 5, Within: time.Minute, FirstPause: time.Second, MaxPause: time.Minute}

// Fight follows the corrections of one object, and knows when they are a
// fight. It cannot be seen that the other side has stopped: what it writes again
// and again is there already, as long as it is not corrected. So it is
// corrected ever more seldom, and the fight is over when that holds.
//
// The zero value is an object that nobody fights for.
type Fight struct {
	recent []correction // of the last time, newest last
	begun  time.Time    // zero: no fight
	side   side         // the other one
	pause  time.Duration
	until  time.Time // what the other side did is not corrected before
	held   time.Time // since when the last correction would have held
	Count  int       // corrections of this fight
	// Manager is the name of the other side, empty where the API server notes
	// nobody, and Changes are what it did when the fight was recognised.
	Manager string
	Changes []Change
}

type correction struct {
	at time.Time
	side
}

// side tells who did what apart: whoever changes the same fields leaves the same
// ones to us, whatever values it gives them.
type side struct {
	state   State
	left    Digest
	manager string
}

// Active reports whether there is a fight.
func (f *Fight) Active() bool { return !f.begun.IsZero() }

// Begun is when what became a fight was first corrected.
func (f *Fight) Begun() time.Time { return f.begun }

// Held is when the object was last corrected.
func (f *Fight) Held() time.Time { return f.held }

// Pause is how long the object is left to the other side before it is
// corrected again.
func (f *Fight) Pause() time.Duration { return f.pause }

// Wait is how long to wait before what was seen of the object is corrected: not
// at all for what is not the other side's doing.
func (f *Fight) Wait(live Live, now time.Time) time.Duration {
	if !f.Active() || f.side.state != live.State || f.side.left != live.Applied {
		return 0
	}
	return max(0, f.until.Sub(now))
}

// Corrected takes in that an object that looked so was put back. It reports
// whether that makes it a fight.
func (f *Fight) Corrected(terms FightTerms, live Live, manager string, changes []Change, now time.Time) (begins bool) {
	by := side{live.State, live.Applied, manager}
	if f.Active() {
		f.held = now
		if by.state != f.side.state || by.left != f.side.left {
			return false // somebody else's doing, beside the fight
		}
		f.Count++
		f.pause = min(2*f.pause, terms.MaxPause)
		f.until = now.Add(f.pause)
		return false
	}
	f.recent = slices.DeleteFunc(f.recent, func(c correction) bool { return now.Sub(c.at) >= terms.Within })
	f.recent = append(f.recent, correction{now, by})
	var same []correction
	for _, c := range f.recent {
		if c.side == by {
			same = append(same, c)
		}
	}
	if len(same) <= terms.Corrections {
		return false
	}
	*f = Fight{
		begun: same[0].at, side: by, pause: terms.FirstPause, until: now.Add(terms.FirstPause), held: now,
		Count: len(same), Manager: manager, Changes: changes,
	}
	return true
}

// Over reports whether the fight of an object that is as it should be has
// ended: the last correction held for longer than any pause of the other side
// would have been in a fight. If not, it says when to ask again.
func (f *Fight) Over(terms FightTerms, now time.Time) (over bool, again time.Duration) {
	if !f.Active() {
		return false, 0
	}
	quiet := max(f.pause, terms.Within/time.Duration(max(1, terms.Corrections)))
	if left := quiet - now.Sub(f.held); left > 0 {
		return false, left
	}
	return true, 0
}
