package cluster_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
)

const asksForRecreation = "annotations: {pawl.dev/recreate: on-immutable-change}"

// recreatable is a Deployment that may be deleted and made again.
func recreatable(app string, replicas int) string {
	text := strings.ReplaceAll(deployment("web", replicas, ""), "app: web", "app: "+app)
	return strings.Replace(text, "metadata: {name: web,", "metadata: {"+asksForRecreation+", name: web,", 1)
}

// catalogue 88
func TestAnImmutableFieldIsRefusedAndTheOptInNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(deployment("web", 0, ""), configMap("a", "k", "1"))
	uid := w.get("Deployment/web").GetUID()
	// Alone it is its own trial; beside another it is tried by dry run.
	for _, beside := range []string{configMap("a", "k", "1"), configMap("a", "k", "2")} {
		release := w.verified(strings.ReplaceAll(deployment("web", 0, ""), "app: web", "app: api"), beside)
		_, err := w.cluster.Apply(t.Context(), release, drift.Terms{Environment: w.settings})
		var rejected *drift.Rejected
		if !errors.As(err, &rejected) || len(rejected.Problems) != 1 {
			t.Fatalf("got %v", err)
		}
		want := "Deployment " + w.namespace + "/web: spec.selector: spec.selector cannot be changed in a live object; take the change back, or have the object deleted and made again: annotate it with pawl.dev/recreate: on-immutable-change"
		if got := rejected.Problems[0].String(); got != want {
			t.Errorf("got %s", got)
		}
	}
	if got := w.get("Deployment/web").GetUID(); got != uid {
		t.Error("it was deleted")
	}
	if k := w.get("ConfigMap/a").Object["data"].(map[string]any)["k"]; k != "1" {
		t.Error("another object was written")
	}
}

// catalogue 88
func TestAnObjectIsRecreatedOnItsOwnWordOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(recreatable("web", 0), configMap("a", "k", "1"))
	w.healthBecomes(drift.Current)
	uid := w.get("Deployment/web").GetUID()

	// Every other complaint leaves it alone, word or not.
	for _, bad := range []string{
		recreatable("web", -1),
		recreatable("api", -1),
		strings.Replace(recreatable("api", 0), "labels: {app: api}", "labels: {app: web}", 1),
		strings.Replace(recreatable("api", 0), "replicas:", "replicaz:", 1),
	} {
		w.refused(bad, configMap("a", "k", "1"))
		if got := w.get("Deployment/web").GetUID(); got != uid {
			t.Fatal("it was deleted for", bad)
		}
	}

	// One bad object beside it, and it is not deleted either.
	w.refused(recreatable("api", 0), strings.Replace(deployment("other", 1, ""), "replicas: 1", "replicas: -1", 1))
	if got := w.get("Deployment/web").GetUID(); got != uid {
		t.Fatal("it was deleted before everything was tried")
	}

	before := w.mark()
	release := w.verified(recreatable("api", 0), configMap("a", "k", "1"))
	plan, err := w.cluster.Plan(t.Context(), release, drift.Terms{})
	if err != nil {
		t.Fatal(err)
	}
	want := []drift.Step{
		{Object: drift.ObjectID{Kind: "ConfigMap", Namespace: w.namespace, Name: "a"}, Action: drift.Unchanged},
		{
			Object: drift.ObjectID{Group: "apps", Kind: "Deployment", Namespace: w.namespace, Name: "web"}, Action: drift.Recreate,
			Reason:  "spec.selector cannot be changed in a live object; deleted and made again, as it asks for by pawl.dev/recreate",
			Changes: []drift.Change{{Path: "spec.selector", From: `{"matchLabels":{"app":"web"}}`, To: `{"matchLabels":{"app":"api"}}`}},
		},
	}
	if diff := cmp.Diff(want, plan.Steps); diff != "" {
		t.Error(diff)
	}
	if writes := w.writesSince(before); len(writes) > 0 {
		t.Fatalf("planned, and yet written: %v", writes)
	}

	w.apply(recreatable("api", 0), configMap("a", "k", "1"))
	if got := w.get("Deployment/web").GetUID(); got == uid {
		t.Error("it was not made again")
	}
	var verbs []string
	for _, e := range w.writesSince(before) {
		if e.Name == "web" {
			verbs = append(verbs, e.Verb)
		}
	}
	if diff := cmp.Diff([]string{"delete", "patch"}, verbs); diff != "" {
		t.Error(diff)
	}
	w.healthBecomes(drift.Current)
	if drifts := w.drifts(); len(drifts) > 0 {
		t.Errorf("our own deletion was taken for drift: %+v", drifts)
	}
	// It is kept, and can be pruned, like any other.
	inv, err := w.stored()
	if err != nil || inv.Entries[drift.IDOf(w.get("Deployment/web"))].Adopted {
		t.Errorf("got %+v, %v", inv, err)
	}
}

