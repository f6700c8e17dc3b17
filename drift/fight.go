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

// Fights follows the corrections of one object, and knows which are fights: one
// with each other side. It cannot be seen that a side has stopped: what it writes
// again and again is there already, as long as it is not corrected. So that is
// corrected ever more seldom, and a fight is over when that holds.
//
// Two sides that strike at the same time are one more side: what both leave to us
// is less than what either does.
//
// The zero value is an object that nobody fights for.
type Fights struct {
	recent []correction // of the last time that are no fight's, newest last
	active []*Fight
	held   time.Time // since when the last correction would have held
}

// Fight is one with one side.
type Fight struct {
	// Begun is when what became a fight was first corrected.
	Begun time.Time
	Count int // corrections
	// Manager is the name of the other side, empty where the API server notes
	// nobody, and Changes are what it did when the fight was recognised.
	Manager string
	Changes []Change

	side   side
	others []string // who was seen to leave the same
	pause  time.Duration
	until  time.Time // what the other side did is not corrected before
}

type correction struct {
	at time.Time
	side
	manager string
}

// side tells who did what apart: whoever changes the same fields leaves the same
// ones to us, whatever values it gives them.
type side struct {
	state State
	left  Digest
}

// Active reports whether there is a fight.
func (f *Fights) Active() bool { return len(f.active) > 0 }

// Held is when the object was last corrected.
func (f *Fights) Held() time.Time { return f.held }

func (f *Fights) with(s side) *Fight {
	i := slices.IndexFunc(f.active, func(fight *Fight) bool { return fight.side == s })
	if i < 0 {
		return nil
	}
	return f.active[i]
}

// Wait is how long to wait before what was seen of the object is corrected: not
// at all for what is not the doing of a side that fights.
func (f *Fights) Wait(live Live, now time.Time) time.Duration {
	fight := f.with(side{live.State, live.Applied})
	if fight == nil {
		return 0
	}
	return max(0, fight.until.Sub(now))
}

// Corrected takes in that an object that looked so was put back. It returns the
// fight that this begins, if any, and whether it is just one more correction of a
// known one, of which nobody is told.
func (f *Fights) Corrected(terms FightTerms, live Live, manager string, changes []Change, now time.Time) (begins *Fight, known bool) {
	by := correction{now, side{live.State, live.Applied}, manager}
	f.held = now
	if fight := f.with(by.side); fight != nil {
		fight.Count++
		fight.pause = min(2*fight.pause, terms.MaxPause)
		fight.until = now.Add(fight.pause)
		known = slices.Contains(fight.others, manager)
		if !known {
			fight.others = append(fight.others, manager)
		}
		return nil, known
	}
	f.recent = slices.DeleteFunc(f.recent, func(c correction) bool { return now.Sub(c.at) >= terms.Within })
	f.recent = append(f.recent, by)
	var same []correction
	for _, c := range f.recent {
		if c.side == by.side && c.manager == manager {
			same = append(same, c)
		}
	}
	if len(same) <= terms.Corrections {
		return nil, false
	}
	f.recent = slices.DeleteFunc(f.recent, func(c correction) bool { return c.side == by.side })
	begins = &Fight{
		Begun: same[0].at, Count: len(same), Manager: manager, Changes: changes,
		side: by.side, others: []string{manager}, pause: terms.FirstPause, until: now.Add(terms.FirstPause),
	}
	f.active = append(f.active, begins)
	return begins, false
}

// Over ends the fights for an object that is as it should be, as far as the last
// correction held for longer than any pause of the other side would have been in
// a fight. Where some go on, it says when to ask again.
func (f *Fights) Over(terms FightTerms, now time.Time) (ended []*Fight, again time.Duration) {
	f.active = slices.DeleteFunc(f.active, func(fight *Fight) bool {
		quiet := max(fight.pause, terms.Within/time.Duration(max(1, terms.Corrections)))
		left := quiet - now.Sub(f.held)
		if left <= 0 {
			ended = append(ended, fight)
			return true
		}
		if again == 0 || left < again {
			again = left
		}
		return false
	})
	return ended, again
}
