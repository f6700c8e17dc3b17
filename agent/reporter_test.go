package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/promote"
)

// outbox is a GitHub that can be down.
type outbox struct {
	down  error
	got   []string
	tried func()
}

func (o *outbox) send(_ context.Context, r promote.Report) error {
	if o.tried != nil {
		o.tried()
	}
	if o.down != nil {
		return o.down
	}
	o.got = append(o.got, fmt.Sprintf("%s %s %s %s", r.Environment, r.Commit, r.State, r.Title))
	return nil
}

func report(commit, state, title string) promote.Report {
	return promote.Report{Environment: "dev", Commit: gitsync.Commit(commit), State: promote.ReportState(state), Title: title}
}

func say(r *reporter, report promote.Report) {
	r.offer(reportKey{report.Environment, report.Commit}, word{report.State, func() promote.Report { return report }})
}

// reporting runs a reporter in a bubble whose clock moves only when all wait.
func reporting(t *testing.T, do func(r *reporter, o *outbox)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &outbox{}
		r := newReporter(o.send, time.Now, zerolog.Nop())
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go r.run(ctx)
		do(r, o)
	})
}

func TestADeployIsThreeReports(t *testing.T) {
	reporting(t, func(r *reporter, o *outbox) {
		say(r, report("1", "queued", ""))
		synctest.Wait()
		for i := range 10 {
			say(r, report("1", "in_progress", fmt.Sprint(i)))
			synctest.Wait()
		}
		say(r, report("1", "success", "done"))
		synctest.Wait()
		want := []string{"dev 1 queued ", "dev 1 in_progress 0", "dev 1 success done"}
		if !slices.Equal(o.got, want) {
			t.Errorf("sent %q; want %q", o.got, want)
		}
	})
}

func TestLongProgressIsToldNowAndThen(t *testing.T) {
	reporting(t, func(r *reporter, o *outbox) {
		say(r, report("1", "in_progress", "0 of 9"))
		synctest.Wait()
		say(r, report("1", "in_progress", "4 of 9"))
		time.Sleep(progressEvery + time.Second) // of the bubble's clock
		if len(o.got) != 2 || o.got[1] != "dev 1 in_progress 4 of 9" {
			t.Errorf("sent %q; want the newest count after %s", o.got, progressEvery)
		}
	})
}

func TestAFailureAmongManyTargetsIsNotRepeatedForEachOfTheOthers(t *testing.T) {
	reporting(t, func(r *reporter, o *outbox) {
		for i := range 1000 {
			say(r, report("1", "failure", fmt.Sprint(i, " of 1000 healthy")))
			synctest.Wait()
		}
		time.Sleep(progressEvery + time.Second) // of the bubble's clock
		want := []string{"dev 1 failure 0 of 1000 healthy", "dev 1 failure 999 of 1000 healthy"}
		if !slices.Equal(o.got, want) {
			t.Errorf("sent %d reports, %q…; want %q", len(o.got), o.got[:2], want)
		}
	})
}

func TestReportsOutliveAnOutage(t *testing.T) {
	reporting(t, func(r *reporter, o *outbox) {
		o.down = errors.New("502")
		say(r, report("1", "queued", ""))
		synctest.Wait()
		say(r, report("1", "superseded", ""))
		say(r, report("2", "success", ""))
		time.Sleep(time.Hour) // of the bubble's clock
		o.down = nil
		time.Sleep(2 * time.Minute)
		want := []string{"dev 1 superseded ", "dev 2 success "}
		if !slices.Equal(o.got, want) {
			t.Errorf("sent %q; want only the last word on each check, in order: %q", o.got, want)
		}
	})
}

func TestAReportThatIsRefusedForGoodHoldsNothingUp(t *testing.T) {
	reporting(t, func(r *reporter, o *outbox) {
		o.down = &promote.UnknownCommit{Commit: "1"}
		say(r, report("1", "success", ""))
		synctest.Wait()
		o.down = nil
		say(r, report("2", "success", ""))
		synctest.Wait()
		if !slices.Equal(o.got, []string{"dev 2 success "}) {
			t.Errorf("sent %q; want the second report, at once", o.got)
		}
	})
}

func TestARateLimitIsWaitedOut(t *testing.T) {
	reporting(t, func(r *reporter, o *outbox) {
		tries := 0
		o.tried = func() { tries++ }
		o.down = &promote.RateLimited{Until: time.Now().Add(10 * time.Minute)}
		say(r, report("1", "success", ""))
		time.Sleep(9 * time.Minute) // of the bubble's clock
		if tries != 1 {
			t.Errorf("%d tries before the limit ended; want the one that met it", tries)
		}
		o.down = nil
		time.Sleep(2 * time.Minute)
		if !slices.Equal(o.got, []string{"dev 1 success "}) {
			t.Errorf("sent %q; want the report once the limit ended", o.got)
		}
	})
}

func TestThousandsOfCommitsLeaveNothingBehind(t *testing.T) {
	reporting(t, func(r *reporter, o *outbox) {
		for i := range 3000 {
			say(r, report(fmt.Sprint(i), "queued", ""))
			say(r, report(fmt.Sprint(i), "success", ""))
			synctest.Wait()
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if n := len(r.sent) + len(r.newest) + len(r.queue); n != 1 {
			t.Errorf("%d reports are remembered; want the last", n)
		}
	})
}

func TestAnOutageIsToldOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		o := &outbox{down: &promote.Denied{Doing: "write the check", Status: 403}}
		r := newReporter(o.send, time.Now, zerolog.New(&log))
		ctx, stop := context.WithCancel(t.Context())
		go r.run(ctx)
		say(r, report("1", "success", ""))
		time.Sleep(time.Hour) // of the bubble's clock
		stop()
		synctest.Wait()
		if n := strings.Count(log.String(), "\n"); n != 1 {
			t.Errorf("%d lines of log in an hour; want one:\n%s", n, &log)
		}
	})
}
