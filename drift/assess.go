package drift

import (
	"fmt"
	"math"
	"strings"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Assess tells the health of an object from the object alone: by the check for
// its kind, if there is one, else by one that is shipped, else by kstatus, plus
// what that leaves out. The message of a current object is empty.
func Assess(obj *unstructured.Unstructured, check *HealthCheck) ObjectHealth {
	if check == nil {
		check = shipped().For(IDOf(obj))
	}
	s, message := assess(obj, check)
	if s == Current {
		message = ""
	}
	return ObjectHealth{Object: IDOf(obj), Status: s, Message: message, Gone: s == Progressing && obj.GetDeletionTimestamp() != nil}
}

// heldBy names what keeps an object that is being deleted.
func heldBy(obj *unstructured.Unstructured) string {
	finalizers := obj.GetFinalizers()
	switch len(finalizers) {
	case 0:
		return ""
	case 1:
		return ", and its finalizer holds it: " + finalizers[0]
	}
	return ", and its finalizers hold it: " + strings.Join(finalizers, ", ")
}

func assess(obj *unstructured.Unstructured, check *HealthCheck) (HealthStatus, string) {
	if obj.GetDeletionTimestamp() != nil && finishedOf(obj) == "" {
		return Progressing, "is being deleted" + heldBy(obj)
	}
	if check != nil {
		return check.assess(obj)
	}
	gvk := obj.GroupVersionKind()
	switch {
	case gvk.Group == "batch" && gvk.Kind == "Job":
		// For kstatus a job that runs is current.
		// What a policy failed is so as soon as that is certain, and not only when
		// its last pod has ended.
		for _, kind := range []string{"Failed", "FailureTarget"} {
			if c, ok := condition(obj, kind); ok && c.status == "True" {
				return Failed, c.text()
			}
		}
		if c, ok := condition(obj, "Complete"); ok && c.status == "True" {
			return Current, ""
		}
		if suspended, _, _ := unstructured.NestedBool(obj.Object, "spec", "suspend"); suspended {
			return Current, ""
		}
		return Progressing, "has not completed yet"
	case gvk.Group == "" && gvk.Kind == "PersistentVolumeClaim":
		switch phase, _, _ := unstructured.NestedString(obj.Object, "status", "phase"); {
		case phase == "Lost":
			return Failed, "its volume is lost"
		case phase == "Pending" && !isProvisioned(obj):
			// Its class may wait for the first pod that uses it (WaitForFirstConsumer),
			// which there may never be. A pod that needs it says that it is missing.
			return Current, ""
		}
	case gvk.Group == "" && gvk.Kind == "Pod":
		// For kstatus a pod that failed is current.
		if phase, _, _ := unstructured.NestedString(obj.Object, "status", "phase"); phase == "Failed" {
			reason, _, _ := unstructured.NestedString(obj.Object, "status", "message")
			return Failed, strings.TrimSpace("failed " + reason)
		}
		if cause, ok := CauseOf(obj); ok && cause.Fatal {
			return Failed, cause.Message
		}
	}

	result, err := status.Compute(asRolledOut(obj))
	if err != nil {
		return Progressing, fmt.Sprintf("its status cannot be read: %v", err)
	}
	switch result.Status {
	case status.CurrentStatus:
		if strings.Contains(gvk.Group, ".") && !strings.HasSuffix(gvk.Group, ".k8s.io") {
			return byConditions(obj)
		}
		return Current, ""
	case status.FailedStatus:
		for _, c := range result.Conditions {
			if c.Message != "" && !strings.Contains(result.Message, c.Message) {
				return Failed, result.Message + ": " + c.Message
			}
		}
		return Failed, result.Message
	default:
		return Progressing, inWords(gvk.Kind, result.Message)
	}
}

// isProvisioned reports whether a provisioner was asked for a volume.
func isProvisioned(claim *unstructured.Unstructured) bool {
	annotations := claim.GetAnnotations()
	return annotations["volume.kubernetes.io/storage-provisioner"] != "" || annotations["volume.beta.kubernetes.io/storage-provisioner"] != ""
}

// asRolledOut is what kstatus is to look at. It counts on rollouts that are not
// made as long as nobody deletes pods, or that are paused, and so waits for them
// in vain; and a StatefulSet is current for it then without a single pod.
func asRolledOut(obj *unstructured.Unstructured) *unstructured.Unstructured {
	byHand := replacementOf(obj).ByHand
	paused, _, _ := unstructured.NestedBool(obj.Object, "spec", "paused")
	id := IDOf(obj).workload()
	if !byHand && !(paused && id == "Deployment.apps") {
		return obj
	}
	obj = obj.DeepCopy()
	switch id {
	case "Deployment.apps":
		unstructured.RemoveNestedField(obj.Object, "spec", "progressDeadlineSeconds")
	case "DaemonSet.apps":
		if scheduled, ok, _ := unstructured.NestedInt64(obj.Object, "status", "desiredNumberScheduled"); ok {
			_ = unstructured.SetNestedField(obj.Object, scheduled, "status", "updatedNumberScheduled")
		}
	case "StatefulSet.apps": // all of them below the partition
		all := map[string]any{"rollingUpdate": map[string]any{"partition": int64(math.MaxInt32)}}
		_ = unstructured.SetNestedMap(obj.Object, all, "spec", "updateStrategy")
	}
	return obj
}

// Recovers reports whether an object of that kind may get ready after it has
// failed.
func Recovers(id ObjectID) bool {
	return !(id.Group == "batch" && id.Kind == "Job" || id.Group == "" && id.Kind == "Pod")
}

// byConditions judges a custom resource that for kstatus is current by
// conditions that many have and kstatus does not read.
func byConditions(obj *unstructured.Unstructured) (HealthStatus, string) {
	if c, ok := condition(obj, "Failed"); ok && c.status == "True" {
		return Failed, c.text()
	}
	if _, ok := condition(obj, "Ready"); ok {
		return Current, ""
	}
	if c, ok := condition(obj, "Succeeded"); ok && c.status == "False" {
		return Failed, c.text()
	} else if ok && c.status != "True" {
		return Progressing, c.text()
	}
	if c, ok := condition(obj, "Available"); ok && c.status != "True" {
		return Progressing, c.text()
	}
	return Current, ""
}

// inWords rewrites the figures of kstatus: "Available: 0/2" is how it says
// that 0 of 2 pods are available.
func inWords(kind, message string) string {
	what, figures, ok := strings.Cut(message, ": ")
	have, want, isRatio := strings.Cut(figures, "/")
	if !ok || !isRatio || strings.ContainsAny(have+want, " ,;") {
		return message
	}
	switch what {
	case "Replicas":
		return fmt.Sprintf("%s of %s pods made", have, want)
	case "Current", "Labelled":
		return fmt.Sprintf("%s of %s pods scheduled", have, want)
	}
	return fmt.Sprintf("%s of %s pods %s", have, want, strings.ToLower(what))
}

type conditionOf struct{ status, reason, message, since string }

func (c conditionOf) text() string {
	switch {
	case c.message == "":
		return c.reason
	case c.reason == "":
		return c.message
	}
	return c.reason + ": " + c.message
}

func condition(obj *unstructured.Unstructured, kind string) (conditionOf, bool) {
	list, _, _ := unstructured.NestedSlice(obj.Object, "status", "conditions")
	for _, item := range list {
		if c, _ := item.(map[string]any); c["type"] == kind {
			return conditionFrom(item), true
		}
	}
	return conditionOf{}, false
}

func conditionFrom(item any) conditionOf {
	c, _ := item.(map[string]any)
	field := func(key string) string { s, _ := c[key].(string); return s }
	return conditionOf{field("status"), field("reason"), field("message"), field("lastTransitionTime")}
}

// Combine takes the health of objects together.
func Combine(objects []ObjectHealth) Health {
	h := Health{Status: Current, Objects: objects}
	for _, o := range objects {
		h.Status = worse(h.Status, o.Status)
	}
	return h
}

func worse(a, b HealthStatus) HealthStatus {
	switch {
	case a == Failed || b == Failed:
		return Failed
	case a == Progressing || b == Progressing:
		return Progressing
	}
	return Current
}

// TimeOut turns what still is progressing into failed, once the time for
// it has passed.
func (h Health) TimeOut(after string) Health {
	objects, blocked := make([]ObjectHealth, len(h.Objects)), false
	copy(objects, h.Objects)
	for i, o := range objects {
		if o.Status == Progressing {
			objects[i].Status = Failed
			objects[i].Message = fmt.Sprintf("not ready after %s: %s", after, o.Message)
			blocked = blocked || o.Blocked
		}
	}
	late := Combine(objects)
	late.Blocked = blocked && h.Status != Failed
	return late
}
