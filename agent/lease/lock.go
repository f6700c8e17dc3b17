package lease

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// lock is the Lease as client-go's election sees it, with what that leaves open:
// when a renewal was sent, that a leader which finds another one stops at once
// instead of trying on for the renew deadline, that a Lease which was deleted
// is taken only when its holder must have noticed, and that it is released
// only when the work has ended.
type lock struct {
	resourcelock.Interface
	clock func() time.Duration
	log   zerolog.Logger

	mu   sync.Mutex
	sent time.Duration // when the newest write that succeeded was
	term *Term         // nil before and after
	// free says that the work has ended, if there was any.
	free bool
	// foreign is until when somebody else, as last seen, may believe to lead.
	foreign time.Duration
	failing bool // and told
}

var (
	errWorking = errors.New("the Lease is kept until the work has ended")
	errOthers  = errors.New("the Lease is another replica's, and not this one's to release")
)

func (l *lock) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	record, raw, err := l.Interface.Get(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tell(err)
	switch now := l.clock(); {
	case err == nil && record.HolderIdentity == "":
		l.foreign = 0
	case err == nil && record.HolderIdentity != l.Identity():
		l.foreign = now + time.Duration(record.LeaseDurationSeconds)*time.Second
		if l.term != nil {
			l.term.end(&Lost{})
		}
	case apierrors.IsNotFound(err) && l.term != nil && l.term.Check() != nil:
		return nil, nil, errors.New("the Lease was deleted after it was lost; another replica may believe to lead")
	case apierrors.IsNotFound(err) && now < l.foreign:
		return nil, nil, fmt.Errorf("the Lease was deleted; it is made anew when its last holder must have noticed, in %s", (l.foreign - now).Round(time.Second))
	}
	return record, raw, err
}

func (l *lock) Create(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	return l.write(r, func() error { return l.Interface.Create(ctx, r) })
}

func (l *lock) Update(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	return l.write(r, func() error { return l.Interface.Update(ctx, r) })
}

func (l *lock) write(r resourcelock.LeaderElectionRecord, write func() error) error {
	release := r.HolderIdentity == ""
	l.mu.Lock()
	sent := l.clock()
	keep, others := release && !l.free, release && sent < l.foreign
	l.mu.Unlock()
	switch {
	case keep:
		return errWorking
	case others: // client-go looks, and releases whatever it finds
		return errOthers
	}
	err := write()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tell(err)
	if err != nil || release {
		return err
	}
	l.sent, l.foreign = sent, 0
	if l.term != nil {
		l.term.renew(sent)
	}
	return nil
}

// tell logs the first failure of a row. That somebody else was faster, or that
// there is no Lease yet, is none.
func (l *lock) tell(err error) {
	failed := err != nil && !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) && !apierrors.IsNotFound(err) && !errors.Is(err, context.Canceled)
	if failed && !l.failing {
		l.log.Warn().Err(err).Str("lease", l.Describe()).Msg("the Lease that says which replica works cannot be read or written; it is tried again")
	}
	l.failing = failed
}

// candidate makes ready for the next term. Who led since the one before, for as
// long as a lease, was perhaps not seen.
func (l *lock) candidate(lease time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.term, l.free = nil, false
	if l.sent > 0 {
		l.foreign = l.clock() + lease
	}
}

// begin makes the term that the newest write began.
func (l *lock) begin(margin time.Duration, cancel context.CancelCauseFunc) *Term {
	t := &Term{clock: l.clock, margin: margin, cancel: cancel}
	l.mu.Lock()
	defer l.mu.Unlock()
	t.renew(l.sent)
	l.term = t
	return t
}

// idle says that the work has ended, so that the Lease may be released.
func (l *lock) idle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.term, l.free = nil, true
}
