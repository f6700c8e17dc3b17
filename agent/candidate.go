package agent

import (
	"time"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/promote"
	"github.com/pawl-dev/pawl/render"
)

// candidate is a release that may turn out to be good. Of a thousand targets that
// change at once most wait for their health, so its objects are packed.
type candidate struct {
	drift.Good
	objects render.Packed
	by      acceptance
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
			next.good = &c // its environment may be another
		}
	}
	next.by = c.by
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
