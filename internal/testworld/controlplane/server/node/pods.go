package node

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
)

// syncs bounds how many pods change at once. They wait for the API server
// nearly all of the time.
const syncs = 16

// kubelets plays the kubelets of all machines.
type kubelets struct {
	client   kubernetes.Interface
	machines map[string]machine
	recorder map[string]record.EventRecorder
	pods     corelisters.PodLister
	synced   cache.InformerSynced
	queue    workqueue.TypedRateLimitingInterface[cache.ObjectName]

	mu     sync.Mutex
	places map[types.UID]place
	nextIP netip.Addr
}

func newKubelets(client kubernetes.Interface, all map[string]machine, events record.EventBroadcaster, informer coreinformers.PodInformer) *kubelets {
	k := &kubelets{
		client:   client,
		machines: all,
		recorder: map[string]record.EventRecorder{},
		pods:     informer.Lister(),
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[cache.ObjectName](5*time.Millisecond, 5*time.Second)),
		places: map[types.UID]place{},
		nextIP: netip.AddrFrom4([4]byte{10, 128, 0, 1}),
	}
	for name := range all {
		k.recorder[name] = events.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "kubelet", Host: name})
	}
	enqueue := func(object any) {
		if name, err := cache.ObjectToName(object); err == nil {
			k.queue.Add(name)
		}
	}
	registration, err := informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) {
			if pod, ok := object.(*corev1.Pod); ok {
				k.remember(pod)
			}
			enqueue(object)
		},
		UpdateFunc: func(_, object any) { enqueue(object) },
		DeleteFunc: func(object any) {
			if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = gone.Obj
			}
			if pod, ok := object.(*corev1.Pod); ok {
				k.mu.Lock()
				delete(k.places, pod.UID)
				k.mu.Unlock()
			}
		},
	})
	if err != nil { // only a stopped informer refuses, and this one has not started
		panic(err)
	}
	// The addresses of all pods there were are known before a new one gets one.
	k.synced = registration.HasSynced
	return k
}

func (k *kubelets) run(ctx context.Context) {
	var workers sync.WaitGroup
	for range syncs {
		workers.Go(func() {
			for {
				name, stop := k.queue.Get()
				if stop {
					return
				}
				again, err := k.sync(ctx, name)
				switch {
				case err != nil && ctx.Err() == nil:
					klog.ErrorS(err, "simulated kubelet", "pod", name)
					k.queue.AddRateLimited(name)
				case again > 0:
					k.queue.Forget(name)
					k.queue.AddAfter(name, again)
				default:
					k.queue.Forget(name)
				}
				k.queue.Done(name)
			}
		})
	}
	<-ctx.Done()
	k.queue.ShutDown()
	workers.Wait()
}

func (k *kubelets) sync(ctx context.Context, name cache.ObjectName) (time.Duration, error) {
	pod, err := k.pods.Pods(name.Namespace).Get(name.Name)
	if apierrors.IsNotFound(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	m, ours := k.machines[pod.Spec.NodeName]
	if !ours {
		return 0, nil
	}
	if pod.DeletionTimestamp != nil {
		return 0, k.terminate(ctx, pod)
	}
	n := nextStatus(pod, k.place(pod, m), time.Now())
	if equality.Semantic.DeepEqual(pod.Status, n.status) {
		return n.again, nil
	}
	if err := k.report(ctx, pod, n.status); err != nil {
		return 0, err
	}
	if n.event != "" {
		k.recorder[m.name].Event(pod, corev1.EventTypeWarning, n.event, warning(n.status))
	}
	return n.again, nil
}

// terminate ends a deleted pod at once, as containers do that obey SIGTERM;
// the grace period is an upper bound. A pod with finalizers first says that it
// ended, which is what the Job controller waits for before it lets go.
func (k *kubelets) terminate(ctx context.Context, pod *corev1.Pod) error {
	ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
	if len(pod.Finalizers) > 0 && !ended {
		failed := pod.DeepCopy()
		failed.Status.Phase = corev1.PodFailed
		n := nextStatus(failed, k.place(pod, k.machines[pod.Spec.NodeName]), time.Now())
		if err := k.report(ctx, pod, n.status); err != nil {
			return err
		}
	}
	if pod.DeletionGracePeriodSeconds != nil && *pod.DeletionGracePeriodSeconds == 0 {
		return nil
	}
	now := int64(0)
	err := k.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &pod.UID},
	})
	if gone(err) {
		return nil
	}
	return err
}

func (k *kubelets) report(ctx context.Context, pod *corev1.Pod, status corev1.PodStatus) error {
	patch, err := statusPatch(pod.UID, status)
	if err != nil {
		return err
	}
	_, err = k.client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "kubelet"}, "status")
	if gone(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("report the status of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return nil
}

// gone says that the pod we knew is no longer there, or is another one now.
func gone(err error) bool { return apierrors.IsNotFound(err) || apierrors.IsConflict(err) }

// warning is the text of the kubelet's event for a pod in trouble.
func warning(status corev1.PodStatus) string {
	if len(status.ContainerStatuses) == 0 || status.ContainerStatuses[0].State.Waiting == nil {
		return "Readiness probe failed: HTTP probe failed with statuscode: 503"
	}
	first := status.ContainerStatuses[0]
	if first.State.Waiting.Reason == "ErrImagePull" {
		return fmt.Sprintf("Failed to pull image %q: %s", first.Image, first.State.Waiting.Message)
	}
	if first.State.Waiting.Reason == "ContainerCreating" {
		return `MountVolume.SetUp failed for volume "simulated" : configmap "simulated" not found`
	}
	return first.State.Waiting.Message
}

// remember takes over what an earlier process gave a pod.
func (k *kubelets) remember(pod *corev1.Pod) {
	if pod.Status.StartTime == nil || pod.Status.PodIP == "" {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, known := k.places[pod.UID]; known {
		return
	}
	k.places[pod.UID] = place{started: pod.Status.StartTime.Time, podIP: pod.Status.PodIP, hostIP: pod.Status.HostIP}
	if ip, err := netip.ParseAddr(pod.Status.PodIP); err == nil && !ip.Less(k.nextIP) {
		k.nextIP = ip.Next()
	}
}

func (k *kubelets) place(pod *corev1.Pod, m machine) place {
	k.mu.Lock()
	defer k.mu.Unlock()
	at, known := k.places[pod.UID]
	if known {
		return at
	}
	at = place{started: time.Now(), hostIP: m.ip, podIP: m.ip}
	if !pod.Spec.HostNetwork {
		at.podIP = k.nextIP.String()
		k.nextIP = k.nextIP.Next()
	}
	k.places[pod.UID] = at
	return at
}
