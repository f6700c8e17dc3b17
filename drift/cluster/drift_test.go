package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/drift/cluster"
	"github.com/pawl-dev/pawl/environments"
)

// noticed waits for the only notice about drift.
func (w *world) noticed() drift.Drift {
	w.t.Helper()
	w.eventually("a notice of drift", func() (bool, string) { return len(w.drifts()) > 0, "none" })
	return w.drifts()[0]
}

// catalogue 104
func TestAnEditedObjectIsPutBackAndTheManagerNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(configMap("a", "k", "1"), deployment("web", 2, ""))
	w.healthBecomes(drift.Current)
	w.edit("Deployment/web", `{"spec":{"replicas":5,"minReadySeconds":1}}`)
	d := w.noticed()
	if d.Object.Name != "web" || d.Deleted || d.Err != nil || d.Manager != "kubectl-edit" || d.ChangedAt.IsZero() || d.CorrectedAt.Before(d.SeenAt) {
		t.Errorf("got %+v", d)
	}
	if diff := cmp.Diff([]drift.Change{{Path: "spec.replicas", From: "5", To: "2"}}, d.Changes); diff != "" {
		t.Error(diff)
	}
	spec := w.get("Deployment/web").Object["spec"].(map[string]any)
	if spec["replicas"] != int64(2) || spec["minReadySeconds"] != int64(1) {
		t.Errorf("got replicas %v, and minReadySeconds %v, which was never declared", spec["replicas"], spec["minReadySeconds"])
	}
	if n := len(w.drifts()); n != 1 {
		t.Errorf("one edit, %d notices: %+v", n, w.drifts())
	}
}

func TestAppliesStepAsideForEditsAndNotForThemselves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(configMap("a", "k", "1"))
	w.apply(configMap("a", "k", "2"))
	if !w.cluster.AsideUntil().IsZero() {
		t.Error("an apply stepped aside for itself")
	}
	w.edit("ConfigMap/a", `{"data":{"k":"3"}}`)
	if d := w.noticed(); w.cluster.AsideUntil().Before(d.SeenAt) {
		t.Errorf("no apply would have stepped aside for %+v", d)
	}
}

// catalogue 104
func TestADeletedObjectIsMadeAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(configMap("a", "k", "1"))
	uid := w.get("ConfigMap/a").GetUID()
	w.delete("ConfigMap/a")
	d := w.noticed()
	if d.Object.Name != "a" || !d.Deleted || d.Err != nil || d.CorrectedAt.IsZero() {
		t.Errorf("got %+v", d)
	}
	again := w.get("ConfigMap/a")
	if again.GetUID() == uid {
		t.Error("it was never deleted")
	}
	// The new uid is in the inventory, or it could not be pruned after a restart.
	w.eventually("the inventory to be stored", func() (bool, string) {
		inv, err := w.stored()
		id := drift.IDOf(again)
		return err == nil && inv.Entries[id].UID == string(again.GetUID()), fmt.Sprintf("%+v, %v", inv, err)
	})
	w.restart()
	w.apply(configMap("b"))
	if w.lookup("ConfigMap/a") != nil {
		t.Error("a was not pruned")
	}
}

