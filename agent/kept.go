package agent

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/promote"
	"github.com/pawl-dev/pawl/render"
)

// kept is the release that a target was last told to have, and what is known
// of it whatever the commit.
type kept struct {
	release  string // its digest
	settings settings
	commit   gitsync.Commit // at which it was applied
	// health is the last that was seen, nil before.
	health *drift.Health
	// healthy is the last good health, nil before it and after a failure; it
	// holds since then.
	healthy *drift.Health
	since   time.Time
	// good is the release with what it takes to return to it, until it was
	// healthy and that is stored; turned is woken when its health turns.
	good     *candidate
	evidence []policies.Evidence
	// owed is an earlier release that was healthy and is not stored yet: a commit
	// came at once, or it could not be.
	owed   *candidate
	turned chan<- struct{}
	// failed is when it failed first, zero before.
	failed time.Time
	// gate says which gate turned after the rollout, empty as long as none has.
	gate string
	// returned is set where this is a release that the target was returned to.
	returned *returned
	// ailing are the good releases before this one that failed when they were left.
	ailing []string
	// stuck says why the target was not returned, though the release failed, and
	// delayed why it could not be yet. As long as both are empty, what becomes of a
	// release that failed is about to be decided.
	stuck, delayed string
	done           *deployed
}

// settings are how a release is kept, and by what it was judged. Where they
// differ the same release is judged and applied anew.
type settings struct {
	drift         environments.DriftMode
	healthTimeout environments.Duration
	prune         int // Prune.Percent
	baseline      *demands.Baseline
	demands       string         // of the repository, see demands.Demanded.Fingerprint
	health        drift.Digest   // of the repository's health checks
	commit        gitsync.Commit // where every commit has to be noted
}

// deployed is what applying a release left behind.
type deployed struct {
	evidence []policies.Evidence
	policies []policies.PolicyResult
	applied  drift.Applied
}

// candidate is a release that may turn out to be good. Of a thousand targets that
// change at once most wait for their health, so its objects are packed.
type candidate struct {
	drift.Good
	objects render.Packed
}

// whole is the release with its objects.
func (c candidate) whole() (g drift.Good, err error) {
	g = c.Good
	g.Release.Objects, err = c.objects.Unpack()
	return g, err
}

// expect notes which release a target is about to have, and how, before it is
// applied: health that is seen during the apply already counts. What the target
// had is kept until it is applied, or for good if the apply is abandoned.
func (b *board) expect(t environments.Target, s settings, c candidate, turned chan<- struct{}, back *returned) {
	b.mu.Lock()
	defer b.mu.Unlock()
	next := &kept{release: c.Release.Digest, good: &c}
	if k := b.kept[t]; k != nil && k.release == c.Release.Digest {
		same := *k
		next = &same
		if k.settings != s {
			// Its health was judged by another patience; the next notice tells anew.
			next.health = nil
		}
	}
	next.settings, next.turned, next.returned, next.stuck, next.delayed = s, turned, back, "", ""
	b.applying[t] = next
}

// condemned notes of the release that a target is about to have which gate
// turned before a restart.
func (b *board) condemned(t environments.Target, why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if k := b.applying[t]; k != nil {
		k.gate = why
	}
}

// abandon forgets a release that could not be applied.
func (b *board) abandon(t environments.Target) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.applying, t)
}

// turn tells what became of a target's release and asks for something: to
// remember it, or one before it, as it is healthy for the first time; and to roll
// it back, as it never was and failed, or as a gate has turned.
func (b *board) turn(t environments.Target) (good *candidate, failed *failure) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.kept[t]
	if k == nil {
		return nil, nil
	}
	good = k.owed
	switch {
	case k.health == nil:
	case k.returned != nil:
		if r := k.returned; len(r.tried) > 0 && !r.last && k.mayGoBack() {
			return good, &failure{release: r.hold.Release, commit: r.hold.Commit, why: r.hold.Why, tried: r.tried, ailing: k.ailing}
		}
	case k.owed == nil && k.health.Status == drift.Current && k.isGood():
		return k.asGood(), nil
	case !k.mayGoBack() || k.stuck != "":
	case k.gate != "":
		return good, &failure{release: k.release, commit: k.commit, why: k.gate, gate: true, at: k.failed, ailing: k.ailing}
	default:
		return good, &failure{release: k.release, commit: k.commit, why: failures(*k.health), at: k.failed, ailing: k.ailing}
	}
	return good, nil
}

// isGood reports whether a release was healthy, has not failed since, and is not
// stored yet.
func (k *kept) isGood() bool {
	return k.good != nil && k.returned == nil && k.gate == "" && k.healthy != nil
}

// asGood is a release that is good, to be stored.
func (k *kept) asGood() *candidate {
	g := *k.good
	g.Evidence, g.At = k.evidence, k.since.UTC()
	return &g
}

// mayGoBack reports whether a release is bad and another may take its place: a
// gate turned, or it failed before it ever was healthy. Where it could not be
// rolled out, no other could: it stays, and goes on once the way is free.
func (k *kept) mayGoBack() bool {
	return k.gate != "" || k.health != nil && k.health.Status == drift.Failed && !k.health.Blocked && k.since.IsZero()
}

