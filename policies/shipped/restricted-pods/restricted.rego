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
	not pods.at(pod.spec, [field]) in {null, false}
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
	some sysctl in pod.spec.securityContext.sysctls
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
	not setting(c, ["privileged"]) in {null, false}
}

deny_escalation contains about_container(c, "securityContext.allowPrivilegeEscalation must be false") if {
	some c in pods.containers
	not pods.windows(c.pod)
	setting(c, ["allowPrivilegeEscalation"]) != false
}

deny_capabilities contains about_container(c, "securityContext.capabilities.drop must hold ALL") if {
	some c in pods.containers
	not pods.windows(c.pod)
	not drops_all(c)
}

deny_capabilities contains about_container(c, sprintf("securityContext.capabilities.add must not hold %v; only NET_BIND_SERVICE may be added", [added])) if {
	some c in pods.containers
	not pods.windows(c.pod)
	some added in setting(c, ["capabilities", "add"])
	added != "NET_BIND_SERVICE"
}

drops_all(c) if "ALL" in setting(c, ["capabilities", "drop"])

deny_root contains about_container(c, "securityContext.runAsNonRoot must be true, for the container or its pod") if {
	some c in pods.containers
	not own_users(c.pod)
	effective(c, ["runAsNonRoot"]) != true
}

deny_root contains about(pod, "securityContext.runAsNonRoot must not be false") if {
	some pod in pods.all
	not own_users(pod)
	pod.spec.securityContext.runAsNonRoot == false
}

deny_root contains about_container(c, "securityContext.runAsUser must not be 0") if {
	some c in pods.containers
	not own_users(c.pod)
	setting(c, ["runAsUser"]) == 0
}

deny_root contains about(pod, "securityContext.runAsUser must not be 0") if {
	some pod in pods.all
	not own_users(pod)
	pod.spec.securityContext.runAsUser == 0
}

deny_seccomp contains about_container(c, "securityContext.seccompProfile.type must be RuntimeDefault or Localhost, for the container or its pod") if {
	some c in pods.containers
	not pods.windows(c.pod)
	not profile(c) in {"RuntimeDefault", "Localhost"}
}

deny_seccomp contains about(pod, "securityContext.seccompProfile.type must be RuntimeDefault or Localhost") if {
	some pod in pods.all
	not pods.windows(pod)
	pods.at(pod.spec, ["securityContext", "seccompProfile"]) != null
	not pods.at(pod.spec, ["securityContext", "seccompProfile", "type"]) in {"RuntimeDefault", "Localhost"}
}

# A container's own profile counts even if it has no type.
profile(c) := pods.at(c.container, ["securityContext", "seccompProfile", "type"]) if {
	setting(c, ["seccompProfile"]) != null
} else := pods.at(c.pod.spec, ["securityContext", "seccompProfile", "type"])

deny_apparmor contains about_container(c, "securityContext.appArmorProfile.type must be RuntimeDefault or Localhost") if {
	some c in pods.containers
	setting(c, ["appArmorProfile"]) != null
	not setting(c, ["appArmorProfile", "type"]) in {"RuntimeDefault", "Localhost"}
}

deny_apparmor contains about(pod, "securityContext.appArmorProfile.type must be RuntimeDefault or Localhost") if {
	some pod in pods.all
	pods.at(pod.spec, ["securityContext", "appArmorProfile"]) != null
	not pods.at(pod.spec, ["securityContext", "appArmorProfile", "type"]) in {"RuntimeDefault", "Localhost"}
}

deny_apparmor contains about(pod, sprintf("the annotation %s must be runtime/default or localhost/…", [key])) if {
	some pod in pods.all
	some key, value in pod.metadata.annotations
	startswith(key, "container.apparmor.security.beta.kubernetes.io/")
	not value in {"", "runtime/default"}
	not startswith(value, "localhost/")
}

deny_selinux contains message if {
	some {"options": options, "about": message} in selinux
	not pods.at(options, ["type"]) in {null, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
}

deny_selinux contains message if {
	some {"options": options, "about": message} in selinux
	some field in ["user", "role"]
	not pods.at(options, [field]) in {null, ""}
}

selinux := array.concat(
	[{"options": pod.spec.securityContext.seLinuxOptions, "about": about(pod, selinux_text)} | some pod in pods.all],
	[{"options": setting(c, ["seLinuxOptions"]), "about": about_container(c, selinux_text)} | some c in pods.containers],
)

selinux_text := "securityContext.seLinuxOptions may only set a type for containers (container_t, container_init_t, container_kvm_t, container_engine_t), and no user or role"

deny_proc_mount contains about_container(c, "securityContext.procMount must be Default") if {
	some c in pods.containers
	not setting(c, ["procMount"]) in {null, "Default"}
}

deny_host_process contains about_container(c, "securityContext.windowsOptions.hostProcess must not be true") if {
	some c in pods.containers
	setting(c, ["windowsOptions", "hostProcess"]) == true
}

deny_host_process contains about(pod, "securityContext.windowsOptions.hostProcess must not be true") if {
	some pod in pods.all
	pod.spec.securityContext.windowsOptions.hostProcess == true
}

deny_host_ports contains about_container(c, sprintf("hostPort %v must not be used", [port.hostPort])) if {
	some c in pods.containers
	some port in c.container.ports
	not pods.at(port, ["hostPort"]) in {null, 0}
}

deny_probe_hosts contains about_container(c, sprintf("%s.host must not be set: a probe is for the container itself", [concat(".", path)])) if {
	some c in pods.containers
	some handler in [
		["livenessProbe"], ["readinessProbe"], ["startupProbe"],
		["lifecycle", "postStart"], ["lifecycle", "preStop"],
	]
	some action in ["httpGet", "tcpSocket"]
	path := array.concat(handler, [action])
	not pods.at(c.container, array.concat(path, ["host"])) in {null, ""}
}

# In a user namespace root is nobody outside.
own_users(pod) if pod.spec.hostUsers == false

setting(c, path) := pods.at(c.container, array.concat(["securityContext"], path))

# A container's own setting, or else its pod's.
effective(c, path) := value if {
	value := setting(c, path)
	value != null
} else := pods.at(c.pod.spec, array.concat(["securityContext"], path))

about(pod, text) := {"msg": text, "object": pod.name}

about_container(c, text) := {"msg": sprintf("container %v: %s", [pods.at(c.container, ["name"]), text]), "object": c.pod.name}
