package lease

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
)

// Options say which Lease, and who asks for it.
type Options struct {
	Client          coordinationv1.LeasesGetter
	Namespace, Name string
	// Identity is this replica's: no two that run at the same time may share one.
	// A replica that starts anew under its old one need not wait.
	Identity string
	// Lease is how long after the last renewal others wait before they take it, in
	// whole seconds; Renew how long after it this replica goes on; Retry how
	// often it renews, or looks.
	Lease, Renew, Retry time.Duration
	Log                 zerolog.Logger

	clock func() time.Duration // of tests
}

// Election takes part for as long as Run runs.
type Election struct {
	options Options
	lock    *lock
	leader  atomic.Pointer[string]
	leading atomic.Bool
}

// New checks the options. It asks nothing yet.
func New(o Options) (*Election, error) {
	if o.clock == nil {
		o.clock = now
	}
	e := &Election{options: o, lock: &lock{clock: o.clock, log: o.Log, Interface: &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Name},
		Client:     o.Client,
		LockConfig: resourcelock.ResourceLockConfig{Identity: o.Identity},
	}}}
	_, err := e.elector(leaderelection.LeaderCallbacks{
		OnStartedLeading: func(context.Context) {}, OnStoppedLeading: func() {},
	})
	return e, err
}

// Leader is the identity of the replica that leads, as last seen; empty before.
func (e *Election) Leader() string {
	if leader := e.leader.Load(); leader != nil {
		return *leader
	}
	return ""
}

// Leading reports whether this replica works.
func (e *Election) Leading() bool { return e.leading.Load() }

// Run calls lead, again and again, whenever the Lease can be had, with a
// context that ends with the term. The Lease is released when ctx has ended and
// lead has returned. An error is lead's, which should return nil when its
// context ended.
func (e *Election) Run(ctx context.Context, lead func(context.Context, *Term) error) error {
	for ctx.Err() == nil {
		if err := e.once(ctx, lead); err != nil {
			return err
		}
	}
	return nil
}

// once waits for the Lease and leads for one term.
func (e *Election) once(ctx context.Context, lead func(context.Context, *Term) error) error {
	started, ended := make(chan struct{}), make(chan struct{})
	e.lock.candidate(e.options.Lease)
	elector, err := e.elector(leaderelection.LeaderCallbacks{
		OnStartedLeading: func(context.Context) { close(started) },
		OnStoppedLeading: func() {},
		OnNewLeader: func(identity string) {
			e.leader.Store(&identity)
			if identity != e.options.Identity {
				e.options.Log.Info().Str("leader", identity).Msg("another replica leads; this one stands by")
			}
		},
	})
	if err != nil {
		return err
	}
	// The election outlasts the work, so that the Lease is renewed while that ends.
	// client-go tells of each try that fails; the lock tells once.
	electing, stop := context.WithCancel(klog.NewContext(context.WithoutCancel(ctx), klog.New(nil)))
	go func() {
		defer close(ended)
		elector.Run(electing)
	}()
	defer func() {
		e.lock.idle()
		stop()
		<-ended
	}()
	select {
	case <-ctx.Done():
		return nil
	case <-ended:
		return nil
	case <-started:
	}

	working, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	term := e.lock.begin(e.options.Renew, cancel)
	e.leading.Store(true)
	defer e.leading.Store(false)
	done := make(chan error, 1)
	go func() { done <- lead(working, term) }()
	err = e.watch(term, ended, done)
	term.end(&Lost{})
	var lost *Lost
	if errors.As(context.Cause(working), &lost) && ctx.Err() == nil {
		e.options.Log.Warn().Dur("age_ms", lost.Age).Msg("the Lease was lost; nothing more is written, and this replica stands by")
	}
	return err
}

// watch waits for the work to end, and ends it with the term.
func (e *Election) watch(term *Term, lost <-chan struct{}, done <-chan error) error {
	for {
		timer := time.NewTimer(max(term.left(), 0) + time.Millisecond)
		select {
		case err := <-done:
			timer.Stop()
			return err
		case <-lost:
			timer.Stop()
			term.end(&Lost{})
			return <-done
		case <-timer.C:
			if term.Check() != nil {
				return <-done
			}
		}
	}
}

func (e *Election) elector(callbacks leaderelection.LeaderCallbacks) (*leaderelection.LeaderElector, error) {
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: e.lock, LeaseDuration: e.options.Lease, RenewDeadline: e.options.Renew, RetryPeriod: e.options.Retry,
		Callbacks: callbacks, ReleaseOnCancel: true, Name: e.options.Name,
	})
	if err != nil {
		return nil, fmt.Errorf("leadership by Lease %s/%s: %w", e.options.Namespace, e.options.Name, err)
	}
	return elector, nil
}
