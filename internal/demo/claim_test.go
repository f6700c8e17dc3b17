package demo

import (
	"io"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/pawl-dev/pawl/internal/testworld/controlplane"
)

// What stands in somebody's cluster under a name that the demo uses is theirs.
func TestAClusterWithSuchANamespaceIsLeftAlone(t *testing.T) {
	t.Parallel()
	plane := controlplane.Shared(t)
	config, err := plane.RESTConfig()
	if err != nil {
		t.Fatal(err)
	}
	namespaces := kubernetes.NewForConfigOrDie(config).CoreV1().Namespaces()
	if _, err := namespaces.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "web-production"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	err = Run(t.Context(), Options{Out: io.Discard, Once: true, Kubeconfig: plane.Kubeconfig, Pawl: "not started"})
	if err == nil || !strings.Contains(err.Error(), "web-production already") {
		t.Errorf("%v; want a refusal that names web-production", err)
	}
	theirs, err := namespaces.Get(t.Context(), "web-production", metav1.GetOptions{})
	if err != nil || theirs.DeletionTimestamp != nil {
		t.Errorf("their namespace was touched: %v, deleted at %v", err, theirs.DeletionTimestamp)
	}
	if _, err := namespaces.Get(t.Context(), "pawl-system", metav1.GetOptions{}); err == nil {
		t.Error("the agent's account was installed nevertheless")
	}
}
