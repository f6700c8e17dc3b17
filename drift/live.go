package drift

import (
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// State is what is known of a live object. Its zero value is Unknown, so that
// what nobody looked at is never taken for absent.
type State int

const (
	Unknown State = iota
	Absent
	Present
)

// Live is what an object in the cluster looks like, as far as decisions need it.
type Live struct {
	State State
	// Why says why the state is unknown.
	Why error

	UID             string
	ResourceVersion string
	Mark            Mark
	Made            bool    // by our apply, and nobody else's since: see madeByApply
	Claims          []Claim // of other tools; looked for only where there is no mark
	Applied         Digest  // of the fields that pawl owns
	Terminating     bool
	Confirm         bool // it is only deleted by a word in a commit
	// Recreate says that pawl applied it with its word to be deleted and made
	// again, see AnnotationRecreate. What others annotate is none.
	Recreate bool
	Health   ObjectHealth
	Finished Finished // as it is seen; of what was applied as it is
	// Rollout is what its controller rolls out, see rolloutOf.
	Rollout string
	// Refusal is why its controller can make no pods, if its status says so.
	Refusal Cause
	// Replaces is how its controller replaces pods of an earlier template.
	Replaces Replacement
	// CheckedBy is the check by which Health was told, if one was given.
	CheckedBy Digest
	// Created is told of what may be pruned alone.
	Created time.Time
}

// Observe looks at an object that came from the API server, where the
// repository says nothing of its health, or that does not matter.
func Observe(obj *unstructured.Unstructured) Live { return (*HealthCheck)(nil).Observe(obj) }

// Observe looks at an object that came from the API server. The check may be nil.
func (h *HealthCheck) Observe(obj *unstructured.Unstructured) Live {
	fields := applied(obj)
	var claims []Claim
	mark := markIn(fields)
	if mark.IsZero() {
		claims = claimsOn(obj)
	}
	return Live{
		State:           Present,
		UID:             string(obj.GetUID()),
		ResourceVersion: obj.GetResourceVersion(),
		Mark:            mark,
		Made:            madeByApply(obj),
		Claims:          claims,
		Applied:         digestOfFields(fields),
		Terminating:     obj.GetDeletionTimestamp() != nil,
		Confirm:         obj.GetLabels()[AnnotationPrune] == PruneConfirm || obj.GetAnnotations()[AnnotationPrune] == PruneConfirm,
		Recreate:        recreateIn(fields),
		Health:          Assess(obj, h),
		Finished:        finishedOf(obj),
		Rollout:         rolloutOf(obj),
		Refusal:         refusalIn(obj),
		Replaces:        replacementOf(obj),
		CheckedBy:       h.Digest(),
	}
}

// markIn finds the mark among the fields that pawl owns.
func markIn(fields []field) Mark {
	var m Mark
	for _, f := range fields {
		switch f.path {
		case "metadata.labels[" + LabelTarget + "]":
			m.Target = text(f.value)
		case "metadata.labels[" + LabelAgent + "]":
			m.Agent = text(f.value)
		}
	}
	if m.Target == "" || m.Agent == "" {
		return Mark{}
	}
	return m
}
