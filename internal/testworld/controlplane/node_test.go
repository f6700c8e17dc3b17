package controlplane

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	jobs        = schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}
	configMaps  = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	pods        = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	claims      = schema.GroupVersionResource{Version: "v1", Resource: "persistentvolumeclaims"}
)

// deployment is one whose pods carry annotations, given as "key: value" lines.
func deployment(name string, replicas int, annotations ...string) string {
	return fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s}
spec:
  replicas: %[2]d
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata:
      labels: {app: %[1]s}
      annotations: {%[3]s}
    spec:
      initContainers:
        - {name: prepare, image: "registry.example/prepare:1"}
      containers:
        - {name: web, image: "registry.example/web:1@sha256:%[4]s"}
`, name, replicas, strings.Join(annotations, ", "), digest)
}

var digest = strings.Repeat("a1", 32)

func TestDeploymentBecomesAvailable(t *testing.T) {
	t.Parallel()
	cp := Shared(t)
	client, namespace := clientOf(t, cp), cp.Namespace(t)
	apply(t, cp, deployments, namespace, "web", deployment("web", 3))

	eventually(t, "three available replicas", func() (bool, string) {
		d, err := client.AppsV1().Deployments(namespace).Get(t.Context(), "web", metav1.GetOptions{})
		return err == nil && d.Status.AvailableReplicas == 3, fmt.Sprintf("%v %+v", err, d.Status)
	})
	list, err := client.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ips, versions := map[string]bool{}, map[string]string{}
	for _, pod := range list.Items {
		ips[pod.Status.PodIP], versions[pod.Name] = true, pod.ResourceVersion
		if want := "registry.example/web@sha256:" + digest; pod.Status.ContainerStatuses[0].ImageID != want {
			t.Errorf("image ID is %q, want %q", pod.Status.ContainerStatuses[0].ImageID, want)
		}
		if init := pod.Status.InitContainerStatuses[0]; init.State.Terminated == nil || init.State.Terminated.ExitCode != 0 {
			t.Errorf("the init container did not complete: %+v", init.State)
		}
	}
	if len(ips) != 3 || ips[""] {
		t.Errorf("three pods have the addresses %v", ips)
	}
	slices, err := client.DiscoveryV1().EndpointSlices(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(slices.Items) != 0 {
		t.Errorf("no Service and yet endpoint slices: %v %v", slices.Items, err)
	}

	// A node that never stops writing would look like a busy cluster.
	again, err := client.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range again.Items {
		if versions[pod.Name] != pod.ResourceVersion {
			t.Errorf("pod %s was written although nothing changed: %+v", pod.Name, pod.Status)
		}
	}
}

func TestFailureAnnotations(t *testing.T) {
	t.Parallel()
	web := func(p corev1.Pod) corev1.ContainerStatus { return p.Status.ContainerStatuses[0] }
	waits := func(reason string) func(corev1.Pod) bool {
		return func(p corev1.Pod) bool { return web(p).State.Waiting != nil && web(p).State.Waiting.Reason == reason }
	}
	for _, test := range []struct {
		name, annotation string
		first            func(corev1.Pod) bool // seen on the way
		then             func(corev1.Pod) bool
		message, event   string
	}{
		{
			name: "an image that cannot be pulled", annotation: "testworld.pawl.dev/fail: image-pull",
			first: waits("ErrImagePull"),
			then: func(p corev1.Pod) bool {
				return waits("ImagePullBackOff")(p) && p.Status.Phase == corev1.PodPending
			},
			message: `Back-off pulling image "registry.example/web:1@sha256:`, event: "Failed",
		},
		{
			name: "a container that crashes again and again", annotation: "testworld.pawl.dev/fail: crash",
			first: waits("CrashLoopBackOff"),
			then: func(p corev1.Pod) bool {
				last := web(p).LastTerminationState.Terminated
				return web(p).RestartCount >= 2 && last != nil && last.ExitCode == 1 && last.Message != "" && p.Status.Phase == corev1.PodRunning
			},
			message: "restarting failed container=web pod=", event: "BackOff",
		},
		{
			name: "a container that takes too much memory", annotation: "testworld.pawl.dev/fail: out-of-memory",
			then: func(p corev1.Pod) bool {
				last := web(p).LastTerminationState.Terminated
				return last != nil && last.Reason == "OOMKilled" && last.ExitCode == 137
			},
			message: "restarting failed container=web pod=", event: "BackOff",
		},
		{
			name: "a Secret that is not there", annotation: "testworld.pawl.dev/fail: missing-secret",
			then: waits("CreateContainerConfigError"), message: `secret "simulated" not found`, event: "Failed",
		},
		{
			name: "a volume that cannot be mounted", annotation: "testworld.pawl.dev/fail: mount",
			then: waits("ContainerCreating"), event: "FailedMount",
		},
		{
			name: "a container that is never ready", annotation: "testworld.pawl.dev/fail: never-ready",
			then: func(p corev1.Pod) bool {
				return web(p).State.Running != nil && !web(p).Ready && p.Status.Phase == corev1.PodRunning
			},
			event: "Unhealthy",
		},
		{
			name: "a container that takes its time", annotation: "testworld.pawl.dev/ready-after: 1s",
			first: func(p corev1.Pod) bool { return web(p).State.Running != nil && !web(p).Ready },
			then:  func(p corev1.Pod) bool { return web(p).Ready },
		},
		{
			name: "an annotation nobody knows", annotation: "testworld.pawl.dev/fail: explode",
			then: waits("CreateContainerConfigError"), message: `"explode" is none of image-pull, crash, out-of-memory, missing-secret, mount, never-ready`, event: "Failed",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cp := Shared(t)
			client, namespace := clientOf(t, cp), cp.Namespace(t)
			apply(t, cp, deployments, namespace, "web", deployment("web", 1, test.annotation))
			for _, stage := range []func(corev1.Pod) bool{test.first, test.then} {
				if stage == nil {
					continue
				}
				eventually(t, test.name, func() (bool, string) {
					list, err := client.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
					if err != nil || len(list.Items) == 0 || len(list.Items[0].Status.ContainerStatuses) == 0 {
						return false, fmt.Sprint(err)
					}
					pod := list.Items[0]
					if !stage(pod) {
						return false, fmt.Sprintf("%+v", pod.Status)
					}
					if waiting := web(pod).State.Waiting; waiting != nil && waits("ErrImagePull")(pod) == false && !strings.Contains(waiting.Message, test.message) {
						t.Errorf("message is %q, want %q in it", waiting.Message, test.message)
					}
					return true, ""
				})
			}
			if test.event == "" {
				return
			}
			eventually(t, "the warning event "+test.event, func() (bool, string) {
				list, err := client.CoreV1().Events(namespace).List(t.Context(), metav1.ListOptions{FieldSelector: "type=Warning,involvedObject.kind=Pod"})
				if err != nil {
					return false, err.Error()
				}
				for _, e := range list.Items {
					if e.Reason == test.event && e.Source.Component == "kubelet" {
						return true, ""
					}
				}
				return false, fmt.Sprint(list.Items)
			})
		})
	}
}

