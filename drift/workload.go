package drift

import "k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

// rolloutOf is how the controller of a workload calls the template that it
// rolls out now. It is empty for what is no workload, and as long as the
// controller has not seen the template.
//
// For a Deployment it is the revision, which its pods do not have, but their
// ReplicaSet: RevisionOf. A Job and a ReplicaSet have one template only.
func rolloutOf(workload *unstructured.Unstructured) string {
	id := IDOf(workload)
	if !IsWorkload(id) {
		return ""
	}
	if _, behind := behind(workload); behind {
		return ""
	}
	status := statusOf(workload)
	switch id.workload() {
	case "StatefulSet.apps":
		revision, _ := status["updateRevision"].(string)
		return revision
	case "DaemonSet.apps":
		return workload.GetAnnotations()["deprecated.daemonset.template.generation"]
	case "Deployment.apps":
		return RevisionOf(workload)
	case "Rollout.argoproj.io":
		hash, _ := status["currentPodHash"].(string)
		return hash
	case "Job.batch", "ReplicaSet.apps":
		return string(workload.GetUID())
	}
	return ""
}

// RevisionOf is the revision of a Deployment or of one of its ReplicaSets. Both
// have the same one where the template is the same.
func RevisionOf(object *unstructured.Unstructured) string {
	return object.GetAnnotations()["deployment.kubernetes.io/revision"]
}

func (id ObjectID) workload() string { return id.Kind + "." + id.Group }

// IsWorkload reports whether an object's pods can say why it is not ready.
func IsWorkload(id ObjectID) bool {
	switch id.workload() {
	case "Deployment.apps", "StatefulSet.apps", "DaemonSet.apps", "ReplicaSet.apps", "Job.batch", "Rollout.argoproj.io":
		return true
	}
	return false
}

// Workload is what rolls out pods.
type Workload struct {
	ID           ObjectID
	UID, Rollout string
	Replaces     Replacement
	// Revision looks up RevisionOf a ReplicaSet, by which a Deployment's pods are
	// told apart; false as long as it is not known.
	Revision func(replicaSet string) (string, bool)
}

// Has reports whether a pod is one of the workload: directly, or through the
// ReplicaSet of a Deployment or Rollout, which is named after it and the
// template's hash.
func (w Workload) Has(p Pod) bool {
	switch w.ID.workload() {
	case "Deployment.apps", "Rollout.argoproj.io":
		return p.Owner.Kind == "ReplicaSet" && p.Template != "" && p.Owner.Name == w.ID.Name+"-"+p.Template
	}
	return p.Owner.UID == w.UID
}

// runs reports whether a pod of the workload was made from the template that is
// rolled out now. Pods of an earlier one say nothing about the rollout that
// replaces them.
func (w Workload) runs(p Pod) bool {
	if w.Rollout == "" {
		return false
	}
	switch w.ID.workload() {
	case "Deployment.apps":
		revision, known := w.Revision(p.Owner.Name)
		return known && revision == w.Rollout
	case "Job.batch", "ReplicaSet.apps":
		return p.Owner.UID == w.Rollout
	}
	return p.Template == w.Rollout
}

// why is the cause of a pod that does not get ready, by its status or else by a
// warning.
func (p Pod) why(warnings map[string]Warning) Cause {
	cause := p.Cause
	if warning, ok := warnings[p.UID]; ok && cause.Message == "" && !p.Ready {
		cause.Message = ofPod(p.Name, warning.Reason, warning.Message)
	}
	return cause
}

// Explain finds why the pods of a workload's rollout do not get ready, among
// those of its namespace, in the order of their names. What needs a change wins
// over what may pass, and of equals the first one. Causes that are excused are
// not fatal.
func Explain(w Workload, pods []Pod, warnings map[string]Warning, excused map[Cause]bool) Cause {
	var found Cause
	for _, p := range pods {
		cause := p.why(warnings)
		if cause.Message == "" || !w.Has(p) || !w.runs(p) {
			continue
		}
		cause.Fatal = cause.Fatal && !excused[cause]
		if found.Message == "" || cause.Fatal && !found.Fatal {
			found = cause
		}
	}
	return found
}
