package agent

import (
	"reflect"
	"slices"
	"strings"
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
	kept   map[environments.Target]*kept
	drifts map[environments.Target][]drift.Drift
}

// kept is the release that a target was last told to have, and what is known
// of it whatever the commit.
type kept struct {
	release  string // its digest
	settings settings
	// health is the last that was seen, nil before.
	health *drift.Health
	// healthy is the last good health, nil before it and after a failure; it
	// holds since then.
	healthy *drift.Health
	since   time.Time
	// good is the release with what it takes to return to it, until it was
	// healthy and that is stored; turned is woken when its health turns.
	good     *drift.Good
	evidence []policies.Evidence
	turned   chan<- struct{}
	// held is set where this is a release that the target was returned to, and
	// stuck says why it was not returned, though it failed.
	held  *returned
	stuck string
	// done is nil until the release is applied.
	done *deployed
}

// settings are how a release is kept, and by what it was judged. Where they
// differ the same release is judged and applied anew.
type settings struct {
	drift         environments.DriftMode
	healthTimeout environments.Duration
	prune         int // Prune.Percent
	baseline      *Baseline
	demands       string         // of the repository, see repository.fingerprint
	health        drift.Digest   // of the repository's health checks
	commit        gitsync.Commit // where every commit has to be noted
}

// deployed is what applying a release left behind.
type deployed struct {
	evidence []policies.Evidence
	policies []policies.PolicyResult
	applied  drift.Applied
}

// driftsRemembered bounds the drift that the status page tells of each target.
const driftsRemembered = 20

func newBoard(now func() time.Time) *board {
	return &board{
		now:    now,
		states: map[string]*promote.EnvironmentState{},
		kept:   map[environments.Target]*kept{},
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
	before := state.Targets[i]
	change(&state.Targets[i])
	// What is said already is not said again: pods come and go in a healthy
	// environment, and each word costs requests.
	if !reflect.DeepEqual(before, state.Targets[i]) {
		b.changed(clone(state))
	}
}

// keep remembers which release a target is to have from now on, and how,
// before it is applied: health that is seen during the apply already counts.
func (b *board) keep(t environments.Target, s settings, g drift.Good, turned chan<- struct{}, held *returned) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.kept[t]
	switch {
	case k == nil || k.release != g.Release.Digest:
		k = &kept{release: g.Release.Digest, good: &g}
		b.kept[t] = k
	case k.settings != s:
		// Its health was judged by another patience; the next notice tells anew.
		k.health, k.done = nil, nil
	}
	k.settings, k.turned, k.held = s, turned, held
}

// turn tells what the health of a target's release asks for: to remember it,
// as it is healthy for the first time, or to roll it back, as it never was and
// failed. Both are nil if nothing is to be done.
func (b *board) turn(t environments.Target) (good *drift.Good, failed *failure) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.kept[t]
	if k == nil || k.done == nil || k.health == nil || k.held != nil {
		return nil, nil
	}
	switch {
	case k.health.Status == drift.Current && k.good != nil:
		g := *k.good
		g.Evidence, g.At = k.evidence, k.since.UTC()
		return &g, nil
	case k.health.Status == drift.Failed && k.since.IsZero() && k.stuck == "":
		return nil, &failure{release: k.release, why: failures(*k.health), at: b.now()}
	}
	return nil, nil
}

// remembered drops what a release was remembered of.
func (b *board) remembered(t environments.Target, release string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if k := b.kept[t]; k != nil && k.release == release {
		k.good, k.evidence = nil, nil
	}
}

// stay notes why a failed release stays, and reports whether that is news.
func (b *board) stay(t environments.Target, release, why string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	k, state := b.kept[t], b.states[t.Environment]
	if k == nil || k.release != release || k.stuck == why || state == nil {
		return false
	}
	k.stuck = why
	b.change(t, state.Commit, func(s *promote.TargetState) {
		if s.Problem.Reason == reasonUnhealthy {
			k.settle(s)
		}
	})
	return true
}

// isBack reports whether a target is at a good release because another is held,
// and if so shows it at the commit.
func (b *board) isBack(t environments.Target, commit gitsync.Commit, held string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.kept[t]
	if k == nil || k.held == nil || k.held.hold.Release != held || k.done == nil {
		return false
	}
	b.show(t, commit, false)
	return true
}

// tookBack notes how long returning took.
func (b *board) tookBack(t environments.Target, took time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if k := b.kept[t]; k != nil && k.held != nil {
		k.held.took = took
	}
}

// wake lets the target's worker look at it, and reports whether there is one.
// The target may come without its overlay.
func (b *board) wake(t environments.Target) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for known, k := range b.kept {
		if known.String() == t.String() && k.turned != nil {
			wake(k.turned)
			return true
		}
	}
	return false
}

// release is the one that a target is kept at, empty if there is none.
func (b *board) release(t environments.Target) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if k := b.kept[t]; k != nil {
		return k.release
	}
	return ""
}

