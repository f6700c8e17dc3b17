package drift

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pawl-dev/pawl/policies"
)

// Cause is why the pods of a workload do not get ready.
type Cause struct {
	// Message says it for the owner of the pod: "pod web-7c9d-x2x: ImagePullBackOff: …".
	Message string
	// Fatal is false for what may well pass by itself, as when no node has
	// room yet.
	Fatal bool
	// Blocks is set where the pod is of an earlier template and keeps the present
	// one from being rolled out.
	Blocks bool
	// Grace is how long a fatal cause must last before it counts.
	Grace time.Duration
	// Seen is when an event last told it, if one did.
	Seen time.Time
	// Crash is the container whose log may say more, if one ended badly.
	Crash Crash
}

// Crash is a container that ended badly.
type Crash struct {
	Pod, Container string
	// Restarts tells this end from others, and Previous says that the container
	// was started again since.
	Restarts int64
	Previous bool
}

// Pod is what a pod says of the workload that it belongs to. It is small: while
// a rollout is looked at, all pods of its namespace are kept.
type Pod struct {
	Name, UID string
	Created   time.Time
	Ready     bool
	// Leaving is set where it goes by itself: it is being deleted, or has ended.
	Leaving bool
	Owner   PodOwner
	// Template is how the owner's controller calls the template that the pod was
	// made from.
	Template string
	// Cause is why it does not get ready, if its status says so.
	Cause Cause
}

// PodOwner is the controller of a pod.
type PodOwner struct{ Kind, Name, UID string }

// PodOf looks at a pod that came from the API server.
func PodOf(pod *unstructured.Unstructured) Pod {
	p := Pod{Name: pod.GetName(), UID: string(pod.GetUID()), Created: pod.GetCreationTimestamp().Time}
	if c, ok := condition(pod, "Ready"); ok {
		p.Ready = c.status == "True"
	}
	phase, _, _ := unstructured.NestedString(pod.Object, "status", "phase")
	p.Leaving = pod.GetDeletionTimestamp() != nil || phase == "Failed" || phase == "Succeeded"
	p.Cause, _ = CauseOf(pod)
	owner := metav1.GetControllerOf(pod)
	if owner == nil {
		return p
	}
	p.Owner = PodOwner{owner.Kind, owner.Name, string(owner.UID)}
	labels := pod.GetLabels()
	switch owner.Kind {
	case "StatefulSet":
		p.Template = labels["controller-revision-hash"]
	case "DaemonSet":
		p.Template = labels["pod-template-generation"]
	case "ReplicaSet":
		p.Template = labels["pod-template-hash"]
		if hash := labels["rollouts-pod-template-hash"]; hash != "" {
			p.Template = hash
		}
	}
	return p
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
	cause := func(fatal bool, crash Crash, reason string, details ...string) (Cause, bool) {
		crash.Pod = pod.GetName()
		if crash.Container == "" {
			crash = Crash{}
		}
		return Cause{Message: ofPod(pod.GetName(), append([]string{reason}, details...)...), Fatal: fatal, Crash: crash}, true
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
			ended, crash := lastEnd(container)
			return cause(true, crash, reason, ended, message)
		}
	}
	if phase, _, _ := unstructured.NestedString(pod.Object, "status", "phase"); phase == "Failed" {
		// Whether another pod is tried is up to its workload, such as a Job's
		// backoffLimit.
		reason, _, _ := unstructured.NestedString(pod.Object, "status", "reason") // "Evicted"
		message, _, _ := unstructured.NestedString(pod.Object, "status", "message")
		ended, crash := endOf(pod)
		return cause(false, crash, "failed", reason, message, ended)
	}
	if c, ok := condition(pod, "PodScheduled"); ok && c.status == "False" && c.reason == "Unschedulable" {
		return cause(false, Crash{}, "no node for it yet", c.message)
	}
	return Cause{}, false
}

// ofPod puts together what is known of a pod, nothing twice.
func ofPod(name string, details ...string) string {
	message := "pod " + name
	for _, d := range details {
		if d = strings.TrimSpace(d); d != "" && !strings.Contains(message, d) {
			message += ": " + d
		}
	}
	return policies.Clip(message, maxHealthMessage)
}

// lastEnd tells how a container ended before it was started again.
func lastEnd(container map[string]any) (string, Crash) {
	ended, ok, _ := unstructured.NestedMap(container, "lastState", "terminated")
	if !ok {
		return "", Crash{}
	}
	return inWordsOf(ended), crashOf(container, true)
}

// endOf tells how the first container of a pod ended that ended badly.
func endOf(pod *unstructured.Unstructured) (string, Crash) {
	for _, field := range []string{"initContainerStatuses", "containerStatuses"} {
		statuses, _, _ := unstructured.NestedSlice(pod.Object, "status", field)
		for _, s := range statuses {
			container, _ := s.(map[string]any)
			ended, _, _ := unstructured.NestedMap(container, "state", "terminated")
			if code, ok := ended["exitCode"].(int64); ok && code != 0 {
				return inWordsOf(ended), crashOf(container, false)
			}
		}
	}
	return "", Crash{}
}

func crashOf(container map[string]any, previous bool) Crash {
	name, _ := container["name"].(string)
	restarts, _ := container["restartCount"].(int64)
	return Crash{Container: name, Restarts: restarts, Previous: previous}
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
