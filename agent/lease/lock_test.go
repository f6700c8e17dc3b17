package lease

import (
	"context"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// taken is a Lease that another replica took while this one was frozen.
type taken struct {
	resourcelock.Interface
	written bool
}

func (l *taken) Identity() string { return "this" }
func (l *taken) Describe() string { return "pawl-system/pawl-leader" }
func (l *taken) Get(context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	return &resourcelock.LeaderElectionRecord{HolderIdentity: "other", LeaseDurationSeconds: 15}, nil, nil
}

func (l *taken) Update(context.Context, resourcelock.LeaderElectionRecord) error {
	l.written = true
	return nil
}

// client-go releases the Lease that it finds, were it another's: two would lead.
//
// catalogue 108
func TestAReplicaThatThawsDoesNotReleaseTheLeaseOfTheNext(t *testing.T) {
	t.Parallel()
	theirs := &taken{}
	l := &lock{Interface: theirs, clock: func() time.Duration { return time.Hour }, log: zerolog.Nop()}
	l.candidate(15 * time.Second)
	l.idle()
	if _, _, err := l.Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.Update(t.Context(), resourcelock.LeaderElectionRecord{}); err == nil || theirs.written {
		t.Errorf("the other's Lease was released: %v", err)
	}
}
