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
)

// kept is the release that a target was last told to have, and what is known
// of it whatever the commit.
type kept struct {
	release  string // its digest
	settings settings
	by       acceptance
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
