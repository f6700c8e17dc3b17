package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/render"
)

// statusOf is what the status page says of dev/web.
func (w *world) statusOf() TargetStatus {
	w.t.Helper()
	for _, e := range w.agent.Status().Environments {
		for _, t := range e.Targets {
			if t.Target == "dev/web" {
				return t
			}
		}
	}
	w.t.Fatal("dev/web has no status")
	return TargetStatus{}
}

// told is the state of dev/web as the status page and the metrics say it.
func (w *world) told() string {
	w.t.Helper()
	s := w.statusOf().State
	want := fmt.Sprintf("pawl_target_state{application=\"web\",environment=\"dev\",state=%q} 1\n", s)
	if text := w.metrics(); !strings.Contains(text, want) {
		w.t.Errorf("the metrics do not say %q, but %s", s, text)
	}
	return s
}

// metrics are the agent's own, as Prometheus reads them.
func (w *world) metrics() string {
	answer := httptest.NewRecorder()
	w.agent.Internal().ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	return answer.Body.String()
}

// An outage is told once, whatever it is like in detail, and passes by itself.
func TestAnOutageOfAnHourIsToldOnceAndHealsByItself(t *testing.T) {
	down := true
	inWorldWith(t, shop(), func(w *world) {
		port := 40_000
		w.applies = func(context.Context, render.Release) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if port++; down {
				return fmt.Errorf("read tcp 10.0.0.1:%d->10.0.0.2:6443: i/o timeout", port)
			}
			return nil
		}
	}, func(w *world) {
		w.expect("the state", w.told(), "retrying")
		w.pass(2 * progressEvery)
		w.checks("dev") // what was said until here
		began := w.statusOf()
		w.pass(time.Hour)
		w.expect("words on the check in an hour", w.checks("dev"), "[]")
		s := w.statusOf()
		w.expect("the state", w.told(), "retrying")
		w.expect("since", s.Since, began.Since)
		if next, err := time.Parse(time.RFC3339, s.NextTry); err != nil || next.Sub(time.Now()) > time.Minute || s.Tries < 60 {
			t.Errorf("%d tries, the next at %q; now is %s", s.Tries, s.NextTry, time.Now())
		}
		if want := fmt.Sprintf("pawl_retries_total{application=\"web\",environment=\"dev\",reason=\"Failed\"} %d\n", s.Tries-1); !strings.Contains(w.metrics(), want) {
			t.Errorf("the metrics do not say %q", want)
		}
		w.mu.Lock()
		down = false
		w.mu.Unlock()
		w.pass(time.Minute)
		w.expect("the state", w.told(), "healthy")
		if s := w.statusOf(); s.Tries != 0 || s.NextTry != "" {
			t.Errorf("%d tries, the next at %q; want none", s.Tries, s.NextTry)
		}
		w.expect("the last word", last(w.checks("dev")), "1 success")
	})
}

func TestWhatDoesNotPassIsStalledAfterItsLimitAndStillTried(t *testing.T) {
	down := true
	inWorldWith(t, shop(), func(w *world) {
		w.retries = RetriesConfig{Reasons: map[string]RetryConfig{"Failed": {Limit: new(5)}}}
		w.applies = func(context.Context, render.Release) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if down {
				return errors.New("no route to host")
			}
			return nil
		}
	}, func(w *world) {
		w.expect("the state", w.told(), "retrying")
		w.pass(time.Minute)
		w.expect("the state", w.told(), "stalled")
		w.expect("the reason", w.state(web).Problem.Reason, "Failed")
		w.expect("the last word", last(w.checks("dev")), "1 failure")
		w.pass(2 * time.Hour)
		w.expect("words on the check", w.checks("dev"), "[]")
		if s := w.statusOf(); s.Tries < 15 || s.Tries > 35 {
			t.Errorf("%d tries in two hours; want one every ten minutes or a little more", s.Tries)
		}
		w.mu.Lock()
		down = false
		w.mu.Unlock()
		w.pass(10 * time.Minute)
		w.expect("the state", w.told(), "healthy")
		w.expect("the last word", last(w.checks("dev")), "1 success")
	})
}

func TestACauseNeedNotHaveTheLimitOfTheOthers(t *testing.T) {
	inWorldWith(t, shop(), func(w *world) {
		w.retries = RetriesConfig{Transient: RetryConfig{Limit: new(3)}, Reasons: map[string]RetryConfig{"Failed": {Limit: new(0)}}}
		w.applies = func(context.Context, render.Release) error { return errors.New("no route to host") }
	}, func(w *world) {
		w.pass(time.Hour)
		w.expect("the state of what has no limit", w.told(), "retrying")
		w.mu.Lock()
		w.outage = true
		w.mu.Unlock()
		w.push(map[string]string{file("web", "dev"): overlay(hexOf("b"))})
		w.pass(time.Minute)
		w.expect("the reason", w.state(web).Problem.Reason, "EvidenceUnavailable")
		w.expect("the state of what has that of all", w.told(), "stalled")
	})
}

func TestWhatATargetIsAtIsToldApart(t *testing.T) {
	for want, prepare := range map[string]func(w *world){
		"healthy":  func(*world) {},
		"stalled":  func(w *world) { w.unsigned[hexOf("a")] = true },
		"retrying": func(w *world) { w.outage = true },
		"waiting":  func(w *world) { w.silent = true },
		"working": func(w *world) {
			w.applies = func(ctx context.Context, _ render.Release) error { <-ctx.Done(); return ctx.Err() }
		},
	} {
		t.Run(want, func(t *testing.T) {
			inWorldWith(t, shop(), prepare, func(w *world) { w.expect("the state", w.told(), want) })
		})
	}
	t.Run("waiting for a word about pruning", func(t *testing.T) {
		inWorldWith(t, shop(), func(w *world) {
			w.prunes = func(drift.Terms) *drift.PruneHeld { return &drift.PruneHeld{} }
		}, func(w *world) { w.expect("the state", w.told(), "waiting") })
	})
}

func TestALiftedHoldThatCannotBeAppliedIsTriedAgain(t *testing.T) {
	inWorldWith(t, shop(), func(w *world) { w.fails("bad") }, func(w *world) {
		w.push(bad())
		w.expect("what was applied last", w.lastApplied("dev/web"), "1")
		w.mu.Lock()
		w.applies = func(context.Context, render.Release) error { return nil }
		w.mu.Unlock()
		down := true
		w.refusing(func(r render.Release) error {
			if down {
				return errors.New("connection refused")
			}
			return nil
		})
		w.agent.Notice(drift.Notice{Target: environmentsTarget("dev", "web"), Rollback: &drift.RollbackRequest{By: "ada", Reason: "it was the network", Lift: true}})
		synctest.Wait()
		w.expect("the state", w.told(), "retrying")
		down = false
		w.pass(time.Minute)
		w.expect("what was applied last", w.lastApplied("dev/web"), "2")
	})
}
