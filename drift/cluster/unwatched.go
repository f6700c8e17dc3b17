package cluster

import (
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/pawl-dev/pawl/drift"
)

const (
	// unwatchedAfter is how long a watch may be broken before people are told: an
	// API server that is started anew is back by then, and so is the reflector,
	// which waits up to 15 seconds between its attempts.
	unwatchedAfter = 30 * time.Second
	// watchedAfter is how long a watch must last before it is believed to work
	// again: one of what cannot be listed begins, and ends at once.
	watchedAfter = time.Second
)

// noteFailing has a broken watch, or one that was, looked at again. Nothing is
// timed while watches work. c.mu is held.
func (w *watcher) noteFailing() {
	if w.broken != nil && w.failing.IsZero() {
		w.failing = time.Now()
	}
	if w.failing.IsZero() || w.c.closed {
		return
	}
	wait := watchedAfter
	if w.broken != nil {
		wait = w.c.options.unwatchedAfter - time.Since(w.failing)
	}
	if w.look != nil {
		w.look.Stop()
	}
	w.look = time.AfterFunc(wait, w.tellWatched)
}

// tellWatched tells the targets of a kind that it cannot be watched, or can again.
func (w *watcher) tellWatched() {
	w.c.mu.Lock()
	broken, failing := w.broken, w.failing
	w.c.mu.Unlock()
	why := ""
	if broken != nil {
		why = w.whyBroken(broken)
	}
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	if w.c.closed || failing.IsZero() || w.failing != failing || (w.broken == nil) != (broken == nil) {
		return // what comes next is looked at in its turn
	}
	switch {
	case broken == nil:
		w.failing, w.unwatched = time.Time{}, drift.Unwatched{}
	case w.unwatched.Why != "":
		return // told once: each try may fail in other words
	default:
		w.unwatched = drift.Unwatched{Resource: w.kind.gvr.GroupResource().String(), Since: failing.Truncate(time.Second), Why: why}
		w.c.options.Log.Warn().Err(broken).Str("resource", w.unwatched.Resource).Time("since", failing).Msg("cannot be watched: drift of it is not seen")
	}
	for _, k := range w.c.kept {
		if k.watcher == w {
			w.c.notices.healthChanged(k.target)
		}
	}
}

// whyBroken is why a watch is broken, with what to write where only the version
// has gone. The objects stay watched in their own version alone: what they were
// applied as cannot be compared with another one.
func (w *watcher) whyBroken(err error) string {
	if apierrors.IsNotFound(err) && w.c.surelyNotServed(w.c.ctx, w.kind.gvk) {
		return (&notServed{gvk: w.kind.gvk}).named(w.c.ctx, w.c).Error()
	}
	return err.Error()
}

// unwatchedOf are the kinds of a target that cannot be watched. c.mu is held.
func unwatchedOf(t *target) []drift.Unwatched {
	var found []drift.Unwatched
	for _, k := range t.objects {
		u := k.watcher.unwatched
		if u.Why == "" {
			continue
		}
		if i := slices.IndexFunc(found, func(f drift.Unwatched) bool { return f.Resource == u.Resource }); i >= 0 {
			found[i].Objects++
			continue
		}
		u.Objects = 1
		found = append(found, u)
	}
	return found
}
