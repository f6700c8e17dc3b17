package shipped_test

import (
	"encoding/json"
	"math/rand/v2"
	"testing"

	"k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/pod-security-admission/api"
	standard "k8s.io/pod-security-admission/policy"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/policies/rego"
	"github.com/pawl-dev/pawl/policies/shipped"
	"github.com/pawl-dev/pawl/render"
)

// pick sets a field to one of its values: none (nil) leaves it out.
type pick struct {
	path   []string
	values []any
}

var (
	yesNo     = []any{nil, true, false}
	profiles  = []any{nil, map[string]any{"type": "RuntimeDefault"}, map[string]any{"type": "Localhost"}, map[string]any{"type": "Unconfined"}, map[string]any{}}
	onSELinux = []any{nil, map[string]any{}, map[string]any{"type": "container_t", "level": "s0"}, map[string]any{"type": "container_engine_t"}, map[string]any{"type": "spc_t"}, map[string]any{"user": "u"}, map[string]any{"role": "r"}}
	onWindows = []any{nil, map[string]any{}, map[string]any{"hostProcess": true}, map[string]any{"hostProcess": false}}
	withHost  = []any{nil, map[string]any{"httpGet": map[string]any{"port": 1}}, map[string]any{"httpGet": map[string]any{"host": "x"}}, map[string]any{"tcpSocket": map[string]any{"host": "x"}}, map[string]any{"tcpSocket": map[string]any{"host": ""}}}
	ofThePod  = []pick{
		{[]string{"hostNetwork"}, yesNo}, {[]string{"hostPID"}, yesNo}, {[]string{"hostIPC"}, yesNo}, {[]string{"hostUsers"}, yesNo},
		{[]string{"os"}, []any{nil, map[string]any{"name": "linux"}, map[string]any{"name": "windows"}}},
		{[]string{"securityContext", "runAsNonRoot"}, yesNo},
		{[]string{"securityContext", "runAsUser"}, []any{nil, int64(0), int64(1000)}},
		{[]string{"securityContext", "seccompProfile"}, profiles},
		{[]string{"securityContext", "appArmorProfile"}, profiles},
		{[]string{"securityContext", "seLinuxOptions"}, onSELinux},
		{[]string{"securityContext", "windowsOptions"}, onWindows},
		{[]string{"securityContext", "sysctls"}, []any{nil, []any{}, sysctl("net.ipv4.tcp_wmem"), sysctl("kernel.shm_rmid_forced"), sysctl("kernel.msgmax")}},
		{[]string{"volumes"}, []any{nil, []any{}, volume("configMap"), volume("csi"), volume("downwardAPI"), volume("emptyDir"), volume("ephemeral"), volume("image"), volume("persistentVolumeClaim"), volume("projected"), volume("secret"), volume("hostPath"), volume("nfs"), volume("gitRepo"), volume("flocker")}},
	}
	ofContainers = []pick{
		{[]string{"securityContext", "privileged"}, yesNo},
		{[]string{"securityContext", "allowPrivilegeEscalation"}, yesNo},
		{[]string{"securityContext", "runAsNonRoot"}, yesNo},
		{[]string{"securityContext", "runAsUser"}, []any{nil, int64(0), int64(1000)}},
		{[]string{"securityContext", "capabilities", "drop"}, []any{nil, []any{}, []any{"ALL"}, []any{"NET_RAW"}, []any{"NET_RAW", "ALL"}}},
		{[]string{"securityContext", "capabilities", "add"}, []any{nil, []any{}, []any{"NET_BIND_SERVICE"}, []any{"SYS_ADMIN"}}},
		{[]string{"securityContext", "seccompProfile"}, profiles},
		{[]string{"securityContext", "appArmorProfile"}, profiles},
		{[]string{"securityContext", "seLinuxOptions"}, onSELinux},
		{[]string{"securityContext", "windowsOptions"}, onWindows},
		{[]string{"securityContext", "procMount"}, []any{nil, "Default", "Unmasked"}},
		{[]string{"ports"}, []any{nil, []any{map[string]any{"containerPort": int64(80)}}, []any{map[string]any{"hostPort": int64(80)}}, []any{map[string]any{"hostPort": int64(0)}}}},
		{[]string{"livenessProbe"}, withHost}, {[]string{"readinessProbe"}, withHost}, {[]string{"startupProbe"}, withHost},
		{[]string{"lifecycle", "postStart"}, withHost}, {[]string{"lifecycle", "preStop"}, withHost},
	}
	annotations = []pick{
		{[]string{"container.apparmor.security.beta.kubernetes.io/a"}, []any{nil, "", "runtime/default", "localhost/a", "unconfined"}},
	}
)

func sysctl(name string) any { return []any{map[string]any{"name": name, "value": "1"}} }

