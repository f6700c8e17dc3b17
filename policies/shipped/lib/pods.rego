# The pods that a release runs, and their containers.
#
# These are pods, templates of pods in the kinds that Kubernetes brings, and the
# templates of any other kind that has them at spec.template, as Argo Rollouts
# and Knative Services do.
package pods

all := [pod | some it in input.objects; some pod in found(it)]

found(it) := [template(it, it)] if {
	it.kind == "Pod"
} else := [template(it, it.template)] if {
	it.kind == "PodTemplate"
} else := [template(it, it.spec.jobTemplate.spec.template)] if {
	it.kind == "CronJob"
} else := [template(it, it.spec.template)] if {
	is_array(it.spec.template.spec.containers)
} else := []

template(it, t) := {
	"name": name(it),
	"metadata": object.get(t, "metadata", {}),
	"spec": t.spec,
	"context": context(t.spec),
}

# The security context of a pod or container, empty if there is none.
context(it) := it.securityContext if {
	is_object(it.securityContext)
} else := {}

# Containers of all kinds, each with its pod.
containers := [{"pod": pod, "kind": kind, "container": container, "context": context(container)} |
	some pod in all
	some kind in ["initContainers", "containers", "ephemeralContainers"]
	some container in pod.spec[kind]
]

# What messages call an object: "Deployment shop/web".
name(it) := sprintf("%s %s/%s", [it.kind, it.metadata.namespace, it.metadata.name]) if {
	it.metadata.namespace
} else := sprintf("%s %s", [it.kind, it.metadata.name])

# The value at a path, null if there is none.
at(it, path) := object.get(it, path, null) if {
	is_object(it)
} else := null

windows(pod) if pod.spec.os.name == "windows"
