package agent

import (
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/promote"
	"github.com/pawl-dev/pawl/render"
)

// board holds the state of every environment this agent owns, and tells when
// one changed. It is what the checks, the promotions and the status page see.
type board struct {
	now func() time.Time
	// changed is called with each new state, and ended with the last one of a
	// commit that a newer one took over from. Both are called in order, must not
	// block and must not call the board. changed must not keep its state, which
	// would be a copy of a thousand targets for each change of one; copied is the
	// state as it is whenever that is called, afterwards.
	changed func(state promote.EnvironmentState, copied func() promote.EnvironmentState)
	ended   func(state promote.EnvironmentState)

	mu     sync.Mutex
	states map[string]*promote.EnvironmentState
	kept   map[environments.Target]*kept
	// applying are releases on their way; each takes the place of the one that is
	// kept once it is applied.
	applying map[environments.Target]*kept
	drifts   map[environments.Target][]drift.Drift
	progress map[environments.Target]progress
}

// progress is what is told of a target on the status page alone: it changes with
// each try, and no check shall.
type progress struct {
	commit gitsync.Commit
	since  time.Time // when the target came into its condition
	tries  int       // in vain
	next   time.Time // zero if none is to come
}

// driftsRemembered bounds the drift that the status page tells of each target.
const driftsRemembered = 20

func newBoard(now func() time.Time) *board {
	return &board{
		now:      now,
		states:   map[string]*promote.EnvironmentState{},
		kept:     map[environments.Target]*kept{},
		applying: map[environments.Target]*kept{},
		drifts:   map[environments.Target][]drift.Drift{},
		progress: map[environments.Target]progress{},
	}
}

// begin starts an environment's story at a commit, its targets queued. A
// problem says why there are no targets.
func (b *board) begin(environment string, commit gitsync.Commit, targets []environments.Target, problem promote.Problem) {
	state := &promote.EnvironmentState{
		Environment: environment, Commit: commit, StartedAt: b.now(), Problem: problem,
	}
	for _, t := range targets {
		state.Targets = append(state.Targets, promote.TargetState{Target: t, Stage: promote.StageQueued})
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.states[environment]
	b.states[environment] = state
	if before != nil && before.Commit != commit {
		b.ended(clone(before))
	}
	b.tell(state)
}

// tell says that a state is new, with the lock held.
func (b *board) tell(state *promote.EnvironmentState) {
	b.changed(*state, func() promote.EnvironmentState {
		b.mu.Lock()
		defer b.mu.Unlock()
		return clone(state)
	})
}

// update changes the state of one target at a commit; it does nothing when the
// environment has moved on to another commit.
func (b *board) update(t environments.Target, commit gitsync.Commit, change func(*promote.TargetState)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.change(t, commit, change)
}

// change is update with the lock held.
func (b *board) change(t environments.Target, commit gitsync.Commit, change func(*promote.TargetState)) {
	state := b.states[t.Environment]
	if state == nil || state.Commit != commit {
		return
	}
	i := slices.IndexFunc(state.Targets, func(s promote.TargetState) bool { return s.Target == t })
	if i < 0 {
		return
	}
	before := state.Targets[i]
	change(&state.Targets[i])
	if before.Condition() != state.Targets[i].Condition() {
		p := b.progressOf(t, state)
		p.since = b.now()
		b.progress[t] = p
	}
	// What is said already is not said again: pods come and go in a healthy
	// environment, and each word costs requests.
	if !reflect.DeepEqual(before, state.Targets[i]) {
		b.tell(state)
	}
}

// progressOf is that of a target at the commit of its environment's state, with
// the lock held.
func (b *board) progressOf(t environments.Target, state *promote.EnvironmentState) progress {
	if p := b.progress[t]; p.commit == state.Commit {
		return p
	}
	return progress{commit: state.Commit, since: state.StartedAt}
}

// tried notes how often a target was tried at a commit. Nothing is told by it.
func (b *board) tried(t environments.Target, commit gitsync.Commit, tries tries) {
	b.mu.Lock()
	defer b.mu.Unlock()
	state := b.states[t.Environment]
	if state == nil || state.Commit != commit {
		return
	}
	p := b.progressOf(t, state)
	p.tries, p.next = tries.all, tries.due
	b.progress[t] = p
}

// progressAt is the progress of a target at a commit.
func (b *board) progressAt(t environments.Target, commit gitsync.Commit) progress {
	b.mu.Lock()
	defer b.mu.Unlock()
	if state := b.states[t.Environment]; state != nil && state.Commit == commit {
		return b.progressOf(t, state)
	}
	return progress{}
}

// retire takes a target that nothing is left of out of its environment's state.
func (b *board) retire(t environments.Target, commit gitsync.Commit) {
	b.forget(t)
	b.mu.Lock()
	defer b.mu.Unlock()
	state := b.states[t.Environment]
	if state == nil || state.Commit != commit {
		return
	}
	state.Targets = slices.DeleteFunc(state.Targets, func(s promote.TargetState) bool { return s.Target == t })
	b.tell(state)
}

// forget drops what is known of a target that is no longer there.
func (b *board) forget(t environments.Target) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.kept, t)
	delete(b.applying, t)
	delete(b.drifts, t)
	delete(b.progress, t)
}

