package node

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/component-base/version"
	"k8s.io/utils/ptr"
)

// A lease that is renewed every ten seconds is all that a node costs while
// nothing happens.
const heartbeat = 10 * time.Second

// machine is a simulated node. Its address is from TEST-NET-1, so that whoever
// tries to reach it fails at once instead of meeting a stranger. Its kubelet
// answers at its external address, this machine's own.
type machine struct {
	name, ip, zone string
	kubelet        netip.AddrPort
}

func machines(count int, kubelet netip.AddrPort) map[string]machine {
	all := make(map[string]machine, count)
	for i := 1; i <= count; i++ {
		name := fmt.Sprintf("node-%d", i)
		all[name] = machine{name: name, ip: fmt.Sprintf("192.0.2.%d", i), zone: fmt.Sprintf("zone-%c", 'a'+(i-1)%3), kubelet: kubelet}
	}
	return all
}

func (m machine) object() *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: m.name,
		Labels: map[string]string{
			corev1.LabelHostname:       m.name,
			corev1.LabelOSStable:       "linux",
			corev1.LabelArchStable:     runtime.GOARCH,
			corev1.LabelTopologyZone:   m.zone,
			corev1.LabelTopologyRegion: "testworld",
		},
	}}
}

func (m machine) status(now metav1.Time) corev1.NodeStatus {
	room := corev1.ResourceList{
		corev1.ResourceCPU:              resource.MustParse("100k"),
		corev1.ResourceMemory:           resource.MustParse("1Pi"),
		corev1.ResourceEphemeralStorage: resource.MustParse("1Pi"),
		corev1.ResourcePods:             resource.MustParse("100k"),
	}
	condition := func(kind corev1.NodeConditionType, status corev1.ConditionStatus, reason string) corev1.NodeCondition {
		return corev1.NodeCondition{Type: kind, Status: status, Reason: reason, LastHeartbeatTime: now, LastTransitionTime: now}
	}
	return corev1.NodeStatus{
		Capacity:    room,
		Allocatable: room,
		Phase:       corev1.NodeRunning,
		Conditions: []corev1.NodeCondition{
			condition(corev1.NodeReady, corev1.ConditionTrue, "KubeletReady"),
			condition(corev1.NodeMemoryPressure, corev1.ConditionFalse, "KubeletHasSufficientMemory"),
			condition(corev1.NodeDiskPressure, corev1.ConditionFalse, "KubeletHasNoDiskPressure"),
			condition(corev1.NodePIDPressure, corev1.ConditionFalse, "KubeletHasSufficientPID"),
		},
		Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeInternalIP, Address: m.ip},
			{Type: corev1.NodeHostName, Address: m.name},
			{Type: corev1.NodeExternalIP, Address: m.kubelet.Addr().String()},
		},
		DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: int32(m.kubelet.Port())}},
		NodeInfo: corev1.NodeSystemInfo{
			KubeletVersion:          version.Get().GitVersion,
			OperatingSystem:         "linux",
			Architecture:            runtime.GOARCH,
			OSImage:                 "simulated",
			ContainerRuntimeVersion: "simulated://1",
		},
	}
}

// register makes the node known and ready. A new node gets a not-ready taint
// from the API server; taking it off here saves a round of the node lifecycle
// controller, which would do the same.
func (m machine) register(ctx context.Context, client kubernetes.Interface) error {
	nodes := client.CoreV1().Nodes()
	if _, err := nodes.Create(ctx, m.object(), metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("register %s: %w", m.name, err)
	}
	if err := m.renew(ctx, client); err != nil {
		return err
	}
	status, err := statusPatch("", m.status(metav1.Now()))
	if err != nil {
		return err
	}
	if _, err := nodes.Patch(ctx, m.name, types.MergePatchType, status, metav1.PatchOptions{}, "status"); err != nil {
		return fmt.Errorf("report %s ready: %w", m.name, err)
	}
	if _, err := nodes.Patch(ctx, m.name, types.MergePatchType, []byte(`{"spec":{"taints":null}}`), metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("take the taints off %s: %w", m.name, err)
	}
	return nil
}

func (m machine) renew(ctx context.Context, client kubernetes.Interface) error {
	leases := client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	spec := coordinationv1.LeaseSpec{
		HolderIdentity:       &m.name,
		LeaseDurationSeconds: ptr.To[int32](40),
		RenewTime:            ptr.To(metav1.NowMicro()),
	}
	patch, err := specPatch(spec)
	if err != nil {
		return err
	}
	_, err = leases.Patch(ctx, m.name, types.MergePatchType, patch, metav1.PatchOptions{})
	if apierrors.IsNotFound(err) {
		_, err = leases.Create(ctx, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: m.name}, Spec: spec}, metav1.CreateOptions{})
	}
	if err != nil {
		return fmt.Errorf("renew the lease of %s: %w", m.name, err)
	}
	return nil
}
