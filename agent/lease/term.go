package lease

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// Lost says that this replica does not lead, or cannot be sure to.
type Lost struct {
	// Age is how long ago the last renewal that succeeded was sent; 0 where that
	// is not the cause.
	Age time.Duration
}

func (l *Lost) Error() string {
	if l.Age > 0 {
		return fmt.Sprintf("not sent: the Lease was last renewed %s ago, so another replica may lead", l.Age.Round(time.Millisecond))
	}
	return "not sent: this replica does not lead"
}

// Term is one time of leading, from taking the Lease to losing it. It never
// begins again.
type Term struct {
	clock func() time.Duration
	// margin is how long after it was sent a renewal counts. It is shorter than
	// what others wait before they take the Lease, and they begin to wait later.
	margin time.Duration
	// renewed is when the newest renewal that succeeded was sent, not when it was
	// answered: a process that is frozen in between must not take the answer,
	// read when it thaws, for news.
	renewed atomic.Int64
	ended   atomic.Bool
	cancel  context.CancelCauseFunc // of the work
}

// Check is asked right before anything is sent. The first look that finds the
// term over ends the work.
func (t *Term) Check() error {
	if t.ended.Load() {
		return &Lost{}
	}
	if age := t.clock() - time.Duration(t.renewed.Load()); age > t.margin {
		lost := &Lost{Age: age}
		t.end(lost)
		return lost
	}
	return nil
}

// left is how long the term lasts if it is not renewed.
func (t *Term) left() time.Duration {
	return time.Duration(t.renewed.Load()) + t.margin - t.clock()
}

func (t *Term) renew(sent time.Duration) { t.renewed.Store(int64(sent)) }

func (t *Term) end(why error) {
	t.ended.Store(true)
	t.cancel(why)
}
