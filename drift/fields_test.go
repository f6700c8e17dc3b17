package drift

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// deployment is a live object as the API server shows it after an apply, with
// some of what the server defaulted.
const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
  uid: 11111111-1111-1111-1111-111111111111
  resourceVersion: "7"
  labels: {app.kubernetes.io/name: web, pawl.dev/agent: pawl, pawl.dev/target: production_web}
  managedFields:
  - manager: pawl
    operation: Apply
    apiVersion: apps/v1
    time: "2026-11-20T10:00:00Z"
    fieldsType: FieldsV1
    fieldsV1:
      f:metadata:
        f:labels: {"f:app.kubernetes.io/name": {}, "f:pawl.dev/agent": {}, "f:pawl.dev/target": {}}
      f:spec:
        f:replicas: {}
        f:selector: {}
        f:template:
          f:spec:
            f:containers:
              'k:{"name":"web"}':
                .: {}
                f:image: {}
                f:name: {}
                f:ports:
                  'k:{"containerPort":8080,"protocol":"TCP"}': {.: {}, f:containerPort: {}}
                f:resources: {f:limits: {f:cpu: {}}}
            f:volumes:
              'k:{"name":"tmp"}': {.: {}, f:emptyDir: {}, f:name: {}}
  - manager: kube-controller-manager
    operation: Update
    subresource: status
    time: "2026-11-20T10:00:09Z"
    fieldsV1: {f:status: {f:readyReplicas: {}}}
spec:
  replicas: 2
  progressDeadlineSeconds: 600
  selector: {matchLabels: {app: web}}
  template:
    spec:
      containers:
      - name: sidecar
        image: envoy
      - name: web
        image: web:1
        imagePullPolicy: IfNotPresent
        ports: [{containerPort: 8080, protocol: TCP}]
        resources: {limits: {cpu: "1"}}
      volumes:
      - {name: tmp, emptyDir: {}}