// waitsFor says why a release that failed is not rolled back, where a pod of an
// earlier one is in its way.
func (k *kept) waitsFor() string {
	if !k.health.Blocked || !k.since.IsZero() {
		return ""
	}
	return "The release was applied and stays: a pod of an earlier release is in its way, and would be in that of any other. It goes on by itself once that pod is ready or deleted."
}

// undecided reports whether it is still to be found out what becomes of a bad
// release. That takes a moment, and until then nothing is said that is not so.
func (k *kept) undecided() bool {
	return k.mayGoBack() && k.turned != nil && k.returned == nil && k.stuck == "" && k.delayed == ""
}

// remembered drops what a release was remembered of.
func (b *board) remembered(t environments.Target, release string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.kept[t]
	switch {
	case k == nil:
	case k.owed != nil && k.owed.Release.Digest == release:
		k.owed, k.stuck = nil, ""
		if k.turned != nil { // there is one to return to now, and this one's turn comes
			wake(k.turned)
		}
	case k.release == release:
		k.good, k.evidence = nil, nil
	}
}

// stay notes why a failed release stays, and reports whether that is news.
func (b *board) stay(t environments.Target, release, why string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.kept[t]
	if k == nil || k.release != release || k.stuck == why {
		return false
	}
	k.stuck, k.delayed = why, ""
	b.resettle(t, k)
	return true
}

// delay notes why a failed release is still there, though another is to take
// its place.
func (b *board) delay(t environments.Target, release, why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if k := b.kept[t]; k != nil && k.release == release && k.stuck == "" {
		k.delayed = why
		b.resettle(t, k)
	}
}

// resettle shows what is known of the kept release where that is what is
// shown, with the lock held.
func (b *board) resettle(t environments.Target, k *kept) {
	state := b.states[t.Environment]
	if state == nil {
		return
	}
	b.change(t, state.Commit, func(s *promote.TargetState) {
		if showsHealth(*s) {
			k.settle(s)
		}
	})
}

// isBack reports whether a target was returned to a good release because another is held,
// and if so shows it at the commit.
func (b *board) isBack(t environments.Target, commit gitsync.Commit, held string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.kept[t]
	if k == nil || k.returned == nil || k.returned.hold.Release != held {
		return false
	}
	b.show(t, commit, false)
	return true
}

// lastReturn notes that there is no other release to return to, though this one
// is not healthy either.
func (b *board) lastReturn(t environments.Target) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if k := b.kept[t]; k != nil && k.returned != nil {
		k.returned.last = true
	}
}

// tookBack notes how long returning took.
func (b *board) tookBack(t environments.Target, took time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if k := b.applying[t]; k != nil && k.returned != nil {
		k.returned.took = took
	}
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

// runs are the images of the release that a target is kept at, each once.
func (b *board) runs(t environments.Target) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	images := []string{}
	if k := b.kept[t]; k != nil && k.done != nil {
		for _, e := range k.done.evidence {
			if !slices.Contains(images, e.Image) {
				images = append(images, e.Image)
			}
		}
	}
	return images
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

// applied records that the release is in the cluster; from here its health
// decides the stage.
func (b *board) applied(t environments.Target, commit gitsync.Commit, v policies.Verified, what drift.Applied) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.arrive(t, commit, v, what) {
		b.show(t, commit, false)
	}
}

// back records that a good release is in the cluster though the commit asks for
// another. What is said of the commit stays, unless it was about health.
func (b *board) back(t environments.Target, commit gitsync.Commit, v policies.Verified, what drift.Applied) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.arrive(t, v.Release().Commit, v, what) {
		return
	}
	k := b.kept[t]
	b.change(t, commit, func(s *promote.TargetState) {
		if k.returned != nil && aboutHealth(*s) {
			s.Applied = &k.done.applied
			k.settle(s)
		}
	})
}

// aboutHealth reports whether a state tells of what was applied, and not why it
// could not be.
func aboutHealth(s promote.TargetState) bool {
	switch s.Stage {
	case promote.StageFailed:
		return s.Problem.Reason == "" || ofRelease(s.Problem.Reason)
	case promote.StageRetrying:
		return s.Problem.Reason == reasonUnwatched
	case promote.StageAwaiting:
		return false
	}
	return true
}

// arrive makes the release that was on its way the one that is kept, with the
// lock held. It is false if that was forgotten meanwhile.
func (b *board) arrive(t environments.Target, commit gitsync.Commit, v policies.Verified, what drift.Applied) bool {
	k := b.applying[t]
	if k == nil {
		return false
	}
	delete(b.applying, t)
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
	k.commit, k.done = commit, &deployed{evidence: evidence, policies: v.Policies(), applied: what}
	if before := b.kept[t]; before != nil && before.release != k.release {
		k.ailing, k.owed = before.ailing, before.owed
		if before.isGood() {
			k.owed = before.asGood()
		}
		if !before.since.IsZero() && before.health != nil && before.health.Status == drift.Failed {
			k.ailing = append(slices.Clone(k.ailing), before.release)
			k.ailing = k.ailing[max(0, len(k.ailing)-ailingKept):]
		}
	}
	b.kept[t] = k
	if k.turned != nil && (k.health != nil || k.owed != nil) {
		wake(k.turned)
	}
	return true
}

