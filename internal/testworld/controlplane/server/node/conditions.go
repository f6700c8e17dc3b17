package node

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// setConditions sets the conditions that a kubelet owns and leaves all others.
func setConditions(pod *corev1.Pod, status *corev1.PodStatus, a act, unready []string, now metav1.Time) {
	set := func(kind corev1.PodConditionType, is bool, reason, message string) {
		want := corev1.PodCondition{Type: kind, Status: corev1.ConditionFalse, Reason: reason, Message: message, ObservedGeneration: pod.Generation, LastTransitionTime: now}
		if is {
			want.Status, want.Reason, want.Message = corev1.ConditionTrue, "", ""
		}
		if reason == "PodCompleted" {
			want.Reason = reason
		}
		for i, have := range status.Conditions {
			if have.Type == kind {
				if have.Status == want.Status {
					want.LastTransitionTime = have.LastTransitionTime
				}
				status.Conditions[i] = want
				return
			}
		}
		status.Conditions = append(status.Conditions, want)
	}
	complete := a.exit != nil && *a.exit == 0
	initialized := a.waiting == nil || a.crashed

	reason, message := "ContainersNotReady", fmt.Sprintf("containers with unready status: [%s]", strings.Join(unready, " "))
	if complete {
		reason, message = "PodCompleted", ""
	} else if a.exit != nil {
		reason, message = "PodFailed", ""
	}
	containersReady := len(unready) == 0

	set(corev1.PodReadyToStartContainers, a.exit == nil, "", "")
	if len(pod.Spec.InitContainers) > 0 && !initialized {
		set(corev1.PodInitialized, false, "ContainersNotInitialized", "containers with incomplete status")
	} else if complete {
		set(corev1.PodInitialized, true, "PodCompleted", "")
	} else {
		set(corev1.PodInitialized, true, "", "")
	}
	set(corev1.ContainersReady, containersReady, reason, message)

	ready := containersReady
	if ready {
		for _, gate := range pod.Spec.ReadinessGates {
			if !isTrue(status.Conditions, gate.ConditionType) {
				ready, reason, message = false, "ReadinessGatesNotReady", fmt.Sprintf("corresponding condition of pod readiness gate %q does not exist or is not true.", gate.ConditionType)
				break
			}
		}
	}
	set(corev1.PodReady, ready, reason, message)
}

func isTrue(conditions []corev1.PodCondition, kind corev1.PodConditionType) bool {
	for _, c := range conditions {
		if c.Type == kind {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
