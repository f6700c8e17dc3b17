package drift

import "slices"

// stage says when an object is applied: what others need comes first, what
// could refuse others comes last. Everything in one stage is applied at once.
type stage int

const (
	stageDefinitions stage = iota // namespaces and custom resource definitions
	stageBasics                   // what workloads refer to
	stageRest
	stageAdmission // what could refuse the objects before it
	stages
)

var stageOf = map[[2]string]stage{
	{"", "Namespace"}: stageDefinitions,
	{"apiextensions.k8s.io", "CustomResourceDefinition"}: stageDefinitions,

	{"rbac.authorization.k8s.io", "ClusterRole"}:        stageBasics,
	{"rbac.authorization.k8s.io", "ClusterRoleBinding"}: stageBasics,
	{"rbac.authorization.k8s.io", "Role"}:               stageBasics,
	{"rbac.authorization.k8s.io", "RoleBinding"}:        stageBasics,
	{"scheduling.k8s.io", "PriorityClass"}:              stageBasics,
	{"node.k8s.io", "RuntimeClass"}:                     stageBasics,
	{"storage.k8s.io", "StorageClass"}:                  stageBasics,
	{"snapshot.storage.k8s.io", "VolumeSnapshotClass"}:  stageBasics,
	{"networking.k8s.io", "IngressClass"}:               stageBasics,
	{"networking.k8s.io", "NetworkPolicy"}:              stageBasics,
	{"gateway.networking.k8s.io", "GatewayClass"}:       stageBasics,
	{"", "ResourceQuota"}:                               stageBasics,
	{"", "LimitRange"}:                                  stageBasics,
	{"", "ServiceAccount"}:                              stageBasics,
	{"", "ConfigMap"}:                                   stageBasics,
	{"", "Secret"}:                                      stageBasics,
	{"", "PersistentVolume"}:                            stageBasics,
	{"", "PersistentVolumeClaim"}:                       stageBasics,
	{"", "Service"}:                                     stageBasics,

	{"apiregistration.k8s.io", "APIService"}:                             stageAdmission,
	{"admissionregistration.k8s.io", "MutatingWebhookConfiguration"}:     stageAdmission,
	{"admissionregistration.k8s.io", "ValidatingWebhookConfiguration"}:   stageAdmission,
	{"admissionregistration.k8s.io", "ValidatingAdmissionPolicy"}:        stageAdmission,
	{"admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"}: stageAdmission,
	{"admissionregistration.k8s.io", "MutatingAdmissionPolicy"}:          stageAdmission,
	{"admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"}:   stageAdmission,
}

// Stage is the place of an object in the order of an apply, from 0. Pruning
// goes the other way.
func (id ObjectID) Stage() int {
	if s, ok := stageOf[[2]string{id.Group, id.Kind}]; ok {
		return int(s)
	}
	return int(stageRest)
}

// Stages is how many there are.
const Stages = int(stages)

// inOrder sorts by stage; within a stage the order stays.
func inOrder(wanted []Wanted) []Wanted {
	sorted := slices.Clone(wanted)
	slices.SortStableFunc(sorted, func(a, b Wanted) int { return a.ID.Stage() - b.ID.Stage() })
	return sorted
}
