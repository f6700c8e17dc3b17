package node

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"
)

// Run registers so many nodes and plays their kubelets until the context ends.
// With the TLS configuration they answer the API server.
func Run(ctx context.Context, config *rest.Config, count int, serving *tls.Config) error {
	config = rest.CopyConfig(config)
	config.QPS = -1
	// What managedFields show on a real cluster.
	config.UserAgent = "kubelet/simulated"
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", serving)
	if err != nil {
		return fmt.Errorf("listen for the simulated kubelets: %w", err)
	}
	defer listener.Close()
	all := machines(count, listener.Addr().(*net.TCPAddr).AddrPort())
	for _, m := range all {
		if err := m.register(ctx, client); err != nil {
			return err
		}
	}
	events := record.NewBroadcaster(record.WithContext(ctx))
	events.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	defer events.Shutdown()

	var running sync.WaitGroup
	defer running.Wait()
	for _, m := range all {
		running.Go(func() { m.beat(ctx, client) })
	}
	running.Go(func() {
		if err := runStorage(ctx, client); err != nil && ctx.Err() == nil {
			klog.ErrorS(err, "the simulated storage ended; claims stay pending")
		}
	})

	scheduled := informers.NewSharedInformerFactoryWithOptions(client, 0,
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermNotEqualSelector("spec.nodeName", "").String()
		}),
		informers.WithTransform(withoutManagedFields))
	k := newKubelets(client, all, events, scheduled.Core().V1().Pods())
	scheduled.Start(ctx.Done())
	defer scheduled.Shutdown()
	if !cache.WaitForCacheSync(ctx.Done(), k.synced) {
		return fmt.Errorf("list the scheduled pods: %w", ctx.Err())
	}
	running.Go(func() { serve(ctx, listener, k.pods) })
	k.run(ctx)
	return ctx.Err()
}

// withoutManagedFields halves the memory of thousands of pods. Statuses are
// patched, so nothing is lost.
func withoutManagedFields(object any) (any, error) {
	if o, ok := object.(metav1.Object); ok {
		o.SetManagedFields(nil)
	}
	return object, nil
}

func (m machine) beat(ctx context.Context, client kubernetes.Interface) {
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := m.renew(ctx, client); err != nil && ctx.Err() == nil {
				klog.ErrorS(err, "simulated node")
			}
		}
	}
}
