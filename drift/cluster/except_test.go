package cluster_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
)

// ignoring is a deployment that leaves fields to others.
func ignoring(name string, replicas int, fields string) string {
	return strings.Replace(deployment(name, replicas, ""), "namespace: '{ns}'}", `namespace: '{ns}', annotations: {pawl.dev/ignore: "`+fields+`"}}`, 1)
}

// scale does what an autoscaler or kubectl scale does.
func (w *world) scale(name string, replicas int) {
	w.t.Helper()
	client, _ := w.at("Deployment/" + name)
	body := fmt.Sprintf(`{"spec":{"replicas":%d}}`, replicas)
	if _, err := client.Patch(context.Background(), name, types.MergePatchType, []byte(body), metav1.PatchOptions{FieldManager: "kube-controller-manager"}, "scale"); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) replicas(name string) int64 {
	w.t.Helper()
	n, _, _ := unstructured.NestedInt64(w.get("Deployment/"+name).Object, "spec", "replicas")
	return n
}

// calm edits another object and waits until that is put back: whatever was seen
// before it was judged.
func (w *world) calm(object string) {
	w.t.Helper()
	n := len(w.drifts())
	w.edit(object, `{"data":{"k":"by hand"}}`)
	w.eventually("an edit to be put back", func() (bool, string) { return len(w.drifts()) > n, fmt.Sprint(w.drifts()) })
}

// catalogue 98
func TestAnIgnoredFieldIsMadeAndThenLeftToItsAutoscaler(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const fields = "spec.replicas, spec.template.spec.containers[name=web].resources"
	release := []string{ignoring("web", 2, fields), configMap("a", "k", "1")}
	w.apply(release...)
	if w.replicas("web") != 2 {
		t.Fatalf("it was made with %d replicas", w.replicas("web"))
	}
	owned, _, _ := unstructured.NestedSlice(w.get("Deployment/web").Object, "metadata", "managedFields")
	for _, m := range owned {
		if spec, _, _ := unstructured.NestedMap(m.(map[string]any), "fieldsV1", "f:spec"); spec["f:replicas"] != nil {
			t.Errorf("%v owns replicas", m.(map[string]any)["manager"])
		}
	}
	w.healthBecomes(drift.Current)

	before := w.mark()
	for _, n := range []int{3, 4, 5} {
		w.scale("web", n)
	}
	w.edit("Deployment/web", `{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"ghcr.io/acme/web@`+digestA+`","ports":[{"containerPort":8080,"protocol":"TCP"}],"resources":{"limits":{"cpu":"2"}}}]}}}}`)
	w.calm("ConfigMap/a")
	for _, e := range w.writesSince(before) {
		if e.Name == "web" {
			t.Errorf("what is ignored was written: %s", e)
		}
	}

	// Another field of it is put back, and nothing else.
	n := len(w.drifts())
	w.edit("Deployment/web", `{"metadata":{"annotations":{"pawl.dev/ignore":"spec"}}}`)
	w.eventually("the edit to be put back", func() (bool, string) { return len(w.drifts()) > n, "" })
	if d := w.drifts()[n]; len(d.Changes) != 1 || d.Changes[0].Path != "metadata.annotations[pawl.dev/ignore]" {
		t.Errorf("got %+v", d)
	}
	if w.replicas("web") != 5 {
		t.Errorf("putting back another field made %d replicas of 5", w.replicas("web"))
	}

	// Nor do a restart and later releases reset it, though one declares another
	// value, and one changes other fields.
	w.restart()
	before = w.mark()
	w.apply(release...)
	if writes := w.writesSince(before); len(writes) > 0 {
		t.Errorf("a restart wrote %v", writes)
	}
	w.apply(ignoring("web", 7, fields), configMap("a", "k", "1"))
	for _, e := range w.writesSince(before) {
		if e.Name == "web" {
			t.Errorf("a release that only declares another value of it wrote %s", e)
		}
	}
	w.apply(strings.Replace(ignoring("web", 7, fields), "spec:\n  replicas", "spec:\n  minReadySeconds: 1\n  replicas", 1), configMap("a", "k", "1"))
	o := w.get("Deployment/web")
	if seconds, _, _ := unstructured.NestedInt64(o.Object, "spec", "minReadySeconds"); w.replicas("web") != 5 || seconds != 1 {
		t.Errorf("got %d replicas, and minReadySeconds %d", w.replicas("web"), seconds)
	}
	containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
	if cpu, _, _ := unstructured.NestedString(containers[0].(map[string]any), "resources", "limits", "cpu"); cpu != "2" {
		t.Errorf("the item's ignored field is %s", cpu)
	}

	// Deleted, it is made again as it is declared now; there is nobody's value left.
	w.delete("Deployment/web")
	w.eventually("it to be made again", func() (bool, string) { o := w.lookup("Deployment/web"); return o != nil && o.GetUID() != "", "" })
	w.eventually("its replicas to be left alone again", func() (bool, string) {
		return !slices.ContainsFunc(owners(w.get("Deployment/web"), "f:replicas"), func(m string) bool { return m == drift.FieldManager }), "owned"
	})
	if w.replicas("web") != 7 {
		t.Errorf("it was made again with %d", w.replicas("web"))
	}

	// Without the exception it is put back.
	w.scale("web", 3)
	w.apply(deployment("web", 1, ""), configMap("a", "k", "1"))
	if w.replicas("web") != 1 {
		t.Errorf("no longer ignored, it has %d", w.replicas("web"))
	}
	n = len(w.drifts())
	w.scale("web", 3)
	w.eventually("drift of what is no longer ignored", func() (bool, string) { return len(w.drifts()) > n, "" })
	if w.replicas("web") != 1 {
		t.Errorf("no longer ignored, it has %d", w.replicas("web"))
	}
}