func TestJobsEnd(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, annotations, restartPolicy, condition string }{
		{"a job completes", "", "Never", "Complete"},
		{"a job completes when it is told to", "testworld.pawl.dev/completes-after: 400ms", "OnFailure", "Complete"},
		{"a job that crashes fails", "testworld.pawl.dev/fail: crash", "Never", "Failed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cp := Shared(t)
			client, namespace := clientOf(t, cp), cp.Namespace(t)
			apply(t, cp, jobs, namespace, "migrate", fmt.Sprintf(`
apiVersion: batch/v1
kind: Job
metadata: {name: migrate}
spec:
  backoffLimit: 0
  template:
    metadata: {annotations: {%s}}
    spec:
      restartPolicy: %s
      containers: [{name: migrate, image: "registry.example/migrate:1"}]
`, test.annotations, test.restartPolicy))
			eventually(t, test.name, func() (bool, string) {
				job, err := client.BatchV1().Jobs(namespace).Get(t.Context(), "migrate", metav1.GetOptions{})
				if err != nil {
					return false, err.Error()
				}
				for _, c := range job.Status.Conditions {
					if string(c.Type) == test.condition && c.Status == corev1.ConditionTrue {
						return true, ""
					}
				}
				return false, fmt.Sprintf("%+v", job.Status)
			})
		})
	}
}

func TestDeletedPodsGoAtOnce(t *testing.T) {
	t.Parallel()
	cp := Shared(t)
	client, namespace := clientOf(t, cp), cp.Namespace(t)
	apply(t, cp, deployments, namespace, "web", deployment("web", 2))
	names := func() (string, bool) {
		list, err := client.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		ready := 0
		for _, p := range list.Items {
			all = append(all, p.Name)
			if len(p.Status.ContainerStatuses) > 0 && p.Status.ContainerStatuses[0].Ready {
				ready++
			}
		}
		return strings.Join(all, " "), len(all) == 2 && ready == 2
	}
	var before string
	eventually(t, "two ready pods", func() (ok bool, saw string) { before, ok = names(); return ok, before })
	victim := strings.Fields(before)[0]
	if err := client.CoreV1().Pods(namespace).Delete(t.Context(), victim, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another pod in place of the deleted one", func() (bool, string) {
		now, ok := names()
		return ok && !strings.Contains(now, victim), now
	})
}

func TestClaimsAreBoundAndReleased(t *testing.T) {
	t.Parallel()
	cp := Shared(t)
	client, namespace := clientOf(t, cp), cp.Namespace(t)
	apply(t, cp, claims, namespace, "data", `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
`)
	apply(t, cp, pods, namespace, "database", `
apiVersion: v1
kind: Pod
metadata: {name: database}
spec:
  volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
  containers: [{name: database, image: "registry.example/database:1"}]
`)
	var volume string
	eventually(t, "a running pod with its volume", func() (bool, string) {
		pod, err := client.CoreV1().Pods(namespace).Get(t.Context(), "database", metav1.GetOptions{})
		if err != nil {
			return false, err.Error()
		}
		claim, err := client.CoreV1().PersistentVolumeClaims(namespace).Get(t.Context(), "data", metav1.GetOptions{})
		if err != nil {
			return false, err.Error()
		}
		volume = claim.Spec.VolumeName
		return pod.Status.Phase == corev1.PodRunning && claim.Status.Phase == corev1.ClaimBound, fmt.Sprintf("%+v %+v", pod.Status, claim.Status)
	})
	for _, err := range []error{
		client.CoreV1().Pods(namespace).Delete(t.Context(), "database", metav1.DeleteOptions{}),
		client.CoreV1().PersistentVolumeClaims(namespace).Delete(t.Context(), "data", metav1.DeleteOptions{}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the volume's end", func() (bool, string) {
		list, err := client.CoreV1().PersistentVolumes().List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return false, err.Error()
		}
		for _, v := range list.Items {
			if v.Name == volume {
				return false, fmt.Sprintf("%+v", v.Status)
			}
		}
		return true, ""
	})
}
