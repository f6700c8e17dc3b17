package resource_limits_test

import data.resource_limits as policy

deployment(containers) := {
	"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
	"spec": {"template": {"spec": {"containers": containers}}},
}

good := {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "64Mi"}}

said(containers) := messages if {
	messages := policy.deny with input as {"objects": [deployment(containers)]}
}

test_all_given if said([{"name": "web", "resources": good}]) == set()

test_numbers if said([{"name": "web", "resources": {"requests": {"cpu": 1, "memory": 1000}, "limits": {"memory": 1000}}}]) == set()

test_a_limit_is_a_request if said([{"name": "web", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}]) == set()

test_nothing_given if count(said([{"name": "web"}])) == 3

test_missing[what] if {
	some what in ["/requests/cpu", "/limits/memory"]
	count(said([{"name": "web", "resources": json.patch(good, [{"op": "remove", "path": what}])}])) == 1
}

test_zero_is_no_limit if {
	count(said([{"name": "web", "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "0"}}}])) == 1
	count(said([{"name": "web", "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": 0}}}])) == 1
}

test_one_of_two if {
	said([{"name": "web", "resources": good}, {"name": "side", "resources": {"limits": good.limits}}]) == {{
		"msg": "container side: resources.requests.cpu is missing", "object": "Deployment shop/web",
	}}
}

test_init_containers if {
	object := {"kind": "Job", "metadata": {"name": "a"}, "spec": {"template": {"spec": {"containers": [], "initContainers": [{"name": "init"}]}}}}
	count(policy.deny) == 3 with input as {"objects": [object]}
}

test_of_the_pod if {
	object := {"kind": "Pod", "metadata": {"name": "a"}, "spec": {"resources": good, "containers": [{"name": "web"}], "ephemeralContainers": [{"name": "debug"}]}}
	policy.deny == set() with input as {"objects": [object]}
}

test_what_is_required if {
	said([{"name": "web"}]) == set() with data.parameters as {"require": []}
	count(said([{"name": "web", "resources": good}])) == 1 with data.parameters as {"require": ["limits.cpu"]}
}

test_a_wrong_parameter[wrong] if {
	some wrong in ["limits.memory", ["memory"], [1], {}]
	count(said([{"name": "web", "resources": good}])) > 0 with data.parameters as {"require": wrong}
}
