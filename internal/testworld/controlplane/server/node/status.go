package node

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The annotations; doc.go says what they do.
const (
	failAnnotation      = "testworld.pawl.dev/fail"
	logAnnotation       = "testworld.pawl.dev/log"
	readyAfter          = "testworld.pawl.dev/ready-after"
	completesAfter      = "testworld.pawl.dev/completes-after"
	failImagePull       = "image-pull"
	failCrash           = "crash"
	failOutOfMemory     = "out-of-memory"
	failMissingSecret   = "missing-secret"
	failMount           = "mount"
	failNeverReady      = "never-ready"
	defaultCompletion   = 200 * time.Millisecond
	firstCrash          = 200 * time.Millisecond
	pullErrorBecomesOff = time.Second
	longestBackOff      = 30 * time.Second
)

// place is what the node adds to a pod.
type place struct {
	started       time.Time
	podIP, hostIP string
}

// next is what a node says of a pod at one time.
type next struct {
	status corev1.PodStatus
	again  time.Duration // after this it changes by itself; zero: it does not
	event  string        // reason of the warning that goes with it, if any
}

// nextStatus is the status that a pod should have. It keeps what others wrote,
// and the same pod at the same time has the same status.
func nextStatus(pod *corev1.Pod, at place, now time.Time) next {
	age := max(now.Sub(at.started), 0)
	wants := readWishes(pod)
	act := play(pod, wants, age)

	status := *pod.Status.DeepCopy()
	status.ObservedGeneration = pod.Generation
	start := metav1.NewTime(at.started.Truncate(time.Second))
	if status.StartTime == nil {
		status.StartTime = &start
	}
	status.HostIP, status.HostIPs = at.hostIP, []corev1.HostIP{{IP: at.hostIP}}
	status.PodIP, status.PodIPs = at.podIP, []corev1.PodIP{{IP: at.podIP}}
	status.Phase = act.phase
	status.InitContainerStatuses = initStatuses(pod, act, *status.StartTime)
	status.ContainerStatuses = nil
	var unready []string
	for _, c := range pod.Spec.Containers {
		cs := containerStatus(pod, c.Name, c.Image, act, *status.StartTime)
		if !cs.Ready {
			unready = append(unready, c.Name)
		}
		status.ContainerStatuses = append(status.ContainerStatuses, cs)
	}
	setConditions(pod, &status, act, unready, metav1.NewTime(now.Truncate(time.Second)))
	return next{status, act.again, act.event}
}

// wishes are a pod's annotations, read.
type wishes struct {
	fail             string
	ready, completes time.Duration
	mistake          string
}

func readWishes(pod *corev1.Pod) wishes {
	w := wishes{fail: pod.Annotations[failAnnotation], completes: defaultCompletion}
	switch w.fail {
	case "", failImagePull, failCrash, failOutOfMemory, failMissingSecret, failMount, failNeverReady:
	default:
		w.mistake = fmt.Sprintf("annotation %s: %q is none of %s, %s, %s, %s, %s, %s", failAnnotation, w.fail,
			failImagePull, failCrash, failOutOfMemory, failMissingSecret, failMount, failNeverReady)
	}
	for name, into := range map[string]*time.Duration{readyAfter: &w.ready, completesAfter: &w.completes} {
		value, set := pod.Annotations[name]
		if !set {
			continue
		}
		d, err := time.ParseDuration(value)
		if err != nil || d < 0 {
			w.mistake = fmt.Sprintf("annotation %s: %q is not a duration such as 3s", name, value)
			continue
		}
		*into = d
	}
	return w
}

func (w wishes) crashes() bool { return w.fail == failCrash || w.fail == failOutOfMemory }

func (w wishes) exitCode() int32 {
	if w.fail == failOutOfMemory {
		return killed
	}
	return 1
}

// killed is the exit code of a container that was killed, here for its memory.
const killed = 137

// act is what a pod's containers do at one moment; they all do the same.
type act struct {
	phase    corev1.PodPhase
	ready    bool
	restarts int32
	waiting  *corev1.ContainerStateWaiting // %IMAGE% and %CONTAINER% stand for the container's own
	exit     *int32                        // the container has ended for good with this code
	crashed  bool                          // it ended before, with lastExit
	lastExit int32
	again    time.Duration
	event    string // the reason of the warning event that goes with it
}

func play(pod *corev1.Pod, w wishes, age time.Duration) act {
	forever := pod.Spec.RestartPolicy == corev1.RestartPolicyAlways || pod.Spec.RestartPolicy == ""
	switch {
	case pod.Status.Phase == corev1.PodSucceeded:
		return ended(0)
	case pod.Status.Phase == corev1.PodFailed:
		return ended(w.exitCode())
	case w.mistake != "":
		return act{phase: corev1.PodPending, event: "Failed",
			waiting: &corev1.ContainerStateWaiting{Reason: "CreateContainerConfigError", Message: w.mistake}}
	case w.fail == failImagePull:
		return pulling(age)
	case w.fail == failMissingSecret:
		return act{phase: corev1.PodPending, event: "Failed",
			waiting: &corev1.ContainerStateWaiting{Reason: "CreateContainerConfigError", Message: `secret "simulated" not found`}}
	case w.fail == failMount:
		return act{phase: corev1.PodPending, event: "FailedMount", waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}
	case w.crashes() && age < firstCrash:
		return act{phase: corev1.PodRunning, again: firstCrash - age}
	case w.crashes() && pod.Spec.RestartPolicy == corev1.RestartPolicyNever:
		return ended(w.exitCode())
	case w.crashes():
		return crashing(pod, w.exitCode(), age-firstCrash)
	case w.fail == failNeverReady:
		return act{phase: corev1.PodRunning, event: "Unhealthy"}
	case !forever && age >= w.completes:
		return ended(0)
	}
	running := act{phase: corev1.PodRunning, ready: age >= w.ready}
	if !running.ready {
		running.again = w.ready - age
	}
	if !forever && (running.again == 0 || w.completes-age < running.again) {
		running.again = w.completes - age
	}
	return running
}