// ailingKept is as many as there are good releases of a target.
const ailingKept = 3

// Reasons of what was applied.
const (
	reasonUnhealthy  = "Unhealthy"
	reasonRolledBack = "RolledBack"
	reasonGateFailed = "GateFailed"
	reasonUnwatched  = "Unwatched"
)

// ofRelease reports whether a reason tells of what was applied.
func ofRelease(reason string) bool {
	return reason == reasonUnhealthy || reason == reasonRolledBack || reason == reasonGateFailed || reason == reasonUnwatched
}

// see takes in health. A target that was healthy stays so while it is merely
// progressing: pods come and go; only a failure takes the word back.
func (k *kept) see(h drift.Health, now time.Time) {
	k.health = &h
	switch h.Status {
	case drift.Failed:
		k.healthy = nil
		if k.failed.IsZero() {
			k.failed = now
		}
	case drift.Current:
		if k.gate == "" {
			k.failed = time.Time{}
		}
		if i := slices.Index(k.ailing, k.release); i >= 0 {
			k.ailing = slices.Delete(slices.Clone(k.ailing), i, i+1)
		}
		if k.healthy == nil {
			k.since = now
		}
		k.healthy = &h
	}
}

// settle gives an applied target the stage that its health stands for.
func (k *kept) settle(s *promote.TargetState) {
	s.Stage, s.Health, s.Since, s.Problem, s.Retry = promote.StageWaiting, drift.Health{}, time.Time{}, promote.Problem{}, promote.Retry{}
	var did *drift.Applied
	var held *drift.PruneHeld
	if k.done != nil {
		did, held = &k.done.applied, k.done.applied.Held
	}
	if held != nil {
		s.Stage, s.Problem = promote.StagePruneHeld, problem(held)
	}
	switch {
	case k.returned != nil:
		s.Stage, s.Problem = promote.StageFailed, k.returned.problem(k.health, did)
		if k.health != nil {
			s.Health = *k.health
		}
	case k.health == nil:
	case k.undecided():
		s.Stage, s.Health, s.Problem = promote.StageWaiting, *k.health, promote.Problem{}
	case k.gate != "":
		s.Stage, s.Health = promote.StageFailed, *k.health
		s.Problem = promote.Problem{Reason: reasonGateFailed, Text: k.gate, Hint: fixForward, Did: cmp.Or(k.stuck, k.delayed)}
	case k.health.Status == drift.Failed:
		s.Stage, s.Health = promote.StageFailed, *k.health
		s.Problem = promote.Problem{Reason: reasonUnhealthy, Text: failures(*k.health), Hint: wayOut(*k.health), Did: cmp.Or(k.waitsFor(), k.stuck, k.delayed)}
	case k.health.Status == drift.StatusUnwatched:
		s.Stage, s.Health = promote.StageRetrying, *k.health
		s.Problem = promote.Problem{Reason: reasonUnwatched, Text: k.health.UnwatchedText(), Hint: unwatchedHint, Did: "The release was applied. Whether it still is as it was, and healthy, is not known; the agent goes on trying to watch."}
	case k.healthy != nil && held != nil:
		s.Health = *k.healthy
	case k.healthy != nil:
		s.Stage, s.Health, s.Since = promote.StageHealthy, *k.healthy, k.since
	default:
		s.Health = *k.health
	}
}

// fixForward is the way out where a release stays though it failed.
const fixForward = "Fix forward on the branch, or merge a revert."

const unwatchedHint = "It ends by itself once the cluster can be watched again. If a version is no longer served, write one that is under apiVersion; if it is forbidden, give the agent its rights back."

// fixOutside is the way out where objects were taken from a release.
const fixOutside = "No commit mends that. What is on its way out goes once its finalizers are removed, by the controller that set them or by hand; then, and once its namespace and the definition of its kind are there, the agent puts it back by itself."

// wayOut is what to do about a release that is not healthy.
func wayOut(h drift.Health) string {
	for _, o := range h.Objects {
		if o.Status == drift.Failed && !o.Gone {
			return fixForward
		}
	}
	return fixOutside
}

// maxFailures is of how many failed objects it is told what they say: each may
// say a lot, and all of it is stored and shown in many places.
const maxFailures = 5

// failures joins what the failed objects say.
func failures(h drift.Health) string {
	var said []string
	more := 0
	for _, o := range h.Objects {
		switch {
		case o.Status != drift.Failed:
		case len(said) < maxFailures:
			said = append(said, o.Object.String()+": "+o.Message)
		default:
			more++
		}
	}
	if more > 0 {
		said = append(said, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(said, "; ")
}
