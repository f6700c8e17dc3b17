package cluster_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/drift/cluster"
	"github.com/pawl-dev/pawl/environments"
)

// rival sets a field again and again until it is stopped.
func (w *world) rival(object, manager, mergePatch string) (stop func()) {
	w.t.Helper()
	client, name := w.at(object)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			_, err := client.Patch(ctx, name, types.MergePatchType, []byte(mergePatch), metav1.PatchOptions{FieldManager: manager})
			if err != nil && ctx.Err() == nil {
				w.t.Error(err)
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	stop = func() { cancel(); <-done }
	w.t.Cleanup(stop)
	return stop
}

// catalogue 100
func TestAFightIsToldOnceSlowedAndEndsWhenTheOtherSideStops(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *cluster.Options) {
		o.Fights = drift.FightTerms{Corrections: 5, Within: 5 * time.Second, FirstPause: 100 * time.Millisecond, MaxPause: 2 * time.Second}
	})
	w.apply(configMap("a", "k", "1", "l", "1"), configMap("b", "k", "1"))
	before := w.mark()
	stop := w.rival("ConfigMap/a", "tuner", `{"data":{"k":"2"}}`)
	began := func() (drift.Drift, int) {
		all := w.drifts()
		for i, d := range all {
			if d.Fight == drift.FightBegan {
				return d, i
			}
		}
		return drift.Drift{}, -1
	}
	w.eventually("the fight to be recognised", func() (bool, string) {
		_, i := began()
		return i >= 0, fmt.Sprintf("%+v", w.drifts())
	})
	d, told := began()
	if d.Manager != "tuner" || d.Corrections != 6 || len(d.Changes) != 1 || d.Changes[0] != (drift.Change{Path: "data.k", From: "2", To: "1"}) || told != 5 {
		t.Errorf("notice %d: %+v", told, d)
	}

	// Slowed: what is written in a while is what the pauses allow, not what the
	// other side would get.
	patches := func() int {
		n := 0
		for _, e := range w.writesSince(before) {
			if e.Name == "a" {
				n++
			}
		}
		return n
	}
	w.eventually("pauses of two seconds", func() (bool, string) { return patches() >= 11, fmt.Sprint(patches()) })
	rival := 0
	events, err := w.plane.Audit().Since(before)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if e.Name == "a" && e.Verb == "patch" && e.UserAgent != w.agent && e.Namespace == w.namespace {
			rival++
		}
	}
	if ours := patches(); rival <= ours {
		t.Errorf("%d corrections for %d blows is not slowed", ours, rival)
	}

	// Others, and other fields of the same object, are put back as ever.
	w.edit("ConfigMap/b", `{"data":{"k":"2"}}`)
	w.eventually("b to be put back", func() (bool, string) {
		data := w.get("ConfigMap/b").Object["data"].(map[string]any)
		return data["k"] == "1", fmt.Sprint(data)
	})
	w.edit("ConfigMap/a", `{"data":{"l":"2"}}`)
	w.eventually("another field of a to be put back", func() (bool, string) {
		data := w.get("ConfigMap/a").Object["data"].(map[string]any)
		return data["l"] == "1", fmt.Sprint(data)
	})

	stop()
	w.eventually("the end to be told", func() (bool, string) {
		all := w.drifts()
		last := all[len(all)-1]
		return last.Fight == drift.FightEnded, fmt.Sprintf("%+v", last)
	})
	if data := w.get("ConfigMap/a").Object["data"].(map[string]any); data["k"] != "1" {
		t.Errorf("the fight has ended, and it is %v", data)
	}
	all := w.drifts()
	end := all[len(all)-1]
	if end.Manager != "tuner" || end.Corrections < 8 || end.CorrectedAt.IsZero() || !end.CorrectedAt.After(end.SeenAt) {
		t.Errorf("got %+v", end)
	}
	ofA := 0
	for _, d := range all {
		if d.Object.Name == "a" {
			ofA++
		}
	}
	if ofA != 8 { // five corrections, the beginning, the other field, the end
		t.Errorf("%d notices of one fight: %+v", ofA, all)
	}
	// From then on it is put back at once again, and told.
	w.edit("ConfigMap/a", `{"data":{"k":"3"}}`)
	w.eventually("drift after the fight to be told", func() (bool, string) {
		all := w.drifts()
		last := all[len(all)-1]
		return last.Fight == "" && last.Manager == "kubectl-edit", fmt.Sprintf("%+v", last)
	})
}

