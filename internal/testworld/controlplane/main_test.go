package controlplane

import (
	"context"
	"os"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"
)

// patience is how long a condition may take on a busy machine.
const patience = 60 * time.Second

// eventually waits until a condition holds; the condition says what it saw.
func eventually(t *testing.T, what string, holds func() (bool, string)) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		ok, saw := holds()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s did not happen in %s; last seen: %s", what, patience, saw)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func clientOf(t *testing.T, cp *ControlPlane) *kubernetes.Clientset {
	t.Helper()
	config, err := cp.RESTConfig()
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// apply is server-side apply of YAML, as the agent does it.
func apply(t *testing.T, cp *ControlPlane, resource schema.GroupVersionResource, namespace, name, object string) {
	t.Helper()
	body, err := yaml.YAMLToJSON([]byte(object))
	if err != nil {
		t.Fatal(err)
	}
	applyBody(t, cp, resource, namespace, name, body)
}

func applyBody(t *testing.T, cp *ControlPlane, resource schema.GroupVersionResource, namespace, name string, body []byte) {
	t.Helper()
	config, err := cp.RESTConfig()
	if err != nil {
		t.Fatal(err)
	}
	config.UserAgent = "test-applier/1"
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	force := true
	if _, err := client.Resource(resource).Namespace(namespace).Patch(t.Context(), name, "application/apply-patch+yaml", body,
		metav1.PatchOptions{FieldManager: "test-applier", Force: &force}); err != nil {
		t.Fatalf("apply %s: %v", name, err)
	}
}

// TestMain builds before any test's time begins to run.
func TestMain(m *testing.M) {
	if os.Getenv(parentVariable) != "" {
		beParent()
	}
	if _, err := Build(context.Background(), os.Stderr); err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
	os.Exit(m.Run())
}
