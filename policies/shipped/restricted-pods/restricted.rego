# Every pod meets the level "restricted" of the Pod Security Standards, which
# includes "baseline", in the version of Kubernetes 1.36:
# https://kubernetes.io/docs/concepts/security/pod-security-standards/
#
# The rules are those of the admission controller of Kubernetes; here they speak
# before anything is merged, and of workloads, not of pods that are refused later.
package restricted_pods

import data.pods

deny_host_namespaces contains about(pod, sprintf("%s must not be true", [field])) if {
	some pod in pods.all
	some field in ["hostNetwork", "hostPID", "hostIPC"]
	not object.get(pod.spec, field, null) in {null, false}
}

deny_volumes contains about(pod, sprintf("volume %s: %s is not allowed; allowed are %s", [pods.at(volume, ["name"]), type, concat(", ", volumes)])) if {
	some pod in pods.all
	some volume in pod.spec.volumes
	some type, source in volume
	source != null
	not type in volumes | {"name"}
}

volumes := {
	"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image",
	"persistentVolumeClaim", "projected", "secret",
}

deny_sysctls contains about(pod, sprintf("sysctl %s is not among the safe ones", [sysctl.name])) if {
	some pod in pods.all
	some sysctl in pod.context.sysctls
	not sysctl.name in safe_sysctls
}

safe_sysctls := {
	"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports",
	"net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range", "net.ipv4.tcp_fin_timeout",
	"net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_keepalive_time",
	"net.ipv4.tcp_rmem", "net.ipv4.tcp_syncookies", "net.ipv4.tcp_wmem",
}

deny_privileged contains about_container(c, "securityContext.privileged must not be true") if {
	some c in pods.containers
	not object.get(c.context, "privileged", null) in {null, false}
}

deny_escalation contains about_container(c, "securityContext.allowPrivilegeEscalation must be false") if {
	some c in linux
	object.get(c.context, "allowPrivilegeEscalation", null) != false
}

deny_capabilities contains about_container(c, "securityContext.capabilities.drop must hold ALL") if {
	some c in linux
	not drops_all(c)
}

deny_capabilities contains about_container(c, sprintf("securityContext.capabilities.add must not hold %v; only NET_BIND_SERVICE may be added", [added])) if {
	some c in linux
	some added in object.get(c.context, ["capabilities", "add"], null)
	added != "NET_BIND_SERVICE"
}

drops_all(c) if "ALL" in object.get(c.context, ["capabilities", "drop"], null)

deny_root contains about_container(c, "securityContext.runAsNonRoot must be true, for the container or its pod") if {
	some c in without_own_users
	not non_root(c)
}

non_root(c) if c.context.runAsNonRoot == true

non_root(c) if {
	object.get(c.context, "runAsNonRoot", null) == null
	c.pod.context.runAsNonRoot == true
}

deny_root contains about(pod, "securityContext.runAsNonRoot must not be false") if {
	some pod in pods.all
	not own_users(pod)
	pod.context.runAsNonRoot == false
}

deny_root contains about_container(c, "securityContext.runAsUser must not be 0") if {
	some c in without_own_users
	object.get(c.context, "runAsUser", null) == 0
}

deny_root contains about(pod, "securityContext.runAsUser must not be 0") if {
	some pod in pods.all
	not own_users(pod)
	pod.context.runAsUser == 0
}

deny_seccomp contains about_container(c, "securityContext.seccompProfile.type must be RuntimeDefault or Localhost, for the container or its pod") if {
	some c in linux
	not profile(c) in {"RuntimeDefault", "Localhost"}
}

deny_seccomp contains about(pod, "securityContext.seccompProfile.type must be RuntimeDefault or Localhost") if {
	some pod in pods.all
	not pods.windows(pod)
	object.get(pod.context, "seccompProfile", null) != null
	not object.get(pod.context, ["seccompProfile", "type"], null) in {"RuntimeDefault", "Localhost"}
}

# A container's own profile counts even if it has no type.
profile(c) := object.get(c.context, ["seccompProfile", "type"], null) if {
	object.get(c.context, "seccompProfile", null) != null
} else := object.get(c.pod.context, ["seccompProfile", "type"], null)

deny_apparmor contains about_container(c, "securityContext.appArmorProfile.type must be RuntimeDefault or Localhost") if {
	some c in pods.containers
	object.get(c.context, "appArmorProfile", null) != null
	not object.get(c.context, ["appArmorProfile", "type"], null) in {"RuntimeDefault", "Localhost"}
}

deny_apparmor contains about(pod, "securityContext.appArmorProfile.type must be RuntimeDefault or Localhost") if {
	some pod in pods.all
	object.get(pod.context, "appArmorProfile", null) != null
	not object.get(pod.context, ["appArmorProfile", "type"], null) in {"RuntimeDefault", "Localhost"}
}

deny_apparmor contains about(pod, sprintf("the annotation %s must be runtime/default or localhost/…", [key])) if {
	some pod in pods.all
	some key, value in pod.metadata.annotations
	startswith(key, "container.apparmor.security.beta.kubernetes.io/")
	not value in {"", "runtime/default"}
	not startswith(value, "localhost/")
}

deny_selinux contains about(pod, selinux) if {
	some pod in pods.all
	options := pod.context.seLinuxOptions
	not allowed_selinux(options)
}

deny_selinux contains about_container(c, selinux) if {
	some c in pods.containers
	options := c.context.seLinuxOptions
	not allowed_selinux(options)
}

allowed_selinux(options) if {
	pods.at(options, ["type"]) in {null, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
	pods.at(options, ["user"]) in {null, ""}
	pods.at(options, ["role"]) in {null, ""}
}

selinux := "securityContext.seLinuxOptions may only set a type for containers (container_t, container_init_t, container_kvm_t, container_engine_t), and no user or role"

deny_proc_mount contains about_container(c, "securityContext.procMount must be Default") if {
	some c in pods.containers
	not object.get(c.context, "procMount", null) in {null, "Default"}
}

deny_host_process contains about_container(c, "securityContext.windowsOptions.hostProcess must not be true") if {
	some c in pods.containers
	object.get(c.context, ["windowsOptions", "hostProcess"], null) == true
}

deny_host_process contains about(pod, "securityContext.windowsOptions.hostProcess must not be true") if {
	some pod in pods.all
	pod.context.windowsOptions.hostProcess == true
}

deny_host_ports contains about_container(c, sprintf("hostPort %v must not be used", [port.hostPort])) if {
	some c in pods.containers
	some port in c.container.ports
	not pods.at(port, ["hostPort"]) in {null, 0}
}

deny_probe_hosts contains about_container(c, sprintf("%s.%s.host must not be set: it is for the container itself", [path, action])) if {
	some c in pods.containers
	some [path, handler] in handlers(c.container)
	some action in ["httpGet", "tcpSocket"]
	not pods.at(handler, [action, "host"]) in {null, ""}
}

handlers(container) := [[path, handler] |
	some path in ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle.postStart", "lifecycle.preStop"]
	handler := object.get(container, split(path, "."), null)
	handler != null
]

# In a user namespace root is nobody outside.
own_users(pod) if pod.spec.hostUsers == false

# Windows has neither capabilities nor seccomp.
linux := [c | some c in pods.containers; not pods.windows(c.pod)]

without_own_users := [c | some c in pods.containers; not own_users(c.pod)]

about(pod, text) := {"msg": text, "object": pod.name}

about_container(c, text) := {"msg": sprintf("container %v: %s", [pods.at(c.container, ["name"]), text]), "object": c.pod.name}