func volume(kind string) any {
	return []any{map[string]any{"name": "a", "emptyDir": map[string]any{}}, map[string]any{"name": "b", kind: map[string]any{}}}
}

// restricted-pods is a second implementation of a standard. It is held to the
// first one, the admission controller of Kubernetes itself, by pods that differ
// from a good one in one field, and by many that differ in some.
func TestRestrictedPodsAgreesWithKubernetes(t *testing.T) {
	t.Parallel()
	files, err := shipped.Files("restricted-pods")
	if err != nil {
		t.Fatal(err)
	}
	policy, err := pool.Compile("restricted-pods", files, nil)
	if err != nil {
		t.Fatal(err)
	}
	evaluator, err := standard.NewEvaluator(standard.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	good, bad := 0, 0
	judge := func(pod map[string]any) {
		text, err := json.Marshal(pod)
		if err != nil {
			t.Fatal(err)
		}
		var typed v1.Pod
		if err := json.Unmarshal(text, &typed); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		in, err := rego.NewInput(policies.Facts{Release: render.Release{
			Target: environments.Target{Environment: "dev"}, Digest: "sha256:ab", Objects: []*unstructured.Unstructured{{Object: pod}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		level := api.LevelVersion{Level: api.LevelRestricted, Version: api.MajorMinorVersion(1, 36)}
		want := standard.AggregateCheckResults(evaluator.EvaluatePod(level, &typed.ObjectMeta, &typed.Spec))
		got := policy.Evaluate(t.Context(), in, rego.Limits{})
		if got.Problem != "" || want.Allowed != (len(got.Denied) == 0) {
			t.Errorf("Kubernetes: allowed %t, %s\nwe: %+v\n%s", want.Allowed, want.ForbiddenDetail(), got, text)
		}
		if want.Allowed {
			good++
		} else {
			bad++
		}
	}
	for _, part := range parts {
		for i := range part.picks {
			for j := range part.picks[i].values {
				for _, explicit := range []bool{false, true} {
					pod := goodPod(explicit)
					put(part.of(pod), part.picks[i].path, part.picks[i].values[j])
					judge(pod)
				}
			}
		}
	}
	random := rand.New(rand.NewPCG(1, 36))
	for range 700 {
		pod := goodPod(random.IntN(2) == 0)
		for range 1 + random.IntN(4) {
			part := parts[random.IntN(len(parts))]
			p := part.picks[random.IntN(len(part.picks))]
			put(part.of(pod), p.path, p.values[random.IntN(len(p.values))])
		}
		judge(pod)
	}
	if good < 200 || bad < 200 {
		t.Errorf("%d pods were good and %d bad, which proves little", good, bad)
	}
}

var parts = []struct {
	of    func(pod map[string]any) map[string]any
	picks []pick
}{
	{func(pod map[string]any) map[string]any { return pod["spec"].(map[string]any) }, ofThePod},
	{func(pod map[string]any) map[string]any {
		return pod["metadata"].(map[string]any)["annotations"].(map[string]any)
	}, annotations},
	{containerOf("containers"), ofContainers},
	{containerOf("initContainers"), ofContainers},
	{containerOf("ephemeralContainers"), ofContainers},
}

func containerOf(kind string) func(pod map[string]any) map[string]any {
	return func(pod map[string]any) map[string]any {
		return pod["spec"].(map[string]any)[kind].([]any)[0].(map[string]any)
	}
}

// goodPod meets the standard; what can be said of the pod and of a container is
// said of the pod, or explicitly of both.
func goodPod(explicit bool) map[string]any {
	container := func(name string) any {
		context := map[string]any{"allowPrivilegeEscalation": false, "capabilities": map[string]any{"drop": []any{"ALL"}}}
		if explicit {
			context["runAsNonRoot"], context["seccompProfile"] = true, map[string]any{"type": "Localhost"}
		}
		return map[string]any{"name": name, "securityContext": context}
	}
	return map[string]any{
		"apiVersion": "v1", "kind": "Pod",
		"metadata": map[string]any{"name": "a", "annotations": map[string]any{}},
		"spec": map[string]any{
			"securityContext":     map[string]any{"runAsNonRoot": true, "seccompProfile": map[string]any{"type": "RuntimeDefault"}},
			"containers":          []any{container("a")},
			"initContainers":      []any{container("b")},
			"ephemeralContainers": []any{container("c")},
		},
	}
}

// put sets a field, or takes it away if the value is nil.
func put(in map[string]any, path []string, value any) {
	for _, key := range path[:len(path)-1] {
		next, ok := in[key].(map[string]any)
		if !ok {
			next = map[string]any{}
			in[key] = next
		}
		in = next
	}
	if last := path[len(path)-1]; value == nil {
		delete(in, last)
	} else {
		in[last] = value
	}
}