status: {readyReplicas: 2}
`

func object(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	content, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	obj := &unstructured.Unstructured{}
	if err := obj.UnmarshalJSON(content); err != nil { // numbers become int64, as from the API server
		t.Fatal(err)
	}
	return obj
}

// edit replaces text in the live Deployment.
func edit(t testing.TB, pairs ...string) *unstructured.Unstructured {
	t.Helper()
	text := deployment
	for i := 0; i < len(pairs); i += 2 {
		text = replaced(t, text, pairs[i], pairs[i+1])
	}
	return object(t, text)
}

func replaced(t testing.TB, text, from, to string) string {
	t.Helper()
	if !strings.Contains(text, from) {
		t.Fatalf("no %q in the object", from)
	}
	return strings.Replace(text, from, to, 1)
}

// taken is what managedFields says of a field that somebody else changed.
const (
	replicasOurs  = "f:replicas: {}\n"
	replicasTaken = "f:paused: {}\n"
	otherManager  = "  - manager: kube-controller-manager\n"
)

func byHand(fields string) string {
	return `  - {manager: kubectl-edit, operation: Update, time: "2026-11-20T11:30:00Z", fieldsV1: ` + fields + "}\n" + otherManager
}

func TestAppliedDigestSeesOnlyWhatWeDeclared(t *testing.T) {
	t.Parallel()
	asApplied := AppliedDigest(edit(t))
	for name, c := range map[string]struct {
		live *unstructured.Unstructured
		same bool
	}{
		"nothing changed":                         {edit(t), true},
		"status moved on":                         {edit(t, "readyReplicas: 2", "readyReplicas: 1"), true},
		"a default of the server is set by hand":  {edit(t, "progressDeadlineSeconds: 600", "progressDeadlineSeconds: 5"), true},
		"somebody else's label":                   {edit(t, "labels: {", "labels: {team: shop, "), true},
		"another container changed":               {edit(t, "image: envoy", "image: envoy:2"), true},
		"the containers changed places":           {edit(t, "      - name: sidecar\n        image: envoy\n", "", "      volumes:", "      - {name: sidecar, image: envoy}\n      volumes:"), true},
		"others filled what we declared as empty": {edit(t, "emptyDir: {}}\n", "emptyDir: {sizeLimit: 1Gi}}\n", otherManager, byHand(`{f:spec: {f:template: {f:spec: {f:volumes: {'k:{"name":"tmp"}': {f:emptyDir: {f:sizeLimit: {}}}}}}}}`)), true},
		"another manager owns the same value too": {edit(t, otherManager, byHand("{f:spec: {f:replicas: {}}}")), true},

		"a value changed":                      {edit(t, "replicas: 2", "replicas: 5"), false},
		"a value changed and its owner":        {edit(t, "replicas: 2", "replicas: 5", replicasOurs, replicasTaken), false},
		"only the owner changed":               {edit(t, replicasOurs, replicasTaken), false},
		"our container is gone":                {edit(t, "- name: web\n        image: web:1", "- name: web2\n        image: web:1"), false},
		"its image changed":                    {edit(t, "image: web:1", "image: web:2"), false},
		"a list that is owned as a whole grew": {edit(t, "matchLabels: {app: web}", "matchLabels: {app: web, x: y}"), false},
		"our mark was edited":                  {edit(t, "pawl.dev/target: production_web", "pawl.dev/target: other"), false},
		"managedFields were thrown away":       {edit(t, "- manager: pawl", "- manager: nobody"), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := AppliedDigest(c.live); (got == asApplied) != c.same {
				t.Errorf("same digest is %v, want %v", got == asApplied, c.same)
			}
		})
	}
	if AppliedDigest(edit(t, "- manager: pawl", "- manager: nobody")) != "" {
		t.Error("an object of which we own nothing has no digest")
	}
}

func TestMarkCountsOnlyWhileWeOwnIt(t *testing.T) {
	t.Parallel()
	if got := Observe(edit(t)).Mark; got != ours {
		t.Errorf("got %v, want %v", got, ours)
	}
	copied := edit(t, "- manager: pawl", "- manager: endpointslice-controller")
	if got := Observe(copied).Mark; !got.IsZero() {
		t.Errorf("labels that a controller copied are no mark; got %v", got)
	}
	relabelled := edit(t, `"f:pawl.dev/target": {}`, `"f:x": {}`, "pawl.dev/target: production_web", "pawl.dev/target: other")
	if got := Observe(relabelled).Mark; !got.IsZero() {
		t.Errorf("a label that somebody edited is no mark; got %v", got)
	}
}

func TestChangesNameFieldsAsPeopleWriteThem(t *testing.T) {
	t.Parallel()
	drifted := edit(t,
		"replicas: 2", "replicas: 5", replicasOurs, replicasTaken,
		"image: web:1", "image: evil:1",
		"app.kubernetes.io/name: web", "app.kubernetes.io/name: wob",
		"containerPort: 8080, protocol", "containerPort: 9090, protocol",
		"matchLabels: {app: web}", "matchLabels: {app: wob}",
	)
	want := []Change{
		{Path: "metadata.labels[app.kubernetes.io/name]", From: "wob", To: "web"},
		{Path: "spec.replicas", From: "5", To: "2"},
		{Path: "spec.selector", From: `{"matchLabels":{"app":"wob"}}`, To: `{"matchLabels":{"app":"web"}}`},
		{Path: "spec.template.spec.containers[name=web].image", From: "evil:1", To: "web:1"},
		{Path: "spec.template.spec.containers[name=web].ports[containerPort=8080,protocol=TCP].containerPort", From: "", To: "8080"},
	}
	got := Changes(drifted, edit(t))
	for i := range got { // paused was never set, so it is no change either way
		if got[i].Path == "spec.paused" {
			t.Error("spec.paused has the same value on both sides")
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := Changes(nil, edit(t)); got != nil {
		t.Errorf("nothing to compare with: %v", got)
	}
}

func TestOurLabelsAreEditsAndNoChanges(t *testing.T) {
	t.Parallel()
	relabelled := edit(t, `"f:pawl.dev/target": {}`, `"f:x": {}`, "pawl.dev/target: production_web", "pawl.dev/target: other", "replicas: 2", "replicas: 5")
	replicas := Change{Path: "spec.replicas", From: "5", To: "2"}
	if diff := cmp.Diff([]Change{replicas}, Changes(relabelled, edit(t))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]Change{{Path: "metadata.labels[pawl.dev/target]", From: "other", To: "production_web"}, replicas}, Edits(relabelled, edit(t))); diff != "" {
		t.Error(diff)
	}
}

// catalogue 105
func TestChangesOfSecretsHoldNoValues(t *testing.T) {
	t.Parallel()
	const secret = `
apiVersion: v1
kind: Secret
metadata:
  name: s
  namespace: shop
  managedFields:
  - {manager: pawl, operation: Apply, fieldsV1: {f:data: {f:password: {}}}}
data: {password: %s}
`
	got := Changes(object(t, strings.Replace(secret, "%s", "c2VjcmV0LTE=", 1)), object(t, strings.Replace(secret, "%s", "c2VjcmV0LTI=", 1)))
	if diff := cmp.Diff([]Change{{Path: "data.password"}}, got); diff != "" {
		t.Error(diff)
	}
}

// catalogue 104
func TestChangedByNamesTheManager(t *testing.T) {
	t.Parallel()
	replicas := []Change{{Path: "spec.replicas"}}
	half := time.Date(2026, 11, 20, 11, 30, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		live    *unstructured.Unstructured
		changes []Change
		manager string
		at      time.Time
	}{
		"who owns the changed field":       {edit(t, replicasOurs, replicasTaken, otherManager, byHand("{f:spec: {f:replicas: {}}}")), replicas, "kubectl-edit", half},
		"removed: who wrote last":          {edit(t, replicasOurs, replicasTaken, otherManager, byHand("{f:spec: {f:paused: {}}}")), replicas, "kubectl-edit", half},
		"nobody wrote since we did":        {edit(t, otherManager, strings.Replace(byHand("{f:spec: {f:paused: {}}}"), "11:30", "09:30", 1)), replicas, "", time.Time{}},
		"only the status was ever written": {edit(t), replicas, "", time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			manager, at := ChangedBy(c.live, c.changes)
			if manager != c.manager || !at.Equal(c.at) {
				t.Errorf("got %q at %v, want %q at %v", manager, at, c.manager, c.at)
			}
		})
	}
}

func BenchmarkObserve(b *testing.B) {
	live := edit(b)
	b.ReportAllocs()
	for b.Loop() {
		Observe(live)
	}
}
