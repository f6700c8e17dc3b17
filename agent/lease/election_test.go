package lease

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"

	"github.com/pawl-dev/pawl/internal/testworld/controlplane"
)

// replicas take part in an election over one Lease of a real API server.
type replicas struct {
	t         *testing.T
	client    coordinationv1.CoordinationV1Interface
	namespace string
	working   atomic.Int32
}

func newReplicas(t *testing.T) *replicas {
	t.Helper()
	t.Parallel()
	plane := controlplane.Shared(t)
	access, err := plane.RESTConfig()
	if err != nil {
		t.Fatal(err)
	}
	return &replicas{t: t, client: coordinationv1.NewForConfigOrDie(access), namespace: plane.Namespace(t)}
}

// replica is one that runs.
type replica struct {
	election *Election
	terms    chan *Term // as they begin
	stop     context.CancelFunc
	ended    chan error
}

func (rs *replicas) start(identity string) *replica {
	rs.t.Helper()
	e, err := New(Options{
		Client: rs.client, Namespace: rs.namespace, Name: "pawl-leader-test", Identity: identity,
		Lease: 2 * time.Second, Renew: time.Second, Retry: 100 * time.Millisecond, Log: zerolog.Nop(),
	})
	if err != nil {
		rs.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(rs.t.Context())
	r := &replica{election: e, terms: make(chan *Term, 10), stop: stop, ended: make(chan error, 1)}
	go func() {
		r.ended <- e.Run(ctx, func(ctx context.Context, term *Term) error {
			if n := rs.working.Add(1); n != 1 {
				rs.t.Errorf("%d replicas work", n)
			}
			r.terms <- term
			<-ctx.Done()
			rs.working.Add(-1)
			return nil
		})
	}()
	return r
}

// begins waits for the replica to lead.
func (rs *replicas) begins(r *replica) *Term {
	rs.t.Helper()
	select {
	case term := <-r.terms:
		return term
	case <-time.After(time.Minute):
		rs.t.Fatal("it does not lead")
		return nil
	}
}

func (rs *replicas) until(what string, holds func() bool) {
	rs.t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			rs.t.Fatal("waited in vain for " + what)
		case <-tick.C:
		}
	}
}

// catalogue 108, 116
func TestOneReplicaWorksAndTheNextOneFollows(t *testing.T) {
	rs := newReplicas(t)
	one := rs.start("one")
	first := rs.begins(one)
	two := rs.start("two")
	if err := first.Check(); err != nil {
		t.Errorf("it leads: %v", err)
	}
	one.stop()
	if err := <-one.ended; err != nil {
		t.Error(err)
	}
	wantLost(t, first.Check())
	second := rs.begins(two)
	if err := second.Check(); err != nil || two.election.Leader() == "" || !two.election.Leading() {
		t.Errorf("%v; it knows %q as its leader", err, two.election.Leader())
	}

	// Somebody takes the Lease by hand: it is given up, and taken back in time.
	leases := rs.client.Leases(rs.namespace)
	for {
		lease, err := leases.Get(t.Context(), "pawl-leader-test", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		hand := "somebody"
		lease.Spec.HolderIdentity = &hand
		if _, err = leases.Update(t.Context(), lease, metav1.UpdateOptions{}); err == nil {
			break
		}
	}
	third := rs.begins(two)
	wantLost(t, second.Check())
	if err := third.Check(); err != nil {
		t.Error(err)
	}

	// It is deleted: whoever stands by leaves it to its holder, who works on.
	three := rs.start("three")
	rs.until("the other replica to know who leads", func() bool { return three.election.Leader() == "two" })
	if err := leases.Delete(t.Context(), "pawl-leader-test", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	rs.until("the Lease to be there again", func() bool {
		lease, err := leases.Get(t.Context(), "pawl-leader-test", metav1.GetOptions{})
		return err == nil && *lease.Spec.HolderIdentity == "two"
	})
	if err := third.Check(); err != nil {
		t.Errorf("it leads: %v", err)
	}
	two.stop()
	if err := <-two.ended; err != nil {
		t.Error(err)
	}
	rs.begins(three)
	three.stop()
	<-three.ended
}

// What lead returns ends the election, and what is wrong with the terms is said
// before it begins.
func TestAnElectionEndsWithItsWork(t *testing.T) {
	rs := newReplicas(t)
	e, err := New(Options{Client: rs.client, Namespace: rs.namespace, Name: "pawl-leader-fails", Identity: "one", Lease: 2 * time.Second, Renew: time.Second, Retry: 100 * time.Millisecond, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if err := e.Run(t.Context(), func(context.Context, *Term) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("%v, want what the work said", err)
	}
	if _, err := New(Options{Client: rs.client, Namespace: "x", Name: "x", Identity: "one", Lease: time.Second, Renew: time.Second, Retry: time.Second}); err == nil {
		t.Error("a Lease that two could hold is taken")
	}
}
