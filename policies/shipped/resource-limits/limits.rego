# Every container says what it needs and how much memory it may take at most, so
# that one cannot starve the others of its node.
#
# The parameter "require" says what is asked for, if not this:
#   require: [requests.cpu, requests.memory, limits.memory]
# A limit is also a request, and what is set for a pod holds for its containers.
# Ephemeral containers cannot have any and are not looked at.
package resource_limits

import data.pods

deny contains {"msg": "the parameter require is to be a list of such as limits.memory", "object": "policy resource-limits"} if not valid

deny contains {"msg": sprintf("container %v: resources.%s is missing", [pods.at(c.container, ["name"]), what]), "object": c.pod.name} if {
	valid
	some c in pods.containers
	c.kind != "ephemeralContainers"
	some what in require
	not given(c.container, what)
	not given(c.pod.spec, what)
}

require := object.get(data.parameters, "require", ["requests.cpu", "requests.memory", "limits.memory"])

valid if {
	is_array(require)
	every what in require {
		is_string(what)
		regex.match(`^(requests|limits)\.[a-z]`, what)
	}
}

given(holder, what) if amount(pods.at(holder, array.concat(["resources"], split(what, "."))))

given(holder, what) if {
	startswith(what, "requests.")
	amount(pods.at(holder, ["resources", "limits", trim_prefix(what, "requests.")]))
}

# Zero is no limit.
amount(quantity) if {
	is_number(quantity)
	quantity > 0
}

amount(quantity) if {
	is_string(quantity)
	regex.match(`[1-9]`, quantity)
}
