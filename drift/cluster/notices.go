package cluster

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pawl-dev/pawl/drift"
)

// notices tells the agent what watching found: drift in the order in which it
// was handled, health as it is by the time that it is told.
type notices struct {
	c    *Cluster
	wake chan struct{}
	end  sync.Once
	done chan struct{}

	// guarded by Cluster.mu
	drifts []drift.Notice
	dirty  map[*target]bool
}

func newNotices(c *Cluster) *notices {
	return &notices{c: c, wake: make(chan struct{}, 1), done: make(chan struct{}), dirty: map[*target]bool{}}
}

func (n *notices) signal() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

func (n *notices) close() { n.end.Do(func() { close(n.done) }) }

// drifted queues a notice. c.mu is held.
func (n *notices) drifted(t *target, d drift.Drift) {
	n.drifts = append(n.drifts, drift.Notice{Target: t.Target, Release: t.release, Drift: &d})
	n.signal()
}

// tended queues a notice about what the agent keeps about itself. c.mu is held.
func (n *notices) tended(t *target, o drift.Own) {
	n.drifts = append(n.drifts, drift.Notice{Target: t.Target, Release: t.release, Own: &o})
	n.signal()
}

// tryAgain queues that what a target waits for has changed. c.mu is held.
func (n *notices) tryAgain(t *target) {
	n.drifts = append(n.drifts, drift.Notice{Target: t.Target, Release: t.release, TryAgain: true})
	n.signal()
}

// healthChanged queues a look at a target's health. c.mu is held.
func (n *notices) healthChanged(t *target) {
	n.dirty[t] = true
	n.signal()
}

func (n *notices) run() {
	for {
		select {
		case <-n.wake:
		case <-n.done:
			return
		}
		for _, notice := range n.take() {
			n.c.options.Notify(notice)
		}
	}
}

func (n *notices) take() []drift.Notice {
	n.c.mu.Lock()
	defer n.c.mu.Unlock()
	found := n.drifts
	n.drifts = nil
	for t := range n.dirty {
		delete(n.dirty, t)
		if health, ok := n.c.healthOf(t, time.Now()); ok {
			found = append(found, drift.Notice{Target: t.Target, Release: t.release, Health: &health})
		}
	}
	return found
}

// targetHealth is what a target's health depends on beside its objects.
type targetHealth struct {
	told    *drift.Health // last
	release string        // of told
	since   time.Time     // when it began to be less than current
	timeout *time.Timer
	looking *time.Timer // starts to look at pods
	pods    bool        // it has
	blocked bool        // an object is, see drift.ObjectHealth, or is not seen
}

func (h *targetHealth) stop() {
	for _, t := range []*time.Timer{h.timeout, h.looking} {
		if t != nil {
			t.Stop()
		}
	}
	h.timeout, h.looking, h.pods = nil, nil, false
}

// podDelay is how long a target may be progressing before its pods are looked
// at: most rollouts need no reason.
const podDelay = 100 * time.Millisecond

// healthOf returns the health of a target if it differs from what was told.
// c.mu is held.
func (c *Cluster) healthOf(t *target, now time.Time) (drift.Health, bool) {
	if !t.whole || c.targets[t.name] != t {
		return drift.Health{}, false
	}
	objects := make([]drift.ObjectHealth, len(t.objects))
	for i, k := range t.objects {
		objects[i] = k.health
		if k.cause.Message != "" && k.health.Status != drift.Current {
			objects[i].Message = k.health.Message + "; " + k.cause.Message
			objects[i].Blocked = k.cause.Blocks
			if k.fatal(now) {
				objects[i].Status = drift.Failed
			}
		}
		if k.rewritten != "" {
			objects[i].Status, objects[i].Message = drift.Failed, k.rewritten
		}
	}
	health := drift.Combine(objects).Unseen(unwatchedOf(t))
	unseen := health.Status == drift.StatusUnwatched
	h := &t.health
	if health.Status == drift.Current {
		h.stop()
		h.since = time.Time{}
		c.watchPods(t, nil)
	} else {
		blocked := unseen || slices.ContainsFunc(objects, func(o drift.ObjectHealth) bool { return o.Blocked })
		if h.since.IsZero() || h.blocked && !blocked { // only now it can begin
			h.since = now
			if h.timeout != nil {
				h.timeout.Stop()
				h.timeout = nil
			}
		}
		h.blocked = blocked
		if left := t.healthTimeout - now.Sub(h.since); left > 0 || unseen {
			if h.timeout == nil && !unseen {
				h.timeout = time.AfterFunc(left, func() { c.tellAgain(t) })
			}
		} else {
			health = health.TimeOut(inWords(t.healthTimeout))
		}
		if h.looking == nil {
			h.looking = time.AfterFunc(podDelay, func() {
				c.mu.Lock()
				defer c.mu.Unlock()
				if c.targets[t.name] == t && t.health.looking != nil {
					t.health.pods = true
					c.watchPods(t, c.unready(t))
				}
			})
		} else if h.pods {
			c.watchPods(t, c.unready(t))
		}
	}
	if h.told != nil && h.release == t.release && h.told.Status == health.Status && slices.Equal(h.told.Objects, health.Objects) && slices.Equal(h.told.Unwatched, health.Unwatched) {
		return drift.Health{}, false
	}
	h.told, h.release = &health, t.release
	return health, true
}

func (c *Cluster) tellAgain(t *target) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notices.healthChanged(t)
}

// inWords is a duration without zeros at its end: "5m".
func inWords(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