// catalogue 99
func TestFieldsTakenByAnotherManagerComeBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(configMap("a", "ours", "1"))
	client, _ := w.at("ConfigMap/a")
	force := true
	_, err := client.Patch(t.Context(), "a", types.ApplyPatchType, []byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"ours":"taken","theirs":"2"}}`), metav1.PatchOptions{FieldManager: "helm", Force: &force})
	if err != nil {
		t.Fatal(err)
	}
	if d := w.noticed(); d.Manager != "helm" || len(d.Changes) != 1 || d.Changes[0] != (drift.Change{Path: "data.ours", From: "taken", To: "1"}) {
		t.Errorf("got %+v", d)
	}
	if diff := cmp.Diff(map[string]any{"ours": "1", "theirs": "2"}, w.get("ConfigMap/a").Object["data"]); diff != "" {
		t.Error("only declared fields come back:", diff)
	}
}

// catalogue 98
func TestUndeclaredFieldsBelongToOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// The release leaves out replicas, which an autoscaler owns.
	w.apply(strings.Replace(deployment("web", 1, ""), "  replicas: 1\n", "", 1), configMap("a", "k", "1"))
	w.healthBecomes(drift.Current)
	before := w.mark()
	for replicas := 2; replicas < 5; replicas++ {
		w.edit("Deployment/web", fmt.Sprintf(`{"spec":{"replicas":%d}}`, replicas))
	}
	w.edit("ConfigMap/a", `{"metadata":{"labels":{"team":"shop"}},"data":{"theirs":"x"}}`)
	w.edit("ConfigMap/a", `{"data":{"k":"2"}}`) // and now drift, so that all before it was seen
	w.noticed()
	for _, e := range w.writesSince(before) {
		if e.Name != "a" {
			t.Errorf("undeclared fields were fought for: %s", e)
		}
	}
	if replicas := w.get("Deployment/web").Object["spec"].(map[string]any)["replicas"]; replicas != int64(4) {
		t.Errorf("replicas are %v", replicas)
	}
	if n := len(w.drifts()); n != 1 {
		t.Errorf("got %+v", w.drifts())
	}
}

func TestOurLabelIsPutBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(configMap("a", "k", "1"))
	w.edit("ConfigMap/a", `{"metadata":{"labels":{"pawl.dev/target":null}},"data":{"k":"2"}}`)
	w.eventually("mark and value to be put back", func() (bool, string) {
		o := w.get("ConfigMap/a")
		data := o.Object["data"].(map[string]any)
		return o.GetLabels()[drift.LabelTarget] == "production_web" && data["k"] == "1", fmt.Sprint(o.GetLabels(), data)
	})
	w.edit("ConfigMap/a", `{"metadata":{"labels":{"pawl.dev/target":"production_api"}}}`)
	w.eventually("an edited mark to be put back", func() (bool, string) {
		o := w.get("ConfigMap/a")
		return o.GetLabels()[drift.LabelTarget] == "production_web", fmt.Sprint(o.GetLabels())
	})
}

// catalogue 104
func TestEditsOfOurLabelsAreTold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		patch   string
		want    func(agent string) drift.Change
		manager string
	}{
		"another target": {`{"metadata":{"labels":{"pawl.dev/target":"production_api"}}}`, func(string) drift.Change {
			return drift.Change{Path: "metadata.labels[pawl.dev/target]", From: "production_api", To: "production_web"}
		}, "kubectl-edit"},
		"another agent": {`{"metadata":{"labels":{"pawl.dev/agent":"mallory"}}}`, func(agent string) drift.Change {
			return drift.Change{Path: "metadata.labels[pawl.dev/agent]", From: "mallory", To: agent}
		}, "kubectl-edit"},
		"no agent": {`{"metadata":{"labels":{"pawl.dev/agent":null}}}`, func(agent string) drift.Change {
			return drift.Change{Path: "metadata.labels[pawl.dev/agent]", To: agent}
		}, ""}, // the API server notes nobody for what was removed
		"no target": {`{"metadata":{"labels":{"pawl.dev/target":null}}}`, func(string) drift.Change {
			return drift.Change{Path: "metadata.labels[pawl.dev/target]", To: "production_web"}
		}, ""},
	} {
		for _, mode := range []environments.DriftMode{environments.DriftCorrect, environments.DriftReport} {
			t.Run(name+", "+string(mode), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.settings.Drift = mode
				w.apply(configMap("a", "k", "1"))
				w.edit("ConfigMap/a", c.patch)
				d := w.noticed()
				if diff := cmp.Diff([]drift.Change{c.want(w.agent)}, d.Changes); diff != "" {
					t.Error(diff)
				}
				if d.Deleted || d.Err != nil || d.Manager != c.manager || d.CorrectedAt.IsZero() == (mode == environments.DriftCorrect) {
					t.Errorf("got %+v", d)
				}
			})
		}
	}
}

func TestDriftThatIsOnlyReported(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	release := w.verified(configMap("a", "k", "1"), configMap("b", "k", "1"))
	apply := func() drift.Applied {
		t.Helper()
		applied, err := w.cluster.Apply(t.Context(), release, drift.Terms{Environment: environments.Environment{Drift: environments.DriftReport}})
		if err != nil {
			t.Fatal(err)
		}
		return applied
	}
	apply()
	before := w.mark()
	w.edit("ConfigMap/a", `{"data":{"k":"2"}}`)
	d := w.noticed()
	if diff := cmp.Diff([]drift.Change{{Path: "data.k", From: "2", To: "1"}}, d.Changes); diff != "" || d.Manager != "kubectl-edit" || !d.CorrectedAt.IsZero() || d.Err != nil {
		t.Errorf("%s in %+v", diff, d)
	}
	w.delete("ConfigMap/b")
	w.eventually("a second notice", func() (bool, string) { return len(w.drifts()) == 2, fmt.Sprint(w.drifts()) })
	if d := w.drifts()[1]; !d.Deleted || d.Object.Name != "b" {
		t.Errorf("got %+v", d)
	}
	steps := actions(apply().Steps)
	want := []string{"unchanged ConfigMap/a: was changed; drift is only reported here", "unchanged ConfigMap/b: was deleted; drift is only reported here"}
	if diff := cmp.Diff(want, steps); diff != "" {
		t.Error(diff)
	}
	if writes := w.writesSince(before); len(writes) > 0 {
		t.Errorf("reported only, and yet written: %v", writes)
	}
	if n := len(w.drifts()); n != 2 {
		t.Errorf("%d notices for 2 objects: %+v", n, w.drifts())
	}
	// A newer release is applied, drift or not.
	release = w.verified(configMap("a", "k", "3"), configMap("b", "k", "3"))
	apply()
	if data := w.get("ConfigMap/a").Object["data"].(map[string]any); data["k"] != "3" || w.lookup("ConfigMap/b") == nil {
		t.Errorf("got %v", data)
	}
}

// A repair that the server refuses is told once, tried again until it works,
// and holds up nothing else.
func TestARefusedRepairDelaysNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(configMap("a", "k", "1"), configMap("b", "k", "1"))
	w.guard("refuse-"+w.namespace, "UPDATE", `object.metadata.name != 'a' || object.data.k != '1'`)
	w.edit("ConfigMap/a", `{"data":{"k":"2"}}`)
	d := w.noticed()
	if d.Object.Name != "a" || d.Err == nil || !d.CorrectedAt.IsZero() || !strings.Contains(d.Err.Error(), "refuse-") {
		t.Fatalf("got %+v, want the server's refusal", d)
	}
	for i := range 5 {
		w.edit("ConfigMap/b", `{"data":{"k":"2"}}`)
		w.eventually("b to be put back", func() (bool, string) {
			all := w.drifts()
			return len(all) == 2+i && all[1+i].Object.Name == "b" && !all[1+i].CorrectedAt.IsZero(), fmt.Sprintf("%+v", all)
		})
	}
	w.unguard("refuse-" + w.namespace)
	w.eventually("a to be put back once that is allowed", func() (bool, string) {
		all := w.drifts()
		last := all[len(all)-1]
		return last.Object.Name == "a" && !last.CorrectedAt.IsZero(), fmt.Sprintf("%+v", last)
	})
	if n := len(w.drifts()); n != 7 {
		t.Errorf("%d notices; want one refusal, five repairs of b, one of a: %+v", n, w.drifts())
	}
}

// One refused among forty, while forty others are edited and deleted at once.
//
// catalogue 104
func TestOneRefusedAmongFortyDelaysNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	documents := []string{configMap("a", "k", "1")}
	for i := range 40 {
		documents = append(documents, configMap(fmt.Sprint("c", i), "k", "1"))
	}
	w.apply(documents...)
	w.guard("refuse-"+w.namespace, "UPDATE", `object.metadata.name != 'a' || object.data.k != '1'`)
	w.edit("ConfigMap/a", `{"data":{"k":"2"}}`)
	for i := range 40 {
		if name := fmt.Sprint("ConfigMap/c", i); i%2 == 0 {
			w.edit(name, `{"data":{"k":"2"}}`)
		} else {
			w.delete(name)
		}
	}
	w.eventually("forty to be put back", func() (bool, string) {
		back := 0
		for _, d := range w.drifts() {
			if d.Object.Name != "a" && !d.CorrectedAt.IsZero() {
				back++
			}
		}
		return back == 40, fmt.Sprint(back)
	})
	for i := range 40 {
		if data := w.get(fmt.Sprint("ConfigMap/c", i)).Object["data"].(map[string]any); data["k"] != "1" {
			t.Errorf("c%d is %v", i, data)
		}
	}
	if data := w.get("ConfigMap/a").Object["data"].(map[string]any); data["k"] != "2" {
		t.Errorf("nothing was refused: %v", data)
	}
	refusals := 0
	for _, d := range w.drifts() {
		if d.Err != nil {
			refusals++
		}
	}
	if refusals != 1 {
		t.Errorf("%d refusals were told", refusals)
	}
}

// catalogue 95
func TestADeletedNamespaceIsMadeAgainWithAllInIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	space := w.namespace + "-more"
	namespace := "apiVersion: v1\nkind: Namespace\nmetadata: {name: " + space + "}\n"
	inside := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: inside, namespace: " + space + "}\ndata: {k: '1'}\n"
	w.apply(namespace, inside, configMap("elsewhere", "k", "1"))
	t.Cleanup(func() { w.cluster.Close(); w.delete("Namespace/" + space) })
	uid := w.get("Namespace/" + space).GetUID()
	w.delete("Namespace/" + space)
	w.edit("ConfigMap/elsewhere", `{"data":{"k":"2"}}`)
	w.eventually("other namespaces go on", func() (bool, string) {
		data := w.get("ConfigMap/elsewhere").Object["data"].(map[string]any)
		return data["k"] == "1", fmt.Sprint(data)
	})
	w.eventually("namespace and ConfigMap to be there again", func() (bool, string) {
		ns := w.lookup("Namespace/" + space)
		if ns == nil || ns.GetUID() == uid {
			return false, fmt.Sprint("namespace: ", ns)
		}
		o, err := w.dynamic.Resource(resources["ConfigMap"]).Namespace(space).Get(t.Context(), "inside", metav1.GetOptions{})
		return err == nil && o.GetDeletionTimestamp() == nil, fmt.Sprint(err)
	})
}

func TestForgottenTargetsAreLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(configMap("a", "k", "1"))
	other := environments.Target{Environment: "production", Application: "api"}
	if _, err := w.cluster.Apply(t.Context(), w.verifiedFor(other, configMap("b", "k", "1")), drift.Terms{Environment: environments.Environment{Drift: environments.DriftCorrect}}); err != nil {
		t.Fatal(err)
	}
	w.cluster.Forget(w.target)
	before := w.mark()
	w.edit("ConfigMap/a", `{"data":{"k":"2"}}`)
	w.edit("ConfigMap/b", `{"data":{"k":"2"}}`)
	w.noticed()
	for _, e := range w.writesSince(before) {
		if e.Name == "a" {
			t.Errorf("written although forgotten: %s", e)
		}
	}
	// It can be taken up again.
	w.apply(configMap("a", "k", "1"))
	if data := w.get("ConfigMap/a").Object["data"].(map[string]any); data["k"] != "1" {
		t.Errorf("got %v", data)
	}
}

// Applies of one target and edits by hand at the same time end in the release.
func TestEditsDuringAppliesEndInTheRelease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	documents := func(version int) []string {
		var found []string
		for i := range 10 {
			found = append(found, configMap(fmt.Sprint("c", i), "k", fmt.Sprint(version)))
		}
		return found
	}
	w.apply(documents(0)...)
	done := make(chan error)
	go func() {
		for i := range 60 {
			client, _ := w.at("ConfigMap/x")
			name := fmt.Sprint("c", i%10)
			var err error
			if i%3 == 0 {
				err = client.Delete(context.Background(), name, metav1.DeleteOptions{})
			} else {
				_, err = client.Patch(context.Background(), name, types.MergePatchType, []byte(`{"data":{"k":"edited"}}`), metav1.PatchOptions{FieldManager: "kubectl-edit"})
			}
			if err != nil && !apierrors.IsNotFound(err) {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for version := 1; version <= 8; version++ {
		w.apply(documents(version)...)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	w.eventually("all objects as in the last release", func() (bool, string) {
		for i := range 10 {
			o := w.lookup(fmt.Sprint("ConfigMap/c", i))
			if o == nil || o.Object["data"].(map[string]any)["k"] != "8" {
				return false, fmt.Sprint(o)
			}
		}
		return true, ""
	})
}

func TestAClosedClusterRefusesToApply(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cluster.Close()
	_, err := w.cluster.Apply(t.Context(), w.verified(configMap("a")), drift.Terms{Environment: environments.Environment{Drift: environments.DriftCorrect}})
	if err == nil {
		t.Error("want an error")
	}
	if errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it waited instead of saying so: %v", err)
	}
}

// Behind an admission webhook that does not answer, say.
//
// catalogue 102
func TestSlowRepairsHoldUpNoOthers(t *testing.T) {
	t.Parallel()
	slow := &turnstile{held: make(chan struct{}, 1), opened: make(chan struct{})}
	open := sync.OnceFunc(func() { close(slow.opened) })
	defer open()
	var stuck atomic.Bool
	slow.holds = func(r *http.Request) bool {
		return stuck.Load() && r.Method == http.MethodPatch && strings.Contains(r.URL.Path, "/configmaps/slow-")
	}
	w := newWorld(t, func(o *cluster.Options) {
		o.Config = rest.CopyConfig(o.Config)
		o.Config.Wrap(func(next http.RoundTripper) http.RoundTripper {
			slow.RoundTripper = next
			return slow
		})
	})
	release := []string{configMap("quick", "k", "1")}
	for i := range 20 {
		release = append(release, configMap(fmt.Sprintf("slow-%d", i), "k", "1"))
	}
	w.apply(release...)
	stuck.Store(true)
	for i := range 20 {
		w.edit(fmt.Sprintf("ConfigMap/slow-%d", i), `{"data":{"k":"2"}}`)
	}
	<-slow.held
	w.edit("ConfigMap/quick", `{"data":{"k":"2"}}`)
	w.eventually("the other one to be put back", func() (bool, string) {
		data := w.get("ConfigMap/quick").Object["data"].(map[string]any)
		return data["k"] == "1", fmt.Sprint(data)
	})
	open()
	for i := range 20 {
		w.eventually("the slow ones to be put back", func() (bool, string) {
			data := w.get(fmt.Sprintf("ConfigMap/slow-%d", i)).Object["data"].(map[string]any)
			return data["k"] == "1", fmt.Sprint(data)
		})
	}
}