// catalogue 88
func TestWhatAnotherMadeIsNotDeletedToBeRecreated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := w.create(strings.ReplaceAll(deployment("web", 0, ""), "app: web", "app: theirs"))
	err := w.refused(recreatable("web", 0), configMap("a", "k", "1"))
	if !strings.Contains(err.Error(), "not applied by this target") {
		t.Errorf("got %v", err)
	}
	if got := w.get("Deployment/web").GetUID(); got != made.GetUID() {
		t.Error("it was deleted")
	}
}

// An object that waits for a finalizer is made again as soon as it is gone.
func TestARecreationWaitsUntilTheOldOneIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fixed := func(value string) string {
		return strings.Replace(configMap("fixed", "k", value), "metadata: {", "immutable: true\nmetadata: {"+asksForRecreation+", ", 1)
	}
	w.apply(fixed("1"), configMap("a", "k", "1"))
	w.edit("ConfigMap/fixed", `{"metadata":{"finalizers":["acme.example/wait"]}}`)
	uid := w.get("ConfigMap/fixed").GetUID()
	done := make(chan error, 1)
	release := w.verified(fixed("2"), configMap("a", "k", "1"))
	go func() {
		_, err := w.cluster.Apply(t.Context(), release, drift.Terms{Environment: w.settings})
		done <- err
	}()
	w.eventually("its deletion to begin", func() (bool, string) {
		return w.get("ConfigMap/fixed").GetDeletionTimestamp() != nil, "not deleted"
	})
	select {
	case err := <-done:
		t.Fatalf("it did not wait: %v", err)
	default:
	}
	w.edit("ConfigMap/fixed", `{"metadata":{"finalizers":null}}`)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	again := w.get("ConfigMap/fixed")
	if data := again.Object["data"].(map[string]any); data["k"] != "2" || again.GetUID() == uid {
		t.Errorf("got %v", again)
	}
}

// What was only taken over holds what is not of the release.
func TestWhatWasTakenOverIsNotDeletedToBeMadeAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fixed := func(v string) string {
		return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: '{ns}', annotations: {pawl.dev/recreate: on-immutable-change}}\nimmutable: true\ndata: {v: '" + v + "'}\n"
	}
	uid := w.create("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: '{ns}'}\nimmutable: true\ndata: {v: '1', theirs: precious}\n").GetUID()
	w.apply(fixed("1"))
	w.restart()
	if err := w.refused(fixed("2")); !strings.Contains(err.Error(), "it was there before it was first applied, so it is not deleted") {
		t.Errorf("got %v", err)
	}
	if got := w.get("ConfigMap/a").GetUID(); got != uid {
		t.Error("it was deleted")
	}
}

// returning applies a release as one that was good and returns.
func (w *world) returning(documents ...string) (drift.Applied, error) {
	w.t.Helper()
	return w.cluster.Apply(w.t.Context(), w.verified(documents...), drift.Terms{Environment: w.settings, Returning: true, GoodAt: time.Now()})
}

// The failed release alone asks for its object to be made again, which is what
// made it: a rollback may do the same.
//
// catalogue 88, 120
func TestARollbackRecreatesOnTheWordOfTheReleaseThatIsLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := []string{deployment("web", 0, ""), configMap("a", "k", "1")}
	w.apply(good...)
	w.apply(recreatable("api", 0), configMap("a", "k", "2"))
	bad := w.get("Deployment/web").GetUID()

	// A commit that takes both back takes the word back: that is refused as ever.
	if err := w.refused(good...); !strings.Contains(err.Error(), "annotate it with pawl.dev/recreate") {
		t.Errorf("got %v", err)
	}
	w.restart() // what was applied is known from the cluster alone
	applied, err := w.returning(good...)
	if err != nil {
		t.Fatal(err)
	}
	web := w.get("Deployment/web")
	if web.GetUID() == bad || web.GetAnnotations()[drift.AnnotationRecreate] != "" {
		t.Errorf("it was not made again, or has still the word: %v", web.Object["metadata"])
	}
	if k := w.get("ConfigMap/a").Object["data"].(map[string]any)["k"]; k != "1" {
		t.Error("the other object did not return")
	}
	again := slices.IndexFunc(applied.Steps, func(s drift.Step) bool { return s.Action == drift.Recreate })
	if again < 0 || !strings.HasSuffix(applied.Steps[again].Reason, "as it was applied with pawl.dev/recreate") {
		t.Errorf("told are %+v", applied.Steps)
	}
	w.healthBecomes(drift.Current)
}

