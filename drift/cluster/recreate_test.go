package cluster_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pawl-dev/pawl/drift"
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
