package cluster_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/render"
)

func TestApplyCreatesConfiguresAndPrunes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	applied := w.apply(configMap("a", "k", "1"), configMap("b", "k", "1"), deployment("web", 1, ""))
	want := []string{"create ConfigMap/a: not there yet", "create ConfigMap/b: not there yet", "create Deployment/web: not there yet"}
	if diff := cmp.Diff(want, actions(applied.Steps)); diff != "" {
		t.Error(diff)
	}
	live := w.get("ConfigMap/a")
	if labels := live.GetLabels(); labels[drift.LabelTarget] != "production_web" || labels[drift.LabelAgent] != w.agent {
		t.Errorf("the mark is missing: %v", labels)
	}
	w.healthBecomes(drift.Current)

	applied = w.apply(configMap("a", "k", "2"), deployment("web", 1, ""))
	want = []string{"configure ConfigMap/a: differs from the release", "unchanged Deployment/web: ", "delete ConfigMap/b: left the release"}
	if diff := cmp.Diff(want, actions(applied.Steps)); diff != "" || len(applied.Pending) != 0 {
		t.Error(diff, applied.Pending)
	}
	if w.lookup("ConfigMap/b") != nil {
		t.Error("b was not pruned")
	}
	if got := w.get("ConfigMap/a"); got.GetUID() != live.GetUID() {
		t.Error("a was replaced instead of changed")
	}
}

func TestWhatCanNeverBeAppliedIsRejected(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, c := range map[string]struct{ document, problem string }{
		"a Secret that is not base64":    {"apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: '{ns}'}\ndata: {pass: hunter2!}\n", "/s: data[pass]: is not base64"},
		"stringData that is no string":   {"apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: '{ns}'}\nstringData: {port: 5432}\n", "/s: stringData[port]: is no string"},
		"no name":                        {"apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: c-, namespace: '{ns}'}\n", "metadata.name: is missing"},
		"a ConfigMap that is not base64": {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, namespace: '{ns}'}\nbinaryData: {icon: '*'}\n", "/b: "},
		"binary data that is not a map":  {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, namespace: '{ns}'}\nbinaryData: x\n", "/b: "},
	} {
		err := w.refused(configMap("a"), c.document)
		var refused *drift.Rejected
		if !errors.As(err, &refused) || refused.Target != w.target || refused.Written {
			t.Errorf("%s: got %T %v, want *drift.Rejected", name, err, err)
		}
		if !strings.Contains(err.Error(), c.problem) || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "5432") {
			t.Errorf("%s: got %v, want %q", name, err, c.problem)
		}
	}
}

// catalogue 101
func TestAnUnchangedReleaseCostsNoRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	documents := []string{configMap("a", "k", "1"), deployment("web", 1, "")}
	w.apply(documents...)
	w.healthBecomes(drift.Current)
	before := w.mark()
	applied := w.apply(documents...)
	if n := len(applied.Steps); n != 2 || applied.Steps[0].Action != drift.Unchanged || applied.Steps[1].Action != drift.Unchanged {
		t.Errorf("got %v", actions(applied.Steps))
	}
	w.healthBecomes(drift.Current)
	for _, e := range w.requestsSince(before) {
		if e.Resource != "pods" { // may have begun to be looked at while they were not ready
			t.Errorf("nothing had changed, and yet: %s", e)
		}
	}
}

func TestARestartWritesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	documents := []string{configMap("a", "k", "1"), deployment("web", 2, ""), "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: '{ns}'}\nstringData: {password: hunter2}\n"}
	w.apply(documents...)
	w.healthBecomes(drift.Current)
	w.restart()
	before := w.mark()
	w.apply(documents...)
	w.healthBecomes(drift.Current)
	for _, e := range w.requestsSince(before) {
		if e.Verb != "watch" && e.Verb != "list" && !(e.Verb == "get" && e.Resource == "") {
			t.Errorf("a restart needs lists and watches only, and did %s", e)
		}
	}
	// And it still prunes what it made before.
	w.apply(documents[1:]...)
	if w.lookup("ConfigMap/a") != nil {
		t.Error("a was not pruned after a restart")
	}
}