// catalogue 100
func TestASecondRivalIsSlowedAndToldAndSoIsAPersonBetweenThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *cluster.Options) {
		o.Fights = drift.FightTerms{Corrections: 5, Within: 30 * time.Second, FirstPause: time.Second, MaxPause: time.Minute}
	})
	w.apply(configMap("a", "k", "1", "l", "1", "m", "1"))
	fought := func() (fields []string) {
		for _, d := range w.drifts() {
			if d.Fight == drift.FightBegan {
				for _, c := range d.Changes {
					fields = append(fields, c.Path)
				}
			}
		}
		return fields
	}
	w.rival("ConfigMap/a", "tuner", `{"data":{"k":"2"}}`)
	w.eventually("a fight", func() (bool, string) { f := fought(); return len(f) == 1, fmt.Sprint(f) })
	w.rival("ConfigMap/a", "second", `{"data":{"l":"2"}}`)
	w.eventually("a fight for the second field", func() (bool, string) { f := fought(); return slices.Contains(f, "data.l"), fmt.Sprint(f) })
	// What is told of both, who strike in any order, comes to an end as well.
	last, since := -1, time.Now()
	w.eventually("silence", func() (bool, string) {
		if n := len(w.drifts()); n != last {
			last, since = n, time.Now()
		}
		return time.Since(since) > 3*time.Second, fmt.Sprintf("%d: %+v", last, w.drifts())
	})
	// An edit right before the rivals are answered goes with theirs, unseen.
	w.edit("ConfigMap/a", `{"data":{"m":"by hand"}}`)
	edited := time.Now()
	w.eventually("a person's edit to be told and put back", func() (bool, string) {
		all := w.drifts()
		told := slices.ContainsFunc(all[last:], func(d drift.Drift) bool {
			return slices.Contains(d.Changes, drift.Change{Path: "data.m", From: "by hand", To: "1"})
		})
		data := w.get("ConfigMap/a").Object["data"].(map[string]any)
		if !told && data["m"] == "1" && time.Since(edited) > time.Second {
			w.edit("ConfigMap/a", `{"data":{"m":"by hand"}}`)
			edited = time.Now()
		}
		return told && data["m"] == "1", fmt.Sprintf("%v, %+v", data, all[last:])
	})
}

// catalogue 100
func TestWhoWritesOverOurMarkIsNamedWithWhatTheyChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *cluster.Options) {
		o.Fights = drift.FightTerms{Corrections: 2, Within: 30 * time.Second, FirstPause: time.Minute, MaxPause: time.Minute}
	})
	w.settings.Adopt = []environments.Tool{environments.Helm}
	helm := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: '{ns}', labels: {app.kubernetes.io/managed-by: Helm}, annotations: {meta.helm.sh/release-name: web, meta.helm.sh/release-namespace: shop}}\ndata: {k: helm}\n"
	w.create(helm)
	w.apply(configMap("a", "k", "1"))
	client, _ := w.at("ConfigMap/a")
	for n := range 3 { // as a helm upgrade, which knows nothing of our labels
		o := object(t, strings.ReplaceAll(helm, "{ns}", w.namespace))
		if _, err := client.Update(t.Context(), o, metav1.UpdateOptions{FieldManager: "helm"}); err != nil {
			t.Fatal(err)
		}
		w.eventually("drift to be told", func() (bool, string) { return len(w.drifts()) > n, fmt.Sprintf("%+v", w.drifts()) })
	}
	for _, d := range w.drifts() {
		if d.Manager != "helm" || d.Deleted || !slices.Contains(d.Changes, drift.Change{Path: "data.k", From: "helm", To: "1"}) {
			t.Errorf("got %+v", d)
		}
	}
	if last := w.drifts()[2]; last.Fight != drift.FightBegan {
		t.Errorf("got %+v", last)
	}
	if _, err := client.Update(t.Context(), object(t, strings.ReplaceAll(helm, "{ns}", w.namespace)), metav1.UpdateOptions{FieldManager: "helm"}); err != nil {
		t.Fatal(err)
	}
	h := w.healthBecomes(drift.Progressing) // it is left to them for a minute
	if got := fmt.Sprintf("%+v", h.Objects); !strings.Contains(got, "has lost its label pawl.dev/target") {
		t.Errorf("got %s", got)
	}
}

// catalogue 100
func TestWhoDeletesAndMakesAnObjectAnewIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(configMap("a", "k", "1"))
	client, _ := w.at("ConfigMap/a")
	w.eventually("another's object to be found in its place", func() (bool, string) {
		_ = client.Delete(t.Context(), "a", metav1.DeleteOptions{})
		o := object(t, strings.ReplaceAll(configMap("a", "k", "other"), "{ns}", w.namespace))
		_, _ = client.Create(t.Context(), o, metav1.CreateOptions{FieldManager: "replacer"}) // if it is faster
		found := slices.ContainsFunc(w.drifts(), func(d drift.Drift) bool {
			return d.Deleted && d.Manager == "replacer" && slices.Contains(d.Changes, drift.Change{Path: "data.k", From: "other", To: "1"})
		})
		return found, fmt.Sprintf("%+v", w.drifts())
	})
}

// catalogue 49
func TestAnImageSetByHandIsPutBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(deployment("web", 1, ""))
	w.healthBecomes(drift.Current)
	before := w.mark()
	client, _ := w.at("Deployment/web")
	patch := `{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"docker.io/evil/unsigned:1"}]}}}}`
	if _, err := client.Patch(t.Context(), "web", types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: "kubectl-set"}); err != nil {
		t.Fatal(err)
	}
	d := w.noticed()
	want := drift.Change{Path: "spec.template.spec.containers[name=web].image", From: "docker.io/evil/unsigned:1", To: "ghcr.io/acme/web@" + digestA}
	if d.Manager != "kubectl-set" || len(d.Changes) != 1 || d.Changes[0] != want || d.CorrectedAt.IsZero() {
		t.Errorf("got %+v", d)
	}
	if writes := w.writesSince(before); len(writes) != 1 {
		t.Errorf("got %v", writes)
	}
}

