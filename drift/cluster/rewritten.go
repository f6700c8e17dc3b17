package cluster

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/render"
)

// rewritten are the images that an answer to an apply has otherwise than they
// were sent.
func rewritten(id drift.ObjectID, body []byte, answer *unstructured.Unstructured, images []render.Image) []drift.Problem {
	if len(images) == 0 {
		return nil
	}
	declared := &unstructured.Unstructured{}
	if err := declared.UnmarshalJSON(body); err != nil {
		return []drift.Problem{{Object: id, Reason: "cannot be compared with the API server's answer: " + err.Error()}}
	}
	var problems []drift.Problem
	for _, change := range drift.Rewritten(declared, answer, images) {
		problems = append(problems, drift.Problem{Object: id, Field: change.Path, Reason: drift.RewrittenReason(change)})
	}
	return problems
}

// imageRewritten says that an object declares a verified image, and that the
// cluster makes another one of it.
type imageRewritten struct{ problems []drift.Problem }

func (e *imageRewritten) Error() string {
	first := e.problems[0]
	return first.Field + ": " + first.Reason
}

// runsUnverified notes that a write ended in an image that was not verified. As
// long as it is so the object has failed, and it goes on being written, ever
// more seldom: nothing tells when admission has changed. c.mu is held.
func (c *Cluster) runsUnverified(k *kept, e *imageRewritten, answer drift.Live) {
	k.watcher.answered(k.id, answer)
	if k.rewritten != e.Error() {
		k.rewritten = e.Error()
		c.notices.healthChanged(k.target)
	}
}

// rewriting are the declared fields that an answer to an apply has otherwise.
func rewriting(wanted drift.Wanted, answer *unstructured.Unstructured) []drift.Change {
	declared := &unstructured.Unstructured{}
	if err := declared.UnmarshalJSON(wanted.Patch); err != nil {
		return nil
	}
	return drift.RewrittenFields(declared, answer)
}

// rewrote notes what admission made of declared fields, and tells it once. It is
// not written again, which would change nothing, until a trial shows that it
// would. c.mu is held.
func (c *Cluster) rewrote(k *kept, changes []drift.Change) {
	known := slices.EqualFunc(k.rewriting, changes, func(a, b drift.Change) bool { return a.Path == b.Path })
	k.rewriting = changes
	if len(changes) > 0 && k.target.inventory.Entries[k.id].Applied != "" { // noted before that was known
		c.remember(k)
	}
	if !known && len(changes) > 0 {
		c.notices.drifted(k.target, drift.Drift{Object: k.id, Changes: changes, SeenAt: time.Now(), Err: &drift.Rewriting{Changes: changes}})
	}
}

// restored tells that a write has put declared fields back that admission had
// changed. c.mu is held.
func (c *Cluster) restored(wanted drift.Wanted, changes []drift.Change) {
	k := c.kept[wanted.ID]
	if k == nil || k.desired != wanted.Digest || len(k.rewriting) == 0 || len(changes) > 0 {
		return
	}
	now := time.Now()
	c.notices.drifted(k.target, drift.Drift{Object: k.id, Changes: k.rewriting, SeenAt: now, CorrectedAt: now})
}
