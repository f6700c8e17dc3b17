package drift

import (
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Replacement is how the controller of a workload goes about pods of an earlier
// template. The zero value replaces them whether they are ready or not.
type Replacement struct {
	// InOrder waits for each pod to be ready before it goes on, also for one that
	// it is about to replace: a StatefulSet with OrderedReady.
	InOrder bool
	// ByHand replaces a pod once somebody deletes it: OnDelete.
	ByHand bool
	// Partition is the first ordinal that is replaced.
	Partition int64
}

func replacementOf(workload *unstructured.Unstructured) Replacement {
	field := func(path ...string) string { s, _, _ := unstructured.NestedString(workload.Object, path...); return s }
	byHand := field("spec", "updateStrategy", "type") == "OnDelete"
	switch IDOf(workload).workload() {
	case "DaemonSet.apps":
		return Replacement{ByHand: byHand}
	case "StatefulSet.apps":
		partition, _, _ := unstructured.NestedInt64(workload.Object, "spec", "updateStrategy", "rollingUpdate", "partition")
		return Replacement{InOrder: field("spec", "podManagementPolicy") != "Parallel", ByHand: byHand, Partition: partition}
	}
	return Replacement{}
}

// Blocked finds the pod of an earlier template that keeps a workload from
// getting ready, and that its controller does not replace by itself. No release
// can change that, so it is the failure of none; deleting the pod is for people.
func Blocked(w Workload, pods []Pod, warnings map[string]Warning) (Cause, bool) {
	if w.Rollout == "" || !w.Replaces.InOrder && !w.Replaces.ByHand {
		return Cause{}, false
	}
	var first Pod
	for _, p := range pods {
		switch {
		case p.Ready || p.Leaving || !w.Has(p):
		case !w.Replaces.InOrder && w.runs(p): // nothing waits for it
		case first.Name == "" || p.ordinal() < first.ordinal():
			first = p
		}
	}
	if first.Name == "" || w.runs(first) {
		return Cause{}, false
	}
	cause := first.why(warnings)
	if cause.Message == "" {
		cause.Message = "pod " + first.Name + " is not ready"
	}
	how := "waits for it and does not replace it"
	if w.Replaces.ByHand {
		how = "does not replace it (OnDelete)"
	}
	if first.ordinal() < w.Replaces.Partition {
		cause.Message += fmt.Sprintf("; it is below the partition, which leaves it at an earlier revision, and the %s waits for it", w.ID.Kind)
	} else {
		cause.Message += fmt.Sprintf("; it is of an earlier revision, and the %s %s: unless it gets ready, delete it (kubectl delete pod %s -n %s)", w.ID.Kind, how, first.Name, w.ID.Namespace)
	}
	cause.Fatal, cause.Blocks = false, true
	return cause, true
}

// ordinal is the number of a StatefulSet's pod.
func (p Pod) ordinal() int64 {
	n, _ := strconv.ParseInt(p.Name[strings.LastIndexByte(p.Name, '-')+1:], 10, 64)
	return n
}
