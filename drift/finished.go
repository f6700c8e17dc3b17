package drift

import (
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Finished says how a Job ended that is not made again once it is gone: to make
// it would be to run it. It counts for the object as it was wanted then, so that
// another image runs; empty for whatever else.
//
// A Job that is gone before it is complete is drift as ever, and so is one that
// failed and that a person deletes, who wants it to be tried again. Nobody asks
// for that where its own ttlSecondsAfterFinished removes it, and it would fail
// and be removed for ever.
type Finished string

const (
	FinishedComplete Finished = "complete"
	FinishedFailed   Finished = "failed" // and removed by its own ttlSecondsAfterFinished
)

// clocksDiffer is how much earlier than it should the deletion by a TTL may seem
// to be: who decides it and who notes when have clocks of their own.
const clocksDiffer = 5 * time.Second

// finishedOf is how a Job ended, if that stays so once it is gone.
func finishedOf(obj *unstructured.Unstructured) Finished {
	if gk := obj.GroupVersionKind().GroupKind(); gk.Group != "batch" || gk.Kind != "Job" {
		return ""
	}
	if c, ok := condition(obj, "Complete"); ok && c.status == "True" {
		return FinishedComplete
	}
	deleted := obj.GetDeletionTimestamp()
	ttl, limited, err := unstructured.NestedInt64(obj.Object, "spec", "ttlSecondsAfterFinished")
	c, failed := condition(obj, "Failed")
	if deleted == nil || !limited || err != nil || !failed || c.status != "True" {
		return ""
	}
	at, err := time.Parse(time.RFC3339, c.since)
	if err != nil {
		return ""
	}
	if deleted.Add(clocksDiffer).Before(at.Add(time.Duration(ttl) * time.Second)) {
		return "" // by somebody else
	}
	return FinishedFailed
}

// Rests reports whether an object that is gone, or is being deleted, stays so.
func (f Finished) Rests(live Live) bool {
	return f != "" && (live.State == Absent || live.State == Present && live.Terminating)
}

// Health is that of an object that is gone.
func (f Finished) Health(id ObjectID) ObjectHealth {
	if f == FinishedFailed {
		return ObjectHealth{Object: id, Status: Failed, Message: "failed, and " + f.why()}
	}
	return ObjectHealth{Object: id, Status: Current}
}

// why says what became of the object.
func (f Finished) why() string {
	if f == FinishedFailed {
		return "was removed by its ttlSecondsAfterFinished; it runs again once it is changed in git"
	}
	return "was complete before it was deleted; it runs again once it is changed in git"
}

// finished is how the remembered object ended, as far as it is known from
// what was noted and from how it looks now.
func (e Entry) finished(live Live) Finished {
	if live.Finished != "" && live.Applied == e.Applied {
		return live.Finished
	}
	return e.Finished
}
