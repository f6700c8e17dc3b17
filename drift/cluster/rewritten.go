package cluster

import (
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
