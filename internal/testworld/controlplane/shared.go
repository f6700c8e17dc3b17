package controlplane

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// TB is the part of testing.TB that is needed here; the package is in the
// demo's binary too, where testing does not belong.
type TB interface {
	Helper()
	Fatalf(format string, arguments ...any)
	Cleanup(func())
}

var shared struct {
	once sync.Once
	cp   *ControlPlane
	err  error
}

// Shared is the one control plane of this test process, started on first use.
// It ends, and its data goes, with the process. Tests that share it keep to
// namespaces of their own and leave Stop, Kill and Restart alone.
func Shared(tb TB) *ControlPlane {
	tb.Helper()
	shared.once.Do(func() { shared.cp, shared.err = Start(context.Background(), Options{}) })
	if shared.err != nil {
		tb.Fatalf("start the control plane that the tests share: %v", shared.err)
	}
	return shared.cp
}

// Namespace makes a namespace for one test, ready for pods, and deletes it
// when the test ends, without waiting for that.
func (cp *ControlPlane) Namespace(tb TB) string {
	tb.Helper()
	config, err := cp.RESTConfig()
	if err != nil {
		tb.Fatalf("make a namespace: %v", err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		tb.Fatalf("make a namespace: %v", err)
	}
	ctx := context.Background()
	namespace, err := client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}, metav1.CreateOptions{})
	if err != nil {
		tb.Fatalf("make a namespace: %v", err)
	}
	tb.Cleanup(func() { _ = client.CoreV1().Namespaces().Delete(ctx, namespace.Name, metav1.DeleteOptions{}) })
	if err := ensureServiceAccount(ctx, client, namespace.Name); err != nil {
		tb.Fatalf("wait until namespace %s takes pods: %v", namespace.Name, err)
	}
	return namespace.Name
}

// ensureServiceAccount makes what every pod needs. A controller would do it a
// moment later; prebuilt binaries have none.
func ensureServiceAccount(ctx context.Context, client kubernetes.Interface, namespace string) error {
	accounts := client.CoreV1().ServiceAccounts(namespace)
	_, err := accounts.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("make service account default: %w", err)
	}
	return nil
}