// catalogue 85
// catalogue 18
func TestOneBadObjectAmongFiftyAndNothingIsWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var documents []string
	for i := range 49 {
		documents = append(documents, configMap(fmt.Sprint("c", i), "k", "1"))
	}
	err := w.refused(append(documents, strings.Replace(deployment("web", 1, ""), "replicas:", "replica:", 1))...)
	var rejected *drift.Rejected
	if !errors.As(err, &rejected) {
		t.Fatalf("got %v, want *drift.Rejected", err)
	}
	web := drift.ObjectID{Group: "apps", Kind: "Deployment", Namespace: w.namespace, Name: "web"}
	want := []drift.Problem{{Object: web, Field: "spec.replica", Reason: "unknown field; is it misspelled?"}}
	if diff := cmp.Diff(want, rejected.Problems); diff != "" || rejected.Written || rejected.Of != 50 {
		t.Error(diff, rejected)
	}

	err = w.refused(append(documents, deployment("web", -1, ""))...)
	if !errors.As(err, &rejected) || rejected.Problems[0].Field != "spec.replicas" {
		t.Errorf("got %v, want the server's word on spec.replicas", err)
	}
	// An existing release stays as it is.
	w.apply(documents...)
	live := w.get("ConfigMap/c0")
	w.refused(append([]string{configMap("c0", "k", "2"), strings.Replace(configMap("c1", "k", "1"), "data:", "daten:", 1)}, documents[2:]...)...)
	if got := w.get("ConfigMap/c0"); got.GetResourceVersion() != live.GetResourceVersion() {
		t.Error("c0 was touched by a refused release")
	}
}

func TestASingleBadChangeIsRefusedByTheServerItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(configMap("a", "k", "1"), deployment("web", 1, ""))
	live := w.get("Deployment/web")
	_, err := w.cluster.Apply(t.Context(), w.verified(configMap("a", "k", "1"), deployment("web", -1, "")), drift.Terms{Environment: environments.Environment{Drift: environments.DriftCorrect}})
	var rejected *drift.Rejected
	if !errors.As(err, &rejected) || rejected.Written || rejected.Problems[0].Field != "spec.replicas" {
		t.Errorf("got %v", err)
	}
	if got := w.get("Deployment/web"); got.GetGeneration() != live.GetGeneration() {
		t.Error("the Deployment was changed")
	}
}

// catalogue 105
func TestSecretValuesAreNotInErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	secret := func(data string) string {
		return "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: '{ns}'}\n" + data + "\n"
	}
	for _, data := range []string{"data: {password: 'hunter2 is no base64!'}", "data: {password: [hunter2]}", "data: {password: aHVudGVyMg==}\ntype: [hunter2]", "stringData: {password: hunter2}\nimmutable: hunter2"} {
		err := w.refused(configMap("a"), secret(data))
		if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "aHVudGVyMg") {
			t.Errorf("%s: the value is in the error: %v", data, err)
		}
	}
}

func TestTheZeroVerifiedIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.cluster.Apply(t.Context(), policies.Verified{}, drift.Terms{Environment: environments.Environment{Drift: environments.DriftCorrect}}); !errors.Is(err, drift.ErrUnverified) {
		t.Errorf("Apply: got %v", err)
	}
	if _, err := w.cluster.Plan(t.Context(), policies.Verified{}, drift.Terms{}); !errors.Is(err, drift.ErrUnverified) {
		t.Errorf("Plan: got %v", err)
	}
}