// Whoever may write the live object cannot have it deleted by that.
//
// catalogue 88, 120
func TestARollbackDeletesNothingOnAWordOfOthers(t *testing.T) {
	t.Parallel()
	fixed := func(value, annotations string) string {
		return strings.Replace(configMap("fixed", "k", value), "metadata: {", "immutable: true\nmetadata: {"+annotations, 1)
	}
	const word = `{"metadata":{"annotations":{"pawl.dev/recreate":"on-immutable-change"}}}`
	patch := func(w *world, manager string, how types.PatchType, body string, force *bool) {
		w.t.Helper()
		client, name := w.at("ConfigMap/fixed")
		if _, err := client.Patch(w.t.Context(), name, how, []byte(body), metav1.PatchOptions{FieldManager: manager, Force: force}); err != nil {
			w.t.Fatal(err)
		}
	}
	force := true
	for name, c := range map[string]struct {
		write func(w *world)
		want  string
	}{
		"kubectl annotate":      {func(w *world) { patch(w, "kubectl-annotate", types.MergePatchType, word, nil) }, "neither the release that returns nor the one that was applied last"},
		"an update in our name": {func(w *world) { patch(w, drift.FieldManager, types.MergePatchType, word, nil) }, "neither the release that returns nor the one that was applied last"},
		"another's apply": {func(w *world) {
			patch(w, "argocd", types.ApplyPatchType, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"fixed","annotations":{"pawl.dev/recreate":"on-immutable-change"}}}`, &force)
		}, "neither the release that returns nor the one that was applied last"},
		"an apply in our name": {func(w *world) {
			o := w.get("ConfigMap/fixed")
			labels, _ := json.Marshal(o.GetLabels())
			patch(w, drift.FieldManager, types.ApplyPatchType, `{"apiVersion":"v1","kind":"ConfigMap","immutable":true,"data":{"k":"2"},"metadata":{"name":"fixed","labels":`+string(labels)+`,"annotations":{"pawl.dev/recreate":"on-immutable-change"}}}`, &force)
		}, "it is not as it was applied last"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.settings.Drift = environments.DriftReport // or it is taken off before anybody looks
			w.apply(fixed("2", ""), configMap("a", "k", "1"))
			uid := w.get("ConfigMap/fixed").GetUID()
			c.write(w)
			if w.get("ConfigMap/fixed").GetAnnotations()[drift.AnnotationRecreate] == "" {
				t.Fatal("the word is not there")
			}
			before := w.mark()
			_, err := w.returning(fixed("1", ""), configMap("a", "k", "0"))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
			if got := w.get("ConfigMap/fixed").GetUID(); got != uid {
				t.Error("it was deleted")
			}
			if writes := w.writesSince(before); len(writes) > 0 {
				t.Errorf("written: %v", writes)
			}
		})
	}
}

// What a release took over stays as that one left it, and a rollback says so.
//
// catalogue 99, 120
func TestARollbackNamesWhatItDoesNotRestore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(configMap("a", "k", "1"))
	w.create(configMap("theirs", "k", "before"))
	w.apply(configMap("a", "k", "2"), configMap("theirs", "k", "ours"), configMap("new"))
	w.restart()
	applied, err := w.returning(configMap("a", "k", "1"))
	if err != nil {
		t.Fatal(err)
	}
	if want := []drift.ObjectID{{Kind: "ConfigMap", Namespace: w.namespace, Name: "theirs"}}; !slices.Equal(applied.Unrestored, want) {
		t.Errorf("not restored are %v", applied.Unrestored)
	}
	if k := w.get("ConfigMap/theirs").Object["data"].(map[string]any)["k"]; k != "ours" {
		t.Errorf("it says %q", k)
	}
}
