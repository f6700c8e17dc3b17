package agent

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// A release that was told to be healthy is the last good one, also when a bad
// commit comes before that is stored.
//
// catalogue 120
func TestAHealthyReleaseThatIsNotStoredYetIsReturnedTo(t *testing.T) {
	for name, keeping := range map[string]func() func(context.Context) error{
		"storing it takes a second, and is cut off": func() func(context.Context) error {
			return func(ctx context.Context) error {
				select {
				case <-time.After(time.Second): // of the bubble's clock
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		},
		"nothing can be stored for a while": func() func(context.Context) error {
			until := time.Now().Add(10 * time.Minute)
			return func(context.Context) error {
				if time.Now().Before(until) {
					return errors.New("etcd is full")
				}
				return nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorldWith(t, shop(), func(w *world) {
				w.fails("bad")
				w.keeping = keeping()
			}, func(w *world) {
				w.expect("the stage of the first release", w.state(web).Stage, "healthy")
				w.push(bad())
				w.pass(time.Hour)
				s := w.state(web)
				w.expect("stage and reason", string(s.Stage)+" "+s.Problem.Reason, "failed RolledBack")
				if !strings.Contains(s.Problem.Did, "Returned to the last good release (1)") {
					t.Errorf("it says: %s", s.Problem.Did)
				}
			})
		})
	}
}

// Where nothing can be stored, an older release that is stored returns: that one
// cannot be stored does not keep a bad one.
func TestWhatCannotBeStoredDoesNotKeepABadRelease(t *testing.T) {
	inWorldWith(t, shop(), func(w *world) { w.fails("bad") }, func(w *world) {
		w.expect("the stage of the first release", w.state(web).Stage, "healthy")
		w.mu.Lock()
		w.keeping = func(context.Context) error { return errors.New("the quota is used up") }
		w.mu.Unlock()
		w.push(map[string]string{"base/web.yaml": labelled("better")})
		w.expect("the stage of the second release", w.state(web).Stage, "healthy")
		w.push(bad())
		w.pass(time.Minute)
		s := w.state(web)
		w.expect("stage and reason", string(s.Stage)+" "+s.Problem.Reason, "failed RolledBack")
		if !strings.Contains(s.Problem.Did, "Returned to the last good release (1)") {
			t.Errorf("it says: %s", s.Problem.Did)
		}
		w.mu.Lock()
		w.keeping = nil
		w.mu.Unlock()
		w.pass(time.Hour)
		w.mu.Lock()
		defer w.mu.Unlock()
		if got := w.goods[web.String()]; len(got) != 2 || got[0].Release.Commit != "2" {
			t.Errorf("once it can be stored, kept are %d releases, %+v", len(got), got)
		}
	})
}