// owners are the managers of a field of the spec.
func owners(o *unstructured.Unstructured, field string) []string {
	var found []string
	entries, _, _ := unstructured.NestedSlice(o.Object, "metadata", "managedFields")
	for _, e := range entries {
		if spec, _, _ := unstructured.NestedMap(e.(map[string]any), "fieldsV1", "f:spec"); spec[field] != nil {
			found = append(found, e.(map[string]any)["manager"].(string))
		}
	}
	return found
}

// Whoever owns the field when it is first ignored, its live value stays: the API
// server removes a field that its only owner stops to apply.
func TestAnExceptionThatIsAddedLaterKeepsTheLiveValue(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		by   func(w *world)
		want int64
	}{
		"owned by us alone":     {func(*world) {}, 3},
		"owned by others, too":  {func(w *world) { w.edit("Deployment/web", `{"spec":{"replicas":3}}`) }, 3},
		"changed by autoscaler": {func(w *world) { w.cluster.Close(); w.scale("web", 6); w.restart() }, 6},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.apply(deployment("web", 3, ""), configMap("a", "k", "1"))
			c.by(w)
			w.settings.Ignore = []environments.Ignore{{APIVersion: "apps/v1", Kind: "Deployment", Namespace: w.namespace[:4] + "*", Fields: []string{"spec.replicas"}}}
			before := w.mark()
			plan, err := w.cluster.Plan(t.Context(), w.verified(deployment("web", 3, ""), configMap("a", "k", "1")), drift.Terms{Environment: w.settings})
			if err != nil || len(w.writesSince(before)) > 0 {
				t.Fatal(err, w.writesSince(before))
			}
			for _, s := range plan.Steps {
				if len(s.Changes) > 0 {
					t.Errorf("pawl diff shows %v", s.Changes)
				}
			}
			w.apply(deployment("web", 3, ""), configMap("a", "k", "1"))
			if got := w.replicas("web"); got != c.want {
				t.Errorf("it has %d replicas, want %d", got, c.want)
			}
			if by := owners(w.get("Deployment/web"), "f:replicas"); slices.Contains(by, drift.FieldManager) {
				t.Errorf("its replicas are owned by %v", by)
			}
			w.scale("web", 5)
			w.calm("ConfigMap/a")
			if w.replicas("web") != 5 {
				t.Errorf("it has %d replicas, want 5", w.replicas("web"))
			}
		})
	}
}

// An exception keeps nobody from owning the field: there is no conflict.
func TestAnotherManagerMayTakeWhatIsIgnored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(ignoring("web", 2, "spec.replicas"), configMap("a", "k", "1"))
	client, _ := w.at("Deployment/web")
	body := `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"replicas":4}}`
	if _, err := client.Patch(t.Context(), "web", types.ApplyPatchType, []byte(body), metav1.PatchOptions{FieldManager: "scaler"}); err != nil {
		t.Fatal("without force:", err)
	}
	w.edit("Deployment/web", `{"spec":{"paused":true}}`)
	w.calm("ConfigMap/a")
	if diff := cmp.Diff([]string{"scaler"}, owners(w.get("Deployment/web"), "f:replicas")); diff != "" || w.replicas("web") != 4 {
		t.Error(w.replicas("web"), diff)
	}
}

