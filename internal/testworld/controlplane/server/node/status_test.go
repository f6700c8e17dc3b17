package node

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

var began = time.Date(2026, 3, 4, 5, 6, 7, 890_000_000, time.UTC)

func pod(restart corev1.RestartPolicy, annotations ...string) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web-1", Namespace: "shop", UID: "u", Annotations: map[string]string{}},
		Spec: corev1.PodSpec{
			NodeName:      "node-1",
			RestartPolicy: restart,
			InitContainers: []corev1.Container{
				{Name: "prepare", Image: "r.example/prepare:1"},
				{Name: "proxy", Image: "r.example/proxy:1", RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways)},
			},
			Containers: []corev1.Container{{Name: "web", Image: "r.example:5000/web:1"}},
		},
	}
	for _, a := range annotations {
		name, value, _ := strings.Cut(a, "=")
		p.Annotations["testworld.pawl.dev/"+name] = value
	}
	return p
}

func TestStatusOverTime(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		pod      *corev1.Pod
		age      time.Duration
		phase    corev1.PodPhase
		ready    bool
		restarts int32
		waiting  string
		exit     *int32
		again    time.Duration
	}{
		{name: "a pod runs and is ready at once", pod: pod("Always"), phase: "Running", ready: true},
		{name: "a pod is not ready too early", pod: pod("Always", "ready-after=3s"), age: time.Second, phase: "Running", again: 2 * time.Second},
		{name: "a pod is ready when its time has come", pod: pod("Always", "ready-after=3s"), age: 3 * time.Second, phase: "Running", ready: true},
		{name: "a job's pod runs for a moment", pod: pod("Never"), phase: "Running", ready: true, again: 200 * time.Millisecond},
		{name: "a job's pod succeeds", pod: pod("OnFailure"), age: time.Second, phase: "Succeeded", exit: ptr.To[int32](0)},
		{name: "a job's pod takes as long as it is told to", pod: pod("Never", "completes-after=5s"), age: time.Second, phase: "Running", ready: true, again: 4 * time.Second},
		{name: "a job's pod that crashes fails", pod: pod("Never", "fail=crash"), age: time.Second, phase: "Failed", exit: ptr.To[int32](1)},
		{name: "a job's pod that is never ready never ends", pod: pod("Never", "fail=never-ready"), age: time.Hour, phase: "Running"},
		{name: "a crash takes a moment", pod: pod("Always", "fail=crash"), phase: "Running", again: 200 * time.Millisecond},
		{name: "a crash is followed by back-off", pod: pod("Always", "fail=crash"), age: 200 * time.Millisecond, phase: "Running", restarts: 1, waiting: "CrashLoopBackOff", again: time.Second},
		{name: "back-off grows", pod: pod("Always", "fail=crash"), age: 1300 * time.Millisecond, phase: "Running", restarts: 2, waiting: "CrashLoopBackOff", again: 1900 * time.Millisecond},
		{name: "a crash loop goes on", pod: pod("Always", "fail=crash"), age: time.Hour, phase: "Running", restarts: 124, waiting: "CrashLoopBackOff", again: 1200 * time.Millisecond},
		{name: "a job's pod takes too much memory", pod: pod("Never", "fail=out-of-memory"), age: time.Second, phase: "Failed", exit: ptr.To[int32](137)},
		{name: "a Secret is not there", pod: pod("Always", "fail=missing-secret"), phase: "Pending", waiting: "CreateContainerConfigError"},
		{name: "a volume cannot be mounted", pod: pod("Always", "fail=mount"), phase: "Pending", waiting: "ContainerCreating"},
		{name: "an image is not found", pod: pod("Always", "fail=image-pull"), phase: "Pending", waiting: "ErrImagePull", again: time.Second},
		{name: "an image that is not found is tried less and less", pod: pod("Always", "fail=image-pull"), age: time.Second, phase: "Pending", waiting: "ImagePullBackOff"},
		{name: "a duration that is none", pod: pod("Always", "ready-after=soon"), phase: "Pending", waiting: "CreateContainerConfigError"},
		{name: "a failure nobody knows", pod: pod("Always", "fail=explode"), phase: "Pending", waiting: "CreateContainerConfigError"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			at := place{started: began, podIP: "10.128.0.1", hostIP: "192.0.2.1"}
			n := nextStatus(test.pod, at, began.Add(test.age))
			web := n.status.ContainerStatuses[0]
			if n.status.Phase != test.phase || web.Ready != test.ready || web.RestartCount != test.restarts || n.again != test.again {
				t.Errorf("phase %s, ready %t, %d restarts, again after %s; want %s, %t, %d, %s",
					n.status.Phase, web.Ready, web.RestartCount, n.again, test.phase, test.ready, test.restarts, test.again)
			}
			if got := ptr.Deref(web.State.Waiting, corev1.ContainerStateWaiting{}).Reason; got != test.waiting {
				t.Errorf("waits for %q, want %q", got, test.waiting)
			}
			if test.exit != nil && (web.State.Terminated == nil || web.State.Terminated.ExitCode != *test.exit) {
				t.Errorf("did not end with %d: %+v", *test.exit, web.State)
			}
			if isTrue(n.status.Conditions, corev1.PodReady) != test.ready {
				t.Errorf("the pod's condition disagrees with its container: %+v", n.status.Conditions)
			}

			reported := test.pod.DeepCopy()
			reported.Status = n.status
			if same := nextStatus(reported, at, began.Add(test.age+time.Millisecond)); test.again != time.Millisecond && !equality.Semantic.DeepEqual(same.status, n.status) {
				t.Errorf("a moment later the status differs, which would be written for ever:\n%+v\n%+v", n.status, same.status)
			}
		})
	}
}

func TestSidecarsRunAndGatesHoldBackReadiness(t *testing.T) {
	t.Parallel()
	p := pod("Always")
	p.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "example.com/open"}}
	at := place{started: began, podIP: "10.128.0.1", hostIP: "192.0.2.1"}
	closed := nextStatus(p, at, began).status
	if init := closed.InitContainerStatuses; init[0].State.Terminated == nil || init[1].State.Running == nil {
		t.Errorf("an init container completes and a sidecar runs: %+v", init)
	}
	if isTrue(closed.Conditions, corev1.PodReady) || !isTrue(closed.Conditions, corev1.ContainersReady) {
		t.Errorf("a closed gate leaves the pod unready and its containers ready: %+v", closed.Conditions)
	}
	p.Status = closed
	p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: "example.com/open", Status: corev1.ConditionTrue})
	if open := nextStatus(p, at, began).status; !isTrue(open.Conditions, corev1.PodReady) {
		t.Errorf("an open gate leaves the pod unready: %+v", open.Conditions)
	}
}

func TestImageIDs(t *testing.T) {
	t.Parallel()
	for image, want := range map[string]string{
		"r.example:5000/web@sha256:aa":   "r.example:5000/web@sha256:aa",
		"r.example:5000/web:1@sha256:aa": "r.example:5000/web@sha256:aa",
	} {
		if got := imageID(image); got != want {
			t.Errorf("%s runs as %s, want %s", image, got, want)
		}
	}
	if got := imageID("r.example:5000/web"); !strings.HasPrefix(got, "r.example:5000/web@sha256:") {
		t.Errorf("an image without a tag runs as %s", got)
	}
}
