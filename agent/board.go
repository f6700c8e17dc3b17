package agent

import (
	"slices"
	"sync"
	"time"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/promote"
	"github.com/pawl-dev/pawl/render"
)

// board holds the state of every environment this agent owns, and tells when
// one changed. It is what the checks, the promotions and the status page see.
type board struct {
	now func() time.Time
	// changed is called with each new state, and ended with the last one of a
	// commit that a newer one took over from. Both are called in order, must not
	// block and must not call the board.
	changed func(state promote.EnvironmentState)
	ended   func(state promote.EnvironmentState)

	mu     sync.Mutex
	states map[string]*promote.EnvironmentState
	kept   map[environments.Target]kept
	drifts map[environments.Target][]drift.Drift
}

// kept is the release that a target was last told to have.
type kept struct {
	release string // its digest
	health  *drift.Health
	// done is nil until the release is applied.
	done *deployed
}

// settings are what pawl.yaml says about how an environment is kept.
type settings struct {
	drift         environments.DriftMode
	healthTimeout environments.Duration
}

func settingsOf(e environments.Environment) settings { return settings{e.Drift, e.HealthTimeout} }

// deployed is what is known of an applied release whatever the commit.
type deployed struct {
	settings settings
	evidence []policies.Evidence
	applied  drift.Applied
	// healthy is the last good health, nil before; it holds since then.
	healthy *drift.Health
	since   time.Time
}

// driftsRemembered bounds the drift that the status page tells of each target.
const driftsRemembered = 20

func newBoard(now func() time.Time) *board {
	return &board{
		now:    now,
		states: map[string]*promote.EnvironmentState{},
		kept:   map[environments.Target]kept{},
		drifts: map[environments.Target][]drift.Drift{},
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
	b.changed(clone(state))
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
	change(&state.Targets[i])
	b.changed(clone(state))
}

// keep remembers which release a target is to have from now on, before it is
// applied: health that is seen during the apply already counts for it.
func (b *board) keep(t environments.Target, r render.Release) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.kept[t].release != r.Digest {
		b.kept[t] = kept{release: r.Digest}
	}
}

// applied records that the release is in the cluster; from here its health
// decides the stage.
func (b *board) applied(t environments.Target, commit gitsync.Commit, s settings, v policies.Verified, what drift.Applied) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.kept[t]
	k.done = &deployed{settings: s, evidence: v.Evidence(), applied: what}
	b.kept[t] = k
	b.settleAt(t, commit, false)
}

// resume gives a target that is kept at this very release, in this very way, at
// whatever commit it was applied, the stage of its health. It reports whether
// it was.
func (b *board) resume(t environments.Target, commit gitsync.Commit, s settings, r render.Release) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if k := b.kept[t]; k.release != r.Digest || k.done == nil || k.done.settings != s {
		return false
	}
	b.settleAt(t, commit, true)
	return true
}

// settleAt shows at a commit what is known of the target's applied release.
func (b *board) settleAt(t environments.Target, commit gitsync.Commit, unchanged bool) {
	b.change(t, commit, func(s *promote.TargetState) {
		k := b.kept[t]
		s.Evidence, s.Applied, s.Unchanged = k.done.evidence, &k.done.applied, unchanged
		s.Stage, s.Problem = promote.StageWaiting, promote.Problem{}
		if k.health != nil {
			b.settle(s, *k.health)
		}
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
	k, ok := b.kept[n.Target]
	state := b.states[n.Target.Environment]
	if n.Health == nil || !ok || k.release != n.Release || state == nil {
		return
	}
	k.health = n.Health
	b.kept[n.Target] = k
	if k.done == nil {
		return // still being applied; applied takes it from here
	}
	b.change(n.Target, state.Commit, func(s *promote.TargetState) {
		if s.Stage == promote.StageWaiting || s.Stage == promote.StageHealthy || s.Problem.Reason == reasonUnhealthy {
			b.settle(s, *n.Health)
		}
	})
}

const reasonUnhealthy = "Unhealthy"

// settle gives an applied target the stage that its health stands for. A
// target that was healthy stays so while it is merely progressing: pods come
// and go; only a failure takes the word back. It is called with the lock held.
func (b *board) settle(s *promote.TargetState, h drift.Health) {
	done := b.kept[s.Target].done
	switch {
	case h.Status == drift.Failed:
		done.healthy = nil
		s.Stage, s.Health, s.Since = promote.StageFailed, h, time.Time{}
		s.Problem = promote.Problem{Reason: reasonUnhealthy, Text: failures(h), Hint: "Fix forward on the branch, or merge a revert."}
		return
	case h.Status == drift.Current:
		if done.healthy == nil {
			done.since = b.now()
		}
		done.healthy = &h
	case done.healthy == nil:
		s.Stage, s.Health, s.Problem = promote.StageWaiting, h, promote.Problem{}
		return
	}
	s.Stage, s.Health, s.Since, s.Problem = promote.StageHealthy, *done.healthy, done.since, promote.Problem{}
}

// failures joins what the failed objects say.
func failures(h drift.Health) string {
	text := ""
	for _, o := range h.Objects {
		if o.Status == drift.Failed {
			if text != "" {
				text += "; "
			}
			text += o.Object.String() + ": " + o.Message
		}
	}
	return text
}

// target returns the state of one target.
func (b *board) target(t environments.Target) (promote.TargetState, gitsync.Commit, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if state := b.states[t.Environment]; state != nil {
		for _, s := range state.Targets {
			if s.Target == t {
				return s, state.Commit, true
			}
		}
	}
	return promote.TargetState{}, "", false
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