func TestWhatCannotBeIgnoredByItselfIsRefusedBeforeAnyWrite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	err := w.refused(ignoring("web", 2, "spec.selector.matchLabels.app"), configMap("a", "k", "1"))
	if want := "spec.selector.matchLabels.app: cannot be ignored: the API server knows it as spec.selector; name that"; !strings.Contains(err.Error(), want) {
		t.Errorf("got %v", err)
	}
	err = w.refused(ignoring("web", 2, "spec.template.spec.containers[name=web].image"))
	if want := "metadata.annotations[pawl.dev/ignore]: spec.template.spec.containers[name=web].image cannot be ignored: it is or holds an image"; !strings.Contains(err.Error(), want) {
		t.Errorf("got %v", err)
	}
}

// catalogue 98
func TestIgnoredFieldsWhereDriftIsOnlyReported(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settings.Drift = environments.DriftReport
	w.apply(ignoring("web", 2, "spec.replicas"), configMap("a", "k", "1"))
	before := w.mark()
	w.scale("web", 5)
	w.edit("Deployment/web", `{"spec":{"template":{"metadata":{"labels":{"app":"web","by":"hand"}}}}}`)
	w.edit("Deployment/web", `{"metadata":{"annotations":{"pawl.dev/ignore":"spec.paused"}}}`)
	w.edit("ConfigMap/a", `{"data":{"k":"2"}}`)
	w.eventually("two notices", func() (bool, string) { return len(w.drifts()) >= 2, fmt.Sprint(w.drifts()) })
	for _, d := range w.drifts() {
		for _, c := range d.Changes {
			if c.Path == "spec.replicas" {
				t.Errorf("reported: %+v", d)
			}
		}
	}
	if writes := w.writesSince(before); len(writes) > 0 {
		t.Errorf("written: %v", writes)
	}
}

// Two ports of one number, of which only the other one's protocol is declared.
//
// catalogue 98
func TestAnIgnoredFieldOfOnePortLeavesTheOthersAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const dns = `
apiVersion: v1
kind: Service
metadata: {name: dns, namespace: '{ns}', annotations: {pawl.dev/ignore: "spec.ports[port=53,protocol=UDP].targetPort"}}
spec:
  selector: {app: dns}
  ports:
  - {name: dns, port: 53, targetPort: 5353}
  - {name: dns-udp, port: 53, protocol: UDP, targetPort: 5353}
`
	targets := func() (found []any) {
		ports, _, _ := unstructured.NestedSlice(w.get("Service/dns").Object, "spec", "ports")
		for _, p := range ports {
			found = append(found, p.(map[string]any)["targetPort"])
		}
		return found
	}
	w.apply(dns, configMap("a", "k", "1"))
	w.edit("Service/dns", `{"spec":{"ports":[{"name":"dns","port":53,"protocol":"TCP","targetPort":1},{"name":"dns-udp","port":53,"protocol":"UDP","targetPort":2}]}}`)
	w.noticed()
	if diff := cmp.Diff([]any{int64(5353), int64(2)}, targets()); diff != "" {
		t.Error(diff)
	}
	w.calm("ConfigMap/a")
	if n := len(w.drifts()); n != 2 {
		t.Errorf("got %+v", w.drifts())
	}
}

// What is left to others is not known to the agent, but was sent in the trial.
func TestNoValueOfASecretThatIsLeftToOthersIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	secret := func(user string) string {
		return "{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: '{ns}', annotations: {pawl.dev/ignore: data.password}}, data: {user: " + user + ", password: ZGVjbGFyZWQ=}}"
	}
	const alice, bob, rotated = "YWxpY2U=", "Ym9i", "cm90YXRlZC1saXZl"
	w.apply(secret(alice), configMap("a", "k", "1"))
	w.edit("Secret/s", `{"data":{"password":"`+rotated+`"}}`)
	w.admit("quote-"+w.namespace, "UPDATE", "secrets", `{expression: "object.data.user == 'YWxpY2U='", messageExpression: "'refused: ' + object.data.password"}`)
	client, _ := w.at("Secret/s")
	w.eventually("the policy to be enforced", func() (bool, string) {
		_, err := client.Patch(t.Context(), "s", types.MergePatchType, []byte(`{"data":{"user":"Ym9i"}}`), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
		return err != nil && strings.Contains(err.Error(), "refused: "+rotated), fmt.Sprint(err)
	})
	err := w.refused(secret(bob), configMap("a", "k", "2"))
	if strings.Contains(err.Error(), rotated) || !strings.Contains(err.Error(), "Secret "+w.namespace+"/s: the API server's words are left out") {
		t.Errorf("got %v", err)
	}
}
