package drift

import (
	"fmt"
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Cause is why a pod does not get ready.
type Cause struct {
	// Message says it for the owner of the pod: "pod web-7c9d-x2x: ImagePullBackOff: …".
	Message string
	// Fatal is false for what may well pass by itself, as when no node has
	// room yet.
	Fatal bool
}

// fatalWaiting are the reasons of a waiting container that need a change.
// Each may still pass, when a registry comes back; then the pod gets ready.
var fatalWaiting = map[string]bool{
	"ImagePullBackOff":           true,
	"ErrImagePull":               true,
	"ErrImageNeverPull":          true,
	"InvalidImageName":           true,
	"CrashLoopBackOff":           true,
	"CreateContainerConfigError": true,
	"CreateContainerError":       true,
	"RunContainerError":          true,
}

// CauseOf tells why a pod does not get ready, if its status says so.
func CauseOf(pod *unstructured.Unstructured) (Cause, bool) {
	cause := func(fatal bool, reason string, details ...string) (Cause, bool) {
		message := "pod " + pod.GetName() + ": " + reason
		for _, d := range details {
			if d = strings.TrimSpace(d); d != "" && !strings.Contains(message, d) {
				message += ": " + d
			}
		}
		return Cause{Message: message, Fatal: fatal}, true
	}
	for _, field := range []string{"initContainerStatuses", "containerStatuses"} {
		statuses, _, _ := unstructured.NestedSlice(pod.Object, "status", field)
		for _, s := range statuses {
			container, _ := s.(map[string]any)
			waiting, _, _ := unstructured.NestedMap(container, "state", "waiting")
			reason, _ := waiting["reason"].(string)
			if !fatalWaiting[reason] {
				continue
			}
			message, _ := waiting["message"].(string)
			return cause(true, reason, lastEnd(container), message)
		}
	}
	if phase, _, _ := unstructured.NestedString(pod.Object, "status", "phase"); phase == "Failed" {
		// Whether another pod is tried is up to its workload, such as a Job's
		// backoffLimit.
		reason, _, _ := unstructured.NestedString(pod.Object, "status", "reason") // "Evicted"
		message, _, _ := unstructured.NestedString(pod.Object, "status", "message")
		return cause(false, "failed", reason, message, endOf(pod))
	}
	if c, ok := condition(pod, "PodScheduled"); ok && c.status == "False" && c.reason == "Unschedulable" {
		return cause(false, "no node for it yet", c.message)
	}
	return Cause{}, false
}

// lastEnd tells how a container ended before it was started again.
func lastEnd(container map[string]any) string {
	ended, ok, _ := unstructured.NestedMap(container, "lastState", "terminated")
	if !ok {
		return ""
	}
	return inWordsOf(ended)
}

// endOf tells how the first container of a pod ended that ended badly.
func endOf(pod *unstructured.Unstructured) string {
	for _, field := range []string{"initContainerStatuses", "containerStatuses"} {
		statuses, _, _ := unstructured.NestedSlice(pod.Object, "status", field)
		for _, s := range statuses {
			container, _ := s.(map[string]any)
			ended, _, _ := unstructured.NestedMap(container, "state", "terminated")
			if code, ok := ended["exitCode"].(int64); ok && code != 0 {
				return inWordsOf(ended)
			}
		}
	}
	return ""
}

// inWordsOf is the end of a container: "exit 137 OOMKilled: …", with its
// termination message.
func inWordsOf(ended map[string]any) string {
	text := ""
	if code, ok := ended["exitCode"].(int64); ok {
		text = fmt.Sprintf("exit %d", code)
	}
	if reason, _ := ended["reason"].(string); reason != "" && reason != "Error" {
		text += " " + reason
	}
	if message, _ := ended["message"].(string); message != "" {
		text += ": " + strings.TrimSpace(message)
	}
	return strings.TrimSpace(text)
}

// OwnedBy reports whether a pod belongs to a workload: directly, or through
// the ReplicaSet of a Deployment.
func OwnedBy(pod *unstructured.Unstructured, workload ObjectID) bool {
	if pod.GetNamespace() != workload.Namespace {
		return false
	}
	for _, owner := range pod.GetOwnerReferences() {
		if owner.Controller == nil || !*owner.Controller {
			continue
		}
		if owner.Kind == workload.Kind && owner.Name == workload.Name {
			return true
		}
		// A Deployment's ReplicaSets are named after it and the template's hash.
		hash := pod.GetLabels()["pod-template-hash"]
		if workload.Kind == "Deployment" && owner.Kind == "ReplicaSet" && hash != "" && owner.Name == workload.Name+"-"+hash {
			return true
		}
	}
	return false
}

// RunsTemplate reports whether a pod was made from the pod template of a
// workload as the release has it. Pods of an earlier template say nothing
// about the rollout that replaces them. What admission may add or rewrite in a
// pod does not count.
func RunsTemplate(pod, workload *unstructured.Unstructured) bool {
	template, ok, _ := unstructured.NestedMap(workload.Object, "spec", "template")
	if !ok {
		return true
	}
	for _, path := range [][]string{{"metadata", "labels"}, {"metadata", "annotations"}} {
		declared, _, _ := unstructured.NestedMap(template, path...)
		has, _, _ := unstructured.NestedMap(pod.Object, path...)
		if !within(declared, has) {
			return false
		}
	}
	for _, list := range []string{"initContainers", "containers"} {
		declared, _, _ := unstructured.NestedSlice(template, "spec", list)
		has, _, _ := unstructured.NestedSlice(pod.Object, "spec", list)
		for _, d := range declared {
			container, _ := d.(map[string]any)
			if !runsContainer(container, has) {
				return false
			}
		}
	}
	return true
}

func runsContainer(declared map[string]any, containers []any) bool {
	for _, c := range containers {
		container, _ := c.(map[string]any)
		if container["name"] != declared["name"] {
			continue
		}
		for _, field := range []string{"image", "command", "args", "env", "envFrom"} {
			if d, ok := declared[field]; ok && !within(d, container[field]) {
				return false
			}
		}
		return true
	}
	return false
}

// within reports whether all that is declared is there; maps may hold more.
func within(declared, has any) bool {
	switch d := declared.(type) {
	case map[string]any:
		h, ok := has.(map[string]any)
		if !ok {
			return len(d) == 0
		}
		for key, value := range d {
			if !within(value, h[key]) {
				return false
			}
		}
		return true
	case []any:
		h, ok := has.([]any)
		if !ok || len(h) < len(d) {
			return len(d) == 0
		}
		for i := range d {
			if !within(d[i], h[i]) {
				return false
			}
		}
		return true
	default:
		return reflect.DeepEqual(declared, has)
	}
}
