package cluster

import (
	"context"
	"slices"
	"sync"
	"time"
)

const (
	// applying bounds the requests of all applies together, those that are slow
	// apart. More does not make an API server faster, see DEPENDENCIES in the design.
	applying = 16
	// trying is how many of these may be trials: of a thousand targets the first
	// are to get ready while the last are still tried.
	trying = 12
	// aside is how many they are while drift is put back, and for stepAside after
	// it: changes by hand seldom come alone. It is never zero, so that an apply
	// goes on whatever drifts, and however often.
	aside     = 2
	stepAside = time.Second
	// What takes longer than slow is waited for without its turn, so that what an
	// admission webhook answers late, or never, holds up others less. lendable is how
	// many may be waited for so: each takes room in the API server, too.
	slow     = 2 * time.Second
	lendable = 16
	// stint is how many turns an apply has before those that came later have theirs.
	stint = 32
)

// turns are given to the requests of applies. Repairs need none and come first:
// an API server that is busy with an apply answers everybody late, so when an
// object drifts applies step aside, and what is under way ends.
//
// Whichever apply came first goes first. Were the turns shared out among all, of
// a hundred targets that change at once each would be written only when the last
// was tried, and the cluster's controllers would have nothing to do until then.
// A large apply goes to the end of the line after each stint, and so keeps
// nobody waiting for long.
type turns struct {
	closed <-chan struct{}

	mu            sync.Mutex
	given, trials int     // and how many of the given ones are trials
	lent          int     // to others, by slow requests
	waiting       []*turn // by their places, then in the order in which they came
	places        uint64  // that were taken so far
	until         time.Time
	again         *time.Timer
}

// turn is that of one item of an apply. It goes with the item's context, so
// that whatever waits may leave it to others; nil is none.
type turn struct {
	of    *turns
	place uint64
	trial bool
	come  chan struct{}
	// held, and lent to others because the request is slow, which late finds out.
	// They are guarded by turns.mu.
	held, lent bool
	late       *time.Timer
}

type turnKey struct{}

// line is an apply's place in the line, for some more turns. It goes with the
// context of the apply; what has none takes a place for each turn.
type line struct {
	place uint64
	left  int
}

type lineKey struct{}

// enter gives an apply its place.
func (t *turns) enter(ctx context.Context) context.Context {
	l := &line{}
	t.mu.Lock()
	defer t.mu.Unlock()
	l.renew(t)
	return context.WithValue(ctx, lineKey{}, l)
}

// renew goes to the end of the line. turns.mu is held.
func (l *line) renew(t *turns) {
	t.places++
	l.place, l.left = t.places, stint
}

// next is the place of an apply's next turn.
func (t *turns) next(ctx context.Context) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	l, ok := ctx.Value(lineKey{}).(*line)
	if !ok {
		l = &line{}
	}
	if l.left == 0 {
		l.renew(t)
	}
	l.left--
	return l.place
}

// repair says that a drifted object is being put back, or was. Drift that lasts
// (a repair that is slow, refused, or undone again and again) is no reason to say so.
func (t *turns) repair() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.until = time.Now().Add(stepAside)
	if t.again == nil {
		t.again = time.AfterFunc(stepAside, t.resume)
	}
}

// resume gives all turns again once nothing drifts.
func (t *turns) resume() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if left := time.Until(t.until); left > 0 {
		t.again.Reset(left)
		return
	}
	t.again = nil
	t.give()
}

// give gives turns to those who wait, as far as there are any. t.mu is held.
func (t *turns) give() {
	most := applying
	if t.again != nil {
		most = aside
	}
	for i := 0; i < len(t.waiting) && t.given < most; {
		next := t.waiting[i]
		if next.trial && t.trials == trying {
			i++
			continue
		}
		t.waiting = slices.Delete(t.waiting, i, i+1)
		t.given++
		if next.trial {
			t.trials++
		}
		next.held, next.late = true, time.AfterFunc(slow, next.lend)
		close(next.come)
	}
}

// back takes a turn back. t.mu is held.
func (t *turns) back(from *turn) {
	t.given--
	if from.trial {
		t.trials--
	}
	t.give()
}

// begin waits for the turn, and is false if there is no more use in that.
func (t *turn) begin(ctx context.Context) bool {
	if t == nil {
		return true
	}
	t.of.mu.Lock()
	if t.held || ctx.Err() != nil {
		defer t.of.mu.Unlock()
		return t.held
	}
	t.come = make(chan struct{})
	behind := len(t.of.waiting)
	for behind > 0 && t.of.waiting[behind-1].place > t.place {
		behind--
	}
	t.of.waiting = slices.Insert(t.of.waiting, behind, t)
	t.of.give()
	t.of.mu.Unlock()
	select {
	case <-t.come:
		return true
	case <-ctx.Done():
	case <-t.of.closed:
	}
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	if i := slices.Index(t.of.waiting, t); i >= 0 {
		t.of.waiting = slices.Delete(t.of.waiting, i, i+1)
	} else { // it came at the last moment
		t.leave()
	}
	return false
}

// lend gives the turn of a slow request to others, as far as that goes.
func (t *turn) lend() {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	switch {
	case !t.held || t.lent: // it ended just now
	case t.of.lent == lendable:
		t.late.Reset(slow)
	default:
		t.lent = true
		t.of.lent++
		t.of.back(t)
	}
}

func (t *turn) end() {
	if t == nil {
		return
	}
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	if t.held {
		t.leave()
	}
}

// leave gives the turn back, unless others have it already. turns.mu is held.
func (t *turn) leave() {
	t.held = false
	t.late.Stop()
	if t.lent {
		t.lent = false
		t.of.lent--
		return
	}
	t.of.back(t)
}

// each runs do for every item, as many at once as applies may make requests.
func each[T any](ctx context.Context, t *turns, items []T, do func(context.Context, T)) error {
	return eachOf(ctx, t, false, items, do)
}

// eachTrial is each for trials.
func eachTrial[T any](ctx context.Context, t *turns, items []T, do func(context.Context, T)) error {
	return eachOf(ctx, t, true, items, do)
}

func eachOf[T any](ctx context.Context, t *turns, trial bool, items []T, do func(context.Context, T)) error {
	done := make(chan struct{}, len(items))
	started := 0
	for _, item := range items {
		held := &turn{of: t, place: t.next(ctx), trial: trial}
		if !held.begin(ctx) {
			break
		}
		started++
		go func() {
			defer func() { held.end(); done <- struct{}{} }()
			do(context.WithValue(ctx, turnKey{}, held), item)
		}()
	}
	for range started {
		<-done
	}
	if started < len(items) {
		if err := ctx.Err(); err != nil {
			return err
		}
		return errClosed
	}
	return nil
}