func ended(code int32) act {
	if code == 0 {
		return act{phase: corev1.PodSucceeded, exit: &code}
	}
	return act{phase: corev1.PodFailed, exit: &code}
}

// The messages are the kubelet's and containerd's own.
const pullError = `rpc error: code = NotFound desc = failed to pull and unpack image "%IMAGE%": failed to resolve reference "%IMAGE%": %IMAGE%: not found`

func pulling(age time.Duration) act {
	if age < pullErrorBecomesOff {
		return act{phase: corev1.PodPending, event: "Failed", again: pullErrorBecomesOff - age,
			waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: pullError}}
	}
	return act{phase: corev1.PodPending, event: "BackOff",
		waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: `Back-off pulling image "%IMAGE%": ErrImagePull: ` + pullError}}
}

// crashing counts the restarts since the first crash.
func crashing(pod *corev1.Pod, code int32, since time.Duration) act {
	restarts, backOff := int32(1), time.Second
	for since >= backOff {
		since -= backOff
		backOff = min(2*backOff, longestBackOff)
		restarts++
	}
	return act{phase: corev1.PodRunning, restarts: restarts, crashed: true, lastExit: code, event: "BackOff", again: backOff - since,
		waiting: &corev1.ContainerStateWaiting{
			Reason:  "CrashLoopBackOff",
			Message: fmt.Sprintf("back-off %s restarting failed container=%%CONTAINER%% pod=%s_%s(%s)", backOff, pod.Name, pod.Namespace, pod.UID),
		}}
}

// exitMessage is what the container leaves as its termination message.
const exitMessage = "simulated crash, asked for by the annotation " + failAnnotation

func containerStatus(pod *corev1.Pod, name, image string, a act, start metav1.Time) corev1.ContainerStatus {
	started := a.waiting == nil && a.exit == nil
	cs := corev1.ContainerStatus{Name: name, Image: image, Ready: a.ready && started, Started: &started, RestartCount: a.restarts}
	if a.waiting == nil || a.crashed {
		cs.ImageID, cs.ContainerID = imageID(image), containerID(pod, name, image, a.restarts)
	}
	stop := func(code int32) *corev1.ContainerStateTerminated {
		t := &corev1.ContainerStateTerminated{ExitCode: code, Reason: "Completed", StartedAt: start, FinishedAt: start, ContainerID: cs.ContainerID}
		switch code {
		case 0:
		case killed:
			t.Reason = "OOMKilled" // which leaves no message
		default:
			t.Reason = "Error"
			if pod.Annotations[logAnnotation] == "" {
				t.Message = exitMessage
			}
		}
		return t
	}
	switch {
	case a.waiting != nil:
		fill := strings.NewReplacer("%IMAGE%", image, "%CONTAINER%", name)
		cs.State.Waiting = &corev1.ContainerStateWaiting{Reason: a.waiting.Reason, Message: fill.Replace(a.waiting.Message)}
		if a.crashed {
			cs.LastTerminationState.Terminated = stop(a.lastExit)
		}
	case a.exit != nil:
		cs.State.Terminated = stop(*a.exit)
	default:
		cs.State.Running = &corev1.ContainerStateRunning{StartedAt: start}
	}
	return cs
}

func initStatuses(pod *corev1.Pod, a act, start metav1.Time) []corev1.ContainerStatus {
	var statuses []corev1.ContainerStatus
	for _, c := range pod.Spec.InitContainers {
		sidecar := c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
		switch {
		case a.waiting != nil && !a.crashed:
			// An image that cannot be pulled or a mistake stops the first one,
			// but a cause that moves about helps nobody: show it on the containers.
			statuses = append(statuses, containerStatus(pod, c.Name, c.Image, act{waiting: &corev1.ContainerStateWaiting{Reason: "PodInitializing"}}, start))
		case sidecar && a.exit == nil:
			statuses = append(statuses, containerStatus(pod, c.Name, c.Image, act{ready: true}, start))
		default:
			cs := containerStatus(pod, c.Name, c.Image, ended(0), start)
			cs.Ready = true
			statuses = append(statuses, cs)
		}
	}
	return statuses
}

func imageID(image string) string {
	name, digest, pinned := strings.Cut(image, "@")
	repository := name
	if slash, colon := strings.LastIndex(name, "/"), strings.LastIndex(name, ":"); colon > slash {
		repository = name[:colon]
	}
	if !pinned {
		digest = fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(image)))
	}
	return repository + "@" + digest
}

func containerID(pod *corev1.Pod, name, image string, restarts int32) string {
	return fmt.Sprintf("containerd://%x", sha256.Sum256(fmt.Appendf(nil, "%s/%s/%s/%d", pod.UID, name, image, restarts)))
}
