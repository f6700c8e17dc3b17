package node

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"k8s.io/utils/ptr"
)

const (
	storageClass = "standard"
	provisioner  = "testworld.pawl.dev/storage"
)

// runStorage gives every claim of the default storage class a volume and takes
// it away after the claim. Binding is the controller manager's.
func runStorage(ctx context.Context, client kubernetes.Interface) error {
	class := &storagev1.StorageClass{
		ObjectMeta:           metav1.ObjectMeta{Name: storageClass, Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}},
		Provisioner:          provisioner,
		ReclaimPolicy:        ptr.To(corev1.PersistentVolumeReclaimDelete),
		AllowVolumeExpansion: ptr.To(true),
	}
	if _, err := client.StorageV1().StorageClasses().Create(ctx, class, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create storage class %s: %w", storageClass, err)
	}
	type change struct {
		claim  *corev1.PersistentVolumeClaim
		volume *corev1.PersistentVolume
	}
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[change](10*time.Millisecond, 5*time.Second))
	factory := informers.NewSharedInformerFactory(client, 0)
	see := func(object any) {
		switch o := object.(type) {
		case *corev1.PersistentVolumeClaim:
			if o.Spec.VolumeName == "" && o.DeletionTimestamp == nil && ptr.Deref(o.Spec.StorageClassName, "") == storageClass {
				queue.Add(change{claim: o})
			}
		case *corev1.PersistentVolume:
			if o.Status.Phase == corev1.VolumeReleased && o.DeletionTimestamp == nil && o.Spec.StorageClassName == storageClass {
				queue.Add(change{volume: o})
			}
		}
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: see, UpdateFunc: func(_, object any) { see(object) }}
	for _, informer := range []cache.SharedIndexInformer{
		factory.Core().V1().PersistentVolumeClaims().Informer(),
		factory.Core().V1().PersistentVolumes().Informer(),
	} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return err
		}
	}
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	go func() { <-ctx.Done(); queue.ShutDown() }()
	for {
		next, stop := queue.Get()
		if stop {
			return ctx.Err()
		}
		var err error
		if next.claim != nil {
			_, err = client.CoreV1().PersistentVolumes().Create(ctx, volumeFor(next.claim), metav1.CreateOptions{})
		} else {
			err = client.CoreV1().PersistentVolumes().Delete(ctx, next.volume.Name, metav1.DeleteOptions{})
		}
		if err == nil || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) {
			queue.Forget(next)
		} else if ctx.Err() == nil {
			klog.ErrorS(err, "simulated storage")
			queue.AddRateLimited(next)
		}
		queue.Done(next)
	}
}

func volumeFor(claim *corev1.PersistentVolumeClaim) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{
			Name: "pvc-" + string(claim.UID),
			// Tells the controller manager that deleting is somebody else's.
			Annotations: map[string]string{"pv.kubernetes.io/provisioned-by": provisioner},
		},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: claim.Spec.Resources.Requests[corev1.ResourceStorage]},
			AccessModes:                   claim.Spec.AccessModes,
			VolumeMode:                    claim.Spec.VolumeMode,
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
			StorageClassName:              storageClass,
			ClaimRef: &corev1.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
			PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/simulated/" + string(claim.UID)}},
		},
	}
}
