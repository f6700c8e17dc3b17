package cluster_test

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
)

var update = flag.Bool("update", false, "write the answers of the API server to drift/testdata")

// answer is what the API server said to a change, and what was asked.
type answer struct {
	Change string        `json:"change"`
	Status metav1.Status `json:"status"`
}

const (
	claim = `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c, namespace: '{ns}'}, spec: {storageClassName: none, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}`
	job   = `{apiVersion: batch/v1, kind: Job, metadata: {name: j, namespace: '{ns}'}, spec: {suspend: true, parallelism: 1, template: {spec: {restartPolicy: Never, containers: [{name: c, image: "a:1"}]}}}}`
	set   = `{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: s, namespace: '{ns}'}, spec: {replicas: 0, serviceName: s, selector: {matchLabels: {app: s}}, template: {metadata: {labels: {app: s}}, spec: {containers: [{name: c, image: "a:1"}]}}}}`
	agent = `{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: d, namespace: '{ns}'}, spec: {selector: {matchLabels: {app: d}}, template: {metadata: {labels: {app: d}}, spec: {nodeSelector: {none: such}, containers: [{name: c, image: "a:1"}]}}}}`
	web   = `{apiVersion: apps/v1, kind: Deployment, metadata: {name: w, namespace: '{ns}'}, spec: {replicas: 0, selector: {matchLabels: {app: w}}, template: {metadata: {labels: {app: w}}, spec: {containers: [{name: c, image: "a:1"}]}}}}`
	svc   = `{apiVersion: v1, kind: Service, metadata: {name: v, namespace: '{ns}'}, spec: {clusterIP: None, selector: {app: w}, ports: [{name: http, port: 80}]}}`
	bind  = `{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: b, namespace: '{ns}'}, subjects: [], roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: one}}`
	conf  = `{apiVersion: v1, kind: ConfigMap, metadata: {name: fixed, namespace: '{ns}'}, immutable: true, data: {k: "1"}}`
	cred  = `{apiVersion: v1, kind: Secret, metadata: {name: fixed, namespace: '{ns}'}, immutable: true, type: Opaque, data: {k: MQ==}}`
	prio  = `{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: 'p-{ns}'}, value: 10}`
	disk  = `{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: 's-{ns}'}, provisioner: acme.example/a, parameters: {a: "1"}}`
	gate  = `{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: 'i-{ns}'}, spec: {controller: acme.example/a}}`
	run   = `{apiVersion: node.k8s.io/v1, kind: RuntimeClass, metadata: {name: 'r-{ns}'}, handler: a}`
	vol   = `{apiVersion: v1, kind: PersistentVolume, metadata: {name: 'v-{ns}'}, spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /a}}}`
	pod   = `{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: '{ns}'}, spec: {nodeSelector: {none: such}, containers: [{name: c, image: "a:1"}]}}`
)