// rewrite makes the API server itself set the image of the world's Deployments,
// by a mutating admission policy, and waits until it does.
func (w *world) rewrite(image string) (stop func()) {
	w.t.Helper()
	return w.admission("deployments", fmt.Sprintf(`JSONPatch{op: "replace", path: "/spec/template/spec/containers/0/image", value: %q}`, image), deployment("probe", 0, ""), image)
}

// admission makes the API server change the world's objects of a kind by a
// mutating admission policy. The probe shows when it does: then its content has
// the text.
func (w *world) admission(resource, patch, probe, text string) (stop func()) {
	w.t.Helper()
	ctx, name := context.Background(), "rewrite-"+w.namespace
	policies := schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingadmissionpolicies"}
	bindings := policies
	bindings.Resource = "mutatingadmissionpolicybindings"
	policy := object(w.t, fmt.Sprintf(`
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: %[1]s}
spec:
  failurePolicy: Fail
  reinvocationPolicy: Never
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %[2]s}}
    resourceRules: [{apiGroups: ["", apps], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [%[3]s]}]
  mutations:
  - patchType: JSONPatch
    jsonPatch: {expression: '[%[4]s]'}
`, name, w.namespace, resource, patch))
	binding := object(w.t, fmt.Sprintf(`
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: %[1]s}
spec: {policyName: %[1]s}
`, name))
	if _, err := w.dynamic.Resource(policies).Create(ctx, policy, metav1.CreateOptions{}); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.dynamic.Resource(bindings).Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		w.t.Fatal(err)
	}
	example := object(w.t, strings.ReplaceAll(probe, "{ns}", w.namespace))
	client, _ := w.at(example.GetKind() + "/" + example.GetName())
	dry := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
	rewrites := func() (bool, string) {
		o, err := client.Create(ctx, example, dry)
		if err != nil {
			return false, err.Error()
		}
		delete(o.Object, "metadata")
		return strings.Contains(fmt.Sprint(o.Object), text), fmt.Sprint(o.Object)
	}
	w.eventually("objects to be rewritten", rewrites)
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		for _, resource := range []schema.GroupVersionResource{bindings, policies} {
			if err := w.dynamic.Resource(resource).Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
				w.t.Error(err)
			}
		}
		w.eventually("objects to be left alone", func() (bool, string) { is, saw := rewrites(); return !is, saw })
	}
	w.t.Cleanup(stop)
	return stop
}

// catalogue 50
func TestAnImageThatAdmissionRewritesIsRefusedBeforeItRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.rewrite("docker.io/evil/other:1")
	err := w.refused(deployment("web", 1, ""))
	if want := "spec.template.spec.containers[0].image: admission in the cluster (a mutating webhook or policy) makes docker.io/evil/other:1 of it, which was not verified"; !strings.Contains(err.Error(), want) {
		t.Errorf("got %v", err)
	}
	if w.lookup("Deployment/web") != nil {
		t.Error("it was made")
	}
}

// catalogue 50
func TestTheSameImageFromAMirrorIsFine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.rewrite("mirror.acme.example/web@" + digestA)
	w.apply(deployment("web", 1, ""))
	w.healthBecomes(drift.Current)
	if drifts := w.drifts(); len(drifts) > 0 {
		t.Errorf("got %+v", drifts)
	}
}

// catalogue 50
func TestAnImageThatAdmissionRewritesLaterIsReportedAndNotFoughtFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settings.Drift = environments.DriftCorrect
	w.apply(deployment("web", 1, ""), configMap("a", "k", "1"))
	w.healthBecomes(drift.Current)
	stop := w.rewrite("docker.io/evil/other:1")
	before := w.mark()
	w.edit("Deployment/web", `{"spec":{"replicas":2}}`) // whose request admission rewrites
	h := w.healthBecomes(drift.Failed)
	if message := fmt.Sprintf("%+v", h.Objects); !strings.Contains(message, "makes docker.io/evil/other:1 of it, which was not verified") {
		t.Errorf("got %s", message)
	}
	d := w.noticed()
	if d.Err == nil || !strings.Contains(d.Err.Error(), "which was not verified") || !d.CorrectedAt.IsZero() {
		t.Errorf("got %+v", d)
	}
	w.eventually("several tries", func() (bool, string) {
		n := len(w.writesSince(before))
		return n >= 4, fmt.Sprint(n)
	})
	if n := len(w.drifts()); n != 1 {
		t.Errorf("told %d times: %+v", n, w.drifts())
	}
	stop()
	w.healthBecomes(drift.Current)
	if got := fmt.Sprint(w.get("Deployment/web").Object["spec"]); !strings.Contains(got, "ghcr.io/acme/web@"+digestA) || strings.Contains(got, "evil") {
		t.Errorf("got %s", got)
	}
}
