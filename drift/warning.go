package drift

import (
	"regexp"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pawl-dev/pawl/policies"
)

// Warning is an event that says what no status says: that a pod could not be
// made, why one is not ready, or what keeps it from starting.
type Warning struct {
	Name, UID string // of what it is about
	Refused   bool   // pods of it are, by quota or admission
	Reason    string
	Message   string
	Last      time.Time
}

// WarningOf reads an event; false says that it tells nothing about rollouts, or
// nothing that a status does not tell. What a probe printed is in it only where
// that is wanted.
func WarningOf(event *unstructured.Unstructured, output bool) (Warning, bool) {
	field := func(path ...string) string { s, _, _ := unstructured.NestedString(event.Object, path...); return s }
	w := Warning{
		Name: field("involvedObject", "name"), UID: field("involvedObject", "uid"),
		Reason: field("reason"), Message: policies.Clip(field("message"), maxHealthMessage),
	}
	for _, at := range []string{field("series", "lastObservedTime"), field("lastTimestamp"), field("eventTime")} {
		if t, err := time.Parse(time.RFC3339, at); err == nil {
			w.Last = t
			break
		}
	}
	switch kind := field("involvedObject", "kind"); {
	case w.UID == "":
	case kind == "StatefulSet" || kind == "DaemonSet" || kind == "Job":
		w.Refused = w.Reason == "FailedCreate"
		return w, w.Refused
	case kind == "Pod":
		switch w.Reason {
		case "FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedCreatePodSandBox":
			return w, true
		case "Unhealthy":
			if !output {
				w.Message = probe.FindString(w.Message)
			}
			return w, true
		}
	}
	return Warning{}, false
}

// probe is what the kubelet itself says of a probe that failed: which kind it is,
// and the status that HTTP had. What follows is output of the program, which may
// hold a password.
var probe = regexp.MustCompile(`^(Readiness|Liveness|Startup) probe (failed|errored)(: HTTP probe failed with statuscode: [1-9][0-9]{2}$)?`)

// warningKept is how long an event tells why something is not ready; what still
// keeps it so is told again before.
const warningKept = time.Hour

// Stale reports whether a warning tells nothing of the present any more.
func (w Warning) Stale(now time.Time) bool { return now.Sub(w.Last) > warningKept }

// Refusal is the cause that a warning is for a workload whose pods are refused.
// One that was made since shows that they are no longer. Both times are whole
// seconds.
func (w Warning) Refusal(newestPod time.Time) (Cause, bool) {
	if !w.Refused || !w.Last.Truncate(time.Second).After(newestPod) {
		return Cause{}, false
	}
	cause := refusalOf(w.Reason + ": " + w.Message)
	cause.Seen = w.Last
	return cause, true
}