// resume gives a target that is kept at this very release, in this very way, at
// whatever commit it was applied, the stage of its health. It reports whether
// it was. A target with objects that wait to be deleted is not: the commit may
// have the word for them.
func (b *board) resume(t environments.Target, commit gitsync.Commit, s settings, r render.Release) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.kept[t]
	if k == nil || k.release != r.Digest || k.done.applied.Held != nil || k.settings != s || k.returned != nil {
		return false
	}
	if k.mayGoBack() && k.turned != nil { // something may have changed about what may return
		k.stuck, k.delayed = "", ""
		wake(k.turned)
	}
	b.show(t, commit, k.commit != commit)
	return true
}

// show tells at a commit what is known of the target's applied release.
func (b *board) show(t environments.Target, commit gitsync.Commit, unchanged bool) {
	k := b.kept[t]
	b.change(t, commit, func(s *promote.TargetState) {
		if k.returned == nil { // else the images of the state are those of the failed release
			s.Evidence, s.Policies = k.done.evidence, k.done.policies
		}
		s.Applied, s.Unchanged = &k.done.applied, unchanged
		k.settle(s)
	})
}

// notice takes in what watching found.
func (b *board) notice(n drift.Notice) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n.Drift != nil {
		b.drifts[n.Target] = append(b.drifts[n.Target], *n.Drift)
		if extra := len(b.drifts[n.Target]) - driftsRemembered; extra > 0 {
			b.drifts[n.Target] = slices.Clone(b.drifts[n.Target][extra:])
		}
	}
	if n.Health == nil {
		return
	}
	if k := b.applying[n.Target]; k != nil && k.release == n.Release {
		k.see(*n.Health, b.now()) // applied takes it from here
	}
	k := b.kept[n.Target]
	if k == nil || k.release != n.Release {
		return
	}
	k.see(*n.Health, b.now())
	b.resettle(n.Target, k)
	if k.turned != nil {
		wake(k.turned)
	}
}

// showsHealth reports whether a state is that of an applied release, which its
// health and its gates decide.
func showsHealth(s promote.TargetState) bool {
	switch s.Stage {
	case promote.StageWaiting, promote.StagePruneHeld, promote.StageHealthy:
		return true
	}
	return ofRelease(s.Problem.Reason)
}

// environment returns a copy of an environment's state.
func (b *board) environment(name string) (promote.EnvironmentState, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	state, ok := b.states[name]
	if !ok {
		return promote.EnvironmentState{}, false
	}
	return clone(state), true
}

// all returns a copy of the state of every environment.
func (b *board) all() (states []promote.EnvironmentState) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, state := range b.states {
		states = append(states, clone(state))
	}
	return states
}

func clone(s *promote.EnvironmentState) promote.EnvironmentState {
	c := *s
	c.Targets = slices.Clone(s.Targets)
	return c
}

// driftOf returns the last episodes of drift of a target, newest last.
func (b *board) driftOf(t environments.Target) []drift.Drift {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.drifts[t])
}
