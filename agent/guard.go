package agent

import (
	"context"
	"reflect"

	"github.com/pawl-dev/pawl/environments"
)

// guard has the gates watch the release that a target has, one at a time. It is
// its worker's own.
type guard struct {
	agent   *Agent
	watched Watched
	stop    context.CancelFunc // nil where nothing is watched
}

// look begins and ends watching, by what the target has now. ctx is the
// worker's: watching outlives the job.
func (g *guard) look(ctx context.Context, j job) {
	a := g.agent
	if a.edges.Gates == nil {
		return
	}
	now, ok := a.board.toWatch(j.target)
	if g.stop != nil {
		same := now
		same.Since = g.watched.Since // healthy again is no other release
		if reflect.DeepEqual(same, g.watched) {
			return
		}
		g.stop()
		g.stop = nil
	}
	if !ok {
		return
	}
	ctx, g.stop = context.WithCancel(ctx)
	g.watched = now
	a.running.Go(func() error {
		why := a.edges.Gates.Watch(ctx, now)
		if why != "" && ctx.Err() == nil && a.board.gateTurned(now.Target, now.Release, why) {
			a.log.Warn().Str("target", now.Target.String()).Str("commit", string(now.Commit)).Str("why", why).Msg("a gate turned after the rollout")
		}
		return nil
	})
}

// toWatch is the release of a target if gates are to look at it: it is healthy,
// it is what a commit asked for, and no gate has turned yet.
func (b *board) toWatch(t environments.Target) (Watched, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.kept[t]
	if k == nil || k.since.IsZero() || k.returned != nil || k.gate != "" {
		return Watched{}, false
	}
	return Watched{Environment: k.by.environment, Target: t, Release: k.release, Commit: k.commit, Since: k.since.UTC()}, true
}

// gateTurned notes that a release that was healthy is good no more, and lets the
// worker of its target see to it. It is false if the target has another one by now.
func (b *board) gateTurned(t environments.Target, release, why string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.kept[t]
	if k == nil || k.release != release || k.returned != nil || k.gate != "" {
		return false
	}
	k.gate, k.failed = why, b.now()
	if on := b.applying[t]; on != nil && on.release == release { // anew, on other terms
		on.gate, on.failed = why, k.failed
	}
	b.resettle(t, k)
	if k.turned != nil {
		wake(k.turned)
	}
	return true
}
