package agent

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/promote"
	"github.com/pawl-dev/pawl/render"
)

// boardOf is a board on which dev/web stands at commit 1, with a clock that
// goes on by a minute with each look, and what it says when the stage changes.
func boardOf() (b *board, said *[]string) {
	clock := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	b = newBoard(func() time.Time { clock = clock.Add(time.Minute); return clock })
	said = &[]string{}
	b.changed = func(s promote.EnvironmentState, _ func() promote.EnvironmentState) {
		if len(s.Targets) == 0 {
			*said = append(*said, string(s.Commit)+" "+s.Problem.Reason)
			return
		}
		*said = append(*said, string(s.Commit)+" "+string(s.Targets[0].Stage))
	}
	b.ended = func(s promote.EnvironmentState) { *said = append(*said, string(s.Commit)+" ended") }
	b.begin("dev", "1", []environments.Target{web}, promote.Problem{})
	*said = nil
	return b, said
}

func TestWhatTheBoardSays(t *testing.T) {
	t.Parallel()
	usual, patient := settings{healthTimeout: 1}, settings{healthTimeout: 2}
	a, other := render.Release{Digest: "a"}, render.Release{Digest: "b"}
	sees := func(release string, status drift.HealthStatus) func(*board) {
		return func(b *board) {
			b.notice(drift.Notice{Target: web, Release: release, Health: &drift.Health{Status: status, Objects: []drift.ObjectHealth{{Status: status, Message: "x"}}}})
		}
	}
	keep := func(b *board) { b.expect(web, usual, candidate{Good: drift.Good{Release: a}}, nil, nil) }
	applied := func(b *board) { b.applied(web, "1", policies.Verified{}, drift.Applied{}) }
	appliedBut := func(b *board) {
		b.applied(web, "1", policies.Verified{}, drift.Applied{Held: &drift.PruneHeld{Target: web}})
	}
	good, bad, moving := sees("a", drift.Current), sees("a", drift.Failed), sees("a", drift.Progressing)
	unseen := func(b *board) {
		sees("a", drift.StatusUnwatched)(b)
		if good, failed := b.turn(web); good != nil || failed != nil {
			t.Errorf("nothing is to be done about what is not seen, got %v, %v", good, failed)
		}
	}
	next := func(b *board) { b.begin("dev", "2", []environments.Target{web}, promote.Problem{}) }
	resumes := func(want bool, s settings, r render.Release) func(*board) {
		return func(b *board) {
			if got := b.resume(web, b.states["dev"].Commit, s, r); got != want {
				t.Errorf("resumed: %t; want %t", got, want)
			}
		}
	}
	for _, c := range []struct {
		says string
		do   []func(*board)
		want string
	}{
		{"what is applied waits for health", steps(keep, applied), "1 waiting for health"},
		{"good health makes it healthy", steps(keep, applied, good), "1 waiting for health, 1 healthy"},
		{"health that comes during the apply counts after it", steps(keep, good, applied), "1 healthy"},
		{"a failure during the apply counts after it", steps(keep, bad, applied), "1 failed"},
		{"progress before health is waiting", steps(keep, applied, moving, good), "1 waiting for health, 1 waiting for health, 1 healthy"},
		{"a failure takes the word back", steps(keep, applied, good, bad), "1 waiting for health, 1 healthy, 1 failed"},
		{"progress does not", steps(keep, applied, good, moving, moving), "1 waiting for health, 1 healthy"},
		{"what is not seen is not called healthy, until it is seen again", steps(keep, applied, good, unseen, moving, unseen, good), "1 waiting for health, 1 healthy, 1 retrying, 1 healthy, 1 retrying, 1 healthy"},
		{"nor failed", steps(keep, applied, unseen), "1 waiting for health, 1 retrying"},
		{"after a failure, progress is waiting again", steps(keep, applied, good, bad, moving, good), "1 waiting for health, 1 healthy, 1 failed, 1 waiting for health, 1 healthy"},
		{"the same word is not said twice", steps(keep, applied, good, good, bad, bad), "1 waiting for health, 1 healthy, 1 failed"},
		{"health of another release is of no interest", steps(keep, applied, sees("b", drift.Failed)), "1 waiting for health"},
		{"health before anything is kept is of no interest", steps(good), ""},
		{"an unchanged target is healthy at the next commit at once", steps(keep, applied, good, next, resumes(true, usual, a)), "1 waiting for health, 1 healthy, 1 ended, 2 queued, 2 healthy"},
		{"or failed", steps(keep, applied, bad, next, resumes(true, usual, a)), "1 waiting for health, 1 failed, 1 ended, 2 queued, 2 failed"},
		{"a failure before the next commit resumes is not forgotten", steps(keep, applied, good, next, bad, moving, resumes(true, usual, a)), "1 waiting for health, 1 healthy, 1 ended, 2 queued, 2 waiting for health"},
		{"another release is not resumed", steps(keep, applied, good, resumes(false, usual, other)), "1 waiting for health, 1 healthy"},
		{"nor other settings", steps(keep, applied, good, resumes(false, patient, a)), "1 waiting for health, 1 healthy"},
		{"nor what was not applied", steps(keep, resumes(false, usual, a)), ""},
		{"nor what was forgotten", steps(keep, applied, good, (*board).forgetWeb, resumes(false, usual, a)), "1 waiting for health, 1 healthy"},
		{"another patience waits for another word", steps(keep, applied, bad, func(b *board) { b.expect(web, patient, candidate{Good: drift.Good{Release: a}}, nil, nil) }, applied, good), "1 waiting for health, 1 failed, 1 waiting for health, 1 healthy"},
		{"an apply that ends after the next commit began says nothing of it", steps(keep, next, applied, good), "1 ended, 2 queued"},
		{"a problem with pawl.yaml ends the commit's story", steps(keep, applied, func(b *board) { b.begin("dev", "2", nil, promote.Problem{Reason: "PipelineInvalid"}) }, good), "1 waiting for health, 1 ended, 2 PipelineInvalid"},
		{"what is held is not healthy, however well it is", steps(keep, appliedBut, good, moving, good), "1 pruning is held, 1 pruning is held"},
		{"what is held fails like all else", steps(keep, appliedBut, good, bad, good), "1 pruning is held, 1 pruning is held, 1 failed, 1 pruning is held"},
		{"what is held is looked at again with each commit", steps(keep, appliedBut, good, next, resumes(false, usual, a)), "1 pruning is held, 1 pruning is held, 1 ended, 2 queued"},
		{"once it is deleted health decides", steps(keep, appliedBut, good, keep, applied), "1 pruning is held, 1 pruning is held, 1 healthy"},
		{"drift says nothing", steps(keep, applied, func(b *board) { b.notice(drift.Notice{Target: web, Release: "a", Drift: &drift.Drift{}}) }), "1 waiting for health"},
	} {
		b, said := boardOf()
		for _, do := range c.do {
			do(b)
		}
		if got := strings.Join(*said, ", "); got != c.want {
			t.Errorf("%s:\n  said %s\n  want %s", c.says, got, c.want)
		}
	}
}

