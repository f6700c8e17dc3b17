package cluster_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pawl-dev/pawl/drift"
)

const service = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: '{ns}'}
spec:
  selector: {app: web}
  ports:
  - {name: http, port: 80, targetPort: 8080}
  - {name: admin, port: 9000, protocol: TCP}
`

// ports are those of a Service, "name:port".
func ports(o *unstructured.Unstructured) []string {
	list, _, _ := unstructured.NestedSlice(o.Object, "spec", "ports")
	var found []string
	for _, item := range list {
		m := item.(map[string]any)
		found = append(found, fmt.Sprintf("%v:%v", m["name"], m["port"]))
	}
	return found
}

// What plain forced apply cannot put back: the server would have two ports of a
// name.
//
// catalogue 104
func TestAPortChangedUnderTheSameNameIsPutBack(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]string{
		"one":      `{"spec":{"ports":[{"name":"http","port":81},{"name":"admin","port":9000}]}}`,
		"both":     `{"spec":{"ports":[{"name":"http","port":81},{"name":"admin","port":9001}]}}`,
		"swapped":  `{"spec":{"ports":[{"name":"http","port":9000},{"name":"admin","port":80}]}}`,
		"and more": `{"spec":{"ports":[{"name":"http","port":81},{"name":"admin","port":9000},{"name":"theirs","port":7000}]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.apply(service)
			before, mark := w.get("Service/web"), w.mark()
			w.edit("Service/web", edit)
			want := []string{"http:80", "admin:9000"}
			if name == "and more" {
				want = append(want, "theirs:7000") // is not declared, and collides with nothing
			}
			w.eventually("the ports to be put back", func() (bool, string) {
				got := ports(w.get("Service/web"))
				return cmp.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))), fmt.Sprint(got)
			})
			d := w.noticed()
			if d.Err != nil || d.CorrectedAt.IsZero() || d.Manager != "kubectl-edit" || len(d.Changes) == 0 {
				t.Errorf("got %+v", d)
			}
			if after := w.get("Service/web"); after.GetUID() != before.GetUID() {
				t.Error("it was deleted and made again")
			}
			for _, e := range w.writesSince(mark) {
				if e.Verb != "patch" {
					t.Errorf("got %s", e)
				}
			}
			// Nothing of ours is left behind: what leaves the release goes.
			w.apply(strings.Replace(service, "  - {name: admin, port: 9000, protocol: TCP}\n", "", 1))
			if got := ports(w.get("Service/web")); strings.Contains(fmt.Sprint(got), "admin") {
				t.Errorf("admin left the release, and the ports are %v", got)
			}
		})
	}
}

func TestAContainerPortChangedUnderTheSameNameIsPutBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(strings.Replace(deployment("web", 0, ""), "{containerPort: 8080}", "{containerPort: 8080, name: http}", 1))
	uid := w.get("Deployment/web").GetUID()
	client, _ := w.at("Deployment/web")
	patch := `[{"op":"replace","path":"/spec/template/spec/containers/0/ports/0/containerPort","value":8081}]`
	if _, err := client.Patch(t.Context(), "web", types.JSONPatchType, []byte(patch), metav1.PatchOptions{FieldManager: "kubectl-edit"}); err != nil {
		t.Fatal(err)
	}
	d := w.noticed()
	containers, _, _ := unstructured.NestedSlice(w.get("Deployment/web").Object, "spec", "template", "spec", "containers")
	got := containers[0].(map[string]any)["ports"]
	want := []any{map[string]any{"containerPort": int64(8080), "name": "http", "protocol": "TCP"}}
	if diff := cmp.Diff(want, got); diff != "" || d.Err != nil || d.CorrectedAt.IsZero() {
		t.Errorf("%s %+v", diff, d)
	}
	if w.get("Deployment/web").GetUID() != uid {
		t.Error("it was deleted and made again")
	}
}

// An object that another tool made is taken over, though its port collides.
func TestTakingOverWhatCollides(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := w.create(`{apiVersion: v1, kind: Service, metadata: {name: web, namespace: '{ns}'}, spec: {ports: [{name: http, port: 81}]}}`)
	release := w.verified(service, configMap("a", "k", "1"))
	plan, err := w.cluster.Plan(t.Context(), release, drift.Terms{Environment: w.settings})
	if err != nil {
		t.Fatal(err)
	}
	if got := plan.Steps[0].Reason; !strings.Contains(got, "takes out spec.ports[port=81,protocol=TCP], which is in the way") {
		t.Errorf("got %q", got)
	}
	w.apply(service, configMap("a", "k", "1"))
	after := w.get("Service/web")
	if diff := cmp.Diff([]string{"http:80", "admin:9000"}, ports(after)); diff != "" || after.GetUID() != made.GetUID() {
		t.Errorf("%s in %v", diff, after)
	}
	// What is wrong by itself is refused all the same, and nothing is touched.
	w2 := newWorld(t)
	made = w2.create(`{apiVersion: v1, kind: Service, metadata: {name: web, namespace: '{ns}'}, spec: {ports: [{name: http, port: 81}]}}`)
	w2.refused(strings.Replace(service, "name: admin", "name: http", 1), configMap("a", "k", "1"))
	if now := w2.get("Service/web"); now.GetResourceVersion() != made.GetResourceVersion() {
		t.Error("refused, and yet changed")
	}
}

// catalogue 104
func TestDuplicatesAddedByHandAreTakenOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	env := strings.Replace(deployment("web", 0, ""), "        ports:", "        env: [{name: MODE, value: live}]\n        ports:", 1)
	w.apply(env)
	client, _ := w.at("Deployment/web")
	patch := `[{"op":"add","path":"/spec/template/spec/containers/0/env/1","value":{"name":"MODE","value":"debug"}}]`
	if _, err := client.Patch(t.Context(), "web", types.JSONPatchType, []byte(patch), metav1.PatchOptions{FieldManager: "kubectl-edit"}); err != nil {
		t.Fatal(err)
	}
	w.eventually("one MODE", func() (bool, string) {
		containers, _, _ := unstructured.NestedSlice(w.get("Deployment/web").Object, "spec", "template", "spec", "containers")
		got := containers[0].(map[string]any)["env"]
		return cmp.Equal(got, []any{map[string]any{"name": "MODE", "value": "live"}}), fmt.Sprint(got, w.drifts())
	})
}
