package agent

import (
	"time"

	"github.com/pawl-dev/pawl/environments"
)

// LeadershipConfig is how the replicas of an agent decide which one works.
type LeadershipConfig struct {
	// How long a replica that falls silent keeps the others waiting, in whole
	// seconds, 1s to 10m.
	Lease environments.Duration `json:"lease,omitempty"`
	// How long the replica that works goes on when its Lease cannot be renewed;
	// shorter than lease.
	Renew environments.Duration `json:"renew,omitempty"`
	// How often the Lease is renewed, and looked at by the others; at least 100ms,
	// and less than half of renew.
	Retry environments.Duration `json:"retry,omitempty"`
}

// Bounds of the Lease.
const (
	minLease, maxLease = time.Second, 10 * time.Minute
	minLeaseRetry      = 100 * time.Millisecond
)

func (l LeadershipConfig) withDefaults() LeadershipConfig {
	fill(&l.Lease, environments.Duration(15*time.Second))
	fill(&l.Renew, environments.Duration(10*time.Second))
	fill(&l.Retry, environments.Duration(2*time.Second))
	return l
}

// check looks at all three together, since each bounds the next.
func (l LeadershipConfig) check(doc *environments.Document) {
	if d := time.Duration(l.Lease); d != 0 && (d < minLease || d > maxLease || d%time.Second != 0) {
		doc.Report("leadership.lease", "%s is out of bounds; write whole seconds, %s to %s", l.Lease, environments.Duration(minLease), environments.Duration(maxLease))
		return
	}
	given := l
	l = l.withDefaults()
	if l.Renew >= l.Lease || l.Renew < 0 {
		doc.Report("leadership.renew", "%s is not less than leadership.lease, %s: two replicas could write at once; write less, or a longer lease", l.Renew, l.Lease)
		return
	}
	if time.Duration(l.Retry) < minLeaseRetry || l.Retry > l.Renew/2 {
		at := "leadership.retry"
		if given.Retry == 0 {
			at = "leadership.renew"
		}
		doc.Report(at, "the Lease would be renewed every %s, which is not %s to half of leadership.renew, %s; write all three", l.Retry, environments.Duration(minLeaseRetry), l.Renew)
	}
}
