package drift

import (
	"regexp"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// refusalGrace is how long pods must be refused before that is a failure: one
// that replaces another may ask for the room that the other one just leaves,
// and quota takes a moment to notice that, or that it was raised.
const refusalGrace = 3 * time.Second

// refusalOf is the cause that a controller gives for pods that are refused.
// What may pass is no failure before the workload's own time is up.
func refusalOf(said string) Cause {
	cause := Cause{Message: said, Fatal: true, Grace: refusalGrace}
	if what := awaited(said); what != "" {
		cause.Message, cause.Fatal = "waits for "+what+": "+said, false
	}
	return cause
}

// refusalIn is the cause that the status of a workload gives for pods that are
// refused. Those of other kinds say it by events alone.
func refusalIn(workload *unstructured.Unstructured) Cause {
	switch IDOf(workload).workload() {
	case "Deployment.apps", "ReplicaSet.apps":
		if _, behind := behind(workload); behind {
			return Cause{}
		}
		if c, ok := condition(workload, "ReplicaFailure"); ok && c.status == "True" {
			return refusalOf(c.text())
		}
	}
	return Cause{}
}

// exceeded is how the API server says that quota leaves no room.
var exceeded = regexp.MustCompile(`exceeded quota: [^,]+, requested: (\S+), used: \S+, limited: (\S+)`)

// awaited is what refused pods are waited for with a prospect: for quota that
// others use, such as the pods that they replace, which may leave a while after
// they are counted no more; and for a webhook that does not answer. Empty where
// the pods are refused as they are.
func awaited(said string) string {
	if strings.Contains(said, "failed calling webhook") {
		return "an admission webhook"
	}
	quota := exceeded.FindStringSubmatch(said)
	if quota == nil {
		return ""
	}
	requested, limited := quantities(quota[1]), quantities(quota[2])
	for what, much := range requested {
		if limit, ok := limited[what]; ok && much.Cmp(limit) > 0 {
			return "" // also where nothing else is
		}
	}
	return "quota"
}

// quantities reads "limits.cpu=1,pods=2".
func quantities(text string) map[string]resource.Quantity {
	read := map[string]resource.Quantity{}
	for _, part := range strings.Split(text, ",") {
		what, much, _ := strings.Cut(part, "=")
		if q, err := resource.ParseQuantity(much); err == nil {
			read[what] = q
		}
	}
	return read
}