// changes that the API server refuses: those of immutable fields, and others.
var changes = []struct {
	name, object, old, new string
}{
	{"Deployment selector", web, "app: w", "app: x"},
	{"DaemonSet selector", agent, "app: d", "app: x"},
	{"StatefulSet selector", set, "app: s", "app: x"},
	{"StatefulSet service", set, "serviceName: s", "serviceName: x"},
	{"Job template", job, "a:1", "a:2"},
	{"claim's access modes", claim, "ReadWriteOnce", "ReadWriteMany"},
	{"claim's storage class", claim, "Name: none", "Name: fast"},
	{"Service cluster address", svc, "clusterIP: None", "clusterIP: 10.0.0.77"},
	{"RoleBinding roleRef", bind, "name: one", "name: two"},
	{"immutable ConfigMap", conf, `"1"`, `"2"`},
	{"ConfigMap no longer immutable", conf, "immutable: true", "immutable: false"},
	{"immutable Secret", cred, "MQ==", "Mg=="},
	{"Secret type", cred, "type: Opaque", "type: acme.example/other"},
	{"PriorityClass value", prio, "value: 10", "value: 20"},
	{"StorageClass parameters", disk, `"1"`, `"2"`},
	{"StorageClass provisioner", disk, "acme.example/a", "acme.example/b"},
	{"IngressClass controller", gate, "acme.example/a", "acme.example/b"},
	{"RuntimeClass handler", run, "handler: a", "handler: b"},
	{"volume's source", vol, "path: /a", "path: /b"},
	{"Pod", pod, "none: such", "none: other"},

	{"negative replicas", web, "replicas: 0", "replicas: -1"},
	{"negative replicas and another selector", web, "replicas: 0, selector: {matchLabels: {app: w}}, template: {metadata: {labels: {app: w}}", "replicas: -1, selector: {matchLabels: {app: x}}, template: {metadata: {labels: {app: x}}"},
	{"selector that does not match", set, "labels: {app: s}", "labels: {app: x}"},
	{"unknown policy of restarts", job, "suspend: true", "suspend: true, backoffLimit: -1"},
	{"text that claims to be about immutability", web, "labels: {app: w}}", `labels: {app: w, team: "-: field is immutable"}}`},
	{"two ports of a name", svc, "{name: http, port: 80}", "{name: http, port: 80}, {name: http, port: 81}"},
	{"size of a claim that is not bound", claim, "storage: 1Gi", "storage: 2Gi"},
	{"unknown field", web, "replicas: 0", "replica: 0"},
	{"type of a field", web, "replicas: 0", "replicas: many"},
}

// What is taken for immutable is decided on answers of a real API server; this
// records them.
//
// catalogue 88
func TestAnswersToRefusedChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	disco, err := discovery.NewDiscoveryClientForConfig(w.config)
	if err != nil {
		t.Fatal(err)
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco))
	force := true
	apply := func(text string, dryRun bool) (*unstructured.Unstructured, error) {
		o := object(t, strings.ReplaceAll(text, "{ns}", w.namespace))
		mapping, err := mapper.RESTMapping(o.GroupVersionKind().GroupKind(), o.GroupVersionKind().Version)
		if err != nil {
			t.Fatal(err)
		}
		var client dynamic.ResourceInterface = w.dynamic.Resource(mapping.Resource)
		if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
			client = w.dynamic.Resource(mapping.Resource).Namespace(w.namespace)
		} else if !dryRun {
			t.Cleanup(func() { _ = client.Delete(t.Context(), o.GetName(), metav1.DeleteOptions{}) })
		}
		body, err := o.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		options := metav1.PatchOptions{FieldManager: "pawl", Force: &force, FieldValidation: metav1.FieldValidationStrict}
		if dryRun {
			options.DryRun = []string{metav1.DryRunAll}
		}
		return client.Patch(t.Context(), o.GetName(), types.ApplyPatchType, body, options)
	}
	made := map[string]bool{}
	var answers []answer
	for _, c := range changes {
		if !made[c.object] {
			made[c.object] = true
			if _, err := apply(c.object, false); err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
		}
		changed := strings.ReplaceAll(c.object, c.old, c.new)
		if changed == c.object {
			t.Fatalf("%s: nothing changes", c.name)
		}
		_, err := apply(changed, true)
		var status apierrors.APIStatus
		if !errors.As(err, &status) {
			t.Errorf("%s: got %v, want a refusal", c.name, err)
			continue
		}
		recorded := answer{Change: c.name, Status: status.Status()}
		text, err := json.Marshal(recorded)
		if err != nil {
			t.Fatal(err)
		}
		recorded = answer{}
		if err := json.Unmarshal([]byte(strings.ReplaceAll(string(text), w.namespace, "shop")), &recorded); err != nil {
			t.Fatal(err)
		}
		answers = append(answers, recorded)
	}
	file := filepath.Join("..", "testdata", "answers.json")
	got, err := json.MarshalIndent(answers, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.TrimSpace(string(want)), string(got)); diff != "" {
		t.Errorf("the API server answers otherwise than in %s; look at it, then run with -update: %s", file, diff)
	}
}