func steps(list ...func(*board)) []func(*board) { return list }

func (b *board) forgetWeb() { b.forget(web) }

func TestHealthySinceIsTheFirstGoodWordAfterTheLastFailure(t *testing.T) {
	t.Parallel()
	minute := func(n int) time.Time { return time.Date(2026, 1, 1, 0, n, 0, 0, time.UTC) }
	good, bad, moving := drift.Health{Status: drift.Current}, drift.Health{Status: drift.Failed}, drift.Health{Status: drift.Progressing}
	var k kept
	for n, c := range []struct {
		sees  drift.Health
		stage promote.Stage
		since time.Time
	}{
		{moving, promote.StageWaiting, time.Time{}},
		{good, promote.StageHealthy, minute(1)},
		{moving, promote.StageHealthy, minute(1)},
		{good, promote.StageHealthy, minute(1)},
		{bad, promote.StageFailed, time.Time{}},
		{moving, promote.StageWaiting, time.Time{}},
		{good, promote.StageHealthy, minute(6)},
	} {
		k.see(c.sees, minute(n))
		var s promote.TargetState
		k.settle(&s)
		if s.Stage != c.stage || !s.Since.Equal(c.since) {
			t.Errorf("minute %d, %s: %s since %s; want %s since %s", n, c.sees.Status, s.Stage, s.Since, c.stage, c.since)
		}
	}
}

func TestAFailureNamesEveryFailedObject(t *testing.T) {
	t.Parallel()
	object := func(name string, status drift.HealthStatus) drift.ObjectHealth {
		return drift.ObjectHealth{Object: drift.ObjectID{Kind: "Deployment", Name: name}, Status: status, Message: "is " + string(status)}
	}
	k := kept{}
	k.see(drift.Health{Status: drift.Failed, Objects: []drift.ObjectHealth{object("a", drift.Failed), object("b", drift.Current), object("c", drift.Failed)}}, time.Time{})
	s := promote.TargetState{Stage: promote.StageApplying, Problem: promote.Problem{Reason: "old"}}
	k.settle(&s)
	want := promote.Problem{Reason: "Unhealthy", Text: "Deployment a: is failed; Deployment c: is failed", Hint: "Fix forward on the branch, or merge a revert."}
	if !reflect.DeepEqual(s.Problem, want) {
		t.Errorf("%+v; want %+v", s.Problem, want)
	}
}

func TestOnlyTheLastDriftIsRemembered(t *testing.T) {
	t.Parallel()
	b, _ := boardOf()
	for i := range driftsRemembered + 5 {
		b.notice(drift.Notice{Target: web, Drift: &drift.Drift{Manager: fmt.Sprint(i)}})
	}
	got := b.driftOf(web)
	if len(got) != driftsRemembered || got[len(got)-1].Manager != fmt.Sprint(driftsRemembered+4) {
		t.Errorf("%d episodes, the last by %s", len(got), got[len(got)-1].Manager)
	}
}
