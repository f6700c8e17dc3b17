package deploy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/pawl-dev/pawl/deploy"
	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/drift/cluster"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/render"
)

// objects reads YAML documents.
func objects(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	var list []*unstructured.Unstructured
	for decoder := utilyaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4<<10); ; {
		o := &unstructured.Unstructured{}
		if err := decoder.Decode(o); err != nil {
			return list
		}
		list = append(list, o)
	}
}

// verified is a release that holds no images, so that nothing need be signed.
func verified(t *testing.T, text string) policies.Verified {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	key := policies.Key{Name: "release", PEM: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})}
	trust, err := policies.NewTrust([]policies.Rule{{Images: "**", Keys: []policies.Key{key}}})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(text))
	v, err := policies.Judge(render.Release{
		Target: environments.Target{Environment: "dev", Application: "edge", Overlay: "dev"},
		Digest: "sha256:" + hex.EncodeToString(sum[:]), Objects: objects(t, text),
	}, policies.Demands{Trust: trust}, policies.Findings{Images: nil})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const edgeRelease = `
apiVersion: v1
kind: Namespace
metadata: {name: edge}
---
apiVersion: v1
kind: Secret
metadata: {name: some, namespace: edge}
stringData: {a: planted}
---
apiVersion: v1
kind: Service
metadata: {name: some, namespace: edge}
spec: {selector: {app: some}, ports: [{port: 80}]}
`

// The agent's own way to the cluster, with its own account: a release is
// applied, kept and pruned, and one that reaches for the agent is refused.
func TestTheAgentDoesItsWorkWithItsRights(t *testing.T) {
	t.Parallel()
	world := install(t)
	edge, err := cluster.New(cluster.Options{Config: world.agentConfig, Namespace: deploy.Namespace, Owner: "acme/shop", Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(edge.Close)
	apply := func(text string) error {
		_, err := edge.Apply(t.Context(), verified(t, text), drift.Terms{Environment: environments.Environment{Drift: environments.DriftCorrect}})
		return err
	}

	if err := apply(edgeRelease + "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: some, namespace: edge}}\n"); err != nil {
		t.Fatal(err)
	}
	services := world.admin.CoreV1().Services("edge")
	if err := services.Delete(t.Context(), "some", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what was deleted is back", func() error {
		_, err := services.Get(t.Context(), "some", metav1.GetOptions{})
		return err
	})
	if err := apply(edgeRelease); err != nil {
		t.Fatal(err)
	}
	if _, err := world.admin.CoreV1().ConfigMaps("edge").Get(t.Context(), "some", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("what left the release: %v, want not found", err)
	}

	err = apply(edgeRelease + "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: pawl-config, namespace: pawl-system}, data: {agent.yaml: \"trust: []\"}}\n")
	var outside *drift.OutOfReach
	if !errors.As(err, &outside) || !strings.Contains(err.Error(), "nothing was written") {
		t.Errorf("a release with the agent's configuration: %v, want the agent's own refusal with nothing written", err)
	}
	// Should the agent ever try, the API server refuses.
	core, err := corev1client.NewForConfig(world.agentConfig)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"pawl-config", "pawl"} {
		_, err = core.Secrets(deploy.Namespace).Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		if !apierrors.IsInvalid(err) && !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "inventories") {
			t.Errorf("the agent makes Secret %s: %v, want the guard's refusal", name, err)
		}
	}
}