// catalogue 15
func TestAnObjectHasOneTarget(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(configMap("a", "k", "1"), configMap("b", "k", "1"))
	live := w.get("ConfigMap/a")
	other := environments.Target{Environment: "production", Application: "api"}
	rival := func() error {
		_, err := w.cluster.Apply(t.Context(), w.verifiedFor(other, configMap("a", "k", "theirs"), configMap("c")), drift.Terms{Environment: environments.Environment{Drift: environments.DriftCorrect}})
		return err
	}
	expect := func(when string) {
		t.Helper()
		before := w.mark()
		err := rival()
		var conflict *drift.Conflict
		if !errors.As(err, &conflict) || len(conflict.Objects) != 1 || conflict.Objects[0].By.Target != "production_web" {
			t.Errorf("%s: got %v, want a conflict with production/web", when, err)
		}
		if writes := w.writesSince(before); len(writes) > 0 {
			t.Errorf("%s: written: %v", when, writes)
		}
	}
	expect("while both are kept by this agent")
	w.restart()
	expect("after a restart, by the mark alone")
	agent := w.options.Owner
	w.options.Owner = "another"
	w.restart()
	expect("from another agent")
	w.options.Owner = agent
	w.restart()
	if got := w.get("ConfigMap/a"); got.GetResourceVersion() != live.GetResourceVersion() {
		t.Error("the object changed")
	}
	// Once it leaves the first, the second may have it.
	w.apply(configMap("b", "k", "1"))
	if err := rival(); err != nil {
		t.Error(err)
	}
}

func TestWhatIsThereAlreadyIsTakenOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.create(configMap("a", "ours", "old", "theirs", "x"))
	applied := w.apply(configMap("a", "ours", "new"), configMap("b"))
	if got := actions(applied.Steps)[0]; got != "configure ConfigMap/a: is there already; taken over" {
		t.Error(got)
	}
	after := w.get("ConfigMap/a")
	if after.GetUID() != before.GetUID() {
		t.Error("it was replaced")
	}
	if diff := cmp.Diff(map[string]any{"ours": "new", "theirs": "x"}, after.Object["data"]); diff != "" {
		t.Error(diff)
	}
}

// catalogue 15
func TestOfTwoTargetsAtTheSameMomentOneGetsTheObject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := environments.Target{Environment: "production", Application: "api"}
	for i := range 10 {
		document := configMap(fmt.Sprint("c", i))
		errs := make(chan error, 2)
		for _, target := range []environments.Target{w.target, other} {
			release := w.verifiedFor(target, document)
			go func() {
				_, err := w.cluster.Apply(t.Context(), release, drift.Terms{Environment: environments.Environment{Drift: environments.DriftCorrect}})
				errs <- err
			}()
		}
		first, second := <-errs, <-errs
		if (first == nil) == (second == nil) {
			t.Errorf("round %d: got %v and %v, want one to be refused", i, first, second)
		}
		w.cluster.Forget(w.target)
		w.cluster.Forget(other)
	}
}

// catalogue 88
func TestAnImmutableFieldIsRefusedAndNothingIsDeletedToBeFixed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(configMap("a"), deployment("web", 1, ""))
	uid := w.get("Deployment/web").GetUID()
	for field, changed := range map[string]string{
		"spec.selector": strings.ReplaceAll(deployment("web", 1, ""), "app: web", "app: other"),
		"spec.replicas": strings.Replace(deployment("web", -1, ""), "namespace: '{ns}'}", "namespace: '{ns}', annotations: {kustomize.toolkit.fluxcd.io/force: enabled}}", 1),
	} {
		err := w.refused(configMap("b"), changed)
		var rejected *drift.Rejected
		if !errors.As(err, &rejected) || rejected.Problems[0].Field != field {
			t.Errorf("got %v, want %s to be refused", err, field)
		}
	}
	if w.get("Deployment/web").GetUID() != uid {
		t.Error("the Deployment was replaced")
	}
}

func TestARefusalSaysWhereTheObjectIsDeclared(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	release := w.verified(strings.Replace(deployment("web", 1, ""), "replicas: 1", "replicas: -1", 1), configMap("a")).Release()
	release.Images = nil // judged notes them again
	release.Places = map[string]render.Place{
		"Deployment " + w.namespace + "/web": {File: "apps/web/base/deployment.yaml", Line: 7},
		"ConfigMap " + w.namespace + "/a":    {File: "apps/web/base/config.yaml", Line: 1},
	}
	v := judged(t, release)
	want := "apps/web/base/deployment.yaml:7: Deployment " + w.namespace + "/web: spec.replicas: "
	_, err := w.cluster.Apply(t.Context(), v, drift.Terms{Environment: w.settings})
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("applying: got %v", err)
	}
	if _, err = w.cluster.Plan(t.Context(), v, drift.Terms{Environment: w.settings}); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("planning: got %v", err)
	}
}
