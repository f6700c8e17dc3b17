package restricted_pods_test

import data.restricted_pods as policy

# A pod that meets the standard.
pod := {
	"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "shop"},
	"spec": {
		"securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
		"containers": [{
			"name": "web",
			"securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}},
			"ports": [{"containerPort": 8080}],
			"livenessProbe": {"httpGet": {"path": "/", "port": 8080}},
		}],
		"volumes": [{"name": "a", "emptyDir": {}}, {"name": "b", "configMap": {"name": "b"}, "hostPath": null}, {"name": "c"}],
	},
}

said(object) := messages if {
	messages := {m.msg | some name, value in policy; startswith(name, "deny"); some m in value} with input as {"objects": [object]}
}

changed(path, value) := json.patch(pod, [{"op": "add", "path": path, "value": value}])

test_a_pod_that_meets_the_standard if said(pod) == set()

test_the_message_names_the_object if {
	objects := [changed("/spec/hostPID", true)]
	policy.deny_host_namespaces == {{"msg": "hostPID must not be true", "object": "Pod shop/web"}} with input as {"objects": objects}
}

test_refused[note] if {
	some [path, value] in [
		["/spec/hostNetwork", true],
		["/spec/hostPID", true],
		["/spec/hostIPC", true],
		["/spec/volumes/0/hostPath", {"path": "/"}],
		["/spec/volumes/1/nfs", {"server": "x"}],
		["/spec/volumes/-", {"name": "d", "gitRepo": {}}],
		["/spec/securityContext/sysctls", [{"name": "kernel.msgmax", "value": "1"}]],
		["/spec/containers/0/securityContext/privileged", true],
		["/spec/containers/0/securityContext/allowPrivilegeEscalation", true],
		["/spec/containers/0/securityContext/allowPrivilegeEscalation", null],
		["/spec/containers/0/securityContext/capabilities", null],
		["/spec/containers/0/securityContext/capabilities/drop", ["NET_RAW"]],
		["/spec/containers/0/securityContext/capabilities/add/0", "SYS_ADMIN"],
		["/spec/containers/0/securityContext", null],
		["/spec/securityContext/runAsNonRoot", false],
		["/spec/securityContext/runAsUser", 0],
		["/spec/containers/0/securityContext/runAsNonRoot", false],
		["/spec/containers/0/securityContext/runAsUser", 0],
		["/spec/securityContext/seccompProfile", null],
		["/spec/securityContext/seccompProfile/type", "Unconfined"],
		["/spec/containers/0/securityContext/seccompProfile", {"type": "Unconfined"}],
		["/spec/containers/0/securityContext/seccompProfile", {}],
		["/spec/securityContext/appArmorProfile", {"type": "Unconfined"}],
		["/spec/containers/0/securityContext/appArmorProfile", {"type": "Unconfined"}],
		["/metadata/annotations", {"container.apparmor.security.beta.kubernetes.io/web": "unconfined"}],
		["/spec/securityContext/seLinuxOptions", {"type": "spc_t"}],
		["/spec/containers/0/securityContext/seLinuxOptions", {"user": "root"}],
		["/spec/containers/0/securityContext/seLinuxOptions", {"type": "container_t", "role": "x"}],
		["/spec/containers/0/securityContext/procMount", "Unmasked"],
		["/spec/securityContext/windowsOptions", {"hostProcess": true}],
		["/spec/containers/0/securityContext/windowsOptions", {"hostProcess": true}],
		["/spec/containers/0/ports/0/hostPort", 80],
		["/spec/containers/0/livenessProbe/httpGet/host", "10.0.0.1"],
		["/spec/containers/0/lifecycle", {"preStop": {"tcpSocket": {"host": "10.0.0.1"}}}],
		["/spec/initContainers", [{"name": "init"}]],
		["/spec/ephemeralContainers", [{"name": "debug"}]],
	]
	note := sprintf("%s %v", [path, value])
	count(said(changed(path, value))) > 0
}

test_allowed[note] if {
	some [path, value] in [
		["/spec/hostNetwork", false],
		["/spec/hostPID", null],
		["/spec/volumes/-", {"name": "d", "image": {"reference": "x"}}],
		["/spec/securityContext/sysctls", [{"name": "net.ipv4.tcp_rmem", "value": "1"}]],
		["/spec/containers/0/securityContext/runAsNonRoot", true],
		["/spec/containers/0/securityContext/runAsUser", 1000],
		["/spec/containers/0/securityContext/seccompProfile", {"type": "Localhost", "localhostProfile": "x"}],
		["/spec/securityContext/appArmorProfile", {"type": "Localhost"}],
		["/metadata/annotations", {"container.apparmor.security.beta.kubernetes.io/web": "runtime/default"}],
		["/spec/securityContext/seLinuxOptions", {"type": "container_t", "level": "s0"}],
		["/spec/containers/0/securityContext/procMount", "Default"],
		["/spec/containers/0/ports/0/hostPort", 0],
	]
	note := sprintf("%s %v", [path, value])
	said(changed(path, value)) == set()
}

test_own_users_may_be_root if {
	root := json.patch(changed("/spec/hostUsers", false), [{"op": "replace", "path": "/spec/securityContext/runAsNonRoot", "value": false}])
	said(root) == set()
}

test_windows_has_no_seccomp_and_capabilities if {
	windows := json.patch(changed("/spec/os", {"name": "windows"}), [
		{"op": "remove", "path": "/spec/containers/0/securityContext"},
		{"op": "remove", "path": "/spec/securityContext/seccompProfile"},
	])
	said(windows) == set()
}

bad_template := {"spec": {"containers": [{"name": "web"}]}}

test_all_workloads[kind] if {
	some kind, it in {
		"Deployment": {"spec": {"template": bad_template}},
		"StatefulSet": {"spec": {"template": bad_template}},
		"DaemonSet": {"spec": {"template": bad_template}},
		"ReplicaSet": {"spec": {"template": bad_template}},
		"ReplicationController": {"spec": {"template": bad_template}},
		"Job": {"spec": {"template": bad_template}},
		"CronJob": {"spec": {"jobTemplate": {"spec": {"template": bad_template}}}},
		"PodTemplate": {"template": bad_template},
		"Rollout": {"spec": {"template": bad_template}},
	}
	whole := object.union(it, {"kind": kind, "metadata": {"name": "web"}})
	"container web: securityContext.capabilities.drop must hold ALL" in said(whole)
}

test_what_runs_nothing_is_not_looked_at if {
	said({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"containers": "x"}}) == set()
	said({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}) == set()
}
