package deploy_test

import (
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/pawl-dev/pawl/deploy"
	"github.com/pawl-dev/pawl/render"
)

func TestEveryObjectPassesAServerSideDryRun(t *testing.T) {
	t.Parallel()
	cluster := install(t)
	example := build(t, filesys.MakeFsOnDisk(), "example")
	further := withComponents(t, "crds", "gateway-api", "prometheus-operator")
	for _, o := range append(example, further...) {
		if err := cluster.admin.apply(t, o, metav1.DryRunAll); err != nil {
			t.Errorf("%s: %v", key(o), err)
		}
	}
}

// catalogue 130
func TestThePodIsAdmittedWhereRestrictedIsEnforced(t *testing.T) {
	t.Parallel()
	cluster := install(t)
	built := build(t, filesys.MakeFsOnDisk(), "example")
	if got := find(t, built, "Namespace", deploy.Namespace).GetLabels()["pod-security.kubernetes.io/enforce"]; got != "restricted" {
		t.Errorf("the namespace enforces %q", got)
	}
	deployment := into[appsv1.Deployment](t, find(t, built, "Deployment", "pawl"))
	create := func(change func(*corev1.PodSpec)) error {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "tried"}, Spec: *deployment.Spec.Template.Spec.DeepCopy()}
		change(&pod.Spec)
		_, err := cluster.admin.CoreV1().Pods(deploy.Namespace).Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	}
	if err := create(func(*corev1.PodSpec) {}); err != nil {
		t.Errorf("not admitted: %v", err)
	}
	// That it is admitted means something only where less is not.
	yes := true
	for name, change := range map[string]func(*corev1.PodSpec){
		"as root":               func(s *corev1.PodSpec) { s.SecurityContext.RunAsNonRoot = nil },
		"without seccomp":       func(s *corev1.PodSpec) { s.SecurityContext.SeccompProfile = nil },
		"with capabilities":     func(s *corev1.PodSpec) { s.Containers[0].SecurityContext.Capabilities = nil },
		"with escalation":       func(s *corev1.PodSpec) { s.Containers[0].SecurityContext.AllowPrivilegeEscalation = &yes },
		"on the node's network": func(s *corev1.PodSpec) { s.HostNetwork = true },
	} {
		if err := create(change); !apierrors.IsForbidden(err) {
			t.Errorf("%s: %v, want forbidden", name, err)
		}
	}

	// What the standard does not demand.
	spec := deployment.Spec.Template.Spec
	container := spec.Containers[0]
	if root := container.SecurityContext.ReadOnlyRootFilesystem; root == nil || !*root {
		t.Error("the root file system can be written")
	}
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage} {
		if limit := container.Resources.Limits[name]; limit.IsZero() {
			t.Errorf("no limit of %s", name)
		}
	}
	volumes := map[string]corev1.Volume{}
	for _, v := range spec.Volumes {
		volumes[v.Name] = v
	}
	for _, mount := range container.VolumeMounts {
		if !mount.ReadOnly && volumes[mount.Name].EmptyDir == nil {
			t.Errorf("%s can be written and is no emptyDir", mount.MountPath)
		}
	}
	// Children that render as large as they may leave the agent its own.
	cpus, memory := container.Resources.Limits.Cpu().Value(), container.Resources.Limits.Memory().Value()
	soft := quantity(t, container.Env, "GOMEMLIMIT")
	if need := soft + 2*cpus*(render.Limits{}).WithDefaults().Memory; need > memory {
		t.Errorf("the agent and its builds may take %d bytes, the limit is %d", need, memory)
	}
	// The Lease is that of a configuration's environments: two configurations may
	// have two.
	if deployment.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType {
		t.Error("two configurations could run at once")
	}
}

// quantity reads a number of bytes as Go's runtime does, "400MiB", from a variable.
func quantity(t *testing.T, env []corev1.EnvVar, name string) int64 {
	t.Helper()
	for _, e := range env {
		if e.Name == name {
			q, err := resource.ParseQuantity(strings.TrimSuffix(e.Value, "B"))
			if err != nil {
				t.Fatal(err)
			}
			return q.Value()
		}
	}
	t.Fatalf("there is no %s", name)
	return 0
}

func TestTheDeploymentRollsOut(t *testing.T) {
	t.Parallel()
	cluster := install(t)
	for _, o := range build(t, filesys.MakeFsOnDisk(), "example") {
		if err := cluster.admin.apply(t, o); err != nil {
			t.Fatalf("%s: %v", key(o), err)
		}
	}
	eventually(t, "the Deployment is available", func() error {
		d, err := cluster.admin.AppsV1().Deployments(deploy.Namespace).Get(t.Context(), "pawl", metav1.GetOptions{})
		if err == nil && d.Status.AvailableReplicas != 2 {
			return fmt.Errorf("%+v", d.Status.Conditions)
		}
		return err
	})
}