// unkeep lets the target's release be judged and applied anew.
func (b *board) unkeep(t environments.Target) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.kept, t)
}

// keeps reports whether a release of a target is kept.
func (b *board) keeps(t environments.Target) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.kept[t] != nil
}

// forget drops what is known of a target that is no longer there.
func (b *board) forget(t environments.Target) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.kept, t)
	delete(b.drifts, t)
}

// applied records that the release that is kept is in the cluster; from here
// its health decides the stage.
func (b *board) applied(t environments.Target, commit gitsync.Commit, v policies.Verified, what drift.Applied) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.note(t, v, what)
	if k == nil {
		return
	}
	b.show(t, commit, false)
	if k.turned != nil && k.health != nil {
		wake(k.turned)
	}
}

// running records the same of a release that no commit on the board asks for.
func (b *board) running(t environments.Target, v policies.Verified, what drift.Applied) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.note(t, v, what)
}

// note notes what was applied, with the lock held; nil if it was forgotten
// meanwhile.
func (b *board) note(t environments.Target, v policies.Verified, what drift.Applied) *kept {
	k := b.kept[t]
	if k == nil {
		return nil
	}
	evidence := v.Evidence()
	if k.good != nil {
		k.evidence = v.Evidence()
	}
	for i, e := range evidence {
		for j := range e.Attestations {
			// What was attested can be large, and was judged.
			evidence[i].Attestations[j].Predicate = nil
		}
	}
	k.done = &deployed{evidence: evidence, policies: v.Policies(), applied: what}
	return k
}

// resume gives a target that is kept at this very release, in this very way, at
// whatever commit it was applied, the stage of its health. It reports whether
// it was. A target with objects that wait to be deleted is not: the commit may
// have the word for them.
func (b *board) resume(t environments.Target, commit gitsync.Commit, s settings, r render.Release) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if k := b.kept[t]; k == nil || k.release != r.Digest || k.done == nil || k.done.applied.Held != nil || k.settings != s || k.held != nil {
		return false
	}
	b.show(t, commit, true)
	return true
}

// show tells at a commit what is known of the target's applied release.
func (b *board) show(t environments.Target, commit gitsync.Commit, unchanged bool) {
	k := b.kept[t]
	b.change(t, commit, func(s *promote.TargetState) {
		if k.held == nil { // else the images of the state are those of the failed release
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
	k := b.kept[n.Target]
	if n.Health == nil || k == nil || k.release != n.Release {
		return
	}
	k.see(*n.Health, b.now())
	state := b.states[n.Target.Environment]
	if k.done == nil || state == nil {
		return // still being applied; applied takes it from here
	}
	b.change(n.Target, state.Commit, func(s *promote.TargetState) {
		if s.Stage == promote.StageWaiting || s.Stage == promote.StagePruneHeld || s.Stage == promote.StageHealthy || s.Problem.Reason == reasonUnhealthy || s.Problem.Reason == reasonRolledBack {
			k.settle(s)
		}
	})
	if k.turned != nil {
		wake(k.turned)
	}
}

// Reasons of what was applied.
const (
	reasonUnhealthy  = "Unhealthy"
	reasonRolledBack = "RolledBack"
)

// see takes in health. A target that was healthy stays so while it is merely
// progressing: pods come and go; only a failure takes the word back.
func (k *kept) see(h drift.Health, now time.Time) {
	k.health = &h
	switch h.Status {
	case drift.Failed:
		k.healthy = nil
	case drift.Current:
		if k.healthy == nil {
			k.since = now
		}
		k.healthy = &h
	}
}

// settle gives an applied target the stage that its health stands for.
func (k *kept) settle(s *promote.TargetState) {
	s.Stage, s.Health, s.Since, s.Problem = promote.StageWaiting, drift.Health{}, time.Time{}, promote.Problem{}
	var held *drift.PruneHeld
	if k.done != nil && k.done.applied.Held != nil {
		held = k.done.applied.Held
		s.Stage, s.Problem = promote.StagePruneHeld, problem(held)
	}
	switch {
	case k.held != nil:
		s.Stage, s.Problem = promote.StageFailed, k.held.problem(k.health)
		if k.health != nil {
			s.Health = *k.health
		}
	case k.health == nil:
	case k.health.Status == drift.Failed:
		s.Stage, s.Health = promote.StageFailed, *k.health
		s.Problem = promote.Problem{Reason: reasonUnhealthy, Text: failures(*k.health), Hint: "Fix forward on the branch, or merge a revert.", Did: k.stuck}
	case k.healthy != nil && held != nil:
		s.Health = *k.healthy
	case k.healthy != nil:
		s.Stage, s.Health, s.Since = promote.StageHealthy, *k.healthy, k.since
	default:
		s.Health = *k.health
	}
}

// failures joins what the failed objects say.
func failures(h drift.Health) string {
	var said []string
	for _, o := range h.Objects {
		if o.Status == drift.Failed {
			said = append(said, o.Object.String()+": "+o.Message)
		}
	}
	return strings.Join(said, "; ")
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
